// SPDX-License-Identifier: Apache-2.0
// Strings of a provider: read in few calls, and never beyond the page that they end in.

import Glibc
import Testing

@testable import UffdHost

@Suite("Careful reading")
struct SafeReadTests {
  private static let page = 4096

  /// Writes `bytes` so that they end where nothing is readable, and reads them back as a string.
  private static func read(_ bytes: [UInt8], limit: Int = 4096) throws -> String? {
    let pages = try Mapping.scratch(UInt64(4 * page))
    let end = unsafe pages.base + 3 * page
    unsafe mprotect(end, page, PROT_NONE)
    let start = unsafe end - bytes.count
    for (index, byte) in bytes.enumerated() {
      unsafe start.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
    }
    return unsafe stringCarefully(start.assumingMemoryBound(to: CChar.self), limit: limit)
  }

  @Test(
    "a string may end with its page, and cross pages", arguments: [0, 1, 255, 256, 257, 4095, 4096])
  func atTheEnd(_ length: Int) throws {
    let text = String(repeating: "k", count: length)
    #expect(try Self.read(Array(text.utf8) + [0]) == text)
  }

  @Test("what has no end, or a byte that is no text, is no string")
  func none() throws {
    #expect(try Self.read(Array(repeating: 107, count: 300)) == nil)
    #expect(try Self.read([0xff, 0]) == nil)
    #expect(try Self.read(Array(repeating: 107, count: 4097) + [0]) == nil)
    #expect(try Self.read(Array(repeating: 107, count: 9) + [0], limit: 9) == "kkkkkkkkk")
    #expect(try Self.read(Array(repeating: 107, count: 10) + [0], limit: 9) == nil)
    #expect(stringCarefully(nil) == nil)
  }
}
