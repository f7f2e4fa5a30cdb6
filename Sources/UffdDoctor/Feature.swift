// SPDX-License-Identifier: Apache-2.0
// The features of UFFDIO_API, the kernel that brought each, and what is lost without it.

internal import CLinux

/// A bit of UFFDIO_API.
struct Feature: Sendable {
  let bit: UInt64
  let name: String
  /// The first kernel that has it.
  let since: String
  /// What uffdhost cannot do without it, as the rest of a sentence that begins "without it".
  let loss: String

  static let all: [Feature] = [
    Feature(
      CLINUX_FEATURE_PAGEFAULT_FLAG_WP, "PAGEFAULT_FLAG_WP", "5.7",
      "writes to anonymous memory cannot be tracked"),
    Feature(
      CLINUX_FEATURE_EVENT_FORK, "EVENT_FORK", "4.11",
      "a forked child of a client reads zeroes in pages not yet filled"),
    Feature(
      CLINUX_FEATURE_EVENT_REMAP, "EVENT_REMAP", "4.11",
      "memory that a client moves with mremap is not served any more"),
    Feature(
      CLINUX_FEATURE_EVENT_REMOVE, "EVENT_REMOVE", "4.11",
      "pages that a client discards get the provider's bytes again instead of zeroes"),
    Feature(
      CLINUX_FEATURE_MISSING_HUGETLBFS, "MISSING_HUGETLBFS", "4.11",
      "huge pages cannot be served"),
    Feature(
      CLINUX_FEATURE_MISSING_SHMEM, "MISSING_SHMEM", "4.11",
      "shared memory cannot be served"),
    Feature(
      CLINUX_FEATURE_EVENT_UNMAP, "EVENT_UNMAP", "4.11",
      "unmapped memory is noticed only when an install fails"),
    Feature(
      CLINUX_FEATURE_SIGBUS, "SIGBUS", "4.14",
      "clients cannot ask for SIGBUS in place of faults"),
    Feature(
      CLINUX_FEATURE_THREAD_ID, "THREAD_ID", "4.14",
      "the log does not tell which thread faulted"),
    Feature(
      CLINUX_FEATURE_MINOR_HUGETLBFS, "MINOR_HUGETLBFS", "5.13",
      "huge pages cannot be shared between regions of one backing"),
    Feature(
      CLINUX_FEATURE_MINOR_SHMEM, "MINOR_SHMEM", "5.14",
      "shared memory cannot be shared between regions of one backing"),
    Feature(
      CLINUX_FEATURE_EXACT_ADDRESS, "EXACT_ADDRESS", "5.18",
      "the log shows the page of a fault and not the byte"),
    Feature(
      CLINUX_FEATURE_WP_HUGETLBFS_SHMEM, "WP_HUGETLBFS_SHMEM", "5.19",
      "writes to shared memory and huge pages cannot be tracked"),
    Feature(
      CLINUX_FEATURE_WP_UNPOPULATED, "WP_UNPOPULATED", "6.4",
      "first writes to never-touched anonymous pages cannot be tracked"),
    Feature(
      CLINUX_FEATURE_POISON, "POISON", "6.6",
      "a page that cannot be had kills its client instead of giving SIGBUS for that page alone"),
    Feature(
      CLINUX_FEATURE_WP_ASYNC, "WP_ASYNC", "6.7",
      "every tracked write costs a message"),
    Feature(
      CLINUX_FEATURE_MOVE, "MOVE", "6.8",
      "pages inside one process are copied where they could be moved"),
  ]

  private init(_ bit: UInt64, _ name: String, _ since: String, _ loss: String) {
    self.bit = bit
    self.name = name
    self.since = since
    self.loss = loss
  }
}
