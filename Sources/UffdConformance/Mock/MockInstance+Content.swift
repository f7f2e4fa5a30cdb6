// SPDX-License-Identifier: Apache-2.0
// Asking for content: alloc_folio and put_folio, with staging that is fenced in, and every rule about an
// answer held against each one.
import CHookTrap
import CLinux
import UffdPluginABI

/// An answer of alloc_folio, with its bytes copied out.
struct Answer {
  let status: Status
  var kind: uffd_folio_kind = .zero
  var count: UInt64 = 0
  var bytes = Bytes([])
  /// For LENT: not put back yet.
  var lend: Lend?
}

/// Lent memory between alloc_folio and put_folio.
@safe final class Lend: @unchecked Sendable {
  let pgoff: UInt64
  let count: UInt64
  let bytes: Bytes
  let folio: uffd_folio
  fileprivate var isOut = true

  fileprivate init(_ pgoff: UInt64, _ folio: uffd_folio, _ bytes: Bytes) {
    self.pgoff = pgoff
    unsafe count = folio.count
    self.bytes = bytes
    unsafe self.folio = unsafe folio
  }

  /// The bytes that are there now; nil: they cannot be read.
  func readAgain() -> Bytes? { unsafe Bytes(carefully: folio.memory!, bytes.count) }
}

/// How a question is asked.
struct Manner {
  var access: uffd_access = []
  /// What staging holds before.
  var poison: UInt8 = 0xa5
  /// A LENT answer is kept for the caller to put back.
  var keepsLend = false
  /// Time after which a BUSY question is asked again without a kick.
  var patience: UInt64 = 20_000_000
  /// Time after which a question that is BUSY will never be answered.
  var limit: UInt64 = 10_000_000_000
  /// Bytes of a granule, where it is not that of the instance.
  var granule: UInt64?
}

/// After one question that was never answered, nobody waits so long for the next.
final class Patience: @unchecked Sendable {
  static let shared = Patience()
  nonisolated(unsafe) var isSpent = false
  func limit(_ wanted: UInt64) -> UInt64 { unsafe isSpent ? min(wanted, 300_000_000) : wanted }
}

extension MockInstance {
  func newTicket() -> UInt64 { host.newTicket() }

  /// Asks until the answer is not BUSY, for at most 10 seconds.
  func ask(_ pgoff: UInt64, _ count: UInt64 = 1, _ manner: Manner = Manner()) throws -> Answer {
    let ticket = newTicket()
    let patience = Patience.shared.limit(manner.limit)
    let limit = clinux_now() + patience
    while true {
      let answer = try askOnce(pgoff, count, ticket: ticket, manner)
      if answer.status != .busy {
        host.isAnswered(ticket)
        return answer
      }
      if clinux_now() > limit {
        if patience >= 10_000_000_000 { unsafe Patience.shared.isSpent = true }
        throw Breach(Rule.answered, "BUSY for \(patience / 1_000_000) ms for pgoff \(pgoff)")
      }
      host.waitForKick(ticket, nanoseconds: manner.patience)
    }
  }

  /// The content of granules that must be there. NO_MEMORY and IO_ERROR are tried again, as a host would.
  func content(_ pgoff: UInt64, _ count: UInt64 = 1, _ manner: Manner = Manner()) throws -> Answer {
    var answer = Answer(status: .busy)
    for attempt in 0..<5 {
      answer = try ask(pgoff, count, manner)
      guard answer.status == .noMemory || answer.status == .ioError else { break }
      usleepBriefly(attempt)
    }
    guard answer.status == .ok else {
      let text = host.takeErrorText().map { " (\($0))" } ?? ""
      throw Failure(
        "\(answer.status) for \(count) granules from pgoff \(pgoff)\(text)",
        expected: "OK: they are inside the object of \(granules) granules")
    }
    return answer
  }

  /// Granules `pgoff ..< pgoff + count`, in as many questions as it takes.
  func read(_ pgoff: UInt64, _ count: UInt64, _ manner: Manner = Manner()) throws -> Bytes {
    var storage: [UInt8] = []
    var next = pgoff
    while next < pgoff + count {
      let answer = try content(next, pgoff + count - next, manner)
      storage += answer.bytes.storage
      next += answer.count
    }
    return Bytes(storage)
  }

  /// One call of alloc_folio.
  func askOnce(
    _ pgoff: UInt64, _ count: UInt64, ticket: UInt64, _ manner: Manner = Manner()
  ) throws -> Answer {
    let granule = manner.granule ?? granule
    let fence = Fence(
      length: Int(count * granule), beyond: HOOK_TRAP_BEYOND_STAGING, poison: manner.poison)
    let request = unsafe fence.structs.assumingMemoryBound(to: uffd_folio_request.self)
    unsafe request.initialize(
      to: uffd_folio_request(
        size: UInt32(MemoryLayout<uffd_folio_request>.size), reserved: 0, pgoff: pgoff,
        count: count, granule: granule, access: manner.access, ticket: ticket,
        staging: fence.content, staging_length: count * granule))
    let room = unsafe (fence.structs + 2048).assumingMemoryBound(to: uffd_folio.self)
    unsafe room.initialize(to: uffd_folio())
    unsafe room.pointee.size = UInt32(MemoryLayout<uffd_folio>.size)
    let status = call("alloc_folio") {
      unsafe Status(table.alloc_folio!(pointer, request, room))
    }
    let folio = unsafe room.pointee
    defer { fence.expire(HOOK_TRAP_PAST_STAGING) }
    Rule.seen.mark(Rule.beyondStaging, Rule.lateStaging)
    if status == .busy { Rule.seen.mark(Rule.answered) }
    if !status.isKnown { throw Breach(Rule.status, "alloc_folio answered \(status)") }
    try rethrow()
    guard status == .ok else { return Answer(status: status) }
    let question = Question(pgoff: pgoff, count: count, granule: granule)
    return try unsafe judge(folio, question, fence, keepsLend: manner.keepsLend)
  }

  private struct Question {
    let pgoff: UInt64
    let count: UInt64
    let granule: UInt64
    var text: String { "\(count) granules from pgoff \(pgoff)" }
  }

  /// An OK answer against the rules; its bytes.
  private func judge(
    _ folio: uffd_folio, _ question: Question, _ fence: Fence, keepsLend: Bool
  ) throws -> Answer {
    let count = unsafe folio.count
    Rule.seen.mark(Rule.count, Rule.kind)
    guard count >= 1, count <= question.count else {
      throw Breach(Rule.count, "count \(count) in the answer to \(question.text)")
    }
    let length = Int(count * question.granule)
    var answer = unsafe Answer(status: .ok, kind: folio.kind, count: count)
    switch unsafe folio.kind {
    case .staged:
      Rule.seen.mark(Rule.stagedMemory)
      answer.bytes = try unsafe staged(folio, question, fence, length)
    case .lent:
      Rule.seen.mark(Rule.lendDeclared, Rule.lendLength, Rule.lendReadable)
      let lend = try unsafe lent(folio, question, length)
      answer.bytes = lend.bytes
      if keepsLend { answer.lend = lend } else { put(lend) }
    case .zero:
      Rule.seen.mark(Rule.zeroMemory)
      if unsafe folio.memory != nil {
        throw Breach(Rule.zeroMemory, "memory is not NULL in the answer to \(question.text)")
      }
      answer.bytes = Bytes(zeroes: length)
    default:
      throw unsafe Breach(
        Rule.kind, "kind \(folio.kind.rawValue) in the answer to \(question.text)")
    }
    return answer
  }

  private func staged(
    _ folio: uffd_folio, _ question: Question, _ fence: Fence, _ length: Int
  ) throws -> Bytes {
    guard let memory = unsafe folio.memory, unsafe memory != UnsafeRawPointer(fence.content) else {
      return unsafe Bytes(fence.content, length)
    }
    guard let bytes = unsafe host.takeBack(memory, length: length) else {
      throw Breach(
        Rule.stagedMemory,
        "STAGED with memory that is neither, or is shorter than \(length) bytes, for \(question.text)"
      )
    }
    return bytes
  }

  private func lent(_ folio: uffd_folio, _ question: Question, _ length: Int) throws -> Lend {
    guard library.has(.lend) else {
      throw Breach(Rule.lendDeclared, "LENT without the capability, for \(question.text)")
    }
    guard let memory = unsafe folio.memory else {
      throw Breach(Rule.lendLength, "LENT with memory NULL, for \(question.text)")
    }
    guard unsafe folio.length >= UInt64(length) else {
      throw unsafe Breach(
        Rule.lendLength,
        "LENT \(folio.length) bytes for \(folio.count) granules of \(question.granule) bytes")
    }
    guard let bytes = unsafe Bytes(carefully: memory, length) else {
      throw Breach(Rule.lendReadable, "memory that cannot be read, lent for \(question.text)")
    }
    return unsafe Lend(question.pgoff, folio, bytes)
  }

  /// put_folio, with the answer as the provider gave it, at another address.
  func put(_ lend: Lend) {
    precondition(lend.isOut, "a lend is put back once")
    lend.isOut = false
    let room = Fence(length: 0, beyond: HOOK_TRAP_PAST_STRUCT, poison: 0)
    let folio = unsafe room.structs.assumingMemoryBound(to: uffd_folio.self)
    unsafe folio.initialize(to: lend.folio)
    call("put_folio") { unsafe table.put_folio!(pointer, folio, lend.pgoff) }
    room.expire(HOOK_TRAP_PAST_STRUCT)
  }
}
