// SPDX-License-Identifier: Apache-2.0
// From Firecracker's JSON to regions, and every rule that can be checked without knowing the object
// or the kernel: that a region lies within its object, and that its memory is what it says, is
// found out by the core.
import UffdHost

enum FirecrackerHandoff {
  /// Firecracker has two to four. More would only cost memory.
  static let mostRegions = 512
  /// The sizes of pages that Linux has for it on x86-64 and arm64 with 4 KiB pages.
  static let pageSizes: [UInt64] = [4096, 2 << 20, 1 << 30]

  /// In the order of the array, which need not be that of addresses.
  static func regions(_ root: JSONValue) throws(Refusal) -> [ClientRegion] {
    guard case .array(let elements) = root else {
      throw Refusal("the hand-off is a JSON object, where Firecracker sends an array of regions")
    }
    guard !elements.isEmpty else { throw Refusal("the hand-off's array has no regions") }
    guard elements.count <= mostRegions else {
      throw Refusal("the hand-off has \(elements.count) regions; \(mostRegions) are the most")
    }
    var regions: [ClientRegion] = []
    regions.reserveCapacity(elements.count)
    for (index, element) in elements.enumerated() {
      let place = "region \(index + 1) of \(elements.count)"
      regions.append(try region(element, place))
    }
    try refuseOverlaps(regions)
    return regions
  }

  private static func region(_ element: JSONValue, _ place: String) throws(Refusal) -> ClientRegion
  {
    guard case .object(let members) = element else {
      throw Refusal("\(place) of the hand-off is not a JSON object")
    }
    try refuseGuestMemfd(members, place)
    let region = ClientRegion(
      start: try required("base_host_virt_addr", members, place),
      length: try required("size", members, place),
      offset: try required("offset", members, place),
      pageSize: try pageSize(members, place))
    try check(region, place)
    return region
  }

  /// Up to v1.6 there is no size, and pages are 4 KiB. From v1.7 to v1.11 it is called
  /// `page_size_kib` and counts bytes nevertheless; from v1.12 `page_size` says the same under a
  /// right name, and the old name is to go.
  ///
  /// Firecracker gives both the same value. Where they differ, `page_size` holds: its meaning is
  /// plain, while a sender of today may well have filled the other one by its name, with kibibytes.
  private static func pageSize(
    _ members: [[UInt8]: JSONValue], _ place: String
  ) throws(Refusal) -> UInt64 {
    let named = try number("page_size", members, place)
    let misnamed = try number("page_size_kib", members, place)
    return named ?? misnamed ?? 4096
  }

  /// The branch with secret hiding fills guest memory by write(2) and a bitmap, and goes on talking
  /// behind the array. A region that says it is not such memory is as any other.
  private static func refuseGuestMemfd(
    _ members: [[UInt8]: JSONValue], _ place: String
  ) throws(Refusal) {
    switch members[Array("is_guest_memfd".utf8)] {
    case nil, .boolean(false): return
    default:
      throw Refusal(
        "\(place) is a guest_memfd (Firecracker's secret hiding), which is not served; restore the snapshot without secret hiding"
      )
    }
  }

  private static func required(
    _ name: String, _ members: [[UInt8]: JSONValue], _ place: String
  ) throws(Refusal) -> UInt64 {
    guard let value = try number(name, members, place) else {
      throw Refusal("\(place) has no \(name)")
    }
    return value
  }

  private static func number(
    _ name: String, _ members: [[UInt8]: JSONValue], _ place: String
  ) throws(Refusal) -> UInt64? {
    guard let value = members[Array(name.utf8)] else { return nil }
    guard case .integer(let number) = value else {
      throw Refusal("\(name) of \(place) is not an integer between 0 and 2^64 - 1")
    }
    return number
  }

  private static func check(_ region: ClientRegion, _ place: String) throws(Refusal) {
    let page = region.pageSize
    guard pageSizes.contains(page) else {
      throw Refusal(
        "\(place) has pages of \(page) bytes; pages of 4096 bytes, 2 MiB and 1 GiB can be served")
    }
    guard region.length > 0 else { throw Refusal("\(place) has a size of 0") }
    let values = [
      ("base_host_virt_addr", region.start), ("size", region.length), ("offset", region.offset),
    ]
    for (name, value) in values where value % page != 0 {
      throw Refusal("\(name) of \(place) is \(value), no multiple of its page size of \(page)")
    }
    guard !region.start.addingReportingOverflow(region.length).overflow else {
      throw Refusal(
        "\(place) goes beyond the address 2^64: it begins at \(region.start) and has \(region.length) bytes"
      )
    }
    guard !region.offset.addingReportingOverflow(region.length).overflow else {
      throw Refusal(
        "\(place) goes beyond the offset 2^64: it begins at \(region.offset) and has \(region.length) bytes"
      )
    }
  }

  /// Two regions of one address would be two answers to one fault. Two of one offset are fine: they
  /// read the same.
  private static func refuseOverlaps(_ regions: [ClientRegion]) throws(Refusal) {
    let order = regions.indices.sorted { regions[$0].start < regions[$1].start }
    for (lower, upper) in zip(order, order.dropFirst())
    where regions[lower].start + regions[lower].length > regions[upper].start {
      let (first, second) = (min(lower, upper) + 1, max(lower, upper) + 1)
      throw Refusal(
        "regions \(first) and \(second) overlap at address \(regions[upper].start)")
    }
  }
}
