// SPDX-License-Identifier: Apache-2.0

/// What a host has done so far. Counts only grow; a snapshot is taken without stopping the readers, so
/// two numbers of one snapshot may be a fault apart.
public struct Statistics: Sendable, Equatable {
  /// Faults read from the kernel, by kind. Two threads on one page are two faults.
  public struct Faults: Sendable, Equatable {
    /// No page was there (`UFFD_PAGEFAULT` without a flag).
    public var missing: UInt64 = 0
    /// The backing held the page, the client had not mapped it (`UFFD_PAGEFAULT_FLAG_MINOR`).
    public var minor: UInt64 = 0
    /// A write met write protection (`UFFD_PAGEFAULT_FLAG_WP`).
    public var wp: UInt64 = 0
    public init() {}
    public var total: UInt64 { missing + minor + wp }
  }

  /// What was installed, in bytes.
  public struct Installed: Sendable, Equatable {
    /// `UFFDIO_COPY` of content.
    public var copied: UInt64 = 0
    /// Zero pages: `UFFDIO_ZEROPAGE`, or `UFFDIO_COPY` of zeroes.
    public var zeroed: UInt64 = 0
    /// `UFFDIO_CONTINUE`.
    public var continued: UInt64 = 0
    /// `UFFDIO_POISON`.
    public var poisoned: UInt64 = 0
    public init() {}
  }

  public var faults = Faults()
  public var installed = Installed()
  /// Bytes put into a backing through the host's own publisher mapping (not in `installed.copied`).
  public var publishedBytes: UInt64 = 0
  /// Bytes for which a provider was asked (`alloc_folio` answers, staged, lent or zero).
  public var providedBytes: UInt64 = 0
  /// Faults that found their page present already (`EEXIST`, or a duplicate within one read) and were
  /// woken.
  public var alreadyPresent: UInt64 = 0
  /// Granules that were installed beside a fault, before anybody touched them: at most so many faults never
  /// happened.
  public var installedAround: UInt64 = 0
  /// Bytes for which no provider was asked, because it had said before that they are zero (`extents`).
  public var knownZeroBytes: UInt64 = 0
  /// Installs that the kernel put off (`EAGAIN`) and faults that were parked for any reason.
  public var putOff: UInt64 = 0
  /// Pages of a client that were discarded (`UFFD_EVENT_REMOVE`, `UFFD_EVENT_UNMAP`), in granules.
  public var discarded: UInt64 = 0
  /// Answers of providers that were failures, and answers that broke the contract.
  public var providerErrors: UInt64 = 0
  public var providerViolations: UInt64 = 0
  /// Faults that were given up: their pages were poisoned or their client was killed.
  public var givenUp: UInt64 = 0
  /// Faults asleep at this moment with a timer, a ticket or a worker on our side.
  public var parkedNow: UInt64 = 0
  /// Time of sampled faults (one in 256) in nanoseconds: inside the provider, inside the kernel's
  /// install calls, and how many samples.
  public var sampledProviderNanoseconds: UInt64 = 0
  public var sampledKernelNanoseconds: UInt64 = 0
  public var samples: UInt64 = 0
  public init() {}
}

extension Statistics {
  mutating func add(_ other: Statistics) {
    faults.missing += other.faults.missing
    faults.minor += other.faults.minor
    faults.wp += other.faults.wp
    installed.copied += other.installed.copied
    installed.zeroed += other.installed.zeroed
    installed.continued += other.installed.continued
    installed.poisoned += other.installed.poisoned
    publishedBytes += other.publishedBytes
    providedBytes += other.providedBytes
    alreadyPresent += other.alreadyPresent
    installedAround += other.installedAround
    knownZeroBytes += other.knownZeroBytes
    putOff += other.putOff
    discarded += other.discarded
    providerErrors += other.providerErrors
    providerViolations += other.providerViolations
    givenUp += other.givenUp
    sampledProviderNanoseconds += other.sampledProviderNanoseconds
    sampledKernelNanoseconds += other.sampledKernelNanoseconds
    samples += other.samples
  }
}
