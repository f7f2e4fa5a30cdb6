// SPDX-License-Identifier: Apache-2.0
// Memory of another process as it is handed over: what a dialect reads off the wire and a `Client` serves.

/// One region of a client, as its hand-off describes it. Untrusted until ``Client`` has checked it.
package struct ClientRegion: Sendable, Equatable {
  /// What a page means that the backing holds although we never published it.
  package enum StrayPages: UInt8, Sendable {
    /// Nothing: the page is given up, for nobody vouches for it.
    case refused
    /// The client has put content there itself: it is mapped as it is.
    case areContent
  }

  /// First address, in the client. The kernel's name: `uffdio_register.range.start`.
  package var start: UInt64
  /// Bytes.
  package var length: UInt64
  /// Byte of the object that `start` shows; with a backing, also the byte of the backing that is mapped
  /// there.
  package var offset: UInt64
  /// Size of the memory's pages in bytes: 4096, or the huge page.
  package var pageSize: UInt64
  /// How the client maps its backing; anonymous memory is private.
  package var sharing: Sharing
  /// The region is registered for minor faults too (`UFFDIO_REGISTER_MODE_MINOR`), not only for missing
  /// ones.
  package var isMinor: Bool
  /// Which of the descriptors that came along is the memfd that the region maps; nil: anonymous memory, or
  /// a file that we do not have, so that content goes into the mapping alone.
  package var backing: Int?
  package var strayPages: StrayPages

  package init(
    start: UInt64, length: UInt64, offset: UInt64, pageSize: UInt64 = 4096,
    sharing: Sharing = .private, isMinor: Bool = false, backing: Int? = nil,
    strayPages: StrayPages = .refused
  ) {
    self.start = start
    self.length = length
    self.offset = offset
    self.pageSize = pageSize
    self.sharing = sharing
    self.isMinor = isMinor
    self.backing = backing
    self.strayPages = strayPages
  }
}

/// Who a client is, as the kernel says: the process that connected (SO_PEERCRED, SO_PEERPIDFD), or one that it
/// named.
package struct ClientIdentity: Sendable {
  package let pid: Int32
  package let uid: UInt32
  package let gid: UInt32
  /// Becomes readable when the process ends. Nil where none could be had.
  package let pidfd: Descriptor?
  /// The dialect it spoke.
  package let dialect: String

  package init(pid: Int32, uid: UInt32, gid: UInt32, pidfd: Descriptor?, dialect: String) {
    self.pid = pid
    self.uid = uid
    self.gid = gid
    self.pidfd = pidfd
    self.dialect = dialect
  }
}

/// How far a client's memory is served.
package struct ClientProgress: Sendable, Equatable {
  package enum Phase: String, Sendable {
    case serving, draining
    /// Everything is there and nothing is watched any more.
    case drained
    /// The client asked to be left alone: its uffd is held and not served.
    case detached
    /// The process is gone.
    case gone
  }
  package struct Region: Sendable, Equatable {
    package var start: UInt64
    package var length: UInt64
    package var offset: UInt64
    package var pageSize: UInt64
    package var residentBytes: UInt64
    package var poisonedBytes: UInt64
    /// Given back by the client; reads zero.
    package var discardedBytes: UInt64
    package init(
      start: UInt64, length: UInt64, offset: UInt64, pageSize: UInt64, residentBytes: UInt64,
      poisonedBytes: UInt64, discardedBytes: UInt64
    ) {
      self.start = start
      self.length = length
      self.offset = offset
      self.pageSize = pageSize
      self.residentBytes = residentBytes
      self.poisonedBytes = poisonedBytes
      self.discardedBytes = discardedBytes
    }
    /// The three are counted one after the other while pages change.
    package var missingBytes: UInt64 {
      length - min(length, residentBytes + poisonedBytes + discardedBytes)
    }
  }
  /// What is filled of it before it is touched, in bytes.
  package struct Fill: Sendable, Equatable {
    package var totalBytes: UInt64 = 0
    package var filledBytes: UInt64 = 0
    /// Somebody had touched it, or given it back.
    package var presentBytes: UInt64 = 0
    /// Could not be had: left to whoever touches it.
    package var leftBytes: UInt64 = 0
    /// From the beginning of the first fill to the end of the last, or until now.
    package var nanoseconds: UInt64 = 0
    package var isFinished = true
    package init() {}
  }
  package var phase = Phase.serving
  package var regions: [Region] = []
  /// There are more regions than are told.
  package var isTruncated = false
  package var statistics = Statistics()
  /// Of those in `statistics.parkedNow`, faults that failed and are held (`FailurePolicy.hold`).
  package var heldNow: UInt64 = 0
  /// How long the oldest of the others has waited; 0: none waits.
  package var longestWaitNanoseconds: UInt64 = 0
  /// From the read of a fault's message to its install.
  package var latency = LatencySummary()
  /// Nil: nothing is.
  package var fill: Fill?
  package init() {}
  package var bytes: UInt64 { regions.reduce(0) { $0 + $1.length } }
  package var missingBytes: UInt64 { regions.reduce(0) { $0 + $1.missingBytes } }
}

extension ClientProgress.Fill {
  /// Several fills of one client, the earliest first, as one; nil: there is none.
  init?(_ prefetches: [Prefetch], granule: UInt64) {
    guard let first = prefetches.first else { return nil }
    var end: UInt64 = 0
    for prefetch in prefetches {
      let progress = prefetch.progress
      totalBytes += progress.total * granule
      filledBytes += progress.filled * granule
      presentBytes += progress.present * granule
      leftBytes += progress.left * granule
      isFinished = isFinished && progress.isFinished
      end = max(end, prefetch.begun + prefetch.elapsedNanoseconds)
    }
    nanoseconds = end - first.begun
  }
}
