// SPDX-License-Identifier: Apache-2.0
// Where things lie: the sources by this file's own path, what was built beside the running tests.
import Foundation

public enum Checkout {
  /// The package's folder.
  public static let root = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path

  /// The folder of the header.
  public static let header = root + "/Sources/UffdPluginABI/include"

  /// The folder with the executable and the provider libraries of this build.
  public static let products: String = {
    let path = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    return URL(filePath: path ?? "/").deletingLastPathComponent().path
  }()

  public static let uffdhost = products + "/uffdhost"

  /// An executable on PATH; nil if there is none of that name.
  public static func find(_ tool: String) -> String? {
    (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin").split(separator: ":")
      .map { "\($0)/\(tool)" }.first { FileManager.default.isExecutableFile(atPath: $0) }
  }

  /// A file of the toolchain of more than 100 MB that every machine with Swift has; nil: not found.
  public static let largeFile: String? = {
    guard let compiler = find("swiftc") else { return nil }
    let folder = URL(filePath: compiler).resolvingSymlinksInPath().deletingLastPathComponent()
    let names =
      ["clang", "swift-frontend"]
      + (try! FileManager.default.contentsOfDirectory(
        atPath: folder.path)).sorted()
    return names.map { folder.appending(path: $0).resolvingSymlinksInPath().path }
      .first { size(of: $0) > 100_000_000 }
  }()

  public static func size(of path: String) -> UInt64 {
    let attributes = try? FileManager.default.attributesOfItem(atPath: path)
    return (attributes?[.size] as? NSNumber)?.uint64Value ?? 0
  }

  /// Pages of 2 MiB that nobody has or has reserved.
  public static var freeHugePages: Int {
    func pool(_ name: String) -> Int {
      let path = "/sys/kernel/mm/hugepages/hugepages-2048kB/\(name)"
      let text = try? String(contentsOfFile: path, encoding: .utf8)
      return text.flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) } ?? 0
    }
    return pool("free_hugepages") - pool("resv_hugepages")
  }
}
