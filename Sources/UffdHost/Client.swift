// SPDX-License-Identifier: Apache-2.0
import Synchronization

/// One client: a process that handed its userfaultfd over. Its regions are served until it ends, is
/// drained, or asks to be left alone. All members may be called from any thread but a reader.
///
/// One reader serves it, and all others that map its memfds: the thread that reads its uffd is the thread
/// that installs its pages, so that a discard and an install never cross. Where that cannot be
/// (`Backing.isCrossed`), the exclusion is taken (Exclusion.swift).
@safe package final class Client: @unchecked Sendable {
  /// How serving a client ended.
  package enum End: Sendable, Equatable {
    /// Its memory is gone: it exited, or executed another program.
    case gone
    /// Every page is there (or poisoned), and nothing is watched any more. `poisoned` counts bytes.
    case drained(poisoned: UInt64)
  }
  package typealias OnEnd = @Sendable (Client, End) -> Void

  /// Unique in this process, never reused.
  package let id: UInt64
  package let identity: ClientIdentity
  /// The client that forked it, if one did. Which process it is the kernel does not say.
  package let parent: UInt64?
  /// The first of all that forked down to this one.
  let family: UInt64

  package let instance: Instance
  let uffd: Descriptor
  let record: SessionPointer
  let onEnd: OnEnd
  /// Notes what it touches first; its children's touches too.
  package let recording: Recording?
  let port: ReaderPort
  private let countersMemory: Mapping
  private let phase = Mutex(ClientProgress.Phase.serving)
  private let usesInstance = Mutex(true)
  /// What is filled of it before it is touched, now or earlier.
  private let prefetches = Mutex<[Prefetch]>([])
  private let fillsRest = Mutex(false)
  private static let nextIdentifier = Mutex<UInt64>(1)

  // The reader's own, after it has adopted the client.
  var backings: [Backing] = []
  var strangers = Strangers()
  /// The pidfd is in the poller.
  var isExitWatched = false
  /// Its reader could not take it on.
  var refusal: HostError?

  /// Serves what a client handed over. The uffd's handshake is done, its ranges are registered, it does not
  /// block. Owns `uffd` from now on, whether it throws or not.
  ///
  /// `onEnd` is called once, on a reader, and for each child that the client forks, too: it must only ring
  /// a bell.
  package convenience init(
    _ plan: ClientPlan, _ identity: ClientIdentity, uffd: Descriptor, recording: Recording? = nil,
    onEnd: @escaping OnEnd
  ) throws(HostError) {
    let instance = plan.instance
    try self.init(
      instance, identity, uffd, plan.port ?? instance.host.session.readers.leastLoaded(),
      parent: nil, family: nil, recording, onEnd)
    let regions = unsafe try plan.makeRecords(session: record)
    for region in regions { unsafe record.pointee.table.insert(region.region) }
    self.backings = plan.backings
    // Its reader may find that it has ended before this goes on.
    instance.host.clients.add(self)
    port.perform(.adopt(self))
    if let refusal {
      instance.host.clients.remove(self)
      throw refusal
    }
  }

  init(
    _ instance: Instance, _ identity: ClientIdentity, _ uffd: Descriptor, _ port: ReaderPort,
    parent: UInt64?, family: UInt64?, _ recording: Recording?, _ onEnd: @escaping OnEnd
  ) throws(HostError) {
    try recording?.check(instance)
    // The uffd of a forked child is held by nobody else.
    let calls: UffdCallTable? =
      parent == nil ? .shared(with: uffd, instance.host.publisher.calls) : .kernel
    guard let calls else {
      throw HostError(
        .usage,
        "the userfaultfd was made by the kernel for a fork, and reading it could be made to wait; hand over "
          + "one that the process has opened")
    }
    do {
      countersMemory = try Mapping.table(Counters.bytes + LatencyRecord.bytes)
    } catch {
      throw HostError(.system, "there is no memory for another client (\(error.name))")
    }
    try instance.use()
    id = Client.nextIdentifier.withLock { next in
      defer { next += 1 }
      return next
    }
    self.instance = instance
    self.identity = identity
    self.uffd = uffd
    self.port = port
    self.parent = parent
    self.family = family ?? id
    self.onEnd = onEnd
    self.recording = recording
    unsafe record = .allocate(capacity: 1)
    let base = unsafe countersMemory.base
    unsafe record.initialize(
      to: SessionRecord(
        calls: UffdCalls(fd: uffd.fd, table: instance.host.options.tuning.calls ?? calls),
        exclusion: .none, counters: Counters(base),
        latency: LatencyRecord(base + Int(Counters.bytes)), touches: recording?.table,
        client: Unmanaged.passUnretained(self)))
  }

  deinit {
    for index in unsafe 0..<record.pointee.table.count {
      unsafe free(record.pointee.table.regions[index])
    }
    unsafe record.pointee.table.free()
    unsafe record.deallocate()
    leave()
  }

  /// More regions of the same uffd, planned for this client. All of them or none.
  package func add(_ plan: ClientPlan) throws(HostError) {
    let addition = ClientAddition(plan)
    port.perform(.change(self, .add(addition)))
    if let error = addition.error { throw error }
    guard fillsRest.withLock({ $0 }) else { return }
    for region in plan.regions {
      fill(restOf: region.start..<(region.start + region.length))
    }
  }

  /// Fills what is missing in [start, start + length), stops watching it, and calls `completion` on a
  /// reader with nil or what went wrong. The range begins and ends with regions.
  package func remove(
    start: UInt64, length: UInt64, completion: @escaping @Sendable (HostError?) -> Void
  ) {
    let (end, overflow) = start.addingReportingOverflow(length)
    guard !overflow, length > 0 else {
      return completion(HostError(.usage, "a range of \(length) bytes at \(start) is no memory"))
    }
    port.perform(.change(self, .remove(start..<end, completion)))
  }

  /// Fills granules of the object, in whichever of its regions they are, before it touches them: in the
  /// background, and as a hint.
  package func prefetch(_ granules: [Range<UInt64>]) -> Prefetch {
    begin(ClientPrefetch(self, normalized(granules, in: 0..<instance.granuleCount), .listed))
  }

  /// Fills all of its memory before it touches it, regions that it adds later and children that it forks, too:
  /// in the background, behind what is listed, and as a hint.
  package func fillInBackground() {
    fillsRest.withLock { $0 = true }
    fill(restOf: 0..<UInt64.max)
  }

  private func fill(restOf window: Range<UInt64>) {
    _ = begin(ClientPrefetch(self, [0..<instance.granuleCount], .rest, in: window))
  }

  private func begin(_ prefetch: ClientPrefetch) -> Prefetch {
    prefetches.withLock { list in
      // Of a client that adds memory again and again the earlier ones are told no more.
      if list.count >= 64 { list.removeAll { $0.progress.isFinished } }
      list.append(prefetch.prefetch)
    }
    port.perform(.change(self, .prefetch(prefetch)))
    return prefetch.prefetch
  }

  /// Fills everything, then stops watching; ends with `.drained`. Asked twice is asked once.
  package func drain() { port.perform(.change(self, .drain)) }

  /// Poisons what is still missing (or kills the client where the kernel cannot poison), then stops
  /// watching; ends with `.drained`.
  package func poisonMissing() { port.perform(.change(self, .poisonMissing)) }

  /// Stops serving and keeps the uffd open until the client ends, so that missing pages stall and never
  /// read zero. Who holds the uffd serves it from now on, its events too.
  package func detach() { port.perform(.change(self, .detach)) }

  /// How far its memory is served, counted now.
  package var progress: ClientProgress {
    var progress = ClientProgress()
    let inspection = ClientInspection()
    port.perform(.change(self, .inspect(inspection)))
    progress.regions = inspection.count()
    progress.isTruncated = inspection.isTruncated
    progress.phase = phase.withLock { $0 }
    unsafe record.pointee.counters.add(to: &progress.statistics)
    progress.statistics.parkedNow = inspection.parked
    progress.heldNow = inspection.held
    if let oldest = inspection.oldest {
      let now = monotonicNanoseconds()
      progress.longestWaitNanoseconds = now - min(now, oldest)
    }
    progress.latency = unsafe record.pointee.latency.summary
    progress.fill = prefetches.withLock { ClientProgress.Fill($0, granule: instance.granule) }
    return progress
  }

  // MARK: For its reader

  /// The fill of a child that was just forked, if its parent's memory is filled; its reader begins it.
  func inheritFill(from parent: Client) -> ClientPrefetch? {
    guard parent.fillsRest.withLock({ $0 }) else { return nil }
    fillsRest.withLock { $0 = true }
    let prefetch = ClientPrefetch(self, [0..<instance.granuleCount], .rest)
    prefetches.withLock { $0.append(prefetch.prefetch) }
    return prefetch
  }

  /// Nothing of it needs the instance any more.
  func leave() {
    let isLast = usesInstance.withLock { uses in
      defer { uses = false }
      return uses
    }
    if isLast { instance.unuse() }
  }

  func enter(_ next: ClientProgress.Phase) { phase.withLock { $0 = next } }
  var currentPhase: ClientProgress.Phase { phase.withLock { $0 } }

  /// UFFDIO_UNREGISTER; why it failed, if it did.
  func unregister(_ start: UInt64, _ length: UInt64) -> Errno? {
    do {
      try Userfaultfd.unregister(uffd, start, length: length)
      return nil
    } catch {
      return error
    }
  }

  /// Kills the process; false: which one it is nobody knows.
  func kill(_ reporter: Reporter) -> Bool {
    guard parent == nil, let pidfd = identity.pidfd else {
      reporter.cannotKill(id)
      return false
    }
    return pidfd.kill()
  }
}
