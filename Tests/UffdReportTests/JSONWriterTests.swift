// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing
import UffdReport

/// Foundation's reader is the judge of what our writer writes.
private func parse(_ json: JSONWriter) throws -> Any {
  try JSONSerialization.jsonObject(with: Data(json.text.utf8), options: .fragmentsAllowed)
}

@Test func `the layout of a document is fixed`() {
  var json = JSONWriter()
  json.object { json in
    json.field("name", "shmem")
    json.field("bytes", UInt64.max)
    json.field("ratio", 1.5, decimals: 3)
    json.field("oracle", String?.none)
    json.object("empty") { _ in }
    json.array("none") { _ in }
    json.array("rows") { json in
      json.item(1)
      json.item(false)
      json.object { json in json.field("x", -1) }
      json.null()
      json.item(0.25, decimals: 1)
    }
    json.null("last")
  }
  #expect(
    json.text == """
      {
        "name": "shmem",
        "bytes": 18446744073709551615,
        "ratio": 1.500,
        "oracle": null,
        "empty": {},
        "none": [],
        "rows": [
          1,
          false,
          {
            "x": -1
          },
          null,
          0.3
        ],
        "last": null
      }
      """)
}

@Test func `every scalar value of Unicode survives a string`() throws {
  var all = ""
  for value in UInt32(0)...0x2_ffff {
    if let scalar = Unicode.Scalar(value) { all.unicodeScalars.append(scalar) }
  }
  var json = JSONWriter()
  json.array { json in json.item(all) }
  let read = try #require(try parse(json) as? [String])
  #expect(read.count == 1)
  #expect(Array(read[0].unicodeScalars) == Array(all.unicodeScalars))
}

@Test func `no control character reaches a terminal through a string`() {
  var controls = "\u{7f}\u{85}\u{9b}\u{2028}\u{2029}"
  for value in UInt32(0)..<0x20 { controls.unicodeScalars.append(Unicode.Scalar(value)!) }
  var json = JSONWriter()
  json.item(controls + "\"\\")
  #expect(json.text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value < 0x7f })
}

@Test(arguments: [
  (0.0, 0, "0"), (-0.0, 2, "0.00"), (0.125, 2, "0.13"), (-1.005, 1, "-1.0"), (2.5, 0, "3"),
  (1e18, 0, "1000000000000000000"), (1e300, 3, "1e+300"), (.infinity, 1, "null"),
  (-.infinity, 1, "null"), (.nan, 0, "null"), (0.000_000_000_4, 9, "0.000000000"),
  (.leastNonzeroMagnitude, 1, "0.0"), (-.greatestFiniteMagnitude, 9, "-1.7976931348623157e+308"),
])
func `a number has its decimals and is always JSON`(value: Double, decimals: Int, text: String)
  throws
{
  var json = JSONWriter()
  json.item(value, decimals: decimals)
  #expect(json.text == text)
  _ = try parse(json)
}

@Test func `a name outside of an object and a second document stop the program`() async {
  await #expect(processExitsWith: .failure) {
    var json = JSONWriter()
    json.array { json in json.field("name", 1) }
  }
  await #expect(processExitsWith: .failure) {
    var json = JSONWriter()
    json.object { json in json.item(1) }
  }
  await #expect(processExitsWith: .failure) {
    var json = JSONWriter()
    json.item(1)
    json.item(2)
  }
}
