// SPDX-License-Identifier: Apache-2.0
// The reader of JSON: what is good, what is refused and in which words, and that the cut of the
// bytes does not matter.
import Foundation
import Testing

@testable import UffdServer

extension JSONReader {
  /// What one text comes to: nil if it needs more.
  static func read(_ bytes: [UInt8], cuts: [Int] = [], mostBytes: Int = 4096, mostDepth: Int = 8)
    throws(Refusal) -> (value: JSONValue, end: Int)?
  {
    var reader = JSONReader(mostBytes: mostBytes, mostDepth: mostDepth)
    let bounds = [0] + cuts + [bytes.count]
    for (from, to) in zip(bounds, bounds.dropFirst()) {
      if case .complete(let value) = try reader.take(Array(bytes[from..<to])) {
        return (value, reader.consumed)
      }
    }
    return nil
  }

  /// The result or the refusal as a text, for comparing.
  static func account(_ bytes: [UInt8], cuts: [Int] = []) -> String {
    do throws(Refusal) {
      guard let (value, end) = try read(bytes, cuts: cuts) else { return "needs more" }
      return "\(value) up to \(end)"
    } catch {
      return error.reason
    }
  }
}

@Suite("JSON: the reader")
struct JSONReaderTests {
  private func string(_ text: String) -> JSONValue { .string(Array(text.utf8)) }

  private func object(_ members: [String: JSONValue]) -> JSONValue {
    .object(
      Dictionary(uniqueKeysWithValues: members.map { (Array($0.key.utf8), $0.value) }))
  }

  @Test("values")
  func values() throws {
    let good: [(String, JSONValue)] = [
      ("[]", .array([])), ("{}", .object([:])), (" [\t\r\n] ", .array([])),
      ("[null,true,false]", .array([.null, .boolean(true), .boolean(false)])),
      ("[[],{},[[]]]", .array([.array([]), .object([:]), .array([.array([])])])),
      (
        #"{"a":1,"b":{"a":[2]},"":"x"}"#,
        object([
          "a": .integer(1), "b": object(["a": .array([.integer(2)])]), "": string("x"),
        ])
      ),
      ("[ 1 , 2 ]", .array([.integer(1), .integer(2)])),
      (#"{ "a" : 1 , "A" : 2 }"#, object(["a": .integer(1), "A": .integer(2)])),
      // Two names that look the same and are not: U+00E9, and an e with U+0301.
      ("{\"\u{e9}\":1,\"e\u{301}\":2}", object([:]).with("é", 1).with("e\u{301}", 2)),
    ]
    for (text, value) in good {
      let read = try #require(try JSONReader.read(Array(text.utf8)), "\(text)")
      #expect(read.value == value, "\(text)")
    }
  }

  @Test(
    "integers are exact",
    arguments: [
      ("0", 0), ("7", 7), ("10", 10), ("9007199254740993", 9_007_199_254_740_993),
      ("18446744073709551615", UInt64.max), ("9223372036854775808", 1 << 63),
    ])
  func integers(_ text: String, _ value: UInt64) throws {
    let read = try JSONReader.read(Array("[\(text)]".utf8))
    #expect(read?.value == .array([.integer(value)]))
  }

  @Test(
    "numbers that are no UInt64 are good JSON",
    arguments: [
      "-0", "-1", "0.0", "1.5", "1e0", "1E3", "0e0", "2e+1", "1e-1", "-1.25e-300", "1.0",
      "18446744073709551616", "99999999999999999999999999999999", "1e99999",
    ])
  func otherNumbers(_ text: String) throws {
    let read = try JSONReader.read(Array("[\(text)]".utf8))
    #expect(read?.value == .array([.otherNumber]))
  }

  @Test("strings")
  func strings() throws {
    let good: [(String, String)] = [
      (#""""#, ""), (#""a b""#, "a b"), (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
      (#""\u0041\u00e9\u20AC""#, "A\u{e9}\u{20ac}"), (#""\ud83d\ude00""#, "\u{1f600}"),
      (#""\uDBFF\uDFFF\u0000""#, "\u{10ffff}\u{0}"), ("\"\u{7f}\u{80}\"", "\u{7f}\u{80}"),
      ("\"\u{7ff}\u{800}\u{fff}\u{1000}\"", "\u{7ff}\u{800}\u{fff}\u{1000}"),
      ("\"\u{d7ff}\u{e000}\u{ffff}\"", "\u{d7ff}\u{e000}\u{ffff}"),
      ("\"\u{10000}\u{40000}\u{10ffff}\"", "\u{10000}\u{40000}\u{10ffff}"),
    ]
    for (text, meaning) in good {
      let read = try #require(try JSONReader.read(Array("[\(text)]".utf8)), "\(text)")
      #expect(read.value == .array([string(meaning)]), "\(text)")
    }
  }

  @Test("the end is the root's last byte, and what follows is not looked at")
  func ends() throws {
    for tail in ["", " ", "\n", "]", "[", "\u{0}", "xyz"] {
      let read = try JSONReader.read(Array("  [1,[2]]\(tail)".utf8))
      #expect(read?.end == 9)
      #expect(try JSONReader.read(Array("{}\(tail)".utf8))?.end == 2)
    }
  }

  @Test("the beginning of a good text is never refused, and never taken for the whole")
  func prefixes() throws {
    let text = #" { "a\u00e9é" : [ -1.5e+3, 12, true, null, {"b":""} ] , "c" : "\ud83d\ude00 €" }"#
    let bytes = Array(text.utf8)
    for length in 0..<bytes.count {
      #expect(try JSONReader.read(Array(bytes.prefix(length))) == nil, "\(length)")
    }
    #expect(try JSONReader.read(bytes)?.end == bytes.count)
  }

  @Test("the size and the depth are bounded, and the bounds can be reached")
  func bounds() throws {
    let ten = Array("[1234567 ]".utf8)
    #expect(try JSONReader.read(ten, mostBytes: 10) != nil)
    #expect(throws: Refusal("the text does not end within its first 9 bytes")) {
      try JSONReader.read(ten, mostBytes: 9)
    }
    #expect(throws: Refusal("the text does not end within its first 9 bytes")) {
      try JSONReader.read(Array(repeating: 0x20, count: 9), mostBytes: 9)
    }
    #expect(try JSONReader.read(Array(repeating: 0x20, count: 8), mostBytes: 9) == nil)
    let nested = Array(#"[{"a":[]}]"#.utf8)
    #expect(try JSONReader.read(nested, mostDepth: 3) != nil)
    #expect(throws: Refusal("byte 6 opens a nesting deeper than 2")) {
      try JSONReader.read(nested, mostDepth: 2)
    }
  }
}

extension JSONValue {
  fileprivate func with(_ name: String, _ value: UInt64) -> JSONValue {
    guard case .object(var members) = self else { return self }
    members[Array(name.utf8)] = .integer(value)
    return .object(members)
  }
}
