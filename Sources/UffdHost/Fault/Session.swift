// SPDX-License-Identifier: Apache-2.0
// One uffd, its readers and its regions. In process there is one session for all regions of a host.

/// What a session is started with, beyond the public options.
package struct SessionTuning: Sendable {
  /// Features of the kernel that the session may use: a test masks some to see the host do without.
  package var featureMask = KernelFeatures.all
  /// Calls of the session, for tests that must see what the kernel does not do on demand.
  package var calls: UffdCallTable?
  /// Takes the exclusion out, so that a test can show what it prevents.
  package var isExclusionBroken = false
}

/// Owns the readers. The control thread uses it; readers never see it.
@safe final class Session: @unchecked Sendable {
  let uffd: Userfaultfd
  private let ports: [ReaderPort]
  private let threads: [KernelThread]
  private let table: UnsafeMutablePointer<RegionTable>
  private let exclusionWord: UnsafeMutablePointer<UInt64>

  init(_ options: Host.Options, _ reporter: Reporter) throws(HostError) {
    let tuning = options.tuning
    let uffd = try Userfaultfd(
      wanted: [.eventRemove], mask: tuning.featureMask, table: tuning.calls ?? .kernel)
    let table = UnsafeMutablePointer<RegionTable>.allocate(capacity: 1)
    unsafe table.initialize(to: RegionTable())
    let word = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
    unsafe word.initialize(to: 0)
    let mode: Exclusion.Mode =
      options.readers == 1
      ? .oneReader : tuning.isExclusionBroken ? .brokenForTest : .severalReaders
    var setups: [ReaderSetup] = []
    for index in 0..<options.readers {
      let buffers: (Mapping, Mapping)
      do {
        buffers = (try .scratch(Reader.largestRun), try .scratch(Reader.largestRun))
      } catch {
        throw HostError(.system, "there is no memory for a reader (\(error.name))")
      }
      unsafe setups.append(
        ReaderSetup(
          calls: uffd.calls, table: TablePointer(table: table),
          exclusion: Exclusion(AtomicWord(word), mode), port: try ReaderPort(index: index),
          policy: options.onError, canPoison: uffd.offered.contains(.poison),
          deadline: options.faultDeadlineNanoseconds, reporter: reporter,
          batch: options.readers == 1 ? Reader.largestBatch : 1, staging: buffers.0,
          zeroes: buffers.1))
    }
    threads = try Session.start(setups)
    ports = setups.map(\.port)
    self.uffd = uffd
    unsafe self.table = unsafe table
    unsafe exclusionWord = unsafe word
  }

  /// Starts a thread for each reader: all of them or none.
  private static func start(_ setups: [ReaderSetup]) throws(HostError) -> [KernelThread] {
    var threads: [KernelThread] = []
    for setup in setups {
      do throws(Errno) {
        threads.append(
          try KernelThread("uffd-reader-\(setup.port.index)") {
            var reader = Reader(setup)
            reader.run()
          })
      } catch {
        for (started, thread) in zip(setups, threads) {
          started.port.perform(.stop)
          thread.join()
        }
        throw HostError(.system, "a reader thread cannot be started (\(error.name))")
      }
    }
    return threads
  }

  /// Makes a registered region known: from now on its faults are served.
  func insert(_ region: UnsafeMutablePointer<RegionRecord>) {
    unsafe ports[0].perform(.insert(RecordPointer(region: region)))
  }

  /// Makes every reader forget a region. On return nothing refers to its record.
  func remove(_ region: UnsafeMutablePointer<RegionRecord>) {
    let id = unsafe region.pointee.id
    ports[0].perform(.remove(id))
    for port in ports { port.perform(.forget(id)) }
  }

  /// Fills in the background and waits for the end. The number of granules that could not be filled.
  func fill(_ order: FillOrder) -> UInt64 {
    ports[0].perform(.fill(order))
    order.done.wait()
    return order.failed
  }

  /// Stops watching a region whose pages are all settled.
  func release(_ release: RegionRelease) {
    ports[0].perform(.release(release))
    guard release.unfilled == 0, let region = unsafe release.order.region else { return }
    let id = unsafe region.pointee.id
    for port in ports { port.perform(.forget(id)) }
  }

  /// How often the region's pages were discarded so far, with every event that is pending now counted.
  func discards(of region: UnsafeMutablePointer<RegionRecord>) -> UInt64 {
    let count = unsafe DiscardCount(region)
    ports[0].perform(.countDiscards(count))
    return count.value
  }

  func kick(_ ticket: UInt64) {
    let reader = Int(ticket >> 24 & 0xff)
    if reader < ports.count { ports[reader].kick(ticket) }
  }

  var statistics: Statistics {
    var result = Statistics()
    for port in ports { port.counters.add(to: &result) }
    return result
  }

  /// Ends the readers. No region is attached any more.
  func stop() {
    for port in ports { port.perform(.stop) }
    for thread in threads { thread.join() }
  }

  deinit {
    unsafe table.pointee.free()
    unsafe table.deallocate()
    unsafe exclusionWord.deallocate()
  }
}
