// SPDX-License-Identifier: Apache-2.0

// The questions of the host and the answers to them, as Swift types over the C structs. None can be
// copied or kept: each lives as long as the hook that it is given to. No accessor allocates.

public import UffdPluginABI

/// One question: the content of up to `count` granules from `pgoff`. The corresponding C type is
/// `uffd_folio_request`.
@safe
public struct FolioRequest: ~Copyable {
  // SAFETY: the host keeps the struct unchanged until the hook returns.
  @usableFromInline let raw: UnsafePointer<uffd_folio_request>

  @inlinable
  init(_ raw: UnsafePointer<uffd_folio_request>) {
    unsafe self.raw = unsafe raw
  }

  @inlinable public var pgoff: UInt64 { unsafe raw.pointee.pgoff }
  /// At least 1.
  @inlinable public var count: UInt64 { unsafe raw.pointee.count }
  /// Bytes, a power of two.
  @inlinable public var granule: UInt64 { unsafe raw.pointee.granule }
  @inlinable public var access: uffd_access { unsafe raw.pointee.access }
  /// Names this question to `kick` and `cancel`; the same when asked again.
  @inlinable public var ticket: UInt64 { unsafe raw.pointee.ticket }
  /// Memory of the host for the answer: page-aligned, undefined content, room for the whole question.
  @inlinable public var staging: UnsafeMutableRawBufferPointer {
    unsafe UnsafeMutableRawBufferPointer(
      start: raw.pointee.staging, count: Int(raw.pointee.staging_length))
  }
}

/// The answer to a question that the hook answers with `ok`. The corresponding C type is `uffd_folio`.
@safe
public struct FolioAnswer: ~Copyable {
  // SAFETY: the host's own struct, zeroed, valid until the hook returns.
  @usableFromInline let raw: UnsafeMutablePointer<uffd_folio>

  @inlinable
  init(_ raw: UnsafeMutablePointer<uffd_folio>) {
    unsafe self.raw = unsafe raw
  }

  /// The bytes of the first `granules` granules are in the staging of the request.
  @inlinable
  public mutating func staged(granules: UInt64) {
    unsafe raw.pointee.kind = .staged
    unsafe raw.pointee.count = granules
  }

  /// The bytes are in memory from `HostServices.allocateStaging`, which goes back to the host.
  @inlinable
  public mutating func handBack(_ memory: UnsafeMutableRawPointer, granules: UInt64) {
    unsafe raw.pointee.kind = .staged
    unsafe raw.pointee.count = granules
    unsafe raw.pointee.memory = UnsafeRawPointer(memory)
  }

  /// The bytes are at `memory`, which stays readable and unchanged until `putFolio`.
  @inlinable
  public mutating func lent(
    _ memory: UnsafeRawPointer, length: UInt64, granules: UInt64, residence: uffd_residence,
    cookie: UInt64 = 0
  ) {
    unsafe raw.pointee.kind = .lent
    unsafe raw.pointee.count = granules
    unsafe raw.pointee.memory = unsafe memory
    unsafe raw.pointee.length = length
    unsafe raw.pointee.residence = residence
    unsafe raw.pointee.cookie = cookie
  }

  /// Every byte of the first `granules` granules is zero.
  @inlinable
  public mutating func zero(granules: UInt64) {
    unsafe raw.pointee.kind = .zero
    unsafe raw.pointee.count = granules
  }
}

/// An answer that comes back: see `ProviderInstance.putFolio`.
@safe
public struct LentFolio: ~Copyable {
  // SAFETY: the host keeps the struct unchanged until the hook returns.
  @usableFromInline let raw: UnsafePointer<uffd_folio>

  @inlinable
  init(_ raw: UnsafePointer<uffd_folio>) {
    unsafe self.raw = unsafe raw
  }

  @inlinable public var memory: UnsafeRawPointer? { unsafe raw.pointee.memory }
  @inlinable public var count: UInt64 { unsafe raw.pointee.count }
  @inlinable public var cookie: UInt64 { unsafe raw.pointee.cookie }
}

/// A region that wants to attach. The corresponding C type is `uffd_region_query`.
public struct RegionQuery: Sendable {
  public let memoryKind: uffd_memory_kind
  public let modes: uffd_modes
  /// Bytes.
  public let granule: UInt64
  /// First granule of the window.
  public let pgoff: UInt64
  /// Granules.
  public let count: UInt64
  public let flags: uffd_region_flags

  init(_ query: uffd_region_query) {
    memoryKind = query.memory_kind
    modes = query.modes
    granule = query.granule
    pgoff = query.pgoff
    count = query.count
    flags = query.flags
  }
}

/// Whether a region may attach.
public enum AttachDecision: Sendable {
  case yes
  /// The reason is one clause of text.
  case no(StaticString)
}

/// The host's array for the answer to `extents`. The corresponding C type is `uffd_extent`.
@safe
public struct ExtentList: ~Copyable {
  // SAFETY: the host's array has room for `capacity` elements, `stride` bytes apart.
  private let first: UnsafeMutableRawPointer
  private let capacity: UInt64
  private let stride: UInt64
  /// How many were appended.
  public private(set) var filled: UInt64 = 0

  init(_ first: UnsafeMutableRawPointer, capacity: UInt64, stride: UInt64) {
    unsafe self.first = unsafe first
    self.capacity = capacity
    self.stride = stride
  }

  /// Appends a run of granules. Answers whether there is room for one more.
  public mutating func append(pgoff: UInt64, count: UInt64, isZero: Bool) -> Bool {
    guard filled < capacity else { return false }
    var extent = uffd_extent()
    extent.pgoff = pgoff
    extent.count = count
    extent.is_zero = isZero ? 1 : 0
    unsafe first.advanced(by: Int(filled * stride)).storeBytes(of: extent, as: uffd_extent.self)
    filled += 1
    return filled < capacity
  }
}
