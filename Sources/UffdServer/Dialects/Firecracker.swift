// SPDX-License-Identifier: Apache-2.0
// Firecracker's hand-off, as `PUT /snapshot/load` with a memory backend of type Uffd makes it: one
// JSON array on the stream, one object per region of guest memory, and the userfaultfd with its
// first byte. Nothing is answered, nothing follows, and no version is named. So the generation is
// read off the array, not configured:
//
//     v1.1  to v1.6    base_host_virt_addr, size, offset               closes the socket at once
//     v1.7  to v1.11   and page_size_kib, which counts bytes           closes the socket at once
//     v1.12 to v1.16   and page_size, which counts bytes; both come    keeps it open till it ends
//
// The end of the stream therefore says nothing about the client's life, and a session is never
// ended by it.
//
// What these clients are not protected against, because their userfaultfd's features are fixed
// before we see it:
//
// - It has UFFD_FEATURE_EVENT_REMOVE at most: up to v1.11 only if the snapshot has a balloon, from
//   v1.12 always.
// - Up to v1.10 an inflating balloon maps fresh memory over a range (MAP_FIXED). No event says so:
//   the range leaves the userfaultfd, an install there answers ENOENT, and the guest reads the
//   kernel's zeroes, which is what a balloon wants. From v1.11 it is MADV_DONTNEED, and an event.
// - UNMAP, REMAP and FORK are never enabled. Firecracker does none of these to guest memory; a
//   program that does, and speaks this dialect, is served at addresses that may show something else
//   by then.
// - Firecracker keeps a descriptor of its own. If the server dies, the guest stalls at the next
//   missing page; it does not read zeroes.
import UffdHost

package struct Firecracker: Dialect {
  package static let name = "firecracker"
  /// An object has some 120 bytes, and there are two to four of them, or a few more with memory to
  /// hotplug.
  package static let mostBytes = 64 << 10

  /// White space in front that is still taken for the beginning of a hand-off. Firecracker sends
  /// none. A limit, so that looking again at each byte that arrives stays cheap.
  private static let mostLeadingSpace = 64
  /// Values of unknown fields may nest.
  private static let mostDepth = 16
  /// Firecracker sends the userfaultfd. E2B's fork sends the memfd of its guest memory too.
  private static let mostDescriptors = 2

  private enum Phase {
    case array
    /// The array is complete; the userfaultfd has not come.
    case descriptor
    case attached
    /// It was refused, or has said something after its hand-off. What comes is dropped.
    case over
  }

  private var phase = Phase.array
  private var reader = JSONReader(mostBytes: mostBytes, mostDepth: mostDepth)
  private var regions: [ClientRegion] = []

  package init() {}

  package static func recognise(_ bytes: [UInt8]) -> Recognition {
    guard let first = bytes.prefix(mostLeadingSpace + 1).first(where: { !JSONReader.isSpace($0) })
    else { return bytes.count <= mostLeadingSpace ? .needsMore : .no }
    return first == UInt8(ascii: "[") ? .yes : .no
  }

  package mutating func next(_ inbox: inout Inbox) throws(Refusal) -> ClientRequest? {
    do throws(Refusal) {
      switch phase {
      case .array, .descriptor: return try handOff(&inbox)
      case .attached: try expectSilence(&inbox)
      case .over: Self.empty(&inbox)
      }
      return nil
    } catch {
      phase = .over
      Self.empty(&inbox)
      throw error
    }
  }

  private mutating func handOff(_ inbox: inout Inbox) throws(Refusal) -> ClientRequest? {
    // At once, and not when the array ends: a client must not fill our table of descriptors while
    // it talks. The branch of Firecracker that hides guest memory sends three; see
    // `FirecrackerHandoff`.
    guard inbox.descriptors.count <= Self.mostDescriptors else {
      throw Refusal(
        "\(inbox.descriptors.count) descriptors came with the hand-off, where Firecracker sends its userfaultfd and at most one memfd; guest_memfd (secret hiding), which has three, is not served"
      )
    }
    if phase == .array { try readArray(&inbox) }
    guard phase == .descriptor else { return nil }
    guard let uffd = inbox.descriptors.first else {
      try expectOnlySpace(&inbox)
      // The descriptor may be late. How long to wait for it is the connection's owner's decision.
      guard inbox.isClosed else { return nil }
      throw Refusal(
        "the hand-off came without a userfaultfd, and the connection was closed; Firecracker sends the descriptor (SCM_RIGHTS) with the first byte of its message"
      )
    }
    // A second descriptor is the memfd that E2B's fork maps MAP_SHARED as guest memory. It is
    // closed here and not made a backing. Nothing is lost: UFFDIO_COPY at an address of a shared
    // mapping puts the page into the file itself, so whoever else maps the memfd sees it. And
    // nothing is risked: nobody vouches for which bytes of the file a region shows, nor that the
    // file is sealed against shrinking.
    inbox.descriptors.removeAll()
    phase = .attached
    return ClientRequest(id: 0, action: .attach(uffd: uffd, regions: regions, backings: []))
  }

  private mutating func readArray(_ inbox: inout Inbox) throws(Refusal) {
    let before = reader.consumed
    let progress: JSONReader.Progress
    do throws(Refusal) {
      progress = try reader.take(inbox.bytes)
    } catch {
      throw Refusal("the hand-off is not the JSON array that Firecracker sends: \(error.reason)")
    }
    inbox.bytes.removeFirst(reader.consumed - before)
    switch progress {
    case .complete(let root):
      regions = try FirecrackerHandoff.regions(root)
      phase = .descriptor
    case .needsMore where inbox.isClosed:
      throw Refusal(
        "the connection was closed before the hand-off's JSON array was complete, after \(reader.consumed) bytes of it"
      )
    case .needsMore: break
    }
  }

  /// Firecracker never sends more than its hand-off. Who does is told once. That is no reason to
  /// take pages away from a client that is being served; its connection can be closed, for
  /// Firecracker itself closes it or forgets it.
  private func expectSilence(_ inbox: inout Inbox) throws(Refusal) {
    try expectOnlySpace(&inbox)
    guard inbox.descriptors.isEmpty else {
      throw Refusal("a descriptor came after the hand-off, where Firecracker sends nothing more")
    }
  }

  private func expectOnlySpace(_ inbox: inout Inbox) throws(Refusal) {
    if let byte = inbox.bytes.first(where: { !JSONReader.isSpace($0) }) {
      throw Refusal(
        "a byte \(hexadecimal(byte)) came after the hand-off's array, where Firecracker sends nothing more"
      )
    }
    inbox.bytes.removeAll(keepingCapacity: true)
  }

  private static func empty(_ inbox: inout Inbox) {
    inbox.bytes.removeAll()
    inbox.descriptors.removeAll()
  }

  package mutating func greeting(_ object: ServedObject, mostDescriptors: Int) -> [UInt8] {
    []
  }

  /// Firecracker reads nothing from this socket.
  package func encode(_ reply: ClientReply, to id: UInt64) -> [UInt8] { [] }
}
