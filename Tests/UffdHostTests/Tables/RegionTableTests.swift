// SPDX-License-Identifier: Apache-2.0
// Finding a region by address, against a list that is searched from end to end.

import Testing

@testable import UffdHost

/// A region record without anything behind it: the table looks at place, length and id alone.
private func record(
  _ id: UInt64, _ start: UInt64, _ length: UInt64, granule: UInt64 = 4096, firstPgoff: UInt64 = 0
) -> UnsafeMutablePointer<RegionRecord> {
  let pointer = UnsafeMutablePointer<RegionRecord>.allocate(capacity: 1)
  let nowhere = unsafe UnsafeMutableRawPointer(bitPattern: 4096)!
  unsafe pointer.initialize(
    to: RegionRecord(
      session: nowhere.assumingMemoryBound(to: SessionRecord.self), start: start, length: length,
      granule: granule,
      granuleShift: UInt64(granule.trailingZeroBitCount), pageSize: 4096, firstPgoff: firstPgoff,
      shape: RegionShape(shared: false, fillsBacking: false, arrivesFilled: false),
      isHugetlb: false, states: PageStates(nowhere, count: length / granule),
      instance: nowhere.assumingMemoryBound(to: InstanceRecord.self), backing: nil, id: id))
  return unsafe pointer
}

@Suite("The region table")
struct RegionTableTests {
  @Test("insert, remove, find and overlaps do what a naive list does")
  func model() {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<20 {
      var table = RegionTable()
      var list: [UnsafeMutablePointer<RegionRecord>] = unsafe []
      var next: UInt64 = 1
      for _ in 0..<150 {
        let page = UInt64.random(in: 1..<2000, using: &random)
        let pages = UInt64.random(in: 1..<40, using: &random)
        let (start, length) = (page * 4096, pages * 4096)
        let meets = unsafe list.contains {
          unsafe start < $0.end && $0.pointee.start < start + length
        }
        #expect(table.overlaps(start, length) == meets)
        if !meets {
          let region = unsafe record(next, start, length)
          next += 1
          unsafe table.insert(region)
          unsafe list.append(region)
        } else if Bool.random(using: &random), let index = unsafe list.indices.randomElement() {
          unsafe table.remove(list[index].pointee.id)
          unsafe list.remove(at: index).deallocate()
        }
        #expect(unsafe table.count == list.count)
        let place = table.places(meeting: start..<(start + length))
        let met = place.map { unsafe table.regions[$0].pointee.start }
        let wantedStarts = unsafe list.filter {
          unsafe start < $0.end && $0.pointee.start < start + length
        }.map { unsafe $0.pointee.start }.sorted()
        #expect(met == wantedStarts)
        for _ in 0..<20 {
          let address = UInt64.random(in: 0..<(2100 * 4096), using: &random)
          let wanted = unsafe list.first {
            unsafe $0.pointee.start <= address && address < $0.end
          }
          #expect(unsafe table.find(address) == wanted)
        }
      }
      for index in unsafe list.indices { unsafe list[index].deallocate() }
      table.free()
    }
  }

  @Test("the edges of a region")
  func edges() {
    var table = RegionTable()
    #expect(unsafe table.find(0) == nil)
    #expect(!table.overlaps(0, .max / 2))
    let region = unsafe record(7, 0x10000, 0x4000)
    unsafe table.insert(region)
    #expect(unsafe table.find(0xffff) == nil)
    #expect(unsafe table.find(0x10000) == region)
    #expect(unsafe table.find(0x13fff) == region)
    #expect(unsafe table.find(0x14000) == nil)
    #expect(!table.overlaps(0xf000, 0x1000))
    #expect(table.overlaps(0xf000, 0x1001))
    #expect(table.overlaps(0x13fff, 1))
    #expect(!table.overlaps(0x14000, 1))
    // A range that wraps around may be anywhere.
    #expect(table.overlaps(.max - 10, 100))
    // An id that is not there changes nothing.
    table.remove(8)
    #expect(unsafe table.find(0x10000) == region)
    table.remove(7)
    #expect(unsafe table.find(0x10000) == nil)
    unsafe region.deallocate()
    table.free()
  }

  @Test("pages, addresses and granules of a region", arguments: [4096, 2 << 20] as [UInt64])
  func arithmetic(_ granule: UInt64) {
    let region = unsafe record(1, 1 << 40, granule * 10, granule: granule, firstPgoff: 5)
    for page in 0..<10 as Range<UInt64> {
      let address = unsafe region.address(of: page)
      #expect(address == 1 << 40 + page * granule)
      #expect(unsafe region.page(of: address) == page)
      #expect(unsafe region.page(of: address + granule - 1) == page)
      #expect(unsafe region.pgoff(of: page) == page + 5)
    }
    unsafe region.deallocate()
  }

  @Test("the gap around an address ends where its neighbours begin")
  func gaps() {
    var table = RegionTable()
    defer { table.free() }
    let empty = table.gap(around: 0x5000)
    #expect(empty.start == 0 && empty.end == .max)
    for (id, start) in [(1, 0x10000), (2, 0x30000)] as [(UInt64, UInt64)] {
      unsafe table.insert(record(id, start, 0x10000))
    }
    // Another table than the one that was asked.
    #expect(empty.version != table.version)
    for (address, start, end) in [
      (0, 0, 0x10000), (0xffff, 0, 0x10000), (0x20000, 0x20000, 0x30000),
      (0x2ffff, 0x20000, 0x30000), (0x40000, 0x40000, .max),
    ] as [(UInt64, UInt64, UInt64)] {
      let gap = table.gap(around: address)
      #expect(gap.start == start && gap.end == end && gap.version == table.version)
    }
    // In a region there is none that would hold the address.
    for address in [0x10000, 0x1ffff, 0x30000] as [UInt64] {
      let gap = table.gap(around: address)
      #expect(!(gap.start <= address && address < gap.end))
    }
    let version = table.version
    table.remove(1)
    #expect(table.version != version && table.gap(around: 0x10000).end == 0x30000)
  }

  @Test("below, above and last, between regions and in them")
  func neighbours() {
    var table = RegionTable()
    defer { table.free() }
    #expect(unsafe table.below(1 << 40) == nil && table.above(0) == nil && table.count == 0)
    for (id, start) in [(1, 0x10000), (2, 0x30000)] as [(UInt64, UInt64)] {
      unsafe table.insert(record(id, start, 0x10000))
    }
    #expect(unsafe table.below(0xffff) == nil)
    #expect(unsafe table.below(0x10000)?.pointee.id == 1)
    #expect(unsafe table.below(0x2ffff)?.pointee.id == 1)
    #expect(unsafe table.below(0x3ffff)?.pointee.id == 2)
    #expect(unsafe table.below(1 << 40)?.pointee.id == 2)
    #expect(unsafe table.above(0)?.pointee.id == 1)
    #expect(unsafe table.above(0x10000)?.pointee.id == 2)
    #expect(unsafe table.above(0x30000) == nil)
    #expect(unsafe table.regions[table.count - 1].pointee.id == 2)
  }
}
