// SPDX-License-Identifier: Apache-2.0
// Files that a test makes and that go away with it.
import Foundation

/// A folder that everybody may read, removed at the end of its life.
public final class Scratch: Sendable {
  public let path: String

  public init() throws {
    path = NSTemporaryDirectory() + "uffdhost-test-" + UUID().uuidString
    try FileManager.default.createDirectory(
      atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Writes a file and returns its path.
  @discardableResult
  public func file(_ name: String, _ text: String) throws -> String {
    try text.write(toFile: "\(path)/\(name)", atomically: false, encoding: .utf8)
    return "\(path)/\(name)"
  }

  /// A file of bytes that differ from page to page and from zero.
  public func noise(_ name: String, bytes: Int, seed: UInt64 = 1) throws -> String {
    var state = seed
    let words = (0..<(bytes / 8)).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state | 0x0101_0101_0101_0101
    }
    let data = unsafe words.withUnsafeBytes { unsafe Data($0) }
    try data.write(to: URL(filePath: "\(path)/\(name)"))
    return "\(path)/\(name)"
  }

  /// Copies a file here and returns the copy's path.
  public func copy(_ source: String, as name: String) throws -> String {
    try FileManager.default.copyItem(atPath: source, toPath: "\(path)/\(name)")
    return "\(path)/\(name)"
  }
}
