// SPDX-License-Identifier: Apache-2.0
import CLinux

/// Features of the running kernel (`UFFD_FEATURE_*`). Each is optional in our code.
package struct KernelFeatures: OptionSet, Sendable {
  package let rawValue: UInt64
  package init(rawValue: UInt64) { self.rawValue = rawValue }

  static let eventRemove = KernelFeatures(rawValue: CLINUX_FEATURE_EVENT_REMOVE)
  /// Linux 6.6. A test masks it to see the host do without.
  package static let poison = KernelFeatures(rawValue: CLINUX_FEATURE_POISON)
  package static let all = KernelFeatures(rawValue: ~0)
}
