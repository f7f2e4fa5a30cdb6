// SPDX-License-Identifier: Apache-2.0

// The services of the host, as Swift functions. An instance is given one of these when it is made and
// may use it on any thread until it is deinitialised. No service blocks or calls back.

public import UffdPluginABI

/// What the host does for one instance of a provider. The corresponding C type is `uffd_host`.
///
/// A service that an older host lacks does nothing.
@safe
public struct HostServices: @unchecked Sendable {
  // SAFETY: the host keeps the table, which never changes, until close of the instance returns.
  private let table: UnsafePointer<uffd_host>

  init(_ table: UnsafePointer<uffd_host>) {
    unsafe self.table = unsafe table
  }

  /// Writes one line to the host's log. The corresponding C service is `log`.
  public func log(_ level: uffd_log_level, _ line: String) {
    guard let service = unsafe table.pointee.log else { return }
    let instance = unsafe table.pointee.instance
    unsafe HostServices.withText(line) { text, length in
      unsafe service(instance, level, text, length)
    }
  }

  /// Says in one sentence why the hook that is about to return will not answer OK. The corresponding
  /// C service is `report_error`.
  public func reportError(_ sentence: String) {
    guard let service = unsafe table.pointee.report_error else { return }
    let instance = unsafe table.pointee.instance
    unsafe HostServices.withText(sentence) { text, length in unsafe service(instance, text, length)
    }
  }

  /// Page-aligned memory of the host, for content that arrives between two questions. `length` is a
  /// multiple of the granule. Ends with `FolioAnswer.handBack`, with `freeStaging`, or with the
  /// instance. The corresponding C service is `staging_alloc`.
  public func allocateStaging(
    length: UInt64
  ) -> (status: uffd_status, memory: UnsafeMutableRawPointer?) {
    guard let service = unsafe table.pointee.staging_alloc else { return (.noMemory, nil) }
    var memory: UnsafeMutableRawPointer? = nil
    let status = unsafe service(table.pointee.instance, length, &memory)
    return unsafe (status, memory)
  }

  /// The corresponding C service is `staging_free`.
  public func freeStaging(_ memory: UnsafeMutableRawPointer) {
    unsafe table.pointee.staging_free?(table.pointee.instance, memory)
  }

  /// "Ask again": the answer to the question with this ticket is ready. The corresponding C service
  /// is `kick`.
  public func kick(ticket: UInt64) {
    unsafe table.pointee.kick?(table.pointee.instance, ticket)
  }

  private static func withText(_ text: String, _ body: (UnsafePointer<CChar>, UInt64) -> Void) {
    var text = text
    text.withUTF8 { bytes in
      // An empty string may have no address, and the contract wants one.
      guard let start = bytes.baseAddress else { return }
      unsafe start.withMemoryRebound(to: CChar.self, capacity: bytes.count) { characters in
        unsafe body(characters, UInt64(bytes.count))
      }
    }
  }
}
