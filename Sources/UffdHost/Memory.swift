// SPDX-License-Identifier: Apache-2.0

/// The kinds of memory that a region can be. The kernel's words: anonymous memory, shmem, hugetlb.
public enum MemoryKind: String, Sendable, CaseIterable {
  case anon, shmem, hugetlb
}

/// How a region maps the backing of its instance (`MAP_SHARED` or `MAP_PRIVATE`).
public enum Sharing: String, Sendable {
  /// Writes go to the backing, and every other region of it sees them.
  case shared
  /// Writes are copied on write and stay in the region. Anonymous memory is always private.
  case `private`
}

/// Where the content of a missing page goes.
public enum FillTarget: String, Sendable {
  /// Into the backing, for all regions of it: the page is published, the provider's filemap is told.
  case backing
  /// Into this region's mapping alone, as the kernel does for `MAP_PRIVATE`. The backing is not touched.
  case mapping
}

/// How many granules one fault settles: its own, and granules beside it that will probably be touched next.
/// Never more than 256 KiB of content, and never a second granule of 2 MiB.
public enum FaultAround: Sendable, Equatable {
  /// One fault, one granule.
  case off
  /// What follows from the accesses of each region: one for a fault that continues nothing, ever more for a
  /// run that goes on, up to so many.
  case upTo(UInt64)

  /// As many as an install is long.
  public static let adaptive = FaultAround.upTo(.max)

  var most: UInt64 {
    switch self {
    case .off: 1
    case .upTo(let most): most
    }
  }
}

/// What happens to a page that cannot be had, after retries and within the deadline of its fault.
/// Reading zeroes is never among the choices.
public enum FailurePolicy: String, Sendable, CaseIterable {
  /// The page is poisoned (`UFFDIO_POISON`, Linux 6.6): whoever touches it gets SIGBUS.
  case poison
  /// The client process is killed.
  case kill
  /// The page is asked for again for ever, with capped back-off; its threads sleep on.
  case hold
}
