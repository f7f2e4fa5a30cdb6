// SPDX-License-Identifier: Apache-2.0

// Memory in stripes, in Swift: page N holds runs of `stripe` bytes, in turn N % 251 and its complement.
// The kit turns the host's pointers into the methods of a class; one object is one instance.

public import UffdPluginABI
internal import UffdProviderKit

private let table = ProviderTable(
  ProviderDescription(
    name: "stripes-swift", version: "1.0",
    summary: "stripes whose bytes tell the page they are on",
    operations: .alloc, modes: .missing, memoryKinds: .anon, granules: .size4K,
    // Safe, because every property of an instance is a `let`.
    threadModel: .parallel,
    parameters: [
      ParameterDescription("size", .size, help: "bytes", defaultValue: "1M"),
      ParameterDescription("stripe", .size, help: "bytes in a run", defaultValue: "64"),
    ]),
  Stripes.self)

// The compiler checks this against the prototype in the header.
// swift-format-ignore: AlwaysUseLowerCamelCase
@c @implementation
public func uffd_provider_entry_v1() -> UnsafePointer<uffd_provider>? { unsafe table.pointer }

/// One instance: from `init`, which is the hook `configure`, to `deinit`, which is `close`.
final class Stripes: ProviderInstance {
  private let size: UInt64
  private let stripe: UInt64

  required init(host: HostServices, parameters: ParameterList) throws(ProviderError) {
    size = try parameters.size("size") ?? 1 << 20
    stripe = try parameters.size("stripe") ?? 64
    guard size > 0, stripe > 0 else { throw .badValue("size= and stripe= must be at least 1 byte") }
    super.init(host: host)
  }

  override func configComplete() throws(ProviderError) -> ProviderTraits {
    ProviderTraits(
      objectSize: size, granule: UInt64(UFFD_GRANULE_4K), memoryKind: .anon, backing: .none)
  }

  /// A client thread sleeps until this returns: no allocation, no lock, no class made here.
  override func allocFolio(
    _ request: borrowing FolioRequest, _ answer: inout FolioAnswer
  ) -> uffd_status {
    let staging = unsafe request.staging
    let granule = request.granule
    var pgoff = request.pgoff
    guard pgoff <= (size - 1) / granule else { return .outOfRange }
    for page in 0..<request.count {
      let byte = UInt8(pgoff % 251)
      for index in 0..<granule {
        // The bytes beyond the end of the object must be zero.
        let isInside = pgoff * granule + index < size
        let isOdd = index / stripe % 2 == 1
        unsafe staging[Int(page * granule + index)] = isInside ? (isOdd ? ~byte : byte) : 0
      }
      pgoff += 1
    }
    answer.staged(granules: request.count)
    return .ok
  }
}
