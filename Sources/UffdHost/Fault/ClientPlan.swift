// SPDX-License-Identifier: Apache-2.0
// From a hand-off to records: is every region one that we can serve, and how? Not on a reader, for the provider
// is asked (can_userfault) and may take its time; nothing of it is known to a reader before all of it is right.
import UffdPluginABI

/// Checked regions of a client.
package struct ClientPlan: Sendable {
  let regions: [ClientRegion]
  let backings: [Backing]
  /// The reader that is to serve them; nil: any.
  let port: ReaderPort?
  let instance: Instance

  /// `client` is served already and hands more over; nil: a new one. Waits for the provider. Throws `.usage`
  /// with the first region that cannot be served, and why. Owns `descriptors` from now on.
  package init(
    _ instance: Instance, _ regions: [ClientRegion], _ descriptors: [Descriptor],
    for client: Client? = nil
  ) throws(HostError) {
    guard !regions.isEmpty else { throw HostError(.usage, "there are no regions to serve") }
    var previous: ClientRegion?
    for region in regions.sorted(by: { $0.start < $1.start }) {
      try ClientPlan.checkPlace(region, instance)
      if let previous, previous.start + previous.length > region.start {
        throw HostError(
          .usage,
          "\(ClientPlan.name(region)) overlaps \(ClientPlan.name(previous)); hand each byte over once"
        )
      }
      previous = region
    }
    let readers = instance.host.session.readers
    // Who maps one memfd is served by one reader: what these do to each other then needs no lock.
    let home = client?.port ?? instance.home(of: descriptors) ?? readers.leastLoaded()
    var backings: [Backing] = []
    for (index, descriptor) in descriptors.enumerated() {
      let extent =
        regions.filter { $0.backing == index }.map { $0.offset + $0.length }.max() ?? 0
      guard extent > 0 else {
        throw HostError(.usage, "memfd \(index) came along and no region maps it; leave it out")
      }
      let pageSize = regions.first { $0.backing == index }!.pageSize
      backings.append(
        try instance.backing(of: descriptor, pageSize: pageSize, extent: extent, home: home))
    }
    for region in regions { try ClientPlan.checkSharing(region, instance, backings.count) }
    self.regions = regions
    self.backings = backings
    port = backings.isEmpty ? client?.port : home
    self.instance = instance
    // A client that maps memfds of two readers' clients is on one of them.
    let crossed = backings.filter { $0.home !== home }
    for backing in crossed { backing.cross() }
    if !crossed.isEmpty { readers.performEverywhere(.exclude) }
  }

  static func name(_ region: ClientRegion) -> String {
    "the region of \(region.length) bytes at 0x\(String(region.start, radix: 16))"
  }

  /// Sizes, places, and what of the object it shows.
  private static func checkPlace(_ region: ClientRegion, _ instance: Instance) throws(HostError) {
    let granule = instance.granule
    guard region.pageSize == granule else {
      throw HostError(
        .usage,
        "\(name(region)) has pages of \(region.pageSize) bytes, and the provider '\(instance.provider.name)' "
          + "fills granules of \(granule): "
          + (region.pageSize > granule
            ? "serve huge pages with the provider 'hugetlb'" : "choose a provider of that granule"))
    }
    guard region.length > 0, region.start % granule == 0, region.length % granule == 0,
      region.offset % granule == 0
    else {
      throw HostError(
        .usage,
        "\(name(region)), offset \(region.offset): start, length and offset must be multiples of "
          + "\(granule) bytes")
    }
    // The highest address that a process can have on x86-64 with five levels of page tables.
    guard region.start < 1 << 56, region.length < 1 << 56 else {
      throw HostError(.usage, "\(name(region)) is outside any address space")
    }
    let size = instance.granuleCount * granule
    guard region.offset < size, region.length <= size - region.offset else {
      throw HostError(
        .usage,
        "\(name(region)) begins at byte \(region.offset) of an object of \(instance.objectSize) bytes, and goes "
          + "beyond its end: is this another snapshot's memory file?")
    }
  }

  /// How it maps its memory, and whether the provider wants to serve it.
  private static func checkSharing(
    _ region: ClientRegion, _ instance: Instance, _ backings: Int
  ) throws(HostError) {
    if let backing = region.backing, backing >= backings {
      throw HostError(
        .usage, "\(name(region)) maps memfd \(backing), and \(backings) came along")
    }
    if region.isMinor, region.backing == nil, region.sharing == .shared {
      throw HostError(
        .usage,
        "\(name(region)) is shared and watched for minor faults, and its memfd did not come along: without "
          + "it nobody knows what its page cache holds")
    }
    var query = uffd_region_query()
    query.size = UInt32(MemoryLayout<uffd_region_query>.size)
    query.memory_kind =
      region.pageSize > 4096
      ? .hugetlb : region.backing != nil || region.sharing == .shared ? .shmem : .anon
    // Content only: what the client's page cache holds is between the host and the client.
    query.modes = [.missing]
    query.granule = region.pageSize
    query.pgoff = region.offset / region.pageSize
    query.count = region.length / region.pageSize
    query.flags.insert(.foreign)
    if region.sharing == .shared { query.flags.insert(.shared) }
    if let error = instance.objection(query) { throw error }
  }

  /// The records, on no list yet. Their state memory is shared: freed with the last of them.
  func makeRecords(session: SessionPointer) throws(HostError) -> [RecordPointer] {
    var records: [RecordPointer] = []
    for region in regions {
      let count = region.length / instance.granule
      guard let states = try? Mapping.table(PageStates.bytes(for: count)) else {
        for record in records { unsafe free(record.region) }
        throw HostError(
          .system, "there is no memory for the page states of \(ClientPlan.name(region))")
      }
      let backing = region.backing.map { backings[$0] }
      let shape = RegionShape(
        shared: region.sharing == .shared, fillsBacking: backing != nil, arrivesFilled: false,
        strays: region.strayPages == .areContent ? .areContent : .refused)
      let record = unsafe makeRecord(
        session: session, start: region.start, length: region.length, instance,
        firstPgoff: region.offset / instance.granule, shape, backing: backing?.record, states,
        PageStates(states.base, count: count))
      unsafe records.append(RecordPointer(region: record))
    }
    return records
  }
}

/// A region of a client. Its memory belongs to whoever holds it on a table.
func makeRecord(
  session: SessionPointer, start: UInt64, length: UInt64, _ instance: Instance, firstPgoff: UInt64,
  _ shape: RegionShape, backing: UnsafeMutablePointer<BackingRecord>?, _ memory: Mapping,
  _ states: PageStates
) -> UnsafeMutablePointer<RegionRecord> {
  let record = UnsafeMutablePointer<RegionRecord>.allocate(capacity: 1)
  unsafe record.initialize(
    to: RegionRecord(
      session: session, start: start, length: length, granule: instance.granule,
      granuleShift: UInt64(instance.granule.trailingZeroBitCount), pageSize: instance.granule,
      firstPgoff: firstPgoff, shape: shape, isHugetlb: instance.granule > 4096, states: states,
      instance: instance.record, backing: backing, id: RegionIdentifier.next(),
      // A page that the client never handed over is no page of the object.
      touches: shape.readsZero ? nil : session.pointee.touches,
      stateMemory: Unmanaged.passRetained(memory)))
  return unsafe record
}

/// Frees a record that `makeRecord` made.
func free(_ record: UnsafeMutablePointer<RegionRecord>) {
  unsafe record.pointee.stateMemory?.release()
  unsafe record.pointee.streams.free()
  unsafe record.deallocate()
}
