// SPDX-License-Identifier: Apache-2.0

// The provider of private anonymous memory: each region gets its own copy of the content, page by
// page, on missing faults. There is no backing and no filemap.

internal import ImageContent
public import UffdPluginABI
internal import UffdProviderKit

private let table = ProviderTable(
  ProviderDescription(
    name: "anon", version: "0.1.0",
    summary: "private anonymous memory, filled from an image or a pattern on first touch",
    operations: ContentInstance.contentOperations, modes: .missing, memoryKinds: .anon,
    granules: [.size4K, .size2M], threadModel: .parallel, parameters: Content.parameters),
  AnonInstance.self)

// swift-format-ignore: AlwaysUseLowerCamelCase
@c @implementation
public func uffd_provider_entry_v1() -> UnsafePointer<uffd_provider>? { unsafe table.pointer }

/// Everything but the choice of memory is ContentInstance's.
final class AnonInstance: ContentInstance {
  override func canUserfault(_ query: RegionQuery) -> AttachDecision {
    guard query.memoryKind == .anon else {
      return .no("this provider fills anonymous memory only")
    }
    guard !query.modes.contains(.minor) else {
      return .no("anonymous memory has no minor faults, as nothing backs it")
    }
    return .yes
  }
}
