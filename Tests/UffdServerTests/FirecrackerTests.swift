// SPDX-License-Identifier: Apache-2.0
// Firecracker's hand-offs: every generation, however the bytes arrive, and what comes around them.
import Testing
import UffdHost

@testable import UffdServer

extension RecordedHandoff {
  var stream: ClientStream {
    ClientStream(
      bytes: bytes, descriptorsAt: Array(repeating: 0, count: descriptors), closes: closes)
  }

  /// What has to come of it, and nothing else.
  var expected: Transcript {
    Transcript(
      recognition: .yes,
      entries: [.attach(id: 0, uffd: 0, regions: regions, backings: [])])
  }
}

@Suite("Firecracker: hand-offs")
struct FirecrackerTests {
  @Test("every generation is understood whole", arguments: RecordedHandoff.all)
  func whole(_ handoff: RecordedHandoff) {
    #expect(Transcript.of(Firecracker.self, handoff.stream) == handoff.expected)
  }

  @Test("every generation is understood byte by byte", arguments: RecordedHandoff.all)
  func byteByByte(_ handoff: RecordedHandoff) {
    let cuts = Array(1..<handoff.bytes.count)
    for alone in [true, false] {
      let heard = Transcript.of(Firecracker.self, handoff.stream, cuts: cuts, endComesAlone: alone)
      #expect(heard == handoff.expected)
    }
  }

  @Test("every generation is understood cut at every byte", arguments: RecordedHandoff.all)
  func cut(_ handoff: RecordedHandoff) {
    let misunderstood = (1..<handoff.bytes.count).filter { cut in
      Transcript.of(Firecracker.self, handoff.stream, cuts: [cut]) != handoff.expected
    }
    #expect(misunderstood == [])
  }

  @Test("whether the socket is closed or kept open changes nothing", arguments: RecordedHandoff.all)
  func ends(_ handoff: RecordedHandoff) {
    for closes in [true, false] {
      var stream = handoff.stream
      stream.closes = closes
      for alone in [true, false] {
        let heard = Transcript.of(Firecracker.self, stream, endComesAlone: alone)
        #expect(heard == handoff.expected)
      }
    }
  }

  @Test(
    "a hand-off that is cut short waits, and is refused at its end", arguments: RecordedHandoff.all)
  func truncated(_ handoff: RecordedHandoff) {
    for length in 1..<handoff.bytes.count {
      var stream = handoff.stream
      stream.bytes = Array(handoff.bytes.prefix(length))
      stream.closes = false
      #expect(
        Transcript.of(Firecracker.self, stream) == Transcript(recognition: .yes, entries: []))
      stream.closes = true
      let refused = Transcript.of(Firecracker.self, stream)
      #expect(
        refused.entries == [
          .refused(
            "the connection was closed before the hand-off's JSON array was complete, after \(length) bytes of it"
          )
        ])
    }
  }

  @Test("a stream is recognised by its first byte that is no space")
  func recognition() {
    let spaces = [UInt8](repeating: 0x20, count: 64)
    #expect(Firecracker.recognise([]) == .needsMore)
    #expect(Firecracker.recognise(Array(" \t\r\n".utf8)) == .needsMore)
    #expect(Firecracker.recognise(Array(" \t\r\n[".utf8)) == .yes)
    #expect(Firecracker.recognise(Array("[".utf8)) == .yes)
    #expect(Firecracker.recognise(Array("[\u{0}".utf8)) == .yes)
    #expect(Firecracker.recognise(spaces) == .needsMore)
    #expect(Firecracker.recognise(spaces + Array("[".utf8)) == .yes)
    #expect(Firecracker.recognise(spaces + [0x20]) == .no)
    #expect(Firecracker.recognise(spaces + Array(" [".utf8)) == .no)
    // A byte order mark, the spaces of other alphabets, other dialects.
    for first in ["\u{feff}[", "\u{a0}[", "\u{b}[", "\u{0}[", "{", "]", "\"", "4", "U"] {
      #expect(Firecracker.recognise(Array(first.utf8)) == .no, "\(first)")
    }
  }

  @Test("white space anywhere between the tokens, unknown fields of every type, escaped names")
  func liberties() {
    let text = """
       \t\r\n[ { "size" : 8192 ,"future":{"a":[1,-2.5e+7,{"b":null}],"c":"\\ud83d\\ude00\\u0000"},
       "\\u006fffset":0,"x":true,"y":false,"z":null,"w":99999999999999999999999999999,"":"é",
       "base_host_virt_addr"\t:\r4096,"is_guest_memfd":false } ]\n
      """
    let stream = ClientStream(bytes: Array(text.utf8), descriptorsAt: [0])
    let expected = Transcript(
      recognition: .yes,
      entries: [
        .attach(
          id: 0, uffd: 0, regions: [ClientRegion(start: 4096, length: 8192, offset: 0)],
          backings: [])
      ])
    #expect(Transcript.of(Firecracker.self, stream) == expected)
    #expect(
      Transcript.of(Firecracker.self, stream, cuts: Array(1..<stream.bytes.count)) == expected)
  }

  @Test("regions in any order of addresses, side by side, of different pages and of one offset")
  func orders() throws {
    let objects = [
      #"{"base_host_virt_addr":4096,"size":4096,"offset":8192}"#,
      #"{"base_host_virt_addr":8192,"size":4096,"offset":8192}"#,
      #"{"base_host_virt_addr":2097152,"size":2097152,"offset":0,"page_size":2097152}"#,
      #"{"base_host_virt_addr":1073741824,"size":1073741824,"offset":0,"page_size":1073741824}"#,
    ]
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
      let text = "[" + order.map { objects[$0] }.joined(separator: ",") + "]"
      let heard = Transcript.of(
        Firecracker.self, ClientStream(bytes: Array(text.utf8), descriptorsAt: [0]))
      guard case .attach(_, _, let regions, _)? = heard.entries.first else {
        Issue.record("\(heard)")
        continue
      }
      #expect(regions.map(\.start) == order.map { [4096, 8192, 2 << 20, 1 << 30][$0] })
    }
  }

  @Test("of two sizes of a page the one with the right name holds")
  func pageSizes() {
    for (fields, pageSize) in [
      ("", 4096), (#","page_size":4096"#, 4096), (#","page_size_kib":2097152"#, 2 << 20),
      (#","page_size":2097152"#, 2 << 20), (#","page_size":4096,"page_size_kib":4"#, 4096),
      (#","page_size_kib":2048,"page_size":2097152"#, 2 << 20),
    ] as [(String, UInt64)] {
      let text = #"[{"base_host_virt_addr":2097152,"size":2097152,"offset":0"# + fields + "}]"
      let heard = Transcript.of(
        Firecracker.self, ClientStream(bytes: Array(text.utf8), descriptorsAt: [0]))
      let region = ClientRegion(start: 2 << 20, length: 2 << 20, offset: 0, pageSize: pageSize)
      #expect(heard.entries == [.attach(id: 0, uffd: 0, regions: [region], backings: [])])
    }
  }

  /// A client must not get hold of the server's thread by sending one byte at a time. A reader that
  /// began anew with each of them, or copied what it has, would take many times as long as the
  /// limit; this takes a fraction of it.
  @Test("a long hand-off that comes byte by byte costs no more than its bytes")
  func linear() {
    let text =
      #"[{"base_host_virt_addr":4096,"size":4096,"offset":0,"x":["#
      + Array(repeating: "0", count: 30_000).joined(separator: ",") + "]}]"
    let bytes = Array(text.utf8)
    let stream = ClientStream(bytes: bytes, descriptorsAt: [0])
    var heard = Transcript()
    let taken = ContinuousClock().measure {
      heard = Transcript.of(Firecracker.self, stream, cuts: Array(1..<bytes.count))
    }
    #expect(heard.refusal == nil && heard.entries.count == 1)
    #expect(taken < .seconds(3), "\(taken)")
  }

  @Test("nothing is ever written to a Firecracker")
  func silence() {
    var firecracker = Firecracker()
    #expect(firecracker.greeting(NativeRecords.object, mostDescriptors: 64) == [])
    for reply in [
      ClientReply.done(session: 1), .refused("no"), .progress(ClientProgress()), .status("{}"),
    ] {
      #expect(firecracker.encode(reply, to: 0) == [])
    }
  }
}
