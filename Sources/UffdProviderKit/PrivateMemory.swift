// SPDX-License-Identifier: Apache-2.0

// Memory of the provider's own, in pages, outside the heap.

internal import Glibc
internal import UffdPluginABI

/// Zeroed private memory, page-aligned. A page that nobody writes to costs nothing.
package enum PrivateMemory {
  package static func map(_ length: UInt64) throws(ProviderError) -> UnsafeMutableRawPointer {
    let memory = unsafe mmap(
      nil, Int(length), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let memory = unsafe memory, unsafe memory != MAP_FAILED else {
      let reason = ProviderError.describe(errno: errno)
      throw ProviderError(.noMemory, "there is no memory for \(length) bytes: \(reason)")
    }
    return unsafe memory
  }

  package static func unmap(_ memory: UnsafeMutableRawPointer, _ length: UInt64) {
    unsafe munmap(memory, Int(length))
  }
}
