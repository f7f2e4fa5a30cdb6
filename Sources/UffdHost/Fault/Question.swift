// SPDX-License-Identifier: Apache-2.0
// One question to a provider, from the fault that raised it until its pages are installed or given up:
// the slot that holds it while it waits, and the ticket that names it to the provider.
import Synchronization
import UffdPluginABI

/// A fault (or a piece of a fill) that is being asked about or waits. Plain data at a fixed address.
@safe struct Question {
  enum Phase: UInt8 {
    case free
    /// Being asked on the reader right now.
    case asking
    /// Waits for its time: the kernel or the provider put it off.
    case timed
    /// The provider said BUSY: waits for a kick, or its time.
    case busy
    /// A worker has it.
    case working
    /// Given up while a worker has it: the worker's answer is undone when it comes.
    case abandoned
  }
  enum Purpose: UInt8 {
    /// alloc_folio, filemap_add.
    case fill
    /// get_folio_noalloc.
    case lookUp
    /// filemap_add alone: zeroes are about to be published.
    case account
    /// alloc_folio only to learn which memory would be lent, and to make that resident.
    case warm
  }

  /// Generation << 1 | kicked. Other threads set the kicked bit; the reader does the rest.
  var ticketWord: UInt64 = 2
  var phase = Phase.free
  var purpose = Purpose.fill
  var kind = FaultKind.missing
  var access: UInt64 = 0
  /// Nil: the pages go to the backing alone (a publish).
  var region: UnsafeMutablePointer<RegionRecord>?
  var instance: UnsafeMutablePointer<InstanceRecord>?
  var backing: UnsafeMutablePointer<BackingRecord>?
  /// The object's granules in question.
  var pgoff: UInt64 = 0
  var count: UInt64 = 0
  /// Somebody sleeps on these granules; what the question has outside of them is taken along, and nobody
  /// misses it.
  var wanted: Range<UInt64> = 0..<UInt64.max
  /// These backing pages are claimed (`filling`) for this question.
  var claimed = false
  /// What they were before, and will be again if nothing comes of it.
  var claimedFrom = BackingPage.absent
  /// Zeroes are installed, not content: right for a page that was discarded, too.
  var isZero = false
  /// The background fill that this is a piece of; nil: somebody sleeps on it.
  var order: Unmanaged<FillOrder>?
  /// Tries are over: only the poison is still to be installed.
  var isGivenUp = false
  /// Whether the page is there at all, its POISON will tell.
  var isProbe = false
  /// Nanoseconds of CLOCK_MONOTONIC.
  var born: UInt64 = 0
  var due: UInt64 = 0
  var backoff: UInt64 = 0
  /// Tries after a shortage.
  var attempts: UInt32 = 0
  /// Look-ups that were answered ABSENT, though the provider had accounted the page.
  var absences: UInt32 = 0
  /// What a parked question waits for.
  var waiting = Waiting.kernel
  /// Place in the reader's list of active questions.
  var place: Int32 = -1
  /// The client in whose number of open questions it is counted.
  var counted: SessionPointer?
  /// What the worker found.
  var status = uffd_status.ok
  var folio = unsafe uffd_folio()
  var staging: UnsafeMutableRawPointer?
  /// Granules that filemap_add accepted for this answer and that are not published yet.
  var addedCount: UInt64 = 0
  /// What filemap_add said, when a worker asked it.
  var accountStatus = uffd_status.ok
}

// Of the pointer, not of the question: a property of the question would copy all of it first.
extension UnsafeMutablePointer<Question> {
  @inline(__always)
  var pgoffs: Range<UInt64> { unsafe pointee.pgoff..<(pointee.pgoff + pointee.count) }
  /// Some of its pages are taken along.
  @inline(__always)
  var takesAlong: Bool {
    unsafe pointee.pgoff < pointee.wanted.lowerBound
      || pointee.pgoff + pointee.count > pointee.wanted.upperBound
  }
  /// All of them are.
  @inline(__always)
  var isUnwanted: Bool {
    unsafe pointee.pgoff >= pointee.wanted.upperBound
      || pointee.pgoff + pointee.count <= pointee.wanted.lowerBound
  }
  /// Pages that nobody misses are not waited for, but a prefetch has the time until the address space
  /// stands still.
  @inline(__always)
  func mayWait(_ waiting: Waiting) -> Bool { unsafe pointee.order != nil && waiting == .kernel }
  @inline(__always)
  func isWanted(_ index: UInt64) -> Bool { unsafe pointee.wanted.contains(pointee.pgoff + index) }
  /// How many of the pages before `end` are taken along.
  @inline(__always)
  func unwanted(before end: UInt64) -> UInt64 {
    // A prefetch is counted by whoever asked for it.
    if unsafe pointee.order != nil { return 0 }
    let low = unsafe max(pointee.pgoff, pointee.wanted.lowerBound)
    let high = unsafe min(end, pointee.wanted.upperBound)
    return unsafe end - pointee.pgoff - (low < high ? high - low : 0)
  }
}

/// Tickets that no reader has: a kick for one is ignored. For questions that are asked beside the fault
/// path.
enum LooseTicket {
  private static let last = Mutex<UInt64>(0)

  static func next() -> UInt64 {
    last.withLock { last in
      last += 1
      return last << 32 | 0xffff_ffff
    }
  }
}

/// The questions of one reader. Slots never move, so a stale ticket is always safe to look at.
@safe struct QuestionTable: @unchecked Sendable {
  let slots: UnsafeMutablePointer<Question>
  /// Active slots, dense.
  let active: UnsafeMutablePointer<Int32>
  private let free: UnsafeMutablePointer<Int32>
  private(set) var activeCount = 0
  private var freeCount: Int
  let reader: UInt64
  static let capacity = 1 << 15
  /// So many of them may be one client's, or it could leave none to the others of its reader.
  static let mostOfClient = capacity / 4

  static var bytes: UInt64 {
    UInt64(capacity) * UInt64(MemoryLayout<Question>.stride + 2 * MemoryLayout<Int32>.stride)
  }

  /// `memory` holds `bytes` zero bytes; pages of it that no question uses are never touched.
  init(_ memory: UnsafeMutableRawPointer, reader: UInt64) {
    unsafe slots = unsafe memory.assumingMemoryBound(to: Question.self)
    let lists = unsafe (memory + Self.capacity * MemoryLayout<Question>.stride)
      .assumingMemoryBound(to: Int32.self)
    unsafe active = unsafe lists
    unsafe free = unsafe lists + Self.capacity
    freeCount = 0
    self.reader = reader
  }

  /// Slots that were never used come after those that were freed: `used` is the high-water mark.
  private var used: Int32 = 0

  var isFull: Bool { freeCount == 0 && Int(used) == Self.capacity }

  /// Takes a slot for a new question; it is not active yet.
  @inline(__always)
  mutating func take() -> UnsafeMutablePointer<Question>? {
    let index: Int32
    if freeCount > 0 {
      freeCount -= 1
      index = unsafe free[freeCount]
    } else if Int(used) < Self.capacity {
      index = used
      used += 1
      unsafe (slots + Int(index)).initialize(to: Question())
    } else {
      return nil
    }
    let slot = unsafe slots + Int(index)
    unsafe slot.pointee.phase = .asking
    unsafe slot.pointee.place = -1
    unsafe slot.pointee.purpose = .fill
    unsafe slot.pointee.wanted = 0..<UInt64.max
    unsafe slot.pointee.claimed = false
    unsafe slot.pointee.isZero = false
    unsafe slot.pointee.order = nil
    unsafe slot.pointee.isGivenUp = false
    unsafe slot.pointee.isProbe = false
    unsafe slot.pointee.born = 0
    unsafe slot.pointee.backoff = 0
    unsafe slot.pointee.attempts = 0
    unsafe slot.pointee.absences = 0
    unsafe slot.pointee.staging = nil
    unsafe slot.pointee.addedCount = 0
    unsafe slot.pointee.accountStatus = .ok
    return unsafe slot
  }

  /// The slot that `take` gives out next, for its ticket. Nil: there may be one, but it was never used.
  @inline(__always)
  var next: UnsafeMutablePointer<Question>? {
    freeCount > 0 ? unsafe slots + Int(free[freeCount - 1]) : nil
  }

  /// Ends a question: its ticket becomes stale, its slot free.
  @inline(__always)
  mutating func end(_ slot: UnsafeMutablePointer<Question>) {
    unsafe renew(slot)
    if unsafe slot.pointee.place >= 0 { unsafe deactivate(slot) }
    unsafe slot.pointee.phase = .free
    unsafe free[freeCount] = unsafe Int32(slot - slots)
    freeCount += 1
  }

  /// Gives a question another ticket: what was asked before is asked no more.
  @inline(__always)
  func renew(_ slot: UnsafeMutablePointer<Question>) {
    let word = unsafe AtomicWord(slot.pointer(to: \.ticketWord)!)
    word.release((word.relaxed & ~1) &+ 2)
  }

  mutating func activate(_ slot: UnsafeMutablePointer<Question>) {
    if unsafe slot.pointee.place >= 0 { return }
    unsafe slot.pointee.place = Int32(activeCount)
    unsafe active[activeCount] = unsafe Int32(slot - slots)
    activeCount += 1
    // The session of this process has several readers, and nobody to be protected from.
    guard let session = unsafe slot.pointee.region?.pointee.session,
      unsafe !session.pointee.isOwnProcess
    else { return }
    unsafe session.pointee.openQuestions += 1
    unsafe slot.pointee.counted = unsafe session
  }

  /// A question is none of its client's any more, who may be gone before it ends.
  func disown(_ slot: UnsafeMutablePointer<Question>) {
    guard let session = unsafe slot.pointee.counted else { return }
    unsafe session.pointee.openQuestions -= 1
    unsafe slot.pointee.counted = nil
  }

  private mutating func deactivate(_ slot: UnsafeMutablePointer<Question>) {
    unsafe disown(slot)
    let place = unsafe Int(slot.pointee.place)
    activeCount -= 1
    let last = unsafe active[activeCount]
    unsafe active[place] = last
    unsafe slots[Int(last)].place = Int32(place)
    unsafe slot.pointee.place = -1
  }

  /// The ticket of a question: generation, reader, slot.
  @inline(__always)
  func ticket(_ slot: UnsafeMutablePointer<Question>) -> UInt64 {
    let generation = unsafe AtomicWord(slot.pointer(to: \.ticketWord)!).relaxed >> 1
    return unsafe (generation & 0xffff_ffff) << 32 | reader << 24 | UInt64(slot - slots)
  }

  /// Marks the question of `ticket` as kicked; false if the ticket is stale. Any thread.
  func kick(_ ticket: UInt64) -> Bool {
    let index = Int(ticket & 0xff_ffff)
    guard index < Self.capacity else { return false }
    let word = unsafe AtomicWord((slots + index).pointer(to: \.ticketWord)!)
    var found = word.acquired
    while found >> 1 & 0xffff_ffff == ticket >> 32 {
      if word.compareExchange(&found, found | 1) { return true }
    }
    return false
  }

  /// Whether the question was kicked since it was last asked; clears the mark.
  @inline(__always)
  func takeKick(_ slot: UnsafeMutablePointer<Question>) -> Bool {
    let word = unsafe AtomicWord(slot.pointer(to: \.ticketWord)!)
    var found = word.acquired
    while found & 1 == 1 {
      if word.compareExchange(&found, found & ~1) { return true }
    }
    return false
  }
}
