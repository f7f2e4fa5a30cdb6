// SPDX-License-Identifier: Apache-2.0
// A provider without fault-path code: it names a file among its parameters and what its holes read, and the
// host does the rest. The file is the content (lent to COPY from a mapping) or itself the backing.
import Glibc
import UffdPluginABI

/// A file that an instance declared. Its hooks have the shape of a provider's, so that the fault path knows
/// one way only.
@safe final class DeclaredFile: @unchecked Sendable {
  let isContent: Bool
  /// The file as a backing; nil if it is content.
  let backing: MemoryFile?
  /// Bytes of the file when it was opened.
  let length: UInt64
  private let mapping: Mapping?
  private let descriptor: Descriptor?
  private let holeIsZero: Bool
  private let granule: UInt64

  /// Nil if the instance declares no file.
  init?(
    _ raw: uffd_traits, _ traits: Traits, _ parameters: [Parameter]
  ) throws(HostError) {
    if unsafe raw.file_role == .unused { return nil }
    guard let key = unsafe stringCarefully(raw.file_key),
      let path = parameters.first(where: { $0.key == key })?.value
    else {
      throw HostError(
        .refused, "the provider declares a file by a parameter that was not given; give it one")
    }
    holeIsZero = traits.holeIsZero
    granule = traits.granule
    isContent = unsafe raw.file_role == .content
    if unsafe raw.file_role == .backing {
      let (file, size) = try MemoryFile.open(path)
      guard file.kind == traits.memoryKind, traits.granule == file.pageSize,
        (traits.objectSize - 1) / traits.granule < (size + traits.granule - 1) / traits.granule
      else {
        throw HostError(
          .usage,
          "the backing file '\(path)' is \(size) bytes of \(file.kind.rawValue) memory, which does not hold "
            + "\(traits.objectSize) bytes of \(traits.memoryKind.rawValue) in granules of \(traits.granule)"
        )
      }
      backing = file
      length = size
      mapping = nil
      descriptor = nil
      return
    }
    let fd = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else {
      throw HostError(.usage, "the file '\(path)' cannot be opened (\(Errno(errno).name))")
    }
    let descriptor = Descriptor(owning: fd)
    guard let info = try? FileInfo(fd: fd), info.isRegular, info.size > 0 else {
      throw HostError(.usage, "'\(path)' is not a file with content; give another")
    }
    do {
      mapping = try Mapping.file(fd: fd, length: info.size)
    } catch {
      throw HostError(.system, "the file '\(path)' cannot be mapped (\(error.name))")
    }
    backing = nil
    length = info.size
    self.descriptor = descriptor
  }

  var handle: OpaquePointer { unsafe OpaquePointer(Unmanaged.passUnretained(self).toOpaque()) }

  static let alloc: InstanceRecord.Alloc = { handle, request, folio in
    unsafe Unmanaged<DeclaredFile>.fromOpaque(UnsafeRawPointer(handle))._withUnsafeGuaranteedRef {
      file in
      unsafe file.answer(request.pointee, folio)
    }
  }
  static let put: InstanceRecord.Put = { _, _, _ in }
  static let willNeed: InstanceRecord.Range = { handle, pgoff, count in
    unsafe Unmanaged<DeclaredFile>.fromOpaque(UnsafeRawPointer(handle))._withUnsafeGuaranteedRef {
      file in
      file.warm(pgoff * file.granule, count * file.granule)
    }
  }

  private func warm(_ start: UInt64, _ length: UInt64) {
    guard let mapping, start < self.length else { return }
    mapping.willNeed(from: start, length: min(length, self.length - start))
  }

  private func answer(
    _ request: uffd_folio_request, _ folio: UnsafeMutablePointer<uffd_folio>
  ) -> uffd_status {
    let start = unsafe request.pgoff * request.granule
    guard start < length else {
      if !holeIsZero { return .outOfRange }
      unsafe folio.pointee.kind = .zero
      unsafe folio.pointee.count = unsafe request.count
      return .ok
    }
    let whole = unsafe (length - start) / request.granule
    if whole > 0 {
      unsafe folio.pointee.kind = .lent
      unsafe folio.pointee.count = unsafe min(whole, request.count)
      unsafe folio.pointee.memory = unsafe UnsafeRawPointer(mapping!.base + Int(start))
      unsafe folio.pointee.length = unsafe folio.pointee.count * request.granule
      unsafe folio.pointee.residence = .mayFault
      return .ok
    }
    // The last granule goes beyond the file: its tail must be zero, and may not be lent.
    unsafe memset(request.staging, 0, Int(request.granule))
    var done = 0
    let wanted = Int(length - start)
    while done < wanted {
      let count = unsafe pread(
        descriptor!.fd, request.staging + done, wanted - done, off_t(start) + off_t(done))
      if count == 0 || (count < 0 && errno != EINTR) { return .ioError }
      done += max(0, count)
    }
    unsafe folio.pointee.kind = .staged
    unsafe folio.pointee.count = 1
    return .ok
  }
}
