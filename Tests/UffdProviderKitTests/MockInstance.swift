// SPDX-License-Identifier: Apache-2.0

// A provider library, loaded from where the package was built, and its instances, called through the
// C table as a host calls them.

import Glibc
import Testing
import UffdPluginABI

/// A provider of this package, opened by name. Never closed, as hosts never do.
@safe
struct ProviderLibrary: @unchecked Sendable {
  // SAFETY: the table never changes and lives as long as the process.
  let table: UnsafePointer<uffd_provider>
  let path: String

  static let names = ["AnonProvider", "ShmemProvider", "HugetlbProvider"]

  init(_ name: String) throws {
    path = "\(ProviderLibrary.folder())/lib\(name).so"
    let library = unsafe dlopen(path, RTLD_NOW | RTLD_LOCAL | Int32(RTLD_NODELETE))
    if unsafe library == nil {
      throw Failure("\(path): \(unsafe String(cString: dlerror()))")
    }
    typealias Entry = @convention(c) () -> UnsafePointer<uffd_provider>?
    guard let symbol = unsafe dlsym(library, "uffd_provider_entry_v1"),
      let table = unsafe unsafeBitCast(symbol, to: Entry.self)()
    else { throw Failure("\(path): no table") }
    unsafe self.table = unsafe table
  }

  /// A provider that is part of the test.
  init(table: UnsafePointer<uffd_provider>) {
    unsafe self.table = unsafe table
    path = ""
  }

  /// The folder of the running test bundle; the libraries lie beside it.
  private static func folder() -> String {
    let text = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 4096) { buffer in
      let length = unsafe readlink("/proc/self/exe", buffer.baseAddress!, 4095)
      unsafe buffer[max(0, length)] = 0
      return unsafe String(cString: buffer.baseAddress!)
    }
    return text.split(separator: "/", omittingEmptySubsequences: false).dropLast()
      .joined(separator: "/")
  }
}

struct Failure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// The answer to one question.
struct Answer {
  var status: uffd_status
  var kind: uffd_folio_kind
  var count: UInt64
  var residence: uffd_residence
  /// The content, read from wherever the answer says that it is.
  var bytes: [UInt8]
  /// The address of lent memory.
  var lentAt: UInt = 0
}

/// One configured instance. Every lent answer is put back before it is handed out, which is sound for
/// providers whose lent memory lives until close.
@safe
final class MockInstance: @unchecked Sendable {
  let host: MockHost
  private(set) var traits = unsafe uffd_traits()
  // SAFETY: the table is immutable; the instance is the provider's, until close.
  let table: UnsafePointer<uffd_provider>
  let pointer: OpaquePointer
  private var isOpen = true

  /// Configures and completes. Throws the status, with the sentence of the provider.
  init(_ library: ProviderLibrary, _ parameters: [(String, String)]) throws {
    host = MockHost()
    unsafe table = unsafe library.table
    let (status, made) = unsafe MockInstance.configure(table, host, parameters)
    guard status == .ok, let made = unsafe made else {
      throw Refusal(status: status, sentence: host.lastError)
    }
    unsafe pointer = unsafe made
    unsafe traits.size = UInt32(MemoryLayout<uffd_traits>.size)
    let completed = unsafe table.pointee.config_complete!(pointer, &traits)
    guard completed == .ok else {
      close()
      throw Refusal(status: completed, sentence: host.lastError)
    }
  }

  deinit { close() }

  func close() {
    guard isOpen else { return }
    isOpen = false
    unsafe table.pointee.close!(pointer)
  }

  private static func configure(
    _ table: UnsafePointer<uffd_provider>, _ host: MockHost, _ parameters: [(String, String)]
  ) -> (uffd_status, OpaquePointer?) {
    // The strings of the contract live until close; those of a test may live for ever.
    let pairs = unsafe parameters.map { key, value in
      unsafe uffd_parameter(key: UnsafePointer(strdup(key)), value: UnsafePointer(strdup(value)))
    }
    var instance: OpaquePointer? = nil
    let status = unsafe pairs.withUnsafeBufferPointer { buffer in
      unsafe table.pointee.configure!(
        host.services, buffer.baseAddress, UInt64(buffer.count), &instance)
    }
    return unsafe (status, instance)
  }

  /// The number of granules of the object.
  var granules: UInt64 { unsafe (traits.object_size - 1) / traits.granule + 1 }

  /// Asks `alloc_folio`, checks what every answer must be, reads the content, puts it back.
  func ask(_ pgoff: UInt64, count: UInt64 = 1, granule: UInt64? = nil) -> Answer {
    let granule = unsafe granule ?? traits.granule
    let length = Int(count * granule)
    let staging = UnsafeMutableRawPointer.allocate(byteCount: length, alignment: 4096)
    defer { unsafe staging.deallocate() }
    unsafe staging.initializeMemory(as: UInt8.self, repeating: 0xa5, count: length)
    var request = unsafe uffd_folio_request(
      size: UInt32(MemoryLayout<uffd_folio_request>.size), reserved: 0, pgoff: pgoff,
      count: count, granule: granule, access: [], ticket: 1, staging: staging,
      staging_length: UInt64(length))
    var folio = unsafe uffd_folio()
    unsafe folio.size = UInt32(MemoryLayout<uffd_folio>.size)
    let status = unsafe table.pointee.alloc_folio!(pointer, &request, &folio)
    var answer = unsafe Answer(
      status: status, kind: folio.kind, count: folio.count, residence: folio.residence, bytes: [])
    guard status == .ok else { return answer }
    let content = Int(answer.count * granule)
    #expect((1...count).contains(answer.count))
    switch answer.kind {
    case .staged:
      #expect(unsafe folio.memory == nil)
      answer.bytes = unsafe Array(UnsafeRawBufferPointer(start: staging, count: content))
    case .lent:
      #expect(unsafe folio.length >= UInt64(content))
      answer.lentAt = unsafe UInt(bitPattern: folio.memory)
      answer.bytes = unsafe Array(UnsafeRawBufferPointer(start: folio.memory, count: content))
      unsafe table.pointee.put_folio!(pointer, &folio, pgoff)
    case .zero:
      #expect(unsafe folio.memory == nil)
      answer.bytes = Array(repeating: 0, count: content)
    default:
      Issue.record("an answer of kind \(answer.kind)")
    }
    return answer
  }

  /// The whole object, asked `count` granules at a time; the tail of the last granule included.
  func readAll(count: UInt64 = 1, granule: UInt64? = nil) -> [UInt8] {
    var content: [UInt8] = []
    let granule = unsafe granule ?? traits.granule
    let end = unsafe (traits.object_size - 1) / granule + 1
    var next: UInt64 = 0
    while next < end {
      let answer = ask(next, count: min(count, end - next), granule: granule)
      guard answer.status == .ok, answer.count > 0 else {
        Issue.record("pgoff \(next): \(answer.status)")
        break
      }
      content += answer.bytes
      next += answer.count
    }
    return content
  }

  /// Asks `can_userfault`. Nil for yes, else the reason.
  func refusal(
    _ kind: uffd_memory_kind, modes: uffd_modes = .missing, flags: uffd_region_flags = [],
    granule: UInt64? = nil, pgoff: UInt64 = 0
  ) -> String? {
    var query = unsafe uffd_region_query(
      size: UInt32(MemoryLayout<uffd_region_query>.size), memory_kind: kind, modes: modes,
      granule: granule ?? traits.granule, pgoff: pgoff, count: 1, flags: flags)
    var reason: UnsafePointer<CChar>? = nil
    let answer = unsafe table.pointee.can_userfault!(pointer, &query, &reason)
    if answer == 1 { return nil }
    #expect(answer == 0)
    return unsafe reason.map { unsafe String(cString: $0) } ?? ""
  }

  /// Asks `extents`.
  func extents(_ pgoff: UInt64, _ count: UInt64, capacity: Int) -> [uffd_extent] {
    var list = Array(repeating: uffd_extent(), count: capacity)
    var filled: UInt64 = 0
    let status = unsafe list.withUnsafeMutableBufferPointer { buffer in
      unsafe table.pointee.extents!(
        pointer, pgoff, count, buffer.baseAddress!, UInt64(capacity),
        UInt64(MemoryLayout<uffd_extent>.stride), &filled)
    }
    #expect(status == .ok)
    return Array(list.prefix(Int(filled)))
  }
}

/// What a provider answered when it was configured.
struct Refusal: Error {
  let status: uffd_status
  let sentence: String?
}
