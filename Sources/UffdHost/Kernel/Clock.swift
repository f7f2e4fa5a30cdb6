// SPDX-License-Identifier: Apache-2.0
import CLinux
import Glibc

/// Nanoseconds of CLOCK_MONOTONIC.
@inline(__always)
package func monotonicNanoseconds() -> UInt64 { clinux_now() }

/// Sleeps for about a millisecond; for waits on the control thread.
func sleepBriefly() { usleep(1000) }
func sleepNanoseconds(_ nanoseconds: UInt64) { usleep(UInt32(nanoseconds / 1000)) }
