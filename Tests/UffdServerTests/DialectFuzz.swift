// SPDX-License-Identifier: Apache-2.0
// A fuzzer of dialects: mutated hand-offs, random ones, and noise, each delivered in several ways.
// Whatever arrives, a dialect does not trap, says the same however the bytes are cut, accepts only
// what its rules allow, refuses in one sentence, and leaves no descriptor open.
//
// UFFDHOST_FUZZ_INPUTS=1000000 in the environment runs a longer campaign of every dialect; .ci/run has one
// of 100,000 in an optimised build. Input N is the same in every run.
import Glibc
import Testing
import UffdHost

@testable import UffdServer

/// A dialect, with what the fuzzer has to know of it.
protocol FuzzedDialect: Dialect {
  /// Streams that are served as they are.
  static var corpus: [ClientStream] { get }
  /// Pieces that a mutation may put anywhere.
  static var pieces: [[UInt8]] { get }
  /// A stream made by the dialect's own grammar, wrong every now and then.
  static func randomStream(_ random: inout FuzzRandom) -> ClientStream
  /// What is wrong with the requests that were accepted, by rules that are written once more for
  /// this. Nil: nothing.
  static func complaint(about transcript: Transcript, on stream: ClientStream) -> String?
}

/// SplitMix64. A test that fails must fail again.
struct FuzzRandom: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed &>> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed &>> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed &>> 31)
  }

  mutating func below(_ count: Int) -> Int { Int(next() % UInt64(count)) }
  /// Once in `count` times.
  mutating func once(in count: Int) -> Bool { below(count) == 0 }
  mutating func element<C: RandomAccessCollection>(of all: C) -> C.Element {
    all[all.index(all.startIndex, offsetBy: below(all.count))]
  }
}

/// How many inputs a fuzzer tries.
let fuzzInputs: Int = {
  guard let text = unsafe getenv("UFFDHOST_FUZZ_INPUTS") else { return 20_000 }
  return unsafe Int(String(cString: text)) ?? 20_000
}()

enum DialectFuzz<D: FuzzedDialect> {
  struct Tally: CustomStringConvertible {
    var accepted = 0
    var refused = 0
    var waiting = 0
    var unrecognised = 0
    /// The first few.
    var complaints: [String] = []
    var description: String {
      "accepted \(accepted), refused \(refused), waiting \(waiting), unrecognised \(unrecognised)"
    }
  }

  static func run() -> Tally {
    var tally = Tally()
    for number in 0..<fuzzInputs {
      var random = FuzzRandom(state: UInt64(number) &* 0xd6e8_feb8_6659_fd93)
      let stream = input(&random)
      let heard = deliver(stream, cuts: [], endComesAlone: false, isLive: false)
      var complaints = check(stream, heard)
      complaints += deliverOtherwise(stream, heard, &random, isSample: number % 50 == 0)
      switch heard.recognition {
      case .no: tally.unrecognised += 1
      case .needsMore: tally.waiting += 1
      case .yes where heard.refusal != nil: tally.refused += 1
      case .yes where heard.entries.isEmpty: tally.waiting += 1
      case .yes: tally.accepted += 1
      }
      if !complaints.isEmpty, tally.complaints.count < 5 {
        let text = String(decoding: stream.bytes.prefix(2000), as: UTF8.self)
        tally.complaints.append(
          "input \(number): \(complaints) for \(stream) = \(text.debugDescription)")
      }
    }
    return tally
  }

  // MARK: Delivery

  private static func deliver(
    _ stream: ClientStream, cuts: [Int], endComesAlone: Bool, isLive: Bool
  ) -> Transcript {
    guard isLive else {
      return Transcript.of(D.self, stream, cuts: cuts, endComesAlone: endComesAlone)
    }
    let pipe = LivePipe()
    var heard = Conversation<D>.transcript(
      stream, cuts: cuts, endComesAlone: endComesAlone,
      descriptors: pipe.descriptors(stream.descriptorsAt.count))
    if !pipe.allAreClosed() { heard.entries.append(.refused("a descriptor is still open")) }
    return heard
  }

  /// Cut in other ways, the same must come of it. Of a sample, the descriptors exist.
  private static func deliverOtherwise(
    _ stream: ClientStream, _ expected: Transcript, _ random: inout FuzzRandom, isSample: Bool
  ) -> [String] {
    let count = stream.bytes.count
    guard count > 0 else { return [] }
    let few = Set((0..<1 + random.below(4)).map { _ in random.below(count) }).subtracting([0])
    var ways = [(few.sorted(), random.once(in: 2))]
    // Byte by byte takes as long as all the rest.
    if random.once(in: 4) {
      ways.append((Array(stride(from: 1, to: count, by: 1 + count / 5000)), true))
    }
    return ways.compactMap { cuts, endComesAlone in
      let heard = deliver(stream, cuts: cuts, endComesAlone: endComesAlone, isLive: isSample)
      return heard == expected
        ? nil : "cut at \(cuts.prefix(5)) it says \(heard), and whole \(expected)"
    }
  }

  private static func check(_ stream: ClientStream, _ heard: Transcript) -> [String] {
    var complaints: [String] = []
    if let refusal = heard.refusal, !isOneSentence(refusal) {
      complaints.append("not one sentence: \(refusal)")
    }
    if heard.entries.contains(.endless) { complaints.append("endless requests") }
    if let complaint = D.complaint(about: heard, on: stream) { complaints.append(complaint) }
    return complaints
  }

  // MARK: Inputs

  private static func input(_ random: inout FuzzRandom) -> ClientStream {
    switch random.below(10) {
    case 0: return noise(&random)
    case 1...4: return D.randomStream(&random)
    default:
      var stream = random.element(of: D.corpus)
      for _ in 0...random.below(3) { mutate(&stream, &random) }
      return stream
    }
  }

  private static func noise(_ random: inout FuzzRandom) -> ClientStream {
    var bytes: [UInt8] = []
    for _ in 0..<random.below(40) {
      bytes += random.once(in: 2) ? random.element(of: D.pieces) : [UInt8(random.below(256))]
    }
    // Most noise is told by its first byte.
    if random.once(in: 2) { bytes = random.element(of: D.corpus).bytes.prefix(1) + bytes }
    var stream = ClientStream(bytes: bytes, closes: random.once(in: 2))
    stream.descriptorsAt = bytes.isEmpty ? [] : Array(repeating: 0, count: random.below(3))
    return stream
  }

  private static func mutate(_ stream: inout ClientStream, _ random: inout FuzzRandom) {
    let count = stream.bytes.count
    guard count > 0 else { return }
    let from = random.below(count)
    let to = from + random.below(min(count - from, 40) + 1)
    switch random.below(11) {
    case 0: stream.bytes[from] ^= 1 << UInt8(random.below(8))
    case 1: stream.bytes[from] = UInt8(random.below(256))
    case 2: stream.bytes.removeSubrange(from..<to)
    case 3: stream.bytes.insert(contentsOf: stream.bytes[from..<to], at: to)
    case 4: stream.bytes.removeSubrange(from...)
    case 5, 6: stream.bytes.insert(contentsOf: random.element(of: D.pieces), at: from)
    case 7: stream.bytes.replaceSubrange(from..<to, with: random.element(of: D.pieces))
    case 8:
      let other = random.element(of: D.corpus).bytes
      stream.bytes.replaceSubrange(from..., with: other[random.below(other.count)...])
    case 9:
      if random.once(in: 2) { stream.closes.toggle() }
      if let position = stream.descriptorsAt.randomElement(using: &random), random.once(in: 2) {
        stream.descriptorsAt.append(position)
      } else {
        _ = stream.descriptorsAt.popLast()
      }
    default:
      // Rarely, for these take long.
      guard random.once(in: 40) else { return }
      let piece = random.element(of: D.pieces)
      stream.bytes.insert(
        contentsOf: (0..<1 + 70_000 / piece.count).flatMap { _ in piece }, at: from)
    }
    let last = stream.bytes.count - 1
    stream.descriptorsAt = last < 0 ? [] : stream.descriptorsAt.map { min($0, last) }.sorted()
  }
}
