// SPDX-License-Identifier: Apache-2.0
// Rules that any call can break. They are watched in every check, and reported once.
import CHookTrap

enum Rule {
  static let status = Check(
    "table.status", "hooks answer statuses that the header lists for them", Sentence.closedSet)
  static let count = Check(
    "alloc.count", "an OK answer covers 1 to request.count granules",
    "granules answered, from the asked pgoff: 1 to request.count")
  static let kind = Check(
    "alloc.kind", "an OK answer is STAGED, LENT or ZERO",
    "OK with folio filled: starts at request.pgoff, covers 1 to request.count granules;")
  static let stagedMemory = Check(
    "alloc.staged-memory", "STAGED bytes are in request.staging or in memory from staging_alloc",
    "The bytes are in request.staging (memory NULL), or in memory from staging_alloc, which this answer hands back."
  )
  static let zeroMemory = Check(
    "alloc.zero-memory", "a ZERO answer has no memory", "Every byte is zero; memory is NULL.")
  static let beyondStaging = Check(
    "alloc.beyond-staging", "nothing behind count * granule bytes of staging is touched",
    "Host memory for the answer, page-aligned, at least count * granule bytes, undefined content.")
  static let lateStaging = Check(
    "alloc.late-staging", "staging is not touched after the answer",
    "Valid until the hook returns. Never kept, not even when the answer is BUSY.")
  static let arena = Check(
    "alloc.arena", "memory from staging_alloc is used inside its length, and handed back once",
    "The provider owns it until it hands it back: by staging_free, or as the memory of a STAGED answer, or at the latest when close returns."
  )
  static let lendDeclared = Check(
    "lend.declared", "memory is lent only with the capability LEND",
    "The bytes are at `memory`, which stays readable and unchanged until put_folio. Needs LEND.")
  static let lendLength = Check(
    "lend.length", "lent memory is not NULL and as long as its granules",
    "LENT: bytes readable at memory, at least count * granule")
  static let lendReadable = Check(
    "lend.readable", "all bytes of a lend can be read until put_folio",
    "The bytes are at `memory`, which stays readable and unchanged until put_folio. Needs LEND.")
  static let keptPointer = Check(
    "life.kept-pointer", "structs that a hook was given are not touched after it",
    "A pointer that a hook is given lives until the hook returns, except where the hook says otherwise."
  )
  static let afterClose = Check(
    "life.after-close", "no service is called, and nothing of the host is touched, after close",
    "Host services may be called from any thread, at any time from configure until close returns.")
  static let exits = Check(
    "life.exit", "no hook ends the process",
    "No exit(), fork(), chdir(), setenv(), setlocale() or signal handler after configure.")
  static let kickKnown = Check(
    "busy.kick-known", "only tickets of questions are kicked",
    "\"Ask again\": the answer to the question with this ticket is ready.")
  static let answered = Check(
    "busy.answered", "a question that was BUSY is answered within 10 seconds", Sentence.asked)
  static let lookupStaging = Check(
    "lookup.no-staging", "get_folio_noalloc does not call staging_alloc",
    "fault thread; never allocates, must not block")
  static let accepted = Check(
    "lookup.lost", "a granule that filemap_add accepted is not ABSENT",
    "ABSENT for a granule that filemap_add accepted and filemap_remove did not take back is a broken provider."
  )

  static let insideRoom = Check(
    "extents.inside-room", "nothing but the elements is written",
    "extents has room for `capacity` elements, `stride` bytes apart")

  static let all: [Check] = [
    insideRoom,
    status, count, kind, stagedMemory, zeroMemory, beyondStaging, lateStaging, arena,
    lendDeclared, lendLength, lendReadable, keptPointer, afterClose, exits, kickKnown, answered,
    lookupStaging, accepted,
  ]

  /// The rules that some call so far could have broken.
  static let seen = Seen()

  final class Seen: @unchecked Sendable {
    private let lock = Lock()
    private var marked: Set<String> = []
    func mark(_ rules: Check...) {
      lock.held { for rule in rules { marked.insert(rule.id) } }
    }
    var ids: [String] { lock.held { marked.sorted() } }
  }

  /// The rules of a family, for its list of checks.
  static func of(_ family: String, but done: Check...) -> [Check] {
    all.filter { rule in rule.family == family && !done.contains { $0.id == rule.id } }
  }

  /// The rule that an access to a fence breaks, and what to say of it.
  static func behind(_ fence: Int) -> (rule: Check, text: String)? {
    switch hook_trap_fence(UInt32(fence)) {
    case HOOK_TRAP_BEYOND_STAGING: (beyondStaging, "an access behind the end of staging")
    case HOOK_TRAP_PAST_STAGING: (lateStaging, "an access to staging after the hook had returned")
    case HOOK_TRAP_PAST_STRUCT:
      (keptPointer, "an access to a struct of the host after the hook had returned")
    case HOOK_TRAP_BEYOND_EXTENTS: (insideRoom, "an access behind the room for extents")
    case HOOK_TRAP_BEYOND_ARENA: (arena, "an access behind the end of memory from staging_alloc")
    case HOOK_TRAP_PAST_ARENA:
      (arena, "an access to memory from staging_alloc that had been handed back")
    case HOOK_TRAP_PAST_CLOSE:
      (afterClose, "an access to the host's table or strings after close had returned")
    default: nil
    }
  }
}
