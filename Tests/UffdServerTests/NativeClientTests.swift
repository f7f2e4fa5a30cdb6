// SPDX-License-Identifier: Apache-2.0
// The client in C: sends the page's bytes, understands the codec's, and survives servers that are wrong.
import CUffdClient
import Foundation
import Glibc
import Testing
import UffdHost

@testable import UffdServer

@Suite("Native: the client in C")
struct NativeClientTests {
  private let ok = NativeResult(UFFD_CLIENT_OK)
  private let late = NativeResult(UFFD_CLIENT_TIMEOUT, "the server has not answered yet")

  /// A whole conversation, in the order and with the ids of the page's records.
  @Test("what it sends is on the page, and what it is answered arrives")
  func conversation() throws {
    let page = try NativePage().frames
    let heard = NativeBox<[[UInt8]]>([])
    NativeScript.run { peer in
      var frames = [peer.open()]
      let json = String(repeating: "0123456789", count: 10_000)
      let answers = [
        NativeAnswers.done(session: 42, id: 2), NativeAnswers.done(session: 42, id: 3),
        NativeAnswers.done(session: 42, id: 4),
        NativeAnswers.progress(NativeRecords.progress, id: 5),
        NativeAnswers.done(session: 42, id: 6), NativeAnswers.done(session: 42, id: 7),
        NativeAnswers.status(json, mostFrameBytes: 65536, id: 8),
      ]
      for answer in answers {
        frames.append(peer.frame())
        peer.write(answer)
      }
      heard.value = frames
    } body: { client in
      #expect(client.opened == ok && client.version == 1 && client.capabilities == 7)
      #expect(client.objectSize == 0x4000_0800 && client.pageSize == 4096)
      client.use(uffd: unsafe Glibc.open("/dev/null", O_RDONLY | O_CLOEXEC))
      let backing = nativeDescriptor()
      #expect(client.attach([anonymous(0x7f00_0000_0000, 0x10000, 0), huge], [backing.fd]) == ok)
      #expect(client.session == 42)
      #expect(client.add([anonymous(0x7f00_0001_0000, 0x4000, 0x10000)]) == ok)
      #expect(client.remove(0x7f00_0000_0000, 0x10000, 2000) == ok)
      var progress = uffd_client_progress()
      #expect(client.progress(&progress) == ok)
      check(progress)
      #expect(client.drain(2000) == ok && client.isDrained)
      #expect(client.detach() == ok)
      let status = client.status()
      #expect(status?.utf8.count == 100_000 && status?.hasSuffix("789") == true)
    }
    let records = [page[0]] + page[2...8]
    #expect(heard.value.count == records.count)
    for (frame, record) in zip(heard.value, records) {
      #expect(frame == record.bytes, "\(record.name):\n\(NativeRecords.dump(frame))")
    }
  }

  /// The fake server's second frame is what was sent in place of what was refused.
  @Test("what the server does not take with one frame is not sent")
  func fewDescriptors() {
    let heard = NativeBox<[UInt16?]>([])
    NativeScript.run { peer in
      _ = peer.open(mostDescriptors: 4)
      var counts: [UInt16?] = []
      for id in [2, 3] as [UInt64] {
        counts.append(NativeHeader(peer.frame())?.descriptors)
        peer.write(NativeAnswers.done(session: 1, id: id))
      }
      heard.value = counts
    } body: { client in
      #expect(client.opened == ok && client.mostDescriptors == 4)
      client.use(uffd: unsafe Glibc.open("/dev/null", O_RDONLY | O_CLOEXEC))
      let backing = nativeDescriptor()
      let backings = [Int32](repeating: backing.fd, count: 5)
      let refused = NativeResult(
        UFFD_CLIENT_USAGE,
        "the server takes 4 descriptors with one call, and not 5 (the uffd is one of an attach's); "
          + "add the regions of the other backings after it")
      #expect(client.attach([huge], Array(backings[..<4])) == refused)
      #expect(client.attach([huge], Array(backings[..<3])) == ok)
      #expect(client.add([huge], backings) == refused)
      #expect(client.add([huge], Array(backings[..<4])) == ok)
    }
    #expect(heard.value == [4, 4])
  }

  private var huge: uffd_client_region {
    uffd_client_region(
      start: 0x7f00_4000_0000, length: 0x20_0000, offset: 0x40_0000, page_size: 0x20_0000,
      flags: UFFD_CLIENT_SHARED.rawValue,
      modes: UFFD_CLIENT_MISSING.rawValue | UFFD_CLIENT_MINOR.rawValue, backing: 0, reserved: 0)
  }

  private func anonymous(
    _ start: UInt64, _ length: UInt64, _ offset: UInt64
  ) -> uffd_client_region {
    uffd_client_region(
      start: start, length: length, offset: offset, page_size: 4096, flags: 0,
      modes: UFFD_CLIENT_MISSING.rawValue, backing: .max, reserved: 0)
  }

  private func check(_ progress: uffd_client_progress) {
    #expect(progress.phase == UFFD_CLIENT_DRAINING.rawValue)
    let bytes = [progress.bytes, progress.missing, progress.resident, progress.poisoned]
    #expect(bytes == [0xC000, 0x3000, 0x2000, 0x3000] && progress.discarded == 0x4000)
    let counts = [
      progress.regions, progress.faults_missing, progress.faults_minor, progress.faults_wp,
      progress.copied, progress.zeroed, progress.continued, progress.poisoned_by_server,
      progress.parked, progress.given_up,
    ]
    #expect(counts == [2] + Array(11...19))
  }

  // MARK: Servers that are wrong, at the beginning

  typealias Beginning = (bytes: [UInt8], result: uffd_client_result, text: String)
  static let magic = NativeWire.magic
  static let beginnings: [Beginning] = [
    (
      [], UFFD_CLIENT_GONE,
      "the server has closed the connection: does it speak the protocol 'native'?"
    ),
    (Array("[{\"x\": 1}]".utf8), UFFD_CLIENT_PROTOCOL, "the server does not begin with UFFDHOST"),
    (
      magic + NativeAnswers.refused("too many clients", .request, id: 0), UFFD_CLIENT_REFUSED,
      "too many clients"
    ),
    (
      magic + NativeAnswers.done(session: 1, id: 1), UFFD_CLIENT_PROTOCOL,
      "the server does not say which versions it speaks"
    ),
    (
      magic + NativeRequests.hello((2, 3)), UFFD_CLIENT_PROTOCOL,
      "the server's answer is of the unexpected kind 0x1"
    ),
    (
      magic + answer(0x8001, NativeRequests.hello((2, 3))), UFFD_CLIENT_PROTOCOL,
      "the server speaks versions 2 to 3, this client 1"
    ),
    (
      magic + NativeRequests.header(length: 23), UFFD_CLIENT_PROTOCOL,
      "the server sent a frame of 23 bytes"
    ),
    (
      magic + NativeRequests.header(length: 65537), UFFD_CLIENT_PROTOCOL,
      "the server sent a frame of 65537 bytes"
    ),
    (
      magic + NativeRequests.plain(0x8001, size: 16), UFFD_CLIENT_PROTOCOL,
      "the server sent a body of size 16 in a frame of 24"
    ),
    (
      magic + NativeRequests.plain(0x8001, size: 0), UFFD_CLIENT_PROTOCOL,
      "the server sent a body of size 0 in a frame of 24"
    ),
  ]

  /// The same frame with another kind and the id 0.
  private static func answer(_ kind: UInt16, _ frame: [UInt8]) -> [UInt8] {
    var changed = frame
    changed[4] = UInt8(kind & 0xff)
    changed[5] = UInt8(kind >> 8)
    changed[8] = 0
    return changed
  }

  @Test("servers that begin wrongly", arguments: beginnings.indices)
  func beginning(index: Int) {
    let (bytes, result, text) = Self.beginnings[index]
    NativeScript.run { peer in
      _ = peer.read(48)
      peer.write(bytes)
      peer.hangUp()
    } body: { client in
      #expect(client.opened == NativeResult(result, text))
      // Nothing else is sent on such a connection.
      #expect(client.drain(0).result == UFFD_CLIENT_USAGE.rawValue)
    }
  }

  /// Stops the script until the client has gone on.
  private func afterHello(
    _ script: @escaping @Sendable (NativePeer) -> Void, body: (NativeCClient) -> Void
  ) {
    NativeScript.run { peer in
      _ = peer.open()
      script(peer)
    } body: { client in
      #expect(client.opened == ok)
      body(client)
    }
  }

  // MARK: Answers that are late, cut, short and long

  @Test("a drain's answer may come while something else is asked", arguments: [true, false])
  func lateAnswer(isDone: Bool) {
    afterHello { peer in
      _ = peer.frame()
      _ = peer.frame()
      peer.write(
        isDone
          ? NativeAnswers.done(session: 1, id: 2) : NativeAnswers.refused("gone", .request, id: 2))
      peer.write(NativeAnswers.progress(ClientProgress(), id: 3))
    } body: { client in
      #expect(client.drain(30) == late)
      var progress = uffd_client_progress()
      #expect(client.progress(&progress) == ok && !client.isDrained)
      #expect(client.drain(0) == (isDone ? ok : NativeResult(UFFD_CLIENT_REFUSED, "gone")))
      #expect(client.isDrained == isDone)
    }
  }

  @Test("a frame that is cut by a timeout is put together")
  func cutFrame() {
    afterHello { peer in
      let done = NativeAnswers.done(session: 1, id: 2)
      _ = peer.frame()
      peer.write(done.prefix(21))
      _ = peer.frame()
      peer.write(done.dropFirst(21) + NativeAnswers.progress(NativeRecords.progress, id: 3))
    } body: { client in
      #expect(client.remove(0x1000, 0x1000, 50) == late)
      var progress = uffd_client_progress()
      #expect(client.progress(&progress) == ok)
      check(progress)
      #expect(client.remove(0x1000, 0x1000, 0) == ok)
    }
  }

  @Test("an older server's short answer, and a newer one's long answer", arguments: [56, 136])
  func growth(size: UInt32) {
    afterHello { peer in
      _ = peer.frame()
      var fields = NativeFrameWriter()
      fields.put(size)
      fields.put(UInt32(2))
      for number in 1..<(size / 8) { fields.put(UInt64(number)) }
      peer.write(fields.frame(.progress, id: 2))
    } body: { client in
      var progress = uffd_client_progress()
      progress.given_up = 77
      #expect(client.progress(&progress) == ok)
      #expect(progress.bytes == 1 && progress.regions == 6)
      #expect(progress.given_up == (size == 56 ? 0 : 15))
    }
  }

  @Test("a text that claims to be longer than its frame ends with it")
  func shortText() {
    afterHello { peer in
      _ = peer.frame()
      var bytes = NativeAnswers.refused("no such thing", .request, id: 2)
      bytes[16 + 8] = 0xff
      bytes[16 + 10] = 0xff
      // What lies behind it in the client's buffer.
      peer.write(bytes + Array(", and more".utf8))
    } body: { client in
      #expect(client.detach() == NativeResult(UFFD_CLIENT_REFUSED, "no such thing"))
      #expect(client.code == Int32(NativeWire.Code.request.rawValue))
    }
  }

  @Test("what is about the connection reaches whoever waits", arguments: [0, 7] as [UInt64])
  func connectionRefused(id: UInt64) {
    afterHello { peer in
      _ = peer.frame()
      peer.write(NativeAnswers.refused("broken", id == 0 ? .request : .form, id: id))
    } body: { client in
      #expect(client.detach() == NativeResult(UFFD_CLIENT_REFUSED, "broken"))
    }
  }

  @Test("a server that goes away is told from one that is slow")
  func gone() {
    afterHello { peer in
      _ = peer.frame()
      _ = peer.frame()
      peer.hangUp()
    } body: { client in
      #expect(client.isConnected)
      client.wait(milliseconds: 30)
      #expect(client.detach() == late)
      client.wait(milliseconds: 2000)
      #expect(
        client.detach() == NativeResult(UFFD_CLIENT_GONE, "the server has closed the connection"))
      #expect(!client.isConnected)
    }
  }
}
