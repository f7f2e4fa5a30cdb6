// SPDX-License-Identifier: Apache-2.0

// The provider of huge pages: as ShmemProvider, but the memfd is hugetlb and a granule is one huge
// page of the pool. Whether the pool has enough of them is the host's to find out.

internal import ImageContent
public import UffdPluginABI
internal import UffdProviderKit

private let table = ProviderTable(
  ProviderDescription(
    name: "hugetlb", version: "0.1.0",
    summary: "huge pages, filled from an image or a pattern on first touch",
    operations: FilemapInstance.filemapOperations, modes: [.missing, .minor],
    memoryKinds: [.hugetlb, .anon], granules: [.size2M, .size1G], threadModel: .parallel,
    parameters: FilemapInstance.filemapParameters + [
      ParameterDescription(
        "granule", .size, help: "size of a huge page: 2M or 1G", defaultValue: "2M")
    ]),
  HugetlbInstance.self)

// swift-format-ignore: AlwaysUseLowerCamelCase
@c @implementation
public func uffd_provider_entry_v1() -> UnsafePointer<uffd_provider>? { unsafe table.pointer }

/// Everything but the choice of memory is FilemapInstance's.
final class HugetlbInstance: FilemapInstance {
  required init(host: HostServices, parameters: ParameterList) throws(ProviderError) {
    let granule = try parameters.size("granule") ?? UInt64(UFFD_GRANULE_2M)
    guard granule == UInt64(UFFD_GRANULE_2M) || granule == UInt64(UFFD_GRANULE_1G) else {
      throw .badValue("granule=\(granule) is not the size of a huge page: give 2M or 1G")
    }
    try super.init(host: host, parameters: parameters, memoryKind: .hugetlb, granule: granule)
  }
}
