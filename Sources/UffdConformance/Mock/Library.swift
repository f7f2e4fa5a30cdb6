// SPDX-License-Identifier: Apache-2.0
// A provider's library as the suite sees it: the loader's checked description beside the raw table.
import Glibc
import UffdHost
import UffdPluginABI

/// A loaded library. Its hooks are called through MockInstance only.
@safe final class Library: @unchecked Sendable {
  let provider: Provider
  // SAFETY: the contract: the table lives as long as the process.
  let table: UnsafePointer<uffd_provider>
  private let entry: @convention(c) () -> UnsafePointer<uffd_provider>?

  /// Throws what the loader throws. The corresponding C call is dlopen(3).
  init(_ path: String) throws {
    provider = try Provider.load(path)
    guard
      let library = unsafe dlopen(provider.path, RTLD_NOW | RTLD_LOCAL | Int32(RTLD_NODELETE)),
      let symbol = unsafe dlsym(library, "uffd_provider_entry_v1")
    else { throw HostError(.refused, "'\(path)' was loaded once and cannot be loaded twice") }
    unsafe entry = unsafe unsafeBitCast(
      symbol, to: (@convention(c) () -> UnsafePointer<uffd_provider>?).self)
    guard let table = unsafe entry() else {
      throw HostError(.refused, "'\(path)' declined to load when it was asked a second time")
    }
    unsafe self.table = unsafe table
  }

  /// Asks the entry function again: the address of what it returns, 0 for NULL.
  func askEntry() -> UInt { unsafe UInt(bitPattern: entry()) }
  var address: UInt { unsafe UInt(bitPattern: table) }

  /// The bytes of the table as they are now.
  var tableBytes: Bytes { unsafe Bytes(UnsafeRawPointer(table), Int(table.pointee.size)) }

  var operations: uffd_operations { unsafe table.pointee.operations }
  var behaviours: uffd_behaviours { unsafe table.pointee.behaviours }
  func has(_ operation: uffd_operations) -> Bool { operations.contains(operation) }
  var isVolatile: Bool { behaviours.contains(.volatile) }

  /// Throws if a hook is not there.
  func require(_ operation: uffd_operations, _ name: String) throws {
    if !has(operation) { throw NotApplicable("the provider has no \(name)") }
  }
}
