// SPDX-License-Identifier: Apache-2.0

/// A page-fault server in this process.
///
/// A host opens userfaultfd, loads providers and serves regions of memory whose pages a provider fills when
/// they are first touched:
///
///     let host = try Host()
///     let provider = try Provider.load("shmem")
///     let instance = try host.open(provider, parameters: [Parameter("image", "disk.img")])
///     let region = try instance.map()
///     let first = region.memory[0]        // a fault, served by the provider
///     try region.detach()
///
/// All members may be called from any thread, but not from a hook of a provider. A thread that touches a
/// region sleeps in the kernel until its page is there, so it must not hold a lock that a provider in
/// this process needs.
public final class Host: Sendable {
  /// How a host serves.
  public struct Options: Sendable {
    /// Threads that read and install, 1 to 64. One is best for one faulting thread; one per CPU where
    /// several threads fault.
    public var readers = 1
    /// What becomes of a page that cannot be had.
    public var onError = FailurePolicy.poison
    /// How many granules a fault takes along.
    public var faultAround = FaultAround.adaptive
    /// How long a fault may wait for its provider, in nanoseconds, before its page is given up.
    public var faultDeadlineNanoseconds: UInt64 = 10_000_000_000
    /// Bytes a second that are filled before anybody touches them (``Region/prefetch(_:)``,
    /// ``Region/fillInBackground()``), in all regions together; 0: as fast as it goes. Faults, ``Region/drain()``
    /// and ``Instance/publish(firstGranule:count:)`` are not held back.
    public var fillRate: UInt64 = 0
    /// Bytes of staging that providers may hold at once.
    public var stagingCap: UInt64 = 4 << 30
    /// Where log lines go. By default nowhere: errors of a page reach whoever touches it as SIGBUS.
    public var log: LogSink = { _, _ in }
    /// Clients that are one process and all that it has forked, and those have. More have what they miss
    /// poisoned.
    package var mostOfFamily = Int.max
    package var tuning = SessionTuning()
    public init() {}
  }

  let options: Options
  let session: Session
  let pace: FillPace
  /// Watches the publisher mappings. Nobody ever touches those, so nobody reads it.
  let publisher: Userfaultfd
  /// The clients that are served now.
  package let clients = ClientList()

  /// Opens userfaultfd and starts the readers.
  ///
  /// Throws `.system` where the kernel or a permission stands in the way (`uffdhost doctor` tells the
  /// remedy) and `.usage` for options out of range.
  public init(_ options: Options = Options()) throws(HostError) {
    guard (1...64).contains(options.readers) else {
      throw HostError(.usage, "a host has 1 to 64 readers, not \(options.readers)")
    }
    guard options.faultAround.most > 0 else {
      throw HostError(.usage, "a fault settles at least 1 granule, not 0")
    }
    guard options.faultDeadlineNanoseconds > 0 else {
      throw HostError(.usage, "a fault needs a deadline of at least 1 nanosecond")
    }
    self.options = options
    pace = FillPace(bytesPerSecond: options.fillRate)
    openPagemap()
    // The session last: once its readers run, only `deinit` ends them.
    publisher = try Userfaultfd(wanted: [], mask: options.tuning.featureMask)
    session = try Session(options, Reporter(options.log))
    if session.uffd.access == .userModeOnly {
      options.log(
        .warning,
        "only a restricted userfaultfd could be opened: an access by the kernel to a missing page, as in "
          + "read(2), fails with EFAULT; 'uffdhost doctor' tells the remedy")
    }
  }

  /// Configures an instance of a provider (`configure`, `config_complete`).
  ///
  /// Throws `.usage` for parameters that the provider does not accept, `.refused` where its traits break
  /// the contract, `.system` where its backing cannot be had (no huge pages, no memory).
  public func open(
    _ provider: Provider, parameters: [Parameter] = []
  ) throws(HostError) -> Instance {
    try Instance(self, provider, parameters)
  }

  /// The same for clients only: no memory is made that nobody here would map. ``Instance/map(_:)`` is not
  /// for such an instance.
  package func openForClients(
    _ provider: Provider, parameters: [Parameter]
  ) throws(HostError) -> Instance {
    try Instance(self, provider, parameters, makesBacking: false)
  }

  /// What the host has done so far.
  public var statistics: Statistics {
    var statistics = session.readers.statistics
    clients.add(to: &statistics)
    return statistics
  }

  deinit {
    // Instances and regions hold the host, so none is left: no page of anybody is missing.
    session.stop()
  }
}
