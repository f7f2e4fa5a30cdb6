// SPDX-License-Identifier: Apache-2.0
// What the fault path knows of an instance: plain data at a fixed address, so that a fault retains
// nothing and looks nothing up. Owned by `Instance`; lives until no reader and no worker can reach it.
import UffdPluginABI

/// The hooks of an instance and where they may run.
@safe struct InstanceRecord {
  typealias Alloc =
    @convention(c) (
      OpaquePointer, UnsafePointer<uffd_folio_request>, UnsafeMutablePointer<uffd_folio>
    ) -> uffd_status
  typealias Put = @convention(c) (OpaquePointer, UnsafePointer<uffd_folio>, UInt64) -> Void
  typealias Lookup = @convention(c) (OpaquePointer, UInt64, UInt64) -> uffd_status
  typealias Add = @convention(c) (OpaquePointer, UInt64, UInt64) -> uffd_status
  typealias Range = @convention(c) (OpaquePointer, UInt64, UInt64) -> Void
  typealias Extents =
    @convention(c) (
      OpaquePointer, UInt64, UInt64, UnsafeMutablePointer<uffd_extent>, UInt64, UInt64,
      UnsafeMutablePointer<UInt64>
    ) -> uffd_status
  typealias Cancel = @convention(c) (OpaquePointer, UInt64) -> Void

  let handle: OpaquePointer
  /// What `alloc` and `put` are given: the same, or the host's own state behind a declared file.
  let contentHandle: OpaquePointer
  let alloc: Alloc?
  let put: Put?
  let lookup: Lookup?
  let filemapAdd: Add?
  let filemapRemove: Range?
  let discard: Range?
  let cancel: Cancel?
  /// Given `contentHandle`, as `alloc` is.
  let willNeed: Range?
  /// The same. Nil also where what it says does not last.
  let extents: Extents?
  let granule: UInt64
  let granuleShift: UInt64
  /// Granules of the object.
  let count: UInt64
  /// alloc_folio may run on the reader: PARALLEL and never blocking.
  let isInline: Bool
  /// The hooks that must not block may run on the reader: PARALLEL.
  let isDirect: Bool
  /// A minor fault is continued without asking (a declared file has no hooks).
  let lends: Bool
  /// What a hole of a declared backing reads; nil: ask alloc_folio.
  let holeIsZero: Bool
  /// Threads that run its hooks, when they are not inline, or make resident what it lends.
  let workers: UInt64
  /// Runs the hooks when they are not inline, and warms lent memory when they are.
  let executor: Unmanaged<Executor>
  let arena: Unmanaged<StagingArena>
  /// The `Instance`, for messages about it. Slow paths only.
  unowned(unsafe) let owner: Instance
  /// Non-zero once the provider broke the contract: its regions fail closed.
  var brokenWord: UInt64 = 0
  /// Non-zero once the provider said BUSY.
  var busyWord: UInt64 = 0
  /// Questions that workers have and readers wait for.
  var inFlightWord: UInt64 = 0
  /// What `extents` calls zero; nil: nobody says it.
  let zeroes: ZeroBits?
  /// A bit for each 2 MiB of content whose lent memory was made resident once.
  let warm: UnsafeMutablePointer<UInt64>

  /// A look-up costs no more than a call.
  @inline(__always)
  var looksUpHere: Bool { unsafe lookup == nil || isDirect }
  /// Granules in one bit of `warm`: 2 MiB, or one granule.
  @inline(__always)
  var warmGranules: UInt64 { 1 << warmShift }
  /// A shift and no division: the fault path asks for it several times.
  @inline(__always)
  var warmShift: UInt64 { 21 - min(21, granuleShift) }
}

extension UnsafeMutablePointer<InstanceRecord> {
  @inline(__always)
  var isBroken: Bool { unsafe AtomicWord(pointer(to: \.brokenWord)!).relaxed != 0 }

  @inline(__always)
  func isKnownZero(_ pgoff: UInt64) -> Bool { unsafe pointee.zeroes?.contains(pgoff) == true }

  func markBroken() -> Bool { unsafe AtomicWord(pointer(to: \.brokenWord)!).exchange(1) == 0 }

  /// alloc_folio runs on the reader, and has always answered at once.
  @inline(__always)
  var isPrompt: Bool {
    unsafe pointee.isInline && AtomicWord(pointer(to: \.busyWord)!).relaxed == 0
  }

  func answersLater() { unsafe AtomicWord(pointer(to: \.busyWord)!).relaxed = 1 }

  var inFlight: AtomicWord { unsafe AtomicWord(pointer(to: \.inFlightWord)!) }

  @inline(__always)
  func isWarm(_ pgoff: UInt64) -> Bool {
    let chunk = unsafe pgoff >> pointee.warmShift
    return unsafe AtomicWord(pointee.warm + Int(chunk / 64)).relaxed >> (chunk % 64) & 1 == 1
  }

  func setWarm(_ pgoff: UInt64) {
    let chunk = unsafe pgoff >> pointee.warmShift
    let word = unsafe AtomicWord(pointee.warm + Int(chunk / 64))
    var found = word.relaxed
    while !word.compareExchange(&found, found | 1 << (chunk % 64)) {}
  }

  /// Size of a buffer of staging_alloc, or nil. Not inlined: rare, and it counts references.
  @inline(never)
  func stagingSize(of memory: UnsafeRawPointer) -> UInt64? {
    unsafe pointee.arena._withUnsafeGuaranteedRef { unsafe $0.size(of: memory) }
  }

  /// Takes back a buffer of the arena.
  @inline(never)
  func freeStaging(_ memory: UnsafeRawPointer) {
    unsafe pointee.arena._withUnsafeGuaranteedRef {
      _ = unsafe $0.free(UnsafeMutableRawPointer(mutating: memory))
    }
  }

  /// Gives a job to the workers.
  @inline(never)
  func submit(_ job: Job, _ lane: WorkLane) {
    unsafe inFlight.add(1)
    unsafe pointee.executor._withUnsafeGuaranteedRef { $0.submit(job, lane) }
  }

  /// A fault waits for granules of a backing, for which a question in the background may have to be asked first.
  @inline(never)
  func promote(
    _ pgoffs: Range<UInt64>, of backing: UnsafeMutablePointer<BackingRecord>,
    for session: SessionPointer
  ) {
    unsafe pointee.executor._withUnsafeGuaranteedRef {
      unsafe $0.promote(pgoffs, of: backing, to: UInt(bitPattern: session))
    }
  }

  /// The same for a question.
  @inline(never)
  func promote(_ question: UnsafeMutablePointer<Question>, for session: SessionPointer) {
    unsafe pointee.executor._withUnsafeGuaranteedRef {
      unsafe $0.promote(question, to: UInt(bitPattern: session))
    }
  }

  /// Whether no worker has begun with a question that nobody waits for.
  @inline(never)
  func isWaiting(_ question: UnsafeMutablePointer<Question>) -> Bool {
    unsafe pointee.executor._withUnsafeGuaranteedRef { unsafe $0.isWaiting(question) }
  }
}
