// SPDX-License-Identifier: Apache-2.0
// The session of this process: one uffd for all regions of a host, read by all its readers.

/// What a session is started with, beyond the public options.
package struct SessionTuning: Sendable {
  /// Features of the kernel that the session may use: a test masks some to see the host do without.
  package var featureMask = KernelFeatures.all
  /// Calls of the session, for tests that must see what the kernel does not do on demand.
  package var calls: UffdCallTable?
  /// Takes the exclusion out, so that a test can show what it prevents.
  package var isExclusionBroken = false
}

/// Owns the uffd and starts the readers. The control thread uses it; readers never see it.
@safe final class Session: @unchecked Sendable {
  let uffd: Userfaultfd
  let readers: ReaderPool
  let record: SessionPointer
  /// Of clients on several readers that map one memfd.
  let crossing: Exclusion
  private let exclusionWords: UnsafeMutablePointer<UInt64>

  init(_ options: Host.Options, _ reporter: Reporter) throws(HostError) {
    let tuning = options.tuning
    let uffd = try Userfaultfd(
      wanted: [.eventRemove], mask: tuning.featureMask, table: tuning.calls ?? .kernel)
    // On cache lines of their own.
    let words = UnsafeMutablePointer<UInt64>.allocate(capacity: 16)
    unsafe words.initialize(repeating: 0, count: 16)
    let mode: Exclusion.Mode =
      options.readers == 1
      ? .oneReader : tuning.isExclusionBroken ? .brokenForTest : .severalReaders
    var ports: [ReaderPort] = []
    for index in 0..<options.readers { ports.append(try ReaderPort(index: index)) }
    let record = SessionPointer.allocate(capacity: 1)
    unsafe record.initialize(
      to: SessionRecord(
        calls: uffd.calls, exclusion: Exclusion(AtomicWord(words), mode),
        counters: ports[0].counters, latency: ports[0].latency, touches: nil, client: nil))
    var setups: [ReaderSetup] = []
    for port in ports {
      unsafe setups.append(
        try ReaderSetup(
          port, local: record, isShared: options.readers > 1, options,
          canPoison: uffd.offered.contains(.poison), reporter))
    }
    readers = try ReaderPool(setups)
    self.uffd = uffd
    unsafe self.record = unsafe record
    crossing = unsafe Exclusion(AtomicWord(words + 8), mode)
    unsafe exclusionWords = unsafe words
  }

  /// Makes a registered region known: from now on its faults are served.
  func insert(_ region: UnsafeMutablePointer<RegionRecord>) {
    unsafe readers.first.perform(.insert(RecordPointer(region: region)))
  }

  /// Makes every reader forget a region. On return nothing refers to its record.
  func remove(_ region: UnsafeMutablePointer<RegionRecord>) {
    let id = unsafe region.pointee.id
    readers.first.perform(.remove(id))
    readers.performEverywhere(.forget(id))
  }

  /// Fills in the background, each order by a reader of its own, and waits for the end. The number of granules
  /// that could not be filled.
  func fill(_ orders: [FillOrder]) -> UInt64 {
    begin(orders)
    return end(orders)
  }

  /// Begins such a fill.
  func begin(_ orders: [FillOrder]) {
    for (index, order) in orders.enumerated() { readers[index].perform(.fill(order)) }
  }

  /// Waits for its end.
  func end(_ orders: [FillOrder]) -> UInt64 {
    for order in orders { order.done.wait() }
    return orders.reduce(0) { $0 + $1.failed }
  }

  /// Stops watching a region whose pages are all settled.
  func release(_ release: RegionRelease) {
    readers.first.perform(.release(release))
    guard release.unfilled == 0, let region = unsafe release.order.region else { return }
    unsafe readers.performEverywhere(.forget(region.pointee.id))
  }

  /// Ends the readers. No region is attached any more.
  func stop() { readers.stop() }

  deinit {
    unsafe record.pointee.table.free()
    unsafe record.deallocate()
    unsafe exclusionWords.deallocate()
  }
}
