// SPDX-License-Identifier: Apache-2.0

// The provider of shared memory: the host creates a memfd, publishes each page of the content into it
// once, and any number of regions map it. This library keeps the filemap: which pages the memfd holds.

internal import ImageContent
public import UffdPluginABI
internal import UffdProviderKit

private let table = ProviderTable(
  ProviderDescription(
    name: "shmem", version: "0.1.0",
    summary: "a shared memory file, filled from an image or a pattern on first touch",
    operations: FilemapInstance.filemapOperations, modes: [.missing, .minor],
    memoryKinds: [.shmem, .anon], granules: [.size4K, .size2M], threadModel: .parallel,
    parameters: FilemapInstance.filemapParameters),
  ShmemInstance.self)

// swift-format-ignore: AlwaysUseLowerCamelCase
@c @implementation
public func uffd_provider_entry_v1() -> UnsafePointer<uffd_provider>? { unsafe table.pointer }

/// Everything but the choice of memory is FilemapInstance's.
final class ShmemInstance: FilemapInstance {
  required init(host: HostServices, parameters: ParameterList) throws(ProviderError) {
    try super.init(
      host: host, parameters: parameters, memoryKind: .shmem, granule: UInt64(UFFD_GRANULE_4K))
  }
}
