// SPDX-License-Identifier: Apache-2.0
import CLinux

/// Features of the running kernel (`UFFD_FEATURE_*`). Each is optional in our code.
package struct KernelFeatures: OptionSet, Sendable {
  package let rawValue: UInt64
  package init(rawValue: UInt64) { self.rawValue = rawValue }

  static let eventRemove = KernelFeatures(rawValue: CLINUX_FEATURE_EVENT_REMOVE)
  static let eventUnmap = KernelFeatures(rawValue: CLINUX_FEATURE_EVENT_UNMAP)
  static let missingShmem = KernelFeatures(rawValue: CLINUX_FEATURE_MISSING_SHMEM)
  static let missingHugetlb = KernelFeatures(rawValue: CLINUX_FEATURE_MISSING_HUGETLBFS)
  static let minorShmem = KernelFeatures(rawValue: CLINUX_FEATURE_MINOR_SHMEM)
  static let minorHugetlb = KernelFeatures(rawValue: CLINUX_FEATURE_MINOR_HUGETLBFS)
  /// Linux 6.6. A test masks it to see the host do without.
  package static let poison = KernelFeatures(rawValue: CLINUX_FEATURE_POISON)
  package static let all = KernelFeatures(rawValue: ~0)
}
