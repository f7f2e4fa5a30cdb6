// SPDX-License-Identifier: Apache-2.0
// One of two values without a branch.
import CLinux

/// `yes` or `no`. For a condition that a CPU guesses wrong every second time: a branch on it would cost more
/// than what hangs on it.
@inline(__always)
func pick(_ condition: Bool, _ yes: UInt64, _ no: UInt64) -> UInt64 {
  clinux_select(condition ? 1 : 0, yes, no)
}
