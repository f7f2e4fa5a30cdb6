// SPDX-License-Identifier: Apache-2.0
import Synchronization
import UffdPluginABI

/// Memory of this process that shows a window of an instance's object. Its pages appear when they are
/// first touched.
@safe public final class Region: @unchecked Sendable {
  /// Which window, and how it is mapped.
  public struct Options: Sendable {
    /// The first granule of the object.
    public var firstGranule: UInt64 = 0
    /// How many granules; nil: all from the first.
    public var granules: UInt64?
    /// Shared or private; anonymous memory is private whatever this says.
    public var sharing = Sharing.shared
    /// Where missing content goes. A shared region always fills the backing.
    public var fill = FillTarget.backing
    /// Notes what of the region is touched first, and when.
    public var recording: Recording?
    public init() {}
  }

  /// The memory. Valid until ``detach()``; belongs to the region: do not unmap, remap or protect it. Giving
  /// pages back (madvise(2), MADV_DONTNEED) is allowed: a private page then reads zero.
  ///
  /// A page that cannot be provided raises SIGBUS. The memory is not inherited by fork(2).
  public let memory: UnsafeMutableRawBufferPointer
  public let instance: Instance
  /// The unit of serving in bytes.
  public let granule: UInt64
  public let sharing: Sharing
  public let fillTarget: FillTarget

  private enum Phase { case serving, draining, drained, detached }
  private let mapping: Mapping
  private let stateMemory: Mapping
  private let record: UnsafeMutablePointer<RegionRecord>
  /// Keeps its table.
  private let recording: Recording?
  private let phase = Mutex(Phase.serving)

  init(_ instance: Instance, _ options: Options) throws(HostError) {
    let window = try instance.window(options.firstGranule, options.granules)
    try options.recording?.check(instance)
    let kind = instance.memoryKind
    let isShared = instance.hasBacking && options.sharing == .shared
    let fillsBacking = instance.hasBacking && (isShared || options.fill == .backing)
    let shape = RegionShape(
      shared: isShared, fillsBacking: fillsBacking,
      arrivesFilled: instance.backing?.arrivesFilled == true)
    let length = UInt64(window.count) * instance.granule
    try instance.use()
    do {
      try Region.ask(instance, window, shape)
    } catch {
      instance.unuse()
      throw error
    }
    do {
      if let backing = instance.backing {
        mapping = try Mapping.window(
          fd: backing.file.fd, offset: window.lowerBound * instance.granule, length: length,
          shared: isShared)
      } else {
        mapping = try Mapping.anonymousRegion(length)
      }
      stateMemory = try Mapping.table(PageStates.bytes(for: UInt64(window.count)))
    } catch {
      instance.unuse()
      throw Backing.cannotMap(kind, instance.granule, UInt64(window.count), error)
    }
    let uffd = instance.host.session.uffd
    do {
      try uffd.register(mapping.address, length: length, minor: instance.hasBacking)
    } catch {
      instance.unuse()
      throw HostError(
        .system,
        "the kernel refuses to watch \(length) bytes of \(kind.rawValue) memory (\(error.name)); "
          + (error == .ENOMEM
            ? "raise vm.max_map_count" : "'uffdhost doctor' tells what this kernel can do"))
    }
    unsafe record = .allocate(capacity: 1)
    unsafe record.initialize(
      to: RegionRecord(
        session: instance.host.session.record, start: mapping.address, length: length,
        granule: instance.granule,
        granuleShift: UInt64(instance.granule.trailingZeroBitCount),
        pageSize: instance.backing?.file.pageSize ?? 4096, firstPgoff: window.lowerBound,
        shape: shape, isHugetlb: kind == .hugetlb,
        states: PageStates(stateMemory.base, count: UInt64(window.count)),
        instance: instance.record, backing: instance.backing?.record,
        id: RegionIdentifier.next(), touches: options.recording?.table))
    self.instance = instance
    recording = options.recording
    granule = instance.granule
    sharing = isShared ? .shared : .private
    fillTarget = fillsBacking ? .backing : .mapping
    unsafe memory = unsafe UnsafeMutableRawBufferPointer(start: mapping.base, count: Int(length))
    unsafe instance.host.session.insert(record)
  }

  /// can_userfault, after what the table says.
  private static func ask(
    _ instance: Instance, _ window: Range<UInt64>, _ shape: RegionShape
  ) throws(HostError) {
    var query = uffd_region_query()
    query.size = UInt32(MemoryLayout<uffd_region_query>.size)
    query.memory_kind = instance.memoryKind.raw
    query.modes = instance.hasBacking ? [.missing, .minor] : [.missing]
    query.granule = instance.granule
    query.pgoff = window.lowerBound
    query.count = UInt64(window.count)
    if shape.shared { query.flags.insert(.shared) }
    if shape.fillsBacking { query.flags.insert(.fillsBacking) }
    if let error = instance.objection(query) { throw error }
  }

  /// Fills everything that is missing, then stops watching: from now on the region is ordinary memory.
  ///
  /// Throws `.service` if granules could not be filled, or the region was detached meanwhile. What could
  /// not be filled is poisoned (or the process is gone, by the host's policy); under the policy `hold` the
  /// region stays watched and `drain` may be called again.
  public func drain() throws(HostError) {
    let mayStart = phase.withLock { phase in
      defer { if phase == .serving { phase = .draining } }
      return phase == .serving
    }
    guard mayStart else {
      throw HostError(.usage, "the region is being drained, or is drained or detached already")
    }
    var failed: UInt64 = 0
    var unfilled: UInt64 = 0
    let session = instance.host.session
    // A client may discard what a pass has filled: then another pass is needed.
    for pass in 0..<Self.drainPasses {
      if pass > 0 { waitForQuiet() }
      let orders = unsafe FillOrder.shared(
        among: session.readers.count, region: record, instance: instance.record,
        backing: record.pointee.backing, pgoffs: record.pgoffs)
      try whileDraining { session.begin(orders) }
      failed += session.end(orders)
      // What was zeroed for good is judged by the order that began first.
      let release = RegionRelease(orders[0], session.uffd)
      try whileDraining { session.release(release) }
      if let error = release.error {
        phase.withLock { if $0 == .draining { $0 = .drained } }
        throw HostError(
          .service, "the kernel does not let go of the region (\(error.name)); was it unmapped?")
      }
      unfilled = release.unfilled
      if unfilled == 0 || failed > 0 && instance.host.options.onError == .hold { break }
    }
    try whileDraining {}
    phase.withLock { if $0 == .draining { $0 = unfilled == 0 ? .drained : .serving } }
    if unfilled > 0 {
      throw HostError(
        .service,
        "\(unfilled) granules are still missing after \(Self.drainPasses) passes; the region stays watched, "
          + "drain it again")
    }
    if failed > 0 {
      throw HostError(.service, "\(failed) granules could not be filled; they are poisoned")
    }
  }

  private static let drainPasses = 8

  /// Asks the readers for something, unless the region was detached meanwhile. Under the lock, as in `prefetch`:
  /// whoever detaches it does so afterwards, and makes them forget what they were asked.
  private func whileDraining(_ body: () -> Void) throws(HostError) {
    let isDraining = phase.withLock { phase in
      if phase == .draining { body() }
      return phase == .draining
    }
    if !isDraining {
      throw HostError(.service, "the region was detached while it was drained")
    }
  }

  /// What was given back of a private file's pages has to be zero for good before they are let go.
  private func waitForQuiet() {
    if unsafe record.isPrivateOfFile {
      sleepNanoseconds(RegionRecord.quietNanoseconds)
    }
  }

  /// Fills granules of the object before anybody touches them: in the background, by all readers, and as a
  /// hint. Faults come first, a granule that cannot be had is left alone, and what was given back stays
  /// given back. What lies outside the region's window does not count.
  ///
  /// Throws `.usage` for a region that is not served any more.
  public func prefetch(_ granules: [Range<UInt64>]) throws(HostError) -> Prefetch {
    try prefetch(granules, .listed)
  }

  /// Fills everything before anybody touches it: in the background, behind whatever ``prefetch(_:)`` lists, and
  /// as a hint, too. The region stays watched; ``drain()`` is for letting it go.
  ///
  /// Throws `.usage` for a region that is not served any more.
  public func fillInBackground() throws(HostError) -> Prefetch {
    try prefetch([unsafe record.pgoffs], .rest)
  }

  private func prefetch(
    _ granules: [Range<UInt64>], _ urgency: FillUrgency
  ) throws(HostError) -> Prefetch {
    let ranges = normalized(granules, in: unsafe record.pgoffs)
    let readers = instance.host.session.readers
    let parts = divided(ranges, parts: readers.count)
    let prefetch = Prefetch(total: UffdHost.granules(of: ranges), parts: parts.count, urgency)
    // Under the lock: whoever lets the region go meanwhile does it afterwards, and the readers forget the
    // fill.
    let isServed = phase.withLock { phase in
      guard phase == .serving else { return false }
      for (index, part) in parts.enumerated() {
        let port = readers[index]
        let order = unsafe FillOrder(
          prefetch, region: record, part,
          Preparation(instance.record, record.pointee.backing, part, port), isWhole: true)
        port.perform(.fill(order))
        order.preparation?.submit()
      }
      return true
    }
    guard isServed else {
      throw HostError(
        .usage, "the region is being drained, or is drained or detached already")
    }
    return prefetch
  }

  /// Unmaps the region. Nobody may touch the memory any more: it raises SIGSEGV. A thread that sleeps in a
  /// fault on it is woken and gets SIGSEGV, too; nobody ever reads zeroes for content.
  public func detach() {
    let before = phase.withLock { phase in
      defer { phase = .detached }
      return phase
    }
    if before == .detached { return }
    // First nobody installs here any more, and nobody asks the provider for it, a drain neither; then the pages
    // go, then sleepers find out.
    if before != .drained { unsafe instance.host.session.remove(record) }
    mapping.seal()
    instance.host.session.uffd.calls.wake(mapping.address, length: UInt64(mapping.length))
    instance.unuse()
  }

  deinit {
    detach()
    unsafe record.pointee.streams.free()
    unsafe record.deallocate()
  }

  /// Bytes of the region that were installed and not given back. Counted granule by granule.
  public var residentBytes: UInt64 {
    unsafe record.pointee.states.count(ofBits: RegionPage.mapped.rawValue) * granule
  }

  /// Bytes of the region that were given up.
  public var poisonedBytes: UInt64 {
    unsafe record.pointee.states.count(ofBits: RegionPage.poisoned.rawValue) * granule
  }
}
