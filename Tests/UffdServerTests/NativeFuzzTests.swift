// SPDX-License-Identifier: Apache-2.0
// Mutated connections of the native protocol: nothing traps, what is accepted keeps the rules and is what was
// sent, pieces make no difference, and no descriptor stays open. Input N is the same in every run.
//
// Which frame a descriptor came with cannot be known when many frames come at once, so that pieces are compared
// where every frame has exactly the descriptors that it says.
import Testing
import UffdHost

@testable import UffdServer

@Suite("Native: fuzzing")
struct NativeFuzzTests {
  @Test("no stream breaks the rules")
  func fuzz() {
    var (accepted, refused, waiting) = (0, 0, 0)
    for number in 0..<fuzzInputs {
      var random = NativeRandom(state: UInt64(number) &* 0xd6e8_feb8_6659_fd93)
      var stream = random.element(NativeCorpus.streams)
      for _ in 0...random.below(3) { mutate(&stream.bytes, &random) }
      stream.descriptorsAt = positions(of: stream.bytes)
      let isExact = !random.once(in: 8)
      if !isExact { disturb(&stream.descriptorsAt, stream.bytes.count, &random) }

      let whole = Self.deliver(stream, cuts: [])
      if let refusal = whole.refusal {
        refused += 1
        let isSentence = !refusal.isEmpty && !refusal.hasSuffix(".") && !refusal.contains("\n")
        #expect(isSentence && refusal.utf8.count < 300, "input \(number): \(refusal)")
      } else if whole.said.isEmpty {
        waiting += 1
      } else {
        accepted += 1
      }
      #expect(whole.complaint == nil, "input \(number): \(whole.complaint ?? "")")
      let count = stream.bytes.count
      let cuts = Set((0...random.below(5)).map { _ in random.below(count + 1) }).subtracting([0])
      // Of a sample, the descriptors exist.
      let cut = Self.deliver(
        stream, cuts: cuts.sorted(), pipe: number % 50 == 0 ? LivePipe() : nil)
      #expect(cut.complaint == nil, "input \(number): \(cut.complaint ?? "")")
      guard isExact else { continue }
      #expect(
        cut.said == whole.said && cut.refusal == whole.refusal,
        "input \(number) cut at \(cuts.sorted()): \(cut), and whole \(whole)")
    }
    // The inputs must reach every outcome, else they prove nothing.
    #expect(accepted > fuzzInputs / 20 && refused > fuzzInputs / 4 && waiting > fuzzInputs / 100)
  }

  @Test("what is accepted and was not sent is found")
  func differences() throws {
    let stream = NativeCorpus.streams[4]
    let frame = try #require(NativeReading.frames(of: stream.bytes).last)
    var connection = NativeConnection()
    let request = try #require(
      connection.deliver(stream.bytes, [0, 1, 2].map { _ in nativeDescriptor() }).requests.first)
    guard case .attach(let uffd, let sound, let backings, _) = request.action else {
      Issue.record("\(request.said)")
      return
    }
    #expect(frame.difference(to: request) == nil)
    let changes: [(inout [ClientRegion]) -> Void] = [
      { $0.removeLast() }, { $0.append($0[0]) }, { $0.swapAt(0, 1) },
      { ($0[0].start, $0[0].offset) = ($0[0].offset, $0[0].start) },
      { ($0[0].length, $0[0].offset) = ($0[0].offset, $0[0].length) },
      { $0[1].start += 4096 }, { $0[1].length += 4096 }, { $0[2].offset = 0 },
      { $0[2].pageSize = 4096 }, { $0[0].sharing = .private }, { $0[1].sharing = .shared },
      { $0[0].strayPages = .refused }, { $0[2].strayPages = .areContent },
      { $0[0].isMinor = false }, { $0[1].backing = 1 }, { $0[2].backing = nil },
    ]
    for (index, change) in changes.enumerated() {
      var regions = sound
      change(&regions)
      let action = ClientAction.attach(uffd: uffd, regions: regions, backings: backings)
      let changed = ClientRequest(id: request.id, action: action)
      #expect(frame.difference(to: changed) != nil, "change \(index)")
    }
    let others: [(UInt64, ClientAction)] = [
      (request.id + 1, request.action), (request.id, .drain),
      (request.id, .addRegions(sound, backings: backings)),
      (request.id, .attach(uffd: uffd, regions: sound, backings: [uffd])),
    ]
    for (id, action) in others {
      #expect(frame.difference(to: ClientRequest(id: id, action: action)) != nil)
    }
  }

  @Test("a mode or a flag that is lost on the way is found")
  func losses() throws {
    let sound = ClientRegion(start: 0x7f00_0000_0000, length: 0x10000, offset: 0)
    let action = ClientAction.attach(uffd: nativeDescriptor(), regions: [sound], backings: [])
    func isFound(_ sent: [UInt8]) throws -> Bool {
      let frame = try #require(NativeReading.frames(of: NativeRequests.opening + sent).last)
      return frame.difference(to: ClientRequest(id: 2, action: action)) != nil
    }
    #expect(try !isFound(NativeRequests.attach()))
    let lost = [
      NativeRegionFields(modes: 3), NativeRegionFields(modes: 0), NativeRegionFields(flags: 4),
      NativeRegionFields(reserved: 1), NativeRegionFields(more: [0, 0, 0, 0, 0, 0, 0, 1]),
    ]
    for region in lost { #expect(try isFound(NativeRequests.attach([region])), "\(region)") }
    #expect(try isFound(NativeRequests.attach(flags: 1)))
    #expect(try isFound(NativeRequests.attach(reserved: 1)))
  }

  // MARK: Delivery

  struct Heard {
    var said: [String] = []
    var refusal: String?
    var complaint: String?
  }

  /// A descriptor that nobody holds any more is closed.
  private struct Watched {
    weak var descriptor: Descriptor?
  }

  /// Goes along the frames as they were sent, while requests come out of the dialect.
  private struct SecondReader {
    private var frames: ArraySlice<NativeReading>
    /// How many descriptors the frames so far have brought.
    private var taken = 0

    init(_ stream: [UInt8]) { frames = NativeReading.frames(of: stream)[...] }

    /// A HELLO alone asks for nothing.
    var isAtEnd: Bool { frames.isEmpty || frames.startIndex == 0 && frames.count == 1 }

    mutating func difference(to request: ClientRequest, _ arrived: [Watched]) -> String? {
      if frames.startIndex == 0, frames.popFirst()?.kind != 1 { return "no HELLO" }
      guard let frame = frames.popFirst() else { return "nobody sent '\(request.said)'" }
      let brought = arrived.dropFirst(taken).prefix(frame.descriptors).map(\.descriptor)
      taken += frame.descriptors
      let held: [Descriptor] =
        switch request.action {
        case .attach(let uffd, _, let backings, _): [uffd] + backings
        case .addRegions(_, let backings): backings
        default: []
        }
      // Which one is which: a region names its backing by the place.
      let isSame = held.count == brought.count && zip(held, brought).allSatisfy { $0 === $1 }
      return isSame ? frame.difference(to: request) : "other descriptors than the frame's"
    }
  }

  private static func deliver(
    _ stream: NativeCorpus.Stream, cuts: [Int], pipe: LivePipe? = nil
  ) -> Heard {
    var heard = Heard()
    var watched: [Watched] = []
    do {
      var connection = NativeConnection()
      var reader = SecondReader(stream.bytes)
      let bounds = [0] + cuts + [stream.bytes.count]
      for (from, to) in zip(bounds, bounds.dropFirst()) where heard.refusal == nil {
        let descriptors = stream.descriptorsAt.filter { (from..<to).contains($0) }.map { _ in
          // No number that is open, and close(2) does not mind.
          pipe?.descriptors(1)[0] ?? Descriptor(owning: -1)
        }
        watched += descriptors.map { Watched(descriptor: $0) }
        let outcome = connection.deliver(Array(stream.bytes[from..<to]), descriptors)
        heard.said += outcome.requests.map(\.said)
        heard.refusal = outcome.refusal
        for request in outcome.requests where heard.complaint == nil {
          heard.complaint =
            complaint(about: request) ?? reader.difference(to: request, watched)
        }
      }
      if heard.refusal == nil, heard.complaint == nil, !reader.isAtEnd {
        heard.complaint = "a frame was passed over"
      }
      if heard.refusal != nil, watched.contains(where: { $0.descriptor != nil }) {
        heard.complaint = "a refused connection has a descriptor open"
      }
    }
    if watched.contains(where: { $0.descriptor != nil }) { heard.complaint = "open for ever" }
    if let pipe, !pipe.allAreClosed() { heard.complaint = "a descriptor is still open" }
    return heard
  }

  // MARK: The rules, a second time

  private static func complaint(about request: ClientRequest) -> String? {
    switch request.action {
    case .attach(_, let regions, let backings, _), .addRegions(let regions, let backings):
      if regions.isEmpty { return "no region" }
      if Set(regions.compactMap(\.backing)) != Set(backings.indices) { return "\(backings.count)" }
      return regions.lazy.compactMap(complaint).first
    case .removeRegion(let start, let length):
      return length == 0 || start > UInt64.max - length ? "removes \(start) \(length)" : nil
    case .progress, .drain, .detach, .status: return request.id == 0 ? "no id" : nil
    }
  }

  private static func complaint(about region: ClientRegion) -> String? {
    let isAligned = [region.start, region.length, region.offset].allSatisfy {
      $0 & (region.pageSize - 1) == 0
    }
    let isSize = region.pageSize.nonzeroBitCount == 1 && region.pageSize >= 4096
    let most = UInt64(Int64.max)
    let isInside =
      region.length > 0 && region.length <= most && region.start <= most - region.length
      && region.offset <= most - region.length
    return isSize && isAligned && isInside ? nil : "\(region)"
  }

  // MARK: Inputs

  /// Where the descriptors have to ride: on the first byte of every frame that says so.
  private func positions(of bytes: [UInt8]) -> [Int] {
    var (positions, start): ([Int], Int) = ([], NativeWire.magic.count)
    while start + NativeWire.headerBytes <= bytes.count {
      let header = Array(bytes[start..<(start + NativeWire.headerBytes)])
      let length = header[..<4].reversed().reduce(0) { $0 << 8 | Int($1) }
      let count = Int(header[6]) | Int(header[7]) << 8
      positions += [Int](repeating: start, count: min(count, NativeWire.mostDescriptors))
      if length < NativeWire.headerBytes { break }
      start += length
    }
    return positions
  }

  private func disturb(_ positions: inout [Int], _ count: Int, _ random: inout NativeRandom) {
    guard count > 0 else { return }
    if random.once(in: 2) || positions.isEmpty {
      positions += (0...random.below(3)).map { _ in random.below(count) }
    } else {
      positions.remove(at: random.below(positions.count))
    }
    positions.sort()
  }

  private func mutate(_ bytes: inout [UInt8], _ random: inout NativeRandom) {
    guard bytes.count > 8 else { return }
    // The magic is left alone more often than not.
    let at = random.once(in: 40) ? random.below(8) : 8 + random.below(bytes.count - 8)
    let end = min(at + random.below(50), bytes.count)
    switch random.below(8) {
    case 0: bytes[at] ^= 1 << UInt8(random.below(8))
    case 1: bytes[at] = UInt8(random.below(256))
    case 2: bytes.removeSubrange(at..<end)
    case 3: bytes.insert(contentsOf: bytes[at..<end], at: end)
    case 4: bytes.removeSubrange(at...)
    case 5:
      // A word that means something, where words lie.
      let word = random.element([0, 1, 2, 5, 8, 16, 24, 48, 4096, 65536, UInt32.max])
      let place = at & ~3
      for index in 0..<4 where place + index < bytes.count {
        bytes[place + index] = UInt8(truncatingIfNeeded: word >> (8 * UInt32(index)))
      }
    case 6: bytes += random.element(NativeCorpus.streams).bytes.dropFirst(48)
    default:
      let frame = random.element([
        NativeRequests.plain(5), NativeRequests.remove(), NativeRequests.attach(),
        NativeRequests.hello(),
      ])
      bytes.insert(contentsOf: frame, at: random.once(in: 2) ? bytes.count : at)
    }
  }
}

/// SplitMix64. A test that fails must fail again.
private struct NativeRandom {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed &>> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed &>> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed &>> 31)
  }
  mutating func below(_ count: Int) -> Int { Int(next() % UInt64(count)) }
  mutating func once(in count: Int) -> Bool { below(count) == 0 }
  mutating func element<Element>(_ all: [Element]) -> Element { all[below(all.count)] }
}
