// SPDX-License-Identifier: Apache-2.0
// The file format: what is written is read, byte for byte as the document says, and nothing else is.

import Testing

@testable import UffdWorkingSet

/// A small set, with steps forwards, backwards and far.
let sample = WorkingSet(
  identity: .named(high: 0x0102_0304_0506_0708, low: 9), provider: "anon", granule: 4096,
  objectSize: 1 << 30, recordedAt: 1_700_000_000, microseconds: 5_000_000,
  entries: [
    .init(pgoff: 5, microseconds: 0), .init(pgoff: 6, microseconds: 0),
    .init(pgoff: 3, microseconds: 130), .init(pgoff: 262_143, microseconds: 4_999_999),
  ])

/// Numbers that are the same in every run.
struct Numbers {
  var state: UInt64
  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return state >> 11 ^ state << 7
  }
  mutating func below(_ limit: UInt64) -> UInt64 { next() % limit }
}

/// Any set that there can be.
func randomSet(_ numbers: inout Numbers) -> WorkingSet {
  let shift = 12 + numbers.below(20)
  let size = 1 + numbers.next() >> (1 + numbers.below(40))
  var set = WorkingSet(
    identity: numbers.below(2) == 0
      ? .named(high: numbers.next(), low: numbers.next())
      : .described(configuration: numbers.next(), content: numbers.next()),
    provider: String(repeating: "ä", count: Int(numbers.below(40))), granule: 1 << shift,
    objectSize: size, recordedAt: numbers.next())
  var taken: Set<UInt64> = []
  var time: UInt64 = 0
  for _ in 0..<numbers.below(200) {
    let pgoff = numbers.below(set.granules)
    guard taken.insert(pgoff).inserted else { continue }
    time += numbers.below(3) == 0 ? numbers.below(1 << 40) : 0
    set.entries.append(.init(pgoff: pgoff, microseconds: time))
  }
  set.microseconds = time + numbers.below(10)
  return set
}

@Suite("Working set: format")
struct FormatTests {
  @Test("the bytes are those of the document")
  func bytes() {
    let bytes = sample.encoded()
    #expect(Array(bytes[..<8]) == Array("UFFDWSET".utf8))
    #expect(Array(bytes[8..<16]) == [1, 0, 0, 0, 88, 0, 0, 0])
    #expect(Array(bytes[16..<24]) == [0, 16, 0, 0, 0, 0, 0, 0])
    #expect(Array(bytes[24..<32]) == [0, 0, 0, 0x40, 0, 0, 0, 0])
    #expect(Array(bytes[32..<40]) == [1, 0, 0, 0, 4, 0, 0, 0])
    #expect(Array(bytes[40..<48]) == [8, 7, 6, 5, 4, 3, 2, 1])
    #expect(Array(bytes[48..<56]) == [9, 0, 0, 0, 0, 0, 0, 0])
    #expect(Array(bytes[56..<64]) == [0, 0xf1, 0x53, 0x65, 0, 0, 0, 0])
    #expect(Array(bytes[64..<72]) == [0x40, 0x4b, 0x4c, 0, 0, 0, 0, 0])
    #expect(Array(bytes[72..<80]) == [4, 0, 0, 0, 0, 0, 0, 0])
    #expect(Array(bytes[80..<88]) == [14, 0, 0, 0, 0, 0, 0, 0])
    #expect(Array(bytes[88..<92]) == Array("anon".utf8))
    #expect(
      Array(bytes[92..<106])
        == [
          10, 0,  // +5, at once
          2, 0,  // +1
          5, 0x82, 1,  // -3, 130 us later
          0xf8, 0xff, 0x1f, 0xbd, 0x95, 0xb1, 2,  // +262140, 4999869 us later
        ])
    #expect(bytes.count == 110)
  }

  @Test("the sums are the well-known ones")
  func sums() {
    #expect(CRC32.of("123456789".utf8) == 0xcbf4_3926)
    var fnv = FNV1a()
    #expect(fnv.value == 0xcbf2_9ce4_8422_2325)
    fnv.add("foobar".utf8)
    #expect(fnv.value == 0x8594_4171_f739_67e8)
  }

  @Test("what is written is read again")
  func roundTrip() throws {
    #expect(try WorkingSet(decoding: sample.encoded()) == sample)
    var numbers = Numbers(state: 1)
    for _ in 0..<300 {
      let set = randomSet(&numbers)
      #expect(try WorkingSet(decoding: set.encoded()) == set)
    }
    // A name that is too long is cut between characters.
    var long = sample
    long.provider = String(repeating: "ä", count: 200)
    #expect(try WorkingSet(decoding: long.encoded()).provider.utf8.count == 254)
  }

  @Test("a file that is cut off anywhere is refused")
  func truncated() {
    let bytes = sample.encoded()
    for length in 0..<bytes.count {
      #expect(throws: WorkingSet.Flaw.self) { try WorkingSet(decoding: Array(bytes[..<length])) }
    }
    #expect(throws: WorkingSet.Flaw.noWorkingSet) { try WorkingSet(decoding: []) }
    #expect(throws: WorkingSet.Flaw.truncated) { try WorkingSet(decoding: Array(bytes[..<7])) }
    #expect(throws: WorkingSet.Flaw.truncated) { try WorkingSet(decoding: Array(bytes[..<90])) }
    #expect(throws: WorkingSet.Flaw.truncated) { try WorkingSet(decoding: bytes.dropLast()) }
    #expect(throws: WorkingSet.Flaw.tooLong) { try WorkingSet(decoding: bytes + [0]) }
  }

  @Test("no bit can be turned over unseen")
  func flippedBits() {
    let bytes = sample.encoded()
    for bit in 0..<(bytes.count * 8) {
      var changed = bytes
      changed[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(throws: WorkingSet.Flaw.self, "bit \(bit)") { try WorkingSet(decoding: changed) }
    }
  }

  @Test("garbage is refused and never a trap, with its checksum right too")
  func garbage() {
    var numbers = Numbers(state: 2)
    var accepted = 0
    for round in 0..<20_000 {
      var bytes = round % 2 == 0 ? sample.encoded() : randomSet(&numbers).encoded()
      switch numbers.below(4) {
      case 0:
        bytes = (0..<numbers.below(300)).map { _ in UInt8(truncatingIfNeeded: numbers.next()) }
      case 1: bytes.removeSubrange(Int(numbers.below(UInt64(bytes.count)))...)
      case 2: bytes.insert(0, at: Int(numbers.below(UInt64(bytes.count))))
      default: break
      }
      for _ in 0..<numbers.below(8) where !bytes.isEmpty {
        bytes[Int(numbers.below(UInt64(bytes.count)))] = UInt8(truncatingIfNeeded: numbers.next())
      }
      if numbers.below(3) > 0 { bytes = Self.sealed(bytes) }
      guard let set = try? WorkingSet(decoding: bytes) else { continue }
      accepted += 1
      // There is one way only to write a set.
      #expect(set.encoded() == bytes)
      _ = set.runs(bridging: 3)
      _ = WorkingSetFigures(set)
    }
    #expect(accepted > 100, "\(accepted): the fuzzer never came past the checksum")
  }

  /// With the length of its list and its checksum as they should be.
  private static func sealed(_ bytes: [UInt8]) -> [UInt8] {
    guard bytes.count >= 92 else { return bytes }
    var bytes = Array(bytes.dropLast(4))
    let sum = CRC32.of(bytes)
    for shift in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: sum >> UInt32(shift * 8))) }
    return bytes
  }

  static let contradictions: [(at: Int, bytes: [UInt8], says: String)] = [
    (12, [89], "a header of version 1"), (16, [0, 0], "no granule has 0 bytes"),
    (17, [24], "no granule has 6144 bytes"), (16, [0, 8], "no granule has 2048 bytes"),
    (27, [0], "no object has 0 bytes"), (31, [0x80], "no object has"),
    (32, [3], "an unknown way"), (72, [3], "more touches"), (72, [5], "fewer touches"),
    (79, [0x80], "fewer touches"), (64, [0, 0], "later than the end"),
    (88, [0xff], "name that could be read"), (92, [11], "outside the object"), (94, [0], "twice"),

    (98, [0], "not written"),
  ]

  @Test("a whole file that contradicts itself", arguments: contradictions)
  func contradiction(_ change: (at: Int, bytes: [UInt8], says: String)) {
    var bytes = sample.encoded()
    bytes.replaceSubrange(change.at..<(change.at + change.bytes.count), with: change.bytes)
    let flaw = #expect(throws: WorkingSet.Flaw.self) {
      try WorkingSet(decoding: Self.sealed(bytes))
    }
    #expect(flaw?.clause.contains(change.says) == true, "\(flaw?.clause ?? "")")
  }

  @Test("another version is named")
  func version() {
    var bytes = sample.encoded()
    bytes[8] = 2
    #expect(throws: WorkingSet.Flaw.version(2)) { try WorkingSet(decoding: bytes) }
    bytes[0] = 0x54
    #expect(throws: WorkingSet.Flaw.noWorkingSet) { try WorkingSet(decoding: bytes) }
  }
}
