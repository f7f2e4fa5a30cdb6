// SPDX-License-Identifier: Apache-2.0
// Hand-offs that are not served: what is wrong with each, in one sentence.
import Testing
import UffdHost

@testable import UffdServer

@Suite("Firecracker: refusals")
struct FirecrackerRefusalTests {
  private static let good = #""base_host_virt_addr":2097152,"size":4194304,"offset":0"#

  private static func many(_ count: Int) -> String {
    "["
      + (1...count).map { #"{"base_host_virt_addr":\#($0 * 4096),"size":4096,"offset":0}"# }
      .joined(separator: ",") + "]"
  }

  private static let wrong: [(String, String)] = [
    // Not the array.
    ("[]", "the hand-off's array has no regions"), ("[ ]", "the hand-off's array has no regions"),
    ("[1]", "region 1 of 1 of the hand-off is not a JSON object"),
    ("[null]", "region 1 of 1 of the hand-off is not a JSON object"),
    ("[[\(good)]]", "the hand-off is not the JSON array that Firecracker sends: byte 23 is 0x3a"),
    ("[{\(good)},[]]", "region 2 of 2 of the hand-off is not a JSON object"),
    ("[{\(good)}}", "the hand-off is not the JSON array that Firecracker sends: byte 58 is 0x7d"),
    ("[{\(good),}]", "the hand-off is not the JSON array that Firecracker sends: byte 58 is 0x7d"),
    ("[{\(good)},]", "the hand-off is not the JSON array that Firecracker sends: byte 59 is 0x5d"),
    ("[x", "the hand-off is not the JSON array that Firecracker sends: byte 1 is 0x78"),
    (
      "[{\(good),\"x\":" + String(repeating: "[", count: 100),
      "the hand-off is not the JSON array that Firecracker sends: byte 76 opens a nesting deeper"
    ),
    (
      String(repeating: "[", count: 100_000),
      "the hand-off is not the JSON array that Firecracker sends: byte 16 opens a nesting deeper"
    ),
    (
      "[" + String(repeating: " ", count: 100_000),
      "the hand-off is not the JSON array that Firecracker sends: the text does not end within its first 65536"
    ),
    (
      "[{\(good),\"x\":\"" + String(repeating: "x", count: 100_000) + "\"}]",
      "the hand-off is not the JSON array that Firecracker sends: the text does not end within its first 65536"
    ),
    (
      "[{\(good),\"size\":4194304}]",
      "the hand-off is not the JSON array that Firecracker sends: the name that ends at byte 63"
    ),
    // Fields.
    ("[{}]", "region 1 of 1 has no base_host_virt_addr"),
    (#"[{"base_host_virt_addr":4096}]"#, "region 1 of 1 has no size"),
    (#"[{"base_host_virt_addr":4096,"size":4096}]"#, "region 1 of 1 has no offset"),
    (#"[{"Base_host_virt_addr":0,"size":4096,"offset":0}]"#, "region 1 of 1 has no base_host"),
    ("[{\(good)},{\"size\":4096,\"offset\":0}]", "region 2 of 2 has no base_host_virt_addr"),
    ("[{\(good),\"page_size\":null}]", "page_size of region 1 of 1 is not an integer between 0"),
    ("[{\(good),\"page_size_kib\":\"4\"}]", "page_size_kib of region 1 of 1 is not an integer"),
    ("[{\(good),\"is_guest_memfd\":true}]", "region 1 of 1 is a guest_memfd (Firecracker's secret"),
    ("[{\(good),\"is_guest_memfd\":1}]", "region 1 of 1 is a guest_memfd (Firecracker's secret"),
    // Sizes of pages.
    (
      "[{\(good),\"page_size\":0}]",
      "region 1 of 1 has pages of 0 bytes; pages of 4096 bytes, 2 MiB"
    ),
    ("[{\(good),\"page_size\":1}]", "region 1 of 1 has pages of 1 bytes"),
    ("[{\(good),\"page_size\":4095}]", "region 1 of 1 has pages of 4095 bytes"),
    ("[{\(good),\"page_size\":8192}]", "region 1 of 1 has pages of 8192 bytes"),
    ("[{\(good),\"page_size\":16384}]", "region 1 of 1 has pages of 16384 bytes"),
    ("[{\(good),\"page_size_kib\":4}]", "region 1 of 1 has pages of 4 bytes"),
    ("[{\(good),\"page_size\":4,\"page_size_kib\":4096}]", "region 1 of 1 has pages of 4 bytes"),
    ("[{\(good),\"page_size\":18446744073709551615}]", "region 1 of 1 has pages of 18446744073709"),
    ("[{\(good),\"page_size\":1073741824}]", "base_host_virt_addr of region 1 of 1 is 2097152, no"),
    // Too many.
    (many(513), "the hand-off has 513 regions; 512 are the most"),
  ]

  /// Each of the three numbers in turn is a value that it must not be.
  private static let wrongNumbers: [(String, String, String, String)] = [
    ("4097", "4096", "0", "base_host_virt_addr of region 1 of 1 is 4097, no multiple of its page"),
    ("4096", "4095", "0", "size of region 1 of 1 is 4095, no multiple of its page size of 4096"),
    ("4096", "4096", "1", "offset of region 1 of 1 is 1, no multiple of its page size of 4096"),
    ("4096", "0", "0", "region 1 of 1 has a size of 0"),
    ("18446744073709547520", "4096", "0", "region 1 of 1 goes beyond the address 2^64"),
    ("18446744073709543424", "8192", "0", "region 1 of 1 goes beyond the address 2^64"),
    ("4096", "18446744073709547520", "0", "region 1 of 1 goes beyond the address 2^64"),
    ("4096", "8192", "18446744073709543424", "region 1 of 1 goes beyond the offset 2^64"),
    ("4096", "4096", "18446744073709547520", "region 1 of 1 goes beyond the offset 2^64"),
  ]

  @Test("what is wrong with a hand-off is said in one sentence, however it is cut")
  func refusals() {
    let numbers = Self.wrongNumbers.map { start, size, offset, sentence in
      (#"[{"base_host_virt_addr":\#(start),"size":\#(size),"offset":\#(offset)}]"#, sentence)
    }
    for (text, beginning) in Self.wrong + numbers {
      let stream = ClientStream(bytes: Array(text.utf8), descriptorsAt: [0])
      let whole = Transcript.of(Firecracker.self, stream)
      let shown = "\(text.prefix(120)) -> \(whole)"
      #expect(whole.entries.count == 1 && whole.refusal?.hasPrefix(beginning) == true, "\(shown)")
      #expect(isOneSentence(whole.refusal ?? ""), "\(shown)")
      let cuts = text.utf8.count < 1000 ? Array(1..<text.utf8.count) : [1, 999]
      #expect(Transcript.of(Firecracker.self, stream, cuts: cuts) == whole, "\(shown)")
    }
  }

  @Test("numbers of the wrong kind, in each field")
  func kinds() {
    let fields = ["base_host_virt_addr", "size", "offset", "page_size", "page_size_kib"]
    for name in fields {
      for value in [
        "\"4096\"", "4096.0", "4.096e3", "4096e0", "-4096", "-0", "true", "null", "[4096]", "{}",
        "18446744073709551616", "340282366920938463463374607431768211456", "1e999",
      ] {
        let members = fields.map { "\"\($0)\":\($0 == name ? value : "4096")" }
        let text = "[{" + members.joined(separator: ",") + "}]"
        let heard = Transcript.of(
          Firecracker.self, ClientStream(bytes: Array(text.utf8), descriptorsAt: [0]))
        #expect(
          heard.entries == [
            .refused("\(name) of region 1 of 1 is not an integer between 0 and 2^64 - 1")
          ], "\(text)")
      }
    }
  }

  @Test("regions that overlap, in any order")
  func overlaps() {
    for (first, second, address) in [
      ((4096, 8192), (8192, 4096), 8192), ((4096, 4096), (4096, 4096), 4096),
      ((4096, 16384), (8192, 4096), 8192), ((8192, 8192), (4096, 8192), 8192),
    ] {
      let objects = [(1 << 30, 4096), first, (1 << 31, 4096), second, (1 << 32, 4096)]
        .map { #"{"base_host_virt_addr":\#($0.0),"size":\#($0.1),"offset":0}"# }
      let text = "[" + objects.joined(separator: ",") + "]"
      let heard = Transcript.of(
        Firecracker.self, ClientStream(bytes: Array(text.utf8), descriptorsAt: [0]))
      #expect(heard.entries == [.refused("regions 2 and 4 overlap at address \(address)")])
    }
  }

  @Test("as many regions as are allowed, and as many bytes")
  func most() {
    let regions = Transcript.of(
      Firecracker.self, ClientStream(bytes: Array(Self.many(512).utf8), descriptorsAt: [0]))
    #expect(regions.refusal == nil && regions.entries.count == 1)
    let text = "[{\(Self.good)}"
    let full = text + String(repeating: " ", count: Firecracker.mostBytes - text.utf8.count - 1)
    for (text, isServed) in [(full + "]", true), (full + " ]", false)] {
      let heard = Transcript.of(
        Firecracker.self, ClientStream(bytes: Array(text.utf8), descriptorsAt: [0]))
      #expect((heard.refusal == nil) == isServed && heard.entries.count == 1)
    }
  }
}

/// A line for a log: it is short, it ends without a stop, and no byte of a stranger can move a
/// terminal's cursor.
func isOneSentence(_ text: String) -> Bool {
  !text.isEmpty && text.utf8.count < 400 && text.last != "."
    && text.utf8.allSatisfy { (0x20..<0x7f).contains($0) }
}
