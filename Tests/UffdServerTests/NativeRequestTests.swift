// SPDX-License-Identifier: Apache-2.0
// What the native dialect understands, in whatever pieces it arrives, and with whose descriptors.
import Testing
import UffdHost

@testable import UffdServer

@Suite("Native: requests")
struct NativeRequestTests {
  @Test("the magic is recognised, and nothing else")
  func recognition() {
    let magic = Array("UFFDHOST".utf8)
    for length in 0..<magic.count {
      #expect(Native.recognise(Array(magic[..<length])) == .needsMore)
      #expect(Native.recognise(Array(magic[..<length]) + [0]) == .no)
    }
    #expect(Native.recognise(magic) == .yes)
    #expect(Native.recognise(magic + [1, 2, 3]) == .yes)
    #expect(Native.recognise(Array("[{\"base_host_virt_addr\"".utf8)) == .no)
    #expect(Native.recognise(Array("UFFDHOSU".utf8)) == .no)
  }

  @Test("every request comes out as it went in")
  func roundTrip() {
    var connection = NativeConnection.open()
    let region = NativeRegionFields(
      start: 0x7fff_0000_0000, length: 0x40_0000, offset: 0x20_0000, pageSize: 0x20_0000, flags: 3,
      modes: 5, backing: 1)
    let other = NativeRegionFields(start: 0x1000, length: 0x1000, offset: 0x3000, backing: 0)
    let descriptors = (0..<3).map { _ in nativeDescriptor() }
    let attached = connection.deliver(
      NativeRequests.attach([region, other], backings: 2, id: .max), descriptors)
    #expect(attached.refusal == nil && attached.requests.count == 1)
    guard case .attach(let uffd, let regions, let backings, nil)? = attached.requests.first?.action
    else {
      Issue.record("\(attached)")
      return
    }
    #expect(attached.requests[0].id == .max)
    #expect(uffd === descriptors[0])
    #expect(backings.count == 2 && backings[0] === descriptors[1] && backings[1] === descriptors[2])
    #expect(
      regions == [
        ClientRegion(
          start: 0x7fff_0000_0000, length: 0x40_0000, offset: 0x20_0000, pageSize: 0x20_0000,
          sharing: .shared, isMinor: true, backing: 1, strayPages: .areContent),
        ClientRegion(start: 0x1000, length: 0x1000, offset: 0x3000, backing: 0),
      ])

    let added = connection.deliver(NativeRequests.attach([other], backings: 1, kind: 3), [uffd])
    guard case .addRegions(let more, let moreBackings)? = added.requests.first?.action else {
      Issue.record("\(added)")
      return
    }
    #expect(more == [regions[1]] && moreBackings.count == 1 && moreBackings[0] === uffd)
    let rest =
      NativeRequests.remove(start: 0x1000, length: 0x2000, id: 7)
      + (5...8).flatMap { NativeRequests.plain($0, id: UInt64($0)) }
    #expect(
      connection.deliver(rest).requests.map(\.said)
        == ["7 remove 4096 8192", "5 progress", "6 drain", "7 detach", "8 status"])
    #expect(connection.inbox.bytes.isEmpty && connection.inbox.descriptors.isEmpty)
  }

  /// Pieces of 1, 2, 3 and 7 bytes, and every way to cut in two.
  @Test("pieces make no difference", arguments: NativeCorpus.streams.indices)
  func pieces(index: Int) {
    let stream = NativeCorpus.streams[index]
    let whole = requests(of: stream, cuts: [])
    #expect(whole.refusal == nil)
    let count = stream.bytes.count
    let evenly = [1, 2, 3, 7].map { Array(Swift.stride(from: $0, to: count, by: $0)) }
    let inTwo = stride(from: 1, to: count, by: count > 1000 ? 37 : 1).map { [$0] }
    for cuts in evenly + inTwo {
      let cut = requests(of: stream, cuts: cuts)
      #expect(cut.refusal == nil && cut.said == whole.said, "\(cuts.prefix(3))")
    }
  }

  private func requests(
    of stream: NativeCorpus.Stream, cuts: [Int]
  ) -> (said: [String], refusal: String?) {
    var connection = NativeConnection()
    var said: [String] = []
    let bounds = [0] + cuts + [stream.bytes.count]
    for (from, to) in zip(bounds, bounds.dropFirst()) {
      let descriptors = stream.descriptorsAt.filter { (from..<to).contains($0) }
      let outcome = connection.deliver(
        Array(stream.bytes[from..<to]), descriptors.map { _ in nativeDescriptor() })
      said += outcome.requests.map(\.said)
      if let refusal = outcome.refusal { return (said, refusal) }
    }
    return (said, nil)
  }

  @Test("a frame takes its own descriptors and leaves the next frame's")
  func descriptorsOfTwoFrames() {
    var connection = NativeConnection.open()
    let descriptors = (0..<3).map { _ in nativeDescriptor() }
    let mapped = NativeRegionFields(modes: 5, backing: 0)
    let second = NativeRequests.attach([mapped], backings: 1, kind: 3, id: 3)
    let third = NativeRequests.attach([mapped], backings: 1, kind: 3, id: 4)
    let first = connection.deliver(
      NativeRequests.attach() + second + third.prefix(20), descriptors)
    #expect(first.refusal == nil && first.requests.count == 2)
    #expect(connection.inbox.descriptors.count == 1)
    let last = connection.deliver(Array(third.dropFirst(20)))
    guard case .addRegions(_, let backings)? = last.requests.first?.action else {
      Issue.record("\(last)")
      return
    }
    #expect(backings.count == 1 && backings[0] === descriptors[2])
  }

  @Test("a newer client is understood if it says nothing that is new")
  func newerClient() {
    var connection = NativeConnection()
    connection.inbox.bytes =
      Array("UFFDHOST".utf8)
      + NativeRequests.hello((1, 9), capabilities: .max, more: [1, 2, 3, 4, 5, 6, 7, 8])
    let zeroes = [UInt8](repeating: 0, count: 8)
    let region = NativeRegionFields(more: zeroes + zeroes)
    let outcome = connection.deliver(
      NativeRequests.attach([region, region], size: 32, more: zeroes)
        + NativeRequests.remove(size: 32, more: zeroes)
        + NativeRequests.plain(5, size: 16, more: zeroes),
      [nativeDescriptor()])
    #expect(outcome.refusal == nil && outcome.requests.count == 3)
  }

  @Test("the end of a stream in the middle of a frame is no request")
  func endInTheMiddle() {
    var connection = NativeConnection.open()
    connection.inbox.isClosed = true
    let outcome = connection.deliver(Array(NativeRequests.plain(8).dropLast()))
    #expect(outcome.requests.isEmpty && outcome.refusal == nil)
  }

  @Test("the largest frame fits into what may be waiting")
  func largestFrame() {
    let most = (NativeWire.mostFrameBytes - NativeWire.headerBytes - 24) / 48
    let regions = (0..<most).map {
      NativeRegionFields(start: UInt64($0 + 1) * 8192, length: 4096)
    }
    let frame = NativeRequests.attach(regions)
    #expect(frame.count <= Native.mostBytes)
    var connection = NativeConnection.open()
    #expect(connection.deliver(frame, [nativeDescriptor()]).requests.count == 1)
  }
}
