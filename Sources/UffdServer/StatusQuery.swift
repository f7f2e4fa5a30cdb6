// SPDX-License-Identifier: Apache-2.0
// The asking side of `uffdhost status`: connects, asks in the native dialect, and reads the answer.
// The control thread.
import CLinux
import Glibc
package import UffdHost
import UffdReport

package enum StatusQuery {
  private static let patienceNanoseconds: UInt64 = 10_000_000_000
  /// An answer has a line for at most so many regions, and some for each client.
  private static let mostBytes = 64 << 20

  package struct Answer {
    /// The server's state.
    package let json: String
    /// Where another server can be asked, which ends while this one has its path already.
    package let endingServer: String?
  }

  /// The state of the server that listens at `path`, or of the one that has stopped listening there and
  /// ends.
  package static func ask(_ path: String) throws(HostError) -> Answer {
    let latePath = path + Listener.lateSuffix
    let late = (try? connect(latePath)).flatMap { try? ask($0, latePath) }
    // Whoever connects to a socket that a manager keeps has it start the next server.
    if let late, (try? StatusReport(parsing: late))?.isSocketPassed == true {
      return Answer(json: late, endingServer: nil)
    }
    let socket: UnixSocket
    do { socket = try connect(path) } catch {
      if let late { return Answer(json: late, endingServer: nil) }
      throw HostError(.service, "no server can be asked at \(path.quoted): " + reason(error))
    }
    return Answer(json: try ask(socket, path), endingServer: late == nil ? nil : latePath)
  }

  private static func connect(_ path: String) throws(Errno) -> UnixSocket {
    let socket = try UnixSocket()
    try socket.connect(path)
    return socket
  }

  /// `path` is the server's, for sentences.
  private static func ask(_ socket: UnixSocket, _ path: String) throws(HostError) -> String {
    let deadline = monotonicNanoseconds() + patienceNanoseconds
    var conversation = NativeStatusConversation()
    try send(conversation.opening, socket, path)
    while true {
      let arrival: UnixSocket.Arrival?
      do { arrival = try socket.receive(most: 1 << 16, descriptors: 0) } catch {
        throw HostError(.service, "the server at \(path.quoted) cannot be read (\(error.name))")
      }
      guard let arrival else {
        try wait(socket, until: deadline, path)
        continue
      }
      guard !arrival.bytes.isEmpty else {
        throw HostError(
          .service,
          "the server at \(path.quoted) closed the connection: may you ask it, and does it speak 'native'?"
        )
      }
      do throws(Refusal) {
        switch try conversation.take(arrival.bytes) {
        case .wants(let bytes): try? send(bytes, socket, path)
        case .has(let json): return json
        }
      } catch {
        throw HostError(.service, "the server at \(path.quoted) does not answer: \(error.reason)")
      }
      guard conversation.bytes <= mostBytes else {
        throw HostError(
          .service, "the answer of \(path.quoted) does not end after \(mostBytes) bytes")
      }
    }
  }

  /// The same for people.
  package static func text(_ json: String) throws(HostError) -> String {
    do throws(Refusal) {
      return try StatusReport(parsing: json).text
    } catch {
      throw HostError(
        .service, "the answer is no state of a server: \(error.reason); is it another version?")
    }
  }

  private static func reason(_ error: Errno) -> String {
    switch error {
    case .ENOENT: "there is no such file; is 'uffdhost serve' running there?"
    case .ECONNREFUSED: "nobody listens (ECONNREFUSED); what is there is left over"
    case .EACCES: "you may not (EACCES); ask as the user who serves"
    default: "it cannot be connected to (\(error.name))"
    }
  }

  private static func send(
    _ bytes: [UInt8], _ socket: UnixSocket, _ path: String
  ) throws(HostError) {
    do throws(Errno) {
      // A few bytes on an empty socket.
      guard try socket.send(bytes[...]) == bytes.count else { throw Errno.EAGAIN }
    } catch {
      throw HostError(.service, "the server at \(path.quoted) takes no request (\(error.name))")
    }
  }

  private static func wait(
    _ socket: UnixSocket, until deadline: UInt64, _ path: String
  ) throws(HostError) {
    let now = monotonicNanoseconds()
    var slot = pollfd(fd: socket.fd, events: Int16(POLLIN), revents: 0)
    guard now < deadline, unsafe clinux_poll(&slot, 1, Int64(deadline - now)) != 0 else {
      throw HostError(
        .service,
        "the server at \(path.quoted) has not answered for "
          + Units.duration(nanoseconds: patienceNanoseconds))
    }
  }
}

/// STATUS, from the asking side.
struct NativeStatusConversation {
  enum Step {
    /// To be sent; may be empty.
    case wants([UInt8])
    case has(String)
  }

  private var inbox: [UInt8] = []
  private var text: [UInt8] = []
  private var isGreeted = false
  /// Of an answer so far.
  var bytes: Int { inbox.count + text.count }

  /// What the client says first.
  var opening: [UInt8] {
    var hello = NativeFrameWriter()
    hello.put(UInt32(NativeHello.size))
    hello.put(NativeWire.versions.lowerBound)
    hello.put(NativeWire.versions.upperBound)
    hello.put(UInt64(0))
    hello.put(UInt32(NativeWire.mostFrameBytes))
    hello.put(UInt32(NativeWire.mostDescriptors))
    return NativeWire.magic
      + hello.frame(kind: NativeWire.Kind.hello.rawValue, descriptors: 0, id: 1)
  }

  /// What it says when it has been greeted.
  var question: [UInt8] {
    var request = NativeFrameWriter()
    request.put(UInt32(NativePlain.size))
    request.put(UInt32(0))
    return request.frame(kind: NativeWire.Kind.status.rawValue, descriptors: 0, id: 2)
  }

  mutating func take(_ bytes: [UInt8]) throws(Refusal) -> Step {
    inbox += bytes
    if !isGreeted, !inbox.starts(with: NativeWire.magic) {
      guard inbox.count < NativeWire.magic.count, NativeWire.magic.starts(with: inbox) else {
        throw Refusal("it does not speak the native dialect")
      }
      return .wants([])
    }
    var toSend: [UInt8] = []
    if !isGreeted {
      inbox.removeFirst(NativeWire.magic.count)
      isGreeted = true
    }
    while let (header, body) = try takeFrame() {
      switch NativeWire.Answer(rawValue: header.kind) {
      case .hello: toSend = question
      case .refused:
        throw Refusal("it refuses: " + String(decoding: try content(body), as: UTF8.self))
      case .status:
        text += try content(body)
        // 1: more of it follows.
        if NativeFields(body[...]).u32(4) & 1 == 0 {
          return .has(String(decoding: text, as: UTF8.self))
        }
      default: break
      }
    }
    return .wants(toSend)
  }

  private mutating func takeFrame() throws(Refusal) -> (NativeHeader, [UInt8])? {
    guard let header = NativeHeader(inbox) else { return nil }
    guard header.isSound else { throw Refusal("it sends a frame of \(header.length) bytes") }
    guard inbox.count >= Int(header.length) else { return nil }
    let body = Array(inbox[NativeWire.headerBytes..<Int(header.length)])
    inbox.removeFirst(Int(header.length))
    return (header, body)
  }

  /// Of an answer that is a text: size, code, length.
  private func content(_ body: [UInt8]) throws(Refusal) -> ArraySlice<UInt8> {
    let fields = NativeFields(body[...])
    let (size, length) = (Int(fields.u32(0)), Int(fields.u32(8)))
    guard size >= 16, size + length <= body.count else {
      throw Refusal("it sends a text of \(length) bytes in a frame of \(body.count)")
    }
    return body[size..<(size + length)]
  }
}
