// SPDX-License-Identifier: Apache-2.0
// Everything that one run of `uffdhost --provider` has to say, as a value. The command fills it in after the
// touching threads have ended (or were interrupted); RunReport+Text and RunReport+JSON only read it.

public import UffdHost

public struct RunReport: Sendable {
  /// Whether what the touching threads saw was what they should have seen.
  public enum Verification: Sendable, Equatable {
    /// Every one of so many bytes was compared and is right.
    case verified(bytes: UInt64)
    /// Nobody compared, and why: a clause such as "no oracle: give --verify".
    case notVerified(reason: String)
    case failed(Difference)
  }

  public struct Difference: Sendable, Equatable {
    /// Where in the object the first wrong byte is.
    public var firstOffset: UInt64
    /// How many granules hold a wrong byte.
    public var granules: UInt64
    /// How much was compared in all.
    public var comparedBytes: UInt64
    public init(firstOffset: UInt64, granules: UInt64, comparedBytes: UInt64) {
      self.firstOffset = firstOffset
      self.granules = granules
      self.comparedBytes = comparedBytes
    }
  }

  /// What was written to a working set.
  public struct Recorded: Sendable, Equatable {
    public var file: String
    public var granules: UInt64
    public var nanoseconds: UInt64
    public init(file: String, granules: UInt64, nanoseconds: UInt64) {
      self.file = file
      self.granules = granules
      self.nanoseconds = nanoseconds
    }
  }

  /// What became of granules that were to be filled before they are touched: over all regions and passes.
  public struct Fill: Sendable, Equatable {
    public var granules: UInt64
    /// Filled before they were touched.
    public var filled: UInt64
    /// Touched before they were filled.
    public var present: UInt64
    /// Not filled: they could not be had, or there was no time for them.
    public var left: UInt64
    public var nanoseconds: UInt64
    public init(
      granules: UInt64, filled: UInt64, present: UInt64, left: UInt64, nanoseconds: UInt64
    ) {
      self.granules = granules
      self.filled = filled
      self.present = present
      self.left = left
      self.nanoseconds = nanoseconds
    }
  }

  /// A working set that was replayed.
  public struct Replay: Sendable, Equatable {
    public var file: String
    public var fill: Fill
    public init(file: String, fill: Fill) {
      self.file = file
      self.fill = fill
    }
  }

  public var provider: String
  public var providerVersion: String
  public var memory: MemoryKind
  /// In bytes, as all sizes here.
  public var granule: UInt64
  /// How much of the object each region maps and every pass touches.
  public var bytes: UInt64

  public var regions = 1
  public var sharing = Sharing.shared
  public var fill = FillTarget.backing
  public var threads = 1
  public var readers = 1
  public var access = "sequential"
  public var mode = "missing"
  public var passes = 1
  public var seed: UInt64 = 0

  /// From the first touch to the last.
  public var elapsedNanoseconds: UInt64 = 0
  /// Of all regions together, at the end.
  public var residentBytes: UInt64 = 0
  public var statistics = Statistics()
  public var recorded: Recorded?
  public var replay: Replay?
  /// Everything that no working set lists; nil: it was not filled.
  public var backgroundFill: Fill?
  /// Bytes a second that the two were held to; 0: no limit.
  public var fillRate: UInt64 = 0
  /// As the touching threads saw it: one entry per touch that may have faulted.
  public var latency = LatencySummary()
  public var verification = Verification.notVerified(reason: "nothing was compared")
  /// What the bytes were compared with, such as `image=/boot/vmlinuz`; nil when there was nothing.
  public var oracle: String?
  public var interrupted = false
  /// One sentence each.
  public var errors: [String] = []

  public init(
    provider: String, providerVersion: String, memory: MemoryKind, granule: UInt64, bytes: UInt64
  ) {
    self.provider = provider
    self.providerVersion = providerVersion
    self.memory = memory
    self.granule = granule
    self.bytes = bytes
  }

  public var isVerified: Bool {
    if case .verified = verification { true } else { false }
  }

  /// Of the process: 1 when a byte was wrong or serving failed, 130 when the run was interrupted before
  /// anything went wrong, else 0.
  public var exitCode: Int32 {
    if case .failed = verification { return 1 }
    if !errors.isEmpty || statistics.givenUp > 0 { return 1 }
    return interrupted ? 130 : 0
  }

  var faultsPerSecond: UInt64 {
    Units.perSecond(statistics.faults.total, nanoseconds: elapsedNanoseconds)
  }

  /// Bytes that the regions got, whatever the way.
  var installedBytes: UInt64 {
    statistics.installed.copied + statistics.installed.zeroed + statistics.installed.continued
  }

  /// The regions' sizes together, saturated.
  var mappedBytes: UInt64 {
    let (product, overflow) = bytes.multipliedReportingOverflow(by: UInt64(max(0, regions)))
    return overflow ? .max : product
  }
}
