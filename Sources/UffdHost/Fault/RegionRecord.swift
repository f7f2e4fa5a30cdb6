// SPDX-License-Identifier: Apache-2.0
// What the fault path knows of a region, and the table that finds it by address.
import Synchronization

/// One region. That of this process is owned by `Region` and freed after every reader has confirmed that it
/// forgot it; that of a client belongs to its reader.
@safe struct RegionRecord {
  let session: SessionPointer
  let start: UInt64
  /// Bytes.
  let length: UInt64
  let granule: UInt64
  let granuleShift: UInt64
  /// Size of the memory's own pages: 4096 or the huge page. An install covers whole pages.
  let pageSize: UInt64
  /// The object's granule at `start`.
  let firstPgoff: UInt64
  let shape: RegionShape
  let isHugetlb: Bool
  let states: PageStates
  let instance: UnsafeMutablePointer<InstanceRecord>
  let backing: UnsafeMutablePointer<BackingRecord>?
  /// Never reused: tells a parked fault that its region is another one now.
  let id: UInt64
  /// Where first touches are noted; nil: it is not recorded.
  var touches: TouchTable?
  /// Keeps the states of a client's region; parts of a region that was cut share it.
  var stateMemory: Unmanaged<Mapping>?
  /// Where its faults went on. Behind a pointer, so that a record stays small enough to be kept in
  /// registers.
  let streams = AccessStreams()
  /// It is on its way out: see `Reader.retire`.
  var isRetired = false
  /// When its last discard was read, in nanoseconds of CLOCK_MONOTONIC. Written while reading is excluded.
  var lastDiscard: UInt64 = 0

  /// An event of a discard is read before the client's madvise goes on: a zero page that is installed
  /// meanwhile may be wiped with the others, and no event tells (userfaultfd_remove, zap_vma_range). So
  /// long after the event it is over.
  static let quietNanoseconds: UInt64 = 250_000_000
}

// Of the pointer, not of the record: a method of the record would copy all of it first.
extension UnsafeMutablePointer<RegionRecord> {
  @inline(__always)
  var pgoffs: Range<UInt64> {
    unsafe pointee.firstPgoff..<(pointee.firstPgoff + pointee.length >> pointee.granuleShift)
  }
  /// A page that was given back shows the file's again when the kernel serves it alone.
  var isPrivateOfFile: Bool { unsafe !pointee.shape.shared && pointee.backing != nil }
  /// Whether a fill that began at `moment` zeroed for good what was given back.
  func isZeroed(byFillOf moment: UInt64) -> Bool {
    unsafe moment >= pointee.lastDiscard + RegionRecord.quietNanoseconds
  }
  @inline(__always)
  var end: UInt64 { unsafe pointee.start + pointee.length }
  @inline(__always)
  func page(of address: UInt64) -> UInt64 {
    unsafe (address - pointee.start) >> pointee.granuleShift
  }
  @inline(__always)
  func address(of page: UInt64) -> UInt64 {
    unsafe pointee.start + page << pointee.granuleShift
  }
  @inline(__always)
  func pgoff(of page: UInt64) -> UInt64 { unsafe pointee.firstPgoff + page }
  @inline(__always)
  func backingState(_ page: UInt64) -> BackingPage? {
    unsafe pointee.backing?.pointee.states.backing(pointee.firstPgoff + page)
  }
}

/// Identifiers of regions, unique in this process.
enum RegionIdentifier {
  private static let last = Mutex<UInt64>(1)
  static func next() -> UInt64 {
    last.withLock { last in
      last += 1
      return last
    }
  }
}

/// Addresses between two regions, as of one version of a table.
struct RegionGap {
  var start: UInt64 = 0
  var end: UInt64 = 0
  var version: UInt64 = 0
}

/// Regions of a session sorted by address. Readers read it; it changes only while reading is excluded.
@safe struct RegionTable {
  private(set) var regions: UnsafeMutablePointer<UnsafeMutablePointer<RegionRecord>>
  /// Where they start: what is searched lies together.
  private var starts: UnsafeMutablePointer<UInt64>
  private(set) var count = 0
  private var capacity = 0
  /// Another one after each change.
  var version: UInt64 = 1

  init() {
    unsafe regions = .allocate(capacity: 0)
    unsafe starts = .allocate(capacity: 0)
    grow()
  }

  func free() {
    unsafe regions.deallocate()
    unsafe starts.deallocate()
  }

  private mutating func grow() {
    let larger = max(16, capacity * 2)
    let (oldRegions, oldStarts) = unsafe (regions, starts)
    unsafe regions = .allocate(capacity: larger)
    unsafe starts = .allocate(capacity: larger)
    unsafe regions.moveInitialize(from: oldRegions, count: count)
    unsafe starts.moveInitialize(from: oldStarts, count: count)
    unsafe oldRegions.deallocate()
    unsafe oldStarts.deallocate()
    capacity = larger
  }

  // A client may cut a region into as many as the kernel allows mappings: places are searched, not walked to,
  // and what lies behind them is moved as a whole.

  mutating func insert(_ region: UnsafeMutablePointer<RegionRecord>) {
    if count == capacity { grow() }
    let start = unsafe region.pointee.start
    let place = countStarting(upTo: start)
    move(from: place, to: place + 1)
    unsafe (regions + place).initialize(to: region)
    unsafe (starts + place).initialize(to: start)
    count += 1
    version += 1
  }

  mutating func remove(_ id: UInt64) {
    let place = (0..<count).first { unsafe regions[$0].pointee.id == id }
    if let place { remove(place..<(place + 1)) }
  }

  mutating func remove(_ places: Range<Int>) {
    move(from: places.upperBound, to: places.lowerBound)
    count -= places.count
    version += 1
  }

  private func move(from place: Int, to other: Int) {
    unsafe (regions + other).update(from: regions + place, count: count - place)
    unsafe (starts + other).update(from: starts + place, count: count - place)
  }

  /// The places of the regions that meet a range.
  func places(meeting range: Range<UInt64>) -> Range<Int> {
    guard !range.isEmpty else { return 0..<0 }
    let upper = countStarting(upTo: range.upperBound - 1)
    let lower = countStarting(upTo: range.lowerBound)
    let meetsBelow = unsafe lower > 0 && regions[lower - 1].end > range.lowerBound
    return (meetsBelow ? lower - 1 : lower)..<upper
  }

  /// How many regions start below `address`, or at it. What it finds for pages in random order no CPU
  /// can guess, so that it does not branch on it.
  @inline(__always)
  private func countStarting(upTo address: UInt64) -> Int {
    var low: UInt64 = 0
    var length = UInt64(bitPattern: Int64(count))
    while length > 1 {
      let half = length >> 1
      let isBelow = unsafe starts[Int(low &+ half)] <= address
      low = pick(isBelow, low &+ half, low)
      length &-= half
    }
    let isBelow = unsafe length == 1 && starts[Int(low)] <= address
    return Int(low) &+ (isBelow ? 1 : 0)
  }

  /// The region that holds `address`, or nil.
  @inline(__always)
  func find(_ address: UInt64) -> UnsafeMutablePointer<RegionRecord>? {
    guard let region = unsafe below(address) else { return nil }
    return unsafe address - region.pointee.start < region.pointee.length ? region : nil
  }

  /// The region that `address` lies in or, if in none, that ends below it: the last one that begins at or
  /// before.
  @inline(__always)
  func below(_ address: UInt64) -> UnsafeMutablePointer<RegionRecord>? {
    let count = countStarting(upTo: address)
    return unsafe count > 0 ? regions[count - 1] : nil
  }

  /// The first region that begins above `address`.
  func above(_ address: UInt64) -> UnsafeMutablePointer<RegionRecord>? {
    let place = countStarting(upTo: address)
    return unsafe place < count ? regions[place] : nil
  }

  /// The addresses without any region between the neighbours of `address`; none, if a region has it.
  func gap(around address: UInt64) -> RegionGap {
    let start = unsafe below(address)?.end ?? 0
    let end = unsafe above(address)?.pointee.start ?? UInt64.max
    return RegionGap(start: start, end: max(start, end), version: version)
  }

  /// Whether [start, start + length) meets any region.
  func overlaps(_ start: UInt64, _ length: UInt64) -> Bool {
    let (end, overflow) = start.addingReportingOverflow(length)
    if overflow { return true }
    // Of regions that do not overlap each other, the last one that begins before the end.
    guard end > 0, let last = unsafe below(end - 1) else { return false }
    return unsafe start < last.end
  }
}
