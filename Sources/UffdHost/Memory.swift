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
