// SPDX-License-Identifier: Apache-2.0
import CLinux

/// Nanoseconds of CLOCK_MONOTONIC.
@inline(__always)
func monotonicNanoseconds() -> UInt64 { clinux_now() }
