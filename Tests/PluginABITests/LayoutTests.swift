// SPDX-License-Identifier: Apache-2.0
// The layout that Swift sees is the one that layout.c fixes for C.
import Foundation
import TestSupport
import Testing
import UffdPluginABI

@Suite("Layout")
struct LayoutTests {
  /// Sizes as Swift has them.
  static let sizes: [String: Int] = unsafe [
    "uffd_parameter_info": MemoryLayout<uffd_parameter_info>.size,
    "uffd_parameter": MemoryLayout<uffd_parameter>.size,
    "uffd_host": MemoryLayout<uffd_host>.size,
    "uffd_traits": MemoryLayout<uffd_traits>.size,
    "uffd_region_query": MemoryLayout<uffd_region_query>.size,
    "uffd_folio_request": MemoryLayout<uffd_folio_request>.size,
    "uffd_folio": MemoryLayout<uffd_folio>.size,
    "uffd_extent": MemoryLayout<uffd_extent>.size,
    "uffd_provider": MemoryLayout<uffd_provider>.size,
  ]

  /// The fields in order, as Swift has them.
  static let offsets: [String: [Int?]] = unsafe [
    "uffd_parameter_info": fields(
      \uffd_parameter_info.key, \.help, \.default_value, \.kind, \.reserved, \.flags),
    "uffd_parameter": fields(\uffd_parameter.key, \.value),
    "uffd_host": fields(
      \uffd_host.size, \.abi, \.instance, \.log, \.report_error, \.staging_alloc, \.staging_free,
      \.kick),
    "uffd_traits": fields(
      \uffd_traits.size, \.memory_kind, \.object_size, \.granule, \.backing, \.thread_model,
      \.may_block, \.file_role, \.file_key, \.hole, \.reserved, \.content_id_high,
      \.content_id_low),
    "uffd_region_query": fields(
      \uffd_region_query.size, \.memory_kind, \.modes, \.granule, \.pgoff, \.count, \.flags),
    "uffd_folio_request": fields(
      \uffd_folio_request.size, \.reserved, \.pgoff, \.count, \.granule, \.access, \.ticket,
      \.staging, \.staging_length),
    "uffd_folio": fields(
      \uffd_folio.size, \.kind, \.count, \.memory, \.length, \.residence, \.reserved, \.cookie),
    "uffd_extent": fields(\uffd_extent.pgoff, \.count, \.is_zero, \.reserved),
    "uffd_provider": fields(
      \uffd_provider.size, \.abi, \.requires_minor, \.thread_model, \.operations, \.modes,
      \.memory_kinds, \.granules, \.behaviours, \.name, \.version, \.summary, \.parameters,
      \.parameter_count, \.parameter_stride, \.configure, \.config_complete, \.can_userfault,
      \.alloc_folio, \.put_folio, \.get_folio_noalloc, \.filemap_add, \.filemap_remove, \.discard,
      \.extents, \.will_need, \.writeback, \.flush, \.cancel, \.close),
  ]

  private static func fields<Root>(_ paths: PartialKeyPath<Root>...) -> [Int?] {
    paths.map { MemoryLayout<Root>.offset(of: $0) }
  }

  /// What layout.c asserts: SIZE(struct, bytes) and LAYOUT(struct, field, offset), in its order.
  private static func asserted() throws -> (sizes: [String: Int], offsets: [String: [Int]]) {
    let text = try String(
      contentsOfFile: Checkout.root + "/Sources/UffdPluginABI/layout.c", encoding: .utf8)
    var sizes: [String: Int] = [:]
    var offsets: [String: [Int]] = [:]
    for match in text.matches(of: /(?m)^SIZE\((\w+), (\d+)\);/) {
      sizes[String(match.1)] = Int(match.2)
    }
    for match in text.matches(of: /(?m)^LAYOUT\((\w+), \w+, (\d+)\);/) {
      offsets[String(match.1), default: []].append(Int(match.2)!)
    }
    return (sizes, offsets)
  }

  @Test("sizes", arguments: sizes.keys.sorted())
  func size(_ name: String) throws {
    #expect(try Self.asserted().sizes[name] == Self.sizes[name])
  }

  @Test("offsets of all fields", arguments: offsets.keys.sorted())
  func order(_ name: String) throws {
    #expect(try Self.asserted().offsets[name] == Self.offsets[name]?.compactMap { $0 })
  }

  @Test("layout.c and this test know the same structs")
  func complete() throws {
    #expect(try Set(Self.asserted().sizes.keys) == Set(Self.sizes.keys))
    #expect(try Set(Self.asserted().offsets.keys) == Set(Self.offsets.keys))
  }
}
