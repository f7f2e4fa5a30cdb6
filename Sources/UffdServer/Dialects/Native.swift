// SPDX-License-Identifier: Apache-2.0
// The native protocol, as docs/protocol.md says it: a magic, a HELLO
// each way, then frames with an id that the answer repeats. Every connection has its own value of this
// type, on its server's thread.
import UffdHost

package struct Native: Dialect {
  package static let name = "native"
  package static let mostBytes = NativeWire.magic.count + NativeWire.mostFrameBytes

  private enum Stage { case magic, hello, requests }
  private var stage = Stage.magic
  /// What the client takes.
  private var mostFrameBytes = NativeWire.leastFrameBytes
  /// What a refusal of ours answers, for whoever refuses by our word has no id.
  private var refused: (id: UInt64, code: NativeWire.Code)?
  /// The frame that is being understood.
  private var current: UInt64 = 0

  package init() {}

  package static func recognise(_ bytes: [UInt8]) -> Recognition {
    guard bytes.count < NativeWire.magic.count else {
      return bytes.starts(with: NativeWire.magic) ? .yes : .no
    }
    return NativeWire.magic.starts(with: bytes) ? .needsMore : .no
  }

  package mutating func greeting(_ object: ServedObject, mostDescriptors: Int) -> [UInt8] {
    NativeHello.greeting(object, mostDescriptors)
  }

  package mutating func next(_ inbox: inout Inbox) throws(Refusal) -> ClientRequest? {
    do {
      guard try takeMagic(&inbox) else { return nil }
      while let frame = try takeFrame(&inbox) {
        if let request = try understand(frame) { return request }
      }
      return nil
    } catch {
      // Nothing behind it can be trusted to begin where a frame begins.
      inbox.bytes = []
      inbox.descriptors = []
      if refused == nil { refused = (current, .form) }
      throw error
    }
  }

  // MARK: Frames

  private struct Frame {
    let header: NativeHeader
    let body: [UInt8]
    let descriptors: [Descriptor]
  }

  private mutating func takeMagic(_ inbox: inout Inbox) throws(Refusal) -> Bool {
    guard stage == .magic else { return true }
    switch Self.recognise(inbox.bytes) {
    case .needsMore:
      try expectDescriptors(inbox, atMost: 0)
      return false
    case .no: throw Refusal("the connection does not begin with UFFDHOST")
    case .yes:
      inbox.bytes.removeFirst(NativeWire.magic.count)
      stage = .hello
      return true
    }
  }

  /// The next whole frame with its descriptors. They ride on a frame's first byte, so that they are there
  /// when the frame is, and none may be there that no frame has named.
  private mutating func takeFrame(_ inbox: inout Inbox) throws(Refusal) -> Frame? {
    guard let header = NativeHeader(inbox.bytes) else {
      let isEmpty = inbox.bytes.isEmpty
      try expectDescriptors(inbox, atMost: isEmpty ? 0 : NativeWire.mostDescriptors)
      return nil
    }
    current = header.id
    guard header.isSound else {
      throw Refusal(
        "a frame says that it has \(header.length) bytes, and it has "
          + "\(NativeWire.headerBytes + 8) to \(NativeWire.mostFrameBytes)")
    }
    guard header.descriptors <= NativeWire.mostDescriptors else {
      throw Refusal(
        "a frame says that it brings \(header.descriptors) descriptors, and it may bring "
          + "\(NativeWire.mostDescriptors)")
    }
    let (length, count) = (Int(header.length), Int(header.descriptors))
    guard inbox.bytes.count >= length else {
      try expectDescriptors(inbox, atMost: count)
      return nil
    }
    guard inbox.descriptors.count >= count else {
      throw Refusal(
        "a frame says that it brings \(count) descriptors, and \(inbox.descriptors.count) came")
    }
    if inbox.bytes.count == length { try expectDescriptors(inbox, atMost: count) }
    let frame = Frame(
      header: header, body: Array(inbox.bytes[NativeWire.headerBytes..<length]),
      descriptors: Array(inbox.descriptors.prefix(count)))
    inbox.bytes.removeFirst(length)
    inbox.descriptors.removeFirst(count)
    return frame
  }

  private func expectDescriptors(_ inbox: Inbox, atMost most: Int) throws(Refusal) {
    guard inbox.descriptors.count <= most else {
      throw Refusal(
        "\(inbox.descriptors.count) descriptors came with a frame that says that it brings \(most)")
    }
  }

  // MARK: Requests

  /// What a frame asks for; nil: a HELLO, which asks for nothing.
  private mutating func understand(_ frame: Frame) throws(Refusal) -> ClientRequest? {
    guard let kind = NativeWire.Kind(rawValue: frame.header.kind) else {
      throw Refusal(
        "a frame is of the kind \(NativeWire.hex(frame.header.kind)), which this server does not know"
      )
    }
    guard frame.header.id != 0 else {
      throw Refusal("a request has the id 0, which is for what the server says unasked")
    }
    if stage == .hello {
      guard kind == .hello else { throw Refusal("the first frame of a connection is HELLO") }
      try agree(frame)
      return nil
    }
    return ClientRequest(id: frame.header.id, action: try action(kind, frame))
  }

  private mutating func agree(_ frame: Frame) throws(Refusal) {
    try expectDescriptors(frame, 0, "HELLO")
    let hello = try NativeHello(frame.body)
    mostFrameBytes = hello.mostFrameBytes
    let ours = NativeWire.versions
    guard hello.versions.overlaps(ours) else {
      refused = (frame.header.id, .version)
      throw Refusal(
        "the client speaks the versions \(said(hello.versions)) of the protocol and this server "
          + "\(said(ours)): use two that have one in common")
    }
    stage = .requests
  }

  private func said(_ versions: ClosedRange<UInt16>) -> String {
    versions.count == 1
      ? "\(versions.lowerBound)" : "\(versions.lowerBound) to \(versions.upperBound)"
  }

  private func action(
    _ kind: NativeWire.Kind, _ frame: Frame
  ) throws(Refusal) -> ClientAction {
    let name = kind.name
    switch kind {
    case .hello: throw Refusal("HELLO is the first frame of a connection and came again")
    case .attach:
      let said = try NativeRegions(frame.body, name)
      try expectDescriptors(frame, said.backings + 1, name)
      return .attach(
        uffd: frame.descriptors[0], regions: said.regions,
        backings: Array(frame.descriptors.dropFirst()))
    case .addRegions:
      let said = try NativeRegions(frame.body, name)
      try expectDescriptors(frame, said.backings, name)
      return .addRegions(said.regions, backings: frame.descriptors)
    case .removeRegion:
      try expectDescriptors(frame, 0, name)
      let range = try NativeRange(frame.body)
      return .removeRegion(start: range.start, length: range.length)
    case .progress: return try plain(.progress, frame, name)
    case .drain: return try plain(.drain, frame, name)
    case .detach: return try plain(.detach, frame, name)
    case .status: return try plain(.status, frame, name)
    }
  }

  private func plain(
    _ action: ClientAction, _ frame: Frame, _ name: String
  ) throws(Refusal) -> ClientAction {
    try expectDescriptors(frame, 0, name)
    _ = try NativePlain(frame.body, name)
    return action
  }

  private func expectDescriptors(
    _ frame: Frame, _ count: Int, _ name: String
  ) throws(Refusal) {
    guard frame.descriptors.count == count else {
      throw Refusal("\(name) takes \(count) descriptors, and brings \(frame.descriptors.count)")
    }
  }

  // MARK: Answers

  package func encode(_ reply: ClientReply, to id: UInt64) -> [UInt8] {
    switch reply {
    case .done(let session): NativeAnswers.done(session: session, id: id)
    case .refused(let reason):
      // Without an id: what `next` has refused, or the connection as a whole.
      if id == 0, let refused {
        NativeAnswers.refused(reason, refused.code, id: refused.id)
      } else {
        NativeAnswers.refused(reason, .request, id: id)
      }
    case .progress(let progress): NativeAnswers.progress(progress, id: id)
    case .status(let json): NativeAnswers.status(json, mostFrameBytes: mostFrameBytes, id: id)
    }
  }
}

extension NativeWire.Kind {
  /// As in the protocol's page.
  package var name: String {
    switch self {
    case .hello: "HELLO"
    case .attach: "ATTACH"
    case .addRegions: "ADD_REGIONS"
    case .removeRegion: "REMOVE_REGION"
    case .progress: "PROGRESS"
    case .drain: "DRAIN"
    case .detach: "DETACH"
    case .status: "STATUS"
    }
  }
}
