// SPDX-License-Identifier: Apache-2.0
// What is not JSON, in which words it is refused, and what Foundation's reader says of the same
// texts.
import Foundation
import Testing

@testable import UffdServer

@Suite("JSON: refusals")
struct JSONRefusalTests {
  /// A text, and the beginning of the sentence.
  private static let wrong: [(String, String)] = [
    // The root.
    ("x", "byte 0 is 0x78, where an array or an object begins"),
    ("1", "byte 0 is 0x31, where an array"), ("\"a\"", "byte 0 is 0x22, where an array"),
    ("]", "byte 0 is 0x5d, where an array"), ("true", "byte 0 is 0x74, where an array"),
    ("\u{feff}[]", "byte 0 is 0xef, where an array"), ("\u{0}", "byte 0 is 0x00, where an array"),
    // Structure.
    ("[,]", "byte 1 is 0x2c, where a value or ']' belongs"),
    ("[1,]", "byte 3 is 0x5d, where a value begins"), ("[1 2]", "byte 3 is 0x32, where ',' or ']'"),
    ("[1}", "byte 2 is 0x7d, where ',' or ']'"), ("[}", "byte 1 is 0x7d, where a value or ']'"),
    ("{]", "byte 1 is 0x5d, where a name in quotes or '}'"),
    ("{,}", "byte 1 is 0x2c, where a name in quotes or '}'"),
    (#"{"a"}"#, "byte 4 is 0x7d, where ':' belongs"),
    (#"{"a",1}"#, "byte 4 is 0x2c, where ':' belongs"),
    (#"{"a":}"#, "byte 5 is 0x7d, where a value begins"),
    (#"{"a":1,}"#, "byte 7 is 0x7d, where a name in quotes belongs"),
    (#"{"a":1]"#, "byte 6 is 0x5d, where ',' or '}'"),
    (#"{"a":1:2}"#, "byte 6 is 0x3a, where ',' or '}'"), ("{a:1}", "byte 1 is 0x61, where a name"),
    ("{1:1}", "byte 1 is 0x31, where a name"), ("['a']", "byte 1 is 0x27, where a value"),
    ("[//\n1]", "byte 1 is 0x2f, where a value"), ("[\u{c}]", "byte 1 is 0x0c, where a value"),
    ("[\u{a0}]", "byte 1 is 0xc2, where a value"), ("[\u{0}]", "byte 1 is 0x00, where a value"),
    ("[\"a\"\"b\"]", "byte 4 is 0x22, where ',' or ']'"),
    // Names.
    (#"{"a":1,"a":1}"#, "the name that ends at byte 9 is there twice in one object"),
    (#"{"a":1,"b":2,"\u0061":1}"#, "the name that ends at byte 20 is there twice"),
    (#"[{"x":{"b":[],"b":[]}}]"#, "the name that ends at byte 16 is there twice"),
    // Words.
    ("[tru]", "byte 4 is 0x5d inside a word"), ("[True]", "byte 1 is 0x54, where a value"),
    ("[nul1]", "byte 4 is 0x31 inside a word"), ("[truee]", "byte 5 is 0x65, where ',' or ']'"),
    ("[NaN]", "byte 1 is 0x4e, where a value"), ("[falsy]", "byte 5 is 0x79 inside a word"),
    // Numbers.
    ("[01]", "a number has a zero in front at byte 1"), ("[-01]", "a number has a zero in front"),
    ("[00]", "a number has a zero in front at byte 1"), ("[+1]", "byte 1 is 0x2b, where a value"),
    ("[.5]", "byte 1 is 0x2e, where a value"), ("[1.]", "byte 3 is 0x5d, where a number has"),
    ("[1.e1]", "byte 3 is 0x65, where a number"), ("[-]", "byte 2 is 0x5d, where a number has"),
    ("[1e]", "byte 3 is 0x5d, where a number"), ("[1e+]", "byte 4 is 0x5d, where a number has"),
    ("[--1]", "byte 2 is 0x2d, where a number"), ("[0x10]", "byte 2 is 0x78, where ',' or ']'"),
    ("[1_000]", "byte 2 is 0x5f, where ','"), ("[1.2.3]", "byte 4 is 0x2e, where ',' or ']'"),
    ("[1e1e1]", "byte 4 is 0x65, where ','"), ("[1e1.1]", "byte 4 is 0x2e, where ',' or ']'"),
    // Strings.
    ("[\"\n\"]", "byte 2 is a control character inside a string"),
    ("[\"a\u{0}\"]", "byte 3 is a control character"), (#"{"\#u{1f}":1}"#, "byte 2 is a control"),
    ("[\"\\\u{1}\"]", "byte 3 is a control character"),
    (#"["\x"]"#, #"byte 3 is 0x78 behind a '\' in a string"#), (#"["\U0041"]"#, "byte 3 is 0x55"),
    (#"["\u12"]"#, #"byte 6 is 0x22, where a '\u' has its four digits"#),
    (#"["\u00G0"]"#, "byte 6 is 0x47, where a"), (#"["\u+041"]"#, "byte 4 is 0x2b, where a"),
    (#"["\ud800"]"#, "a string has half of a surrogate pair at byte 8"),
    (#"["\ud800\n"]"#, "a string has half of a surrogate pair at byte 9"),
    (#"["\ud800\ud800"]"#, "a string has half of a surrogate pair at byte 13"),
    (#"["\ud800\u0041"]"#, "a string has half of a surrogate pair at byte 13"),
    (#"["\udc00"]"#, "a string has half of a surrogate pair at byte 7"),
  ]

  @Test("what is no JSON is refused at its first wrong byte, however it is cut")
  func refusals() {
    for (text, beginning) in Self.wrong {
      let bytes = Array(text.utf8)
      let whole = JSONReader.account(bytes)
      #expect(whole.hasPrefix(beginning), "\(text) -> \(whole)")
      #expect(JSONReader.account(bytes, cuts: Array(1..<max(1, bytes.count))) == whole, "\(text)")
    }
  }

  @Test(
    "bytes that are not UTF-8",
    arguments: [
      [0x80], [0xbf], [0xc0, 0x80], [0xc1, 0xbf], [0xc3, 0x22], [0xc3, 0xc3], [0xe0, 0x9f, 0xbf],
      [0xed, 0xa0, 0x80], [0xe2, 0x82, 0x22], [0xe2, 0x22], [0xf0, 0x8f, 0xbf, 0xbf],
      [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xf0, 0x9f, 0x98, 0x22], [0xfe], [0xff],
    ] as [[UInt8]])
  func invalidUTF8(_ sequence: [UInt8]) {
    for (front, back) in [("[\"", "\"]"), ("{\"a", "\":1}"), ("[\"\u{20ac}", "x\"]")] {
      let bytes = Array(front.utf8) + sequence + Array(back.utf8)
      let account = JSONReader.account(bytes)
      #expect(account.hasPrefix("a string is not UTF-8 at byte "), "\(bytes) -> \(account)")
      #expect(JSONReader.account(bytes, cuts: Array(1..<bytes.count)) == account)
    }
  }

  @Test("Foundation's reader agrees, but for what we refuse besides")
  func foundation() {
    for (text, beginning) in Self.wrong {
      let isJSON =
        (try? JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed))
        != nil
      // Roots that are no containers, and names that are there twice; Foundation also takes a comma
      // before the end.
      let isOurs =
        beginning.contains("where an array") || beginning.contains("there twice")
        || ["[1,]", #"{"a":1,}"#].contains(text)
      if !isOurs { #expect(!isJSON, "\(text)") }
    }
  }
}
