// SPDX-License-Identifier: Apache-2.0
import Synchronization
import UffdPluginABI

/// One configured provider: it owns one object, the content that regions show.
@safe public final class Instance: @unchecked Sendable {
  public let provider: Provider
  /// Size of the content in bytes. The tail of the last granule reads zero.
  public let objectSize: UInt64
  /// The unit of serving in bytes, a power of two.
  public let granule: UInt64
  /// The memory that ``map(_:)`` makes.
  public let memoryKind: MemoryKind
  /// The thread model of this instance: the provider's, or tighter.
  public let threadModel: Provider.ThreadModel
  /// Hooks may wait, and run on workers.
  public let mayBlock: Bool
  /// Names the content, where the provider promises that equal names mean equal bytes.
  public let contentIdentifier: (high: UInt64, low: UInt64)?

  let host: Host
  let record: UnsafeMutablePointer<InstanceRecord>
  let backing: Backing?
  private let configured: ConfiguredProvider
  private let executor: Executor
  private let ownsExecutor: Bool
  private let arena: StagingArena
  private let warmBits: Mapping
  private let zeroScan: ZeroScan?
  private let violation = Mutex<String?>(nil)
  private let life = Mutex(Life())
  private let foreign = ForeignBackings()

  private struct Life {
    /// Regions attached, and calls of ours that use the provider.
    var uses = 0
    var isClosed = false
  }

  /// Number of granules of the object.
  public var granuleCount: UInt64 { (objectSize - 1) / granule + 1 }
  /// Whether regions share memory of the host (or a file) in which content is published.
  public var hasBacking: Bool { backing != nil }

  init(
    _ host: Host, _ provider: Provider, _ parameters: [Parameter], makesBacking: Bool = true
  ) throws(HostError) {
    try ParameterInfo.check(parameters, against: provider.parameters, provider: provider.name)
    let arena = StagingArena(cap: host.options.stagingCap)
    let configured = try ConfiguredProvider(
      provider, parameters, arena, log: host.options.log,
      kick: { [weak readers = host.session.readers] ticket in readers?.kick(ticket) })
    let traits = configured.traits
    let count = (traits.objectSize - 1) / traits.granule + 1
    let isInline = traits.threadModel == .parallel && !traits.mayBlock
    // One thread is the model PER_INSTANCE; and it is enough to warm what a provider lends that answers on
    // the reader.
    let workers = traits.threadModel == .parallel && traits.mayBlock ? 8 : 1
    do {
      let hasExtents = unsafe configured.extents != nil
      warmBits = try Mapping.scratch(
        ZeroBits.bytes(for: count) * (hasExtents ? 2 : 1))
      backing = makesBacking ? try configured.makeBacking(count, host.publisher) : nil
      if let serial = provider.serialExecutor {
        executor = serial
        ownsExecutor = false
      } else {
        executor = try Executor(threads: workers, name: "uffd-worker")
        ownsExecutor = true
      }
    } catch {
      configured.close()
      throw error as? HostError
        ?? HostError(.system, "there is no memory for \(count) granules of '\(provider.name)'")
    }
    self.host = host
    self.provider = provider
    self.arena = arena
    self.configured = configured
    objectSize = traits.objectSize
    granule = traits.granule
    memoryKind = traits.memoryKind
    threadModel = traits.threadModel
    mayBlock = traits.mayBlock
    contentIdentifier = traits.contentIdentifier
    unsafe record = .allocate(capacity: 1)
    let zeroes: ZeroBits?
    if unsafe configured.extents != nil {
      let bits = unsafe ZeroBits(warmBits.base + Int(ZeroBits.bytes(for: count)))
      zeroScan = unsafe ZeroScan(record, bits, mayBlock: traits.mayBlock)
      zeroes = bits
    } else {
      zeroScan = nil
      zeroes = nil
    }
    unsafe record.initialize(
      to: configured.makeRecord(
        count: count, isInline: isInline, workers: workers, executor: executor, arena: arena,
        owner: self, zeroes: zeroes, warm: warmBits.base.assumingMemoryBound(to: UInt64.self)))
    if let zeroScan {
      zeroScan.submit()
      // Who answers promptly has said most of it before the first fault.
      if !traits.mayBlock {
        let limit = monotonicNanoseconds().addingReportingOverflow(
          host.options.faultDeadlineNanoseconds)
        _ = zeroScan.begun.wait(until: limit.overflow ? .max : limit.partialValue)
      }
    }
  }

  /// Makes a region: memory whose pages appear as they are touched.
  ///
  /// Throws `.usage` for a window outside the object or a combination this provider does not serve, with
  /// the provider's reason; `.system` where the memory cannot be had or the kernel refuses to watch it.
  public func map(_ options: Region.Options = Region.Options()) throws(HostError) -> Region {
    try Region(self, options)
  }

  /// Fills granules of the backing before anybody touches them: publishes their content, so that regions
  /// find it by minor faults. Waits until it is done.
  ///
  /// Throws `.usage` for an instance without a backing of its own or a range outside the object, and
  /// `.service` where granules could not be filled; the others are.
  public func publish(firstGranule: UInt64 = 0, count: UInt64? = nil) throws(HostError) {
    try publish(firstGranule: firstGranule, count: count, stride: 1)
  }

  /// The same for every `stride`th granule.
  package func publish(
    firstGranule: UInt64, count: UInt64?, stride: UInt64
  ) throws(HostError) {
    try use()
    defer { unuse() }
    guard let backing, !backing.arrivesFilled else {
      throw HostError(
        .usage, "the provider '\(provider.name)' has no backing of the host to publish into")
    }
    let range = try window(firstGranule, count)
    let orders = unsafe FillOrder.shared(
      among: host.session.readers.count, region: nil, instance: record, backing: backing.record,
      pgoffs: range, stride: stride)
    let failed = host.session.fill(orders)
    if failed > 0 {
      throw HostError(
        .service,
        "\(failed) of \(range.count) granules could not be published: the provider "
          + "'\(provider.name)' did not provide them" + takeErrorText())
    }
  }

  /// Asks the provider for content and copies it to `buffer`, without serving anybody: an oracle for tests
  /// and verification. `buffer` is a multiple of the granule. The provider is asked on the calling thread
  /// unless its thread model forbids that.
  ///
  /// Throws `.service` where the provider does not provide it.
  public func readContent(
    firstGranule: UInt64, into buffer: UnsafeMutableRawBufferPointer
  ) throws(HostError) {
    try use()
    defer { unuse() }
    let count = UInt64(buffer.count) / granule
    guard count > 0, UInt64(buffer.count) % granule == 0 else {
      throw HostError(.usage, "the buffer is no multiple of the granule of \(granule) bytes")
    }
    _ = try window(firstGranule, count)
    let reading = unsafe DirectReading(record, arena, buffer.baseAddress!)
    let failure: String? =
      unsafe record.pointee.isInline
      ? reading.run(firstGranule, count)
      : executor.run { reading.run(firstGranule, count) } ?? "its workers are gone"
    if let failure {
      throw HostError(
        .service,
        "the provider '\(provider.name)' did not provide content: \(failure)"
          + takeErrorText())
    }
  }

  /// Ends the instance. Its regions must be detached.
  ///
  /// Throws `.usage` while a region is attached. Waits for calls in flight, 10 seconds at most.
  public func close() throws(HostError) {
    let uses = life.withLock { life -> Int? in
      if life.isClosed { return nil }
      if life.uses == 0 { life.isClosed = true }
      return life.uses
    }
    guard let uses else { return }
    if uses > 0 {
      throw HostError(
        .usage,
        "the instance of '\(provider.name)' is used by \(uses) regions or calls; detach and finish them first"
      )
    }
    shutDown()
  }

  private func shutDown() {
    zeroScan?.cancel()
    let limit = monotonicNanoseconds() + 10_000_000_000
    while unsafe record.inFlight.acquired > 0, monotonicNanoseconds() < limit { sleepBriefly() }
    guard unsafe record.inFlight.acquired == 0 else {
      host.options.log(
        .error,
        "a hook of provider '\(provider.name)' has not returned for 10 seconds; the instance is left open"
      )
      // The hook may still come back: what its worker will touch stays where it is.
      for object in [arena, executor, warmBits, zeroScan, backing, configured] as [AnyObject?] {
        if let object { _ = unsafe Unmanaged.passRetained(object) }
      }
      return
    }
    configured.close()
    if ownsExecutor { executor.close() }
  }

  deinit {
    if !life.withLock({ $0.isClosed }) { shutDown() }
    if unsafe record.inFlight.acquired == 0 { unsafe record.deallocate() }
  }

  /// The reader whose clients map one of these memfds already.
  func home(of descriptors: [Descriptor]) -> ReaderPort? {
    for descriptor in descriptors {
      if let home = foreign.served(FileIdentity(fd: descriptor.fd))?.home { return home }
    }
    return nil
  }

  /// The state and the publisher mapping of a memfd that a client handed over. `extent` is where its
  /// regions end, `home` the reader of that client.
  func backing(
    of descriptor: Descriptor, pageSize: UInt64, extent: UInt64, home: ReaderPort
  ) throws(HostError) -> Backing {
    let (file, size) = try MemoryFile.adopt(descriptor)
    guard file.pageSize == pageSize else {
      throw HostError(
        .usage,
        "the memfd that came along has pages of \(file.pageSize) bytes, and its region \(pageSize)")
    }
    guard extent <= size else {
      throw HostError(
        .usage,
        "the memfd that came along has \(size) bytes, and a region shows it up to \(extent): a byte of the "
          + "memfd is the byte of the object at the same offset")
    }
    let pages = min(size / granule, granuleCount)
    let backing = try foreign.backing(file, pages: pages) { states throws(HostError) in
      try Backing(
        memfd: file, count: pages, granule: granule, publisher: host.publisher, home: home, states)
    }
    guard extent <= backing.size else {
      throw HostError(
        .usage,
        "the memfd that came along had \(backing.size) bytes when it was first handed over, and a region "
          + "shows it up to \(extent): what was added since is not served; give a memfd its final size "
          + "before it is handed over, or hand over another one")
    }
    return backing
  }

  /// Keeps the instance open until `unuse`.
  func use() throws(HostError) {
    let isOpen = life.withLock { life in
      if !life.isClosed { life.uses += 1 }
      return !life.isClosed
    }
    if !isOpen {
      throw HostError(.usage, "the instance of '\(provider.name)' is closed; open another")
    }
  }

  func unuse() { life.withLock { $0.uses -= 1 } }

  /// Checks a window of granules against the object.
  func window(_ first: UInt64, _ count: UInt64?) throws(HostError) -> Range<UInt64> {
    guard first < granuleCount, count != 0, count ?? 1 <= granuleCount - first else {
      throw HostError(
        .usage,
        "granules \(first) and \(count.map { "\($0) more" } ?? "on") are outside the object of "
          + "\(granuleCount) granules")
    }
    return first..<(first + (count ?? granuleCount - first))
  }

  /// May the region attach? Nil: yes; else the error for whoever wants it.
  func objection(_ query: uffd_region_query) -> HostError? {
    let configured = configured
    if threadModel == .parallel { return configured.objection(query) }
    // A worker that hangs in another hook must not hang the control thread, too.
    let answer = executor.run(nanoseconds: host.options.faultDeadlineNanoseconds) {
      Objection(error: configured.objection(query))
    }
    if let answer { return answer.error }
    return HostError(
      .service,
      "the provider '\(provider.name)' did not say within the deadline whether it serves this region"
    )
  }

  /// The provider's last words, as the end of a sentence.
  func takeErrorText() -> String { configured.takeErrorText().map { " (\($0))" } ?? "" }

  func noteViolation(_ text: String) { violation.withLock { $0 = text } }
  /// How the provider broke the contract, if it did: its regions fail closed since.
  public var contractViolation: String? { violation.withLock { $0 } }
}

/// What can_userfault answered: nil, or why the region may not attach.
private struct Objection: Sendable {
  let error: HostError?
}
