// SPDX-License-Identifier: Apache-2.0
// A prefetch for a client: region by region, in the order of their
// addresses, whatever the client does to them meanwhile.

/// What its reader knows of it.
@safe final class ClientPrefetch: @unchecked Sendable {
  let client: Client
  /// Granules of the object, ascending and apart.
  let ranges: [Range<UInt64>]
  /// Addresses: of regions that begin elsewhere nothing is filled.
  let window: Range<UInt64>
  let prefetch: Prefetch
  /// The region that is being filled, as a fill, and where it ended when that began.
  var order: FillOrder?
  var orderEnd: UInt64 = 0
  /// Regions that begin below this are done.
  var next: UInt64 = 0
  /// Not before this moment, in nanoseconds of CLOCK_MONOTONIC.
  var due: UInt64 = 0

  init(
    _ client: Client, _ ranges: [Range<UInt64>], _ urgency: FillUrgency,
    in window: Range<UInt64> = 0..<UInt64.max
  ) {
    self.client = client
    self.ranges = ranges
    self.window = window
    prefetch = Prefetch(total: 0, parts: 1, urgency)
  }

  /// What of it lies in a region.
  func ranges(in region: UnsafeMutablePointer<RegionRecord>) -> [Range<UInt64>] {
    guard unsafe !region.pointee.shape.readsZero, unsafe window.contains(region.pointee.start)
    else { return [] }
    return unsafe clipped(ranges, to: region.pgoffs)
  }
}

extension Reader {
  /// Begins a prefetch of a client.
  mutating func start(_ prefetch: ClientPrefetch) {
    guard prefetch.client.currentPhase == .serving else { return prefetch.prefetch.endPart() }
    let session = unsafe prefetch.client.record
    var total: UInt64 = 0
    for index in unsafe 0..<session.pointee.table.count {
      let region = unsafe session.pointee.table.regions[index]
      unsafe total += granules(of: prefetch.ranges(in: region))
    }
    prefetch.prefetch.expect(total)
    prefetches.append(prefetch)
    nextCare = 0
  }

  /// One step of a prefetch. Called again when it is due.
  mutating func advance(_ prefetch: ClientPrefetch, _ now: UInt64) {
    let session = unsafe prefetch.client.record
    if let order = prefetch.order {
      guard order.isDone else {
        prefetch.due = now + 1_000_000
        return
      }
      prefetch.order = nil
      // Where the client cut or moved the region, its parts are looked at anew: what is there is passed
      // over.
      if !order.isDropped { prefetch.next = prefetch.orderEnd }
    }
    for index in unsafe 0..<session.pointee.table.count {
      let region = unsafe session.pointee.table.regions[index]
      guard unsafe region.pointee.start >= prefetch.next else { continue }
      let ranges = unsafe prefetch.ranges(in: region)
      if ranges.isEmpty { continue }
      prefetch.orderEnd = unsafe region.end
      // What is published is not looked for here: in a large memfd that takes longer than a turn may.
      let order = unsafe FillOrder(
        prefetch.prefetch, region: region, ranges,
        Preparation(region.pointee.instance, nil, ranges, port), isWhole: false)
      prefetch.order = order
      fills.append(order)
      order.preparation?.submit()
      prefetch.due = now + 1_000_000
      return
    }
    end(prefetch)
  }

  private mutating func end(_ prefetch: ClientPrefetch) {
    prefetches.removeAll { $0 === prefetch }
    prefetch.prefetch.endPart()
  }

  /// Ends what is prefetched for a client that is let go.
  mutating func endPrefetches(of client: Client) {
    for prefetch in prefetches where prefetch.client === client { end(prefetch) }
  }
}
