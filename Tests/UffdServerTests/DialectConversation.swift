// SPDX-License-Identifier: Apache-2.0
// Delivers a stream to a dialect, cut in any way, and writes down what the dialect makes of it.
import Testing
import UffdHost

@testable import UffdServer

/// What a client sends.
struct ClientStream: Sendable {
  var bytes: [UInt8]
  /// For each descriptor the byte that it comes with.
  var descriptorsAt: [Int] = []
  /// The client closes its end.
  var closes = false
}

/// What a dialect has made of a stream. Descriptors are their numbers in the stream.
struct Transcript: Equatable {
  enum Entry: Equatable {
    case attach(id: UInt64, uffd: Int, regions: [ClientRegion], backings: [Int])
    case addRegions(id: UInt64, [ClientRegion], backings: [Int])
    case removeRegion(id: UInt64, start: UInt64, length: UInt64)
    case progress(id: UInt64)
    case drain(id: UInt64)
    case detach(id: UInt64)
    case status(id: UInt64)
    /// The last entry, for a connection ends with it.
    case refused(String)
    /// The dialect gave more requests than the stream can hold.
    case endless
  }
  var recognition = Recognition.needsMore
  var entries: [Entry] = []

  var refusal: String? {
    if case .refused(let reason)? = entries.last { reason } else { nil }
  }
}

struct Conversation<D: Dialect> {
  private(set) var transcript = Transcript()
  private(set) var inbox = Inbox()
  private var dialect: D?
  /// The stream's descriptors, which live until it has ended.
  private var known: [ObjectIdentifier] = []

  /// Delivers `stream` in pieces that begin at 0 and at `cuts`. The end of the stream comes with
  /// the last piece, or after it.
  static func transcript(
    _ stream: ClientStream, cuts: [Int], endComesAlone: Bool, descriptors: [Descriptor]
  ) -> Transcript {
    var conversation = Conversation()
    conversation.known = descriptors.map(ObjectIdentifier.init)
    let bounds = [0] + cuts + [stream.bytes.count]
    for (index, (from, to)) in zip(bounds, bounds.dropFirst()).enumerated() {
      conversation.inbox.bytes += stream.bytes[from..<to]
      for (descriptor, position) in zip(descriptors, stream.descriptorsAt)
      where (from..<to).contains(position) {
        conversation.inbox.descriptors.append(descriptor)
      }
      let isLast = index == bounds.count - 2
      if isLast && stream.closes && !endComesAlone { conversation.inbox.isClosed = true }
      guard conversation.answer() else { break }
    }
    if stream.closes && endComesAlone && conversation.transcript.refusal == nil {
      conversation.inbox.isClosed = true
      _ = conversation.answer()
    }
    return conversation.transcript
  }

  /// Lets the dialect take what it wants. False: the connection is over.
  private mutating func answer() -> Bool {
    if dialect == nil {
      transcript.recognition = D.recognise(inbox.bytes)
      guard transcript.recognition == .yes else { return transcript.recognition == .needsMore }
      dialect = D()
      _ = dialect!.greeting(NativeRecords.object, mostDescriptors: 64)
    }
    do throws(Refusal) {
      while let request = try dialect!.next(&inbox) {
        transcript.entries.append(entry(request))
        if transcript.entries.count > 10_000 {
          transcript.entries.append(.endless)
          return false
        }
      }
      return true
    } catch {
      transcript.entries.append(.refused(error.reason))
      return false
    }
  }

  private func entry(_ request: ClientRequest) -> Transcript.Entry {
    let id = request.id
    switch request.action {
    case .attach(let uffd, let regions, let backings, _):
      return .attach(
        id: id, uffd: number(uffd), regions: regions, backings: backings.map(number))
    case .addRegions(let regions, let backings):
      return .addRegions(id: id, regions, backings: backings.map(number))
    case .removeRegion(let start, let length):
      return .removeRegion(id: id, start: start, length: length)
    case .progress: return .progress(id: id)
    case .drain: return .drain(id: id)
    case .detach: return .detach(id: id)
    case .status: return .status(id: id)
    }
  }

  private func number(_ descriptor: Descriptor) -> Int {
    known.firstIndex(of: ObjectIdentifier(descriptor)) ?? -1
  }
}

extension Transcript {
  /// Without descriptors that exist.
  static func of<D: Dialect>(
    _ type: D.Type, _ stream: ClientStream, cuts: [Int] = [], endComesAlone: Bool = false
  ) -> Transcript {
    // Closing -1 is EBADF and does nothing.
    let descriptors = stream.descriptorsAt.map { _ in Descriptor(owning: -1) }
    return Conversation<D>.transcript(
      stream, cuts: cuts, endComesAlone: endComesAlone, descriptors: descriptors)
  }
}
