// SPDX-License-Identifier: Apache-2.0
// Firecracker's place in the fuzzer: its grammar, and its rules written a second time.
import Foundation
import Testing
import UffdHost

@testable import UffdServer

@Suite("Firecracker: fuzzing")
struct FirecrackerFuzzTests {
  @Test("no stream breaks the rules")
  func fuzz() {
    let tally = DialectFuzz<Firecracker>.run()
    #expect(tally.complaints == [])
    // The inputs must reach every outcome, else they prove nothing.
    let inputs = fuzzInputs
    if inputs >= 1000 {
      #expect(tally.accepted > inputs / 10, "\(tally)")
      #expect(tally.refused > inputs / 10, "\(tally)")
      #expect(tally.waiting > inputs / 100 && tally.unrecognised > inputs / 100, "\(tally)")
    }
  }

  @Test("the rules written a second time are broken by regions that break them")
  func complaints() {
    let good = RecordedHandoff.v1point16
    #expect(Firecracker.complaint(about: good.expected, on: good.stream) == nil)
    let changes: [(inout [ClientRegion]) -> Void] = [
      { $0.removeAll() }, { $0[0].start += 4096 }, { $0[0].length = 0 }, { $0[1].offset += 1 },
      { $0[2].pageSize = 8192 }, { $0[1].start = $0[0].start - 2 << 20 },
      { $0[2].start = $0[0].start }, { $0[0].start = 0 &- (2 << 20) }, { $0[0].backing = 0 },
      { $0[0].isMinor = true }, { $0[0].sharing = .shared }, { $0[1].offset += 2 << 20 },
      { $0.swapAt(0, 1) }, { $0[0].offset = 0 &- (2 << 20) }, { $0[1].pageSize = 4096 },
    ]
    for (index, change) in changes.enumerated() {
      var regions = good.regions
      change(&regions)
      let transcript = Transcript(
        recognition: .yes,
        entries: [.attach(id: 0, uffd: 0, regions: regions, backings: [])])
      #expect(Firecracker.complaint(about: transcript, on: good.stream) != nil, "change \(index)")
    }
  }
}

extension Firecracker: FuzzedDialect {
  static let corpus = RecordedHandoff.all.map(\.stream)

  static let pieces: [[UInt8]] =
    [
      "[", "]", "{", "}", ",", ":", "\"", "\\", " ", "\n", "0", "1", "-", ".", "e", "4096",
      "2097152",
      "1073741824", "18446744073709551615", "18446744073709551616", "18446744073709547520", "null",
      "true", "\"size\":", ",\"page_size\":4096", ",\"page_size_kib\":4096", ",\"x\":[{},1.5]",
      "\"offset\":0", "\"is_guest_memfd\":false", "\\u0073", "\\ud800", "[[[[[[[[[[[[[[[[[[",
      "{\"a\":", "[]", "},{", "é", "\u{feff}",
    ].map { Array($0.utf8) } + [[0x00], [0x80], [0xc3], [0xff], [0xed, 0xa0, 0x80]]

  // MARK: The grammar

  static func randomStream(_ random: inout FuzzRandom) -> ClientStream {
    let page = random.element(of: [4096, 4096, 4096, 2 << 20, 1 << 30] as [UInt64])
    var address = page * UInt64(1 + random.below(1000))
    var offset: UInt64 = 0
    var objects: [String] = []
    for _ in 0..<(random.once(in: 500) ? 520 : 1 + random.below(5)) {
      let size = page * UInt64(1 + random.below(8))
      objects.append(object(address, size, offset, page, &random))
      address += size + page * UInt64(random.below(3))
      offset += size
    }
    if random.once(in: 2) { objects.shuffle(using: &random) }
    if random.once(in: 8) { objects.append(random.element(of: objects)) }
    var text = "[" + objects.joined(separator: random.once(in: 3) ? " , " : ",") + "]"
    if random.once(in: 8) { text = " \n" + text + "\t" }
    if random.once(in: 20) { text += random.element(of: ["]", "[", "x", text]) }
    var stream = ClientStream(bytes: Array(text.utf8), closes: random.once(in: 2))
    let count = random.once(in: 4) ? random.below(5) : 1
    stream.descriptorsAt = Array(repeating: 0, count: count)
    return stream
  }

  private static func object(
    _ address: UInt64, _ size: UInt64, _ offset: UInt64, _ page: UInt64,
    _ random: inout FuzzRandom
  ) -> String {
    var fields = [
      ("base_host_virt_addr", address), ("size", size), ("offset", offset),
    ].map { name, value in (name, number(value, page, &random)) }
    if page != 4096 || random.once(in: 2) {
      let names = random.element(of: [
        ["page_size"], ["page_size_kib"], ["page_size", "page_size_kib"],
      ])
      fields += names.map { ($0, number(page, page, &random)) }
    }
    if random.once(in: 4) {
      fields.append(("x\(random.below(3))", random.element(of: ["1.5", "[]", "{\"a\":[null]}"])))
    }
    if random.once(in: 30) { fields.append(random.element(of: fields)) }
    if random.once(in: 30) { fields.removeLast() }
    if random.once(in: 2) { fields.shuffle(using: &random) }
    return "{" + fields.map { "\"\($0)\":\($1)" }.joined(separator: ",") + "}"
  }

  /// Mostly the value; else one that is off by a little, or at an end of what there is, or none.
  private static func number(_ value: UInt64, _ page: UInt64, _ random: inout FuzzRandom) -> String
  {
    guard random.once(in: 40) else { return "\(value)" }
    return random.element(of: [
      "\(value &+ 1)", "\(value / 2)", "0", "\(0 &- page)", "\(UInt64.max)", "-\(value)",
      "\(value).0", "\"\(value)\"", "\(value)0", "18446744073709551616", "\(value &+ page)",
    ])
  }

  // MARK: The rules

  static func complaint(about transcript: Transcript, on stream: ClientStream) -> String? {
    guard let first = transcript.entries.first,
      transcript.refusal == nil || transcript.entries.count > 1
    else { return nil }
    guard case .attach(let id, let uffd, let regions, let backings) = first else {
      return "the first request is no attach"
    }
    if transcript.entries.dropFirst().contains(where: {
      if case .refused = $0 { false } else { true }
    }) {
      return "there is a second request"
    }
    guard id == 0, uffd == 0, backings.isEmpty else { return "not the first descriptor alone" }
    guard (1...2).contains(stream.descriptorsAt.count) else { return "wrong count of descriptors" }
    guard (1...512).contains(regions.count) else { return "\(regions.count) regions" }
    for (index, region) in regions.enumerated() {
      if let complaint = complaint(about: region) { return "region \(index): \(complaint)" }
      for other in regions[..<index] where overlap(region, other) { return "overlap at \(index)" }
    }
    return differenceToFoundation(regions, stream)
  }

  private static func complaint(about region: ClientRegion) -> String? {
    guard [4096, 2_097_152, 1_073_741_824].contains(region.pageSize) else { return "page size" }
    let mask = region.pageSize - 1
    guard (region.start | region.length | region.offset) & mask == 0 else { return "alignment" }
    guard region.length != 0 else { return "no length" }
    guard region.start <= .max - region.length, region.offset <= .max - region.length else {
      return "overflow"
    }
    guard region.backing == nil, region.sharing == .private, !region.isMinor,
      region.strayPages == .refused
    else { return "more than the hand-off says" }
    return nil
  }

  private static func overlap(_ one: ClientRegion, _ other: ClientRegion) -> Bool {
    one.start < other.start
      ? other.start - one.start < one.length : one.start - other.start < other.length
  }

  /// Another reader of JSON has to find the same numbers, up to the array's last byte. Foundation's
  /// cannot say numbers like 1E999, not even in a field that nobody asks for, and takes byte order
  /// marks off the front of names.
  private static func differenceToFoundation(
    _ regions: [ClientRegion], _ stream: ClientStream
  ) -> String? {
    guard
      let read = try? JSONReader.read(stream.bytes, mostBytes: mostBytes, mostDepth: 16)
    else { return "it cannot be read twice" }
    let text = stream.bytes[..<read.end]
    if text.contains([0xef, 0xbb, 0xbf]) { return nil }
    guard let root = try? JSONSerialization.jsonObject(with: Data(text)),
      let objects = root as? [[String: Any]]
    else {
      return hasOtherNumber(read.value)
        ? nil : "Foundation does not take it for an array of objects"
    }
    guard objects.count == regions.count else { return "Foundation has \(objects.count) regions" }
    for (object, region) in zip(objects, regions) {
      let number = { (name: String) in (object[name] as? NSNumber)?.uint64Value }
      let pageSize = number("page_size") ?? number("page_size_kib") ?? 4096
      guard number("base_host_virt_addr") == region.start, number("size") == region.length,
        number("offset") == region.offset, pageSize == region.pageSize
      else { return "Foundation reads \(object) and we \(region)" }
    }
    return nil
  }

  private static func hasOtherNumber(_ value: JSONValue) -> Bool {
    switch value {
    case .otherNumber: true
    case .array(let elements): elements.contains(where: hasOtherNumber)
    case .object(let members): members.values.contains(where: hasOtherNumber)
    default: false
    }
  }
}
