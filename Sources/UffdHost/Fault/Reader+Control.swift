// SPDX-License-Identifier: Apache-2.0
// What the control thread asks of a reader, and the background fills: bounded pieces between batches of
// messages, so that a demand fault never waits for more than one piece.
import UffdPluginABI

extension Reader {
  /// Answers the mailbox.
  mutating func answerRequests() {
    for (request, done) in port.takeRequests() {
      unsafe attend(local)
      switch request {
      case .insert(let pointer):
        exclusion.beginReading()
        unsafe local.pointee.table.insert(pointer.region)
        exclusion.endReading()
      case .remove(let id):
        exclusion.beginReading()
        unsafe local.pointee.table.remove(id)
        exclusion.endReading()
      case .forget(let id): forget(id)
      case .fill(let order): fills.append(order)
      case .countDiscards(let count): count.value = unsafe count.region.pointee.discards
      case .release(let order): release(order)
      case .adopt(let client): adopt(client)
      case .change(let client, let change): self.change(client, change)
      case .stop: isStopping = true
      }
      done.signal()
    }
    for index in port.takeFinished() { unsafe finished(questions.slots + Int(index)) }
  }

  /// Drops every question about a region that is being detached.
  mutating func forget(_ id: UInt64) {
    var index = questions.activeCount - 1
    while index >= 0 {
      defer { index -= 1 }
      guard index < questions.activeCount else { continue }
      let question = unsafe questions.slots + Int(questions.active[index])
      guard let region = unsafe question.pointee.region, unsafe region.pointee.id == id else {
        continue
      }
      switch unsafe question.pointee.phase {
      case .working: unsafe abandon(question, nil)
      case .busy:
        unsafe cancel(question)
        unsafe unclaim(question)
        unsafe end(question)
      case .timed:
        unsafe unclaim(question)
        unsafe end(question)
      case .free, .asking, .abandoned: break
      }
    }
    for order in fills where unsafe order.region?.pointee.id == id {
      order.next = order.end
      order.done.signal()
    }
    fills.removeAll { unsafe $0.region?.pointee.id == id }
  }

  /// An order that can take another piece now.
  var canFill: Bool { fills.contains { $0.next < $0.end && $0.open < Self.openPieces } }
  private static let openPieces = 16

  /// Fills one piece of the first order that has room for another question, and ends orders that are done.
  mutating func fillPiece() {
    if let place = fills.firstIndex(where: { $0.next < $0.end && $0.open < Self.openPieces }) {
      let order = fills[place]
      unsafe attend(order.region?.pointee.session ?? local)
      // Bounded: a look at a large region must not keep a fault waiting.
      var looks = 0
      while order.next < order.end, looks < 4096, !isUnfilled(order, order.next) {
        order.next += order.stride
        looks += 1
      }
      if order.next < order.end, looks < 4096 { raise(order) }
      // The next piece is another order's: clients are filled side by side.
      if fills.count > 1, place < fills.count { fills.append(fills.remove(at: place)) }
    }
    fills.removeAll { order in
      if order.isDone { order.done.signal() }
      return order.isDone
    }
  }

  /// Whether a background fill has to do anything about a granule. Without a region, only what is absent;
  /// for a region that is to be let go, what would not read right once the kernel serves it alone.
  private mutating func isUnfilled(_ order: FillOrder, _ pgoff: UInt64) -> Bool {
    guard let region = unsafe order.region else {
      let state = unsafe order.backing!.pointee.states.backing(pgoff)
      return state == .absent || state == .filling
    }
    return unsafe isUnfilled(region, pgoff)
  }

  mutating func isUnfilled(_ region: UnsafeMutablePointer<RegionRecord>, _ pgoff: UInt64) -> Bool {
    let shape = unsafe region.pointee.shape
    switch unsafe region.pointee.states.region(pgoff - region.pointee.firstPgoff) {
    case .mapped, .poisoned: return false
    // The kernel would show the file's page where a private page was given back.
    case .discarded: return unsafe !shape.shared && region.pointee.backing != nil
    case .unmapped:
      guard shape.fillsBacking, !shape.arrivesFilled,
        let state = unsafe region.backingState(pgoff - region.pointee.firstPgoff)
      else { return true }
      return state == .absent || state == .filling
    }
  }

  /// Stops watching a region if nothing of it is missing. Reading is excluded, so that no discard comes
  /// between the look and the end. The number of granules that are still to be filled.
  private mutating func release(_ release: RegionRelease) {
    unsafe attend(local)
    readMessages()
    let order = release.order
    let region = unsafe order.region!
    exclusion.beginReading()
    defer { exclusion.endReading() }
    var unfilled: UInt64 = 0
    for pgoff in unsafe region.pgoffs where isUnfilled(order, pgoff) {
      // A discarded page stays discarded; it was zeroed unless another discard came since.
      let page = unsafe pgoff - region.pointee.firstPgoff
      let isZeroed =
        unsafe region.pointee.states.region(page) == .discarded
        && region.pointee.discards == release.discardsBefore
      if !isZeroed { unfilled += 1 }
    }
    release.unfilled = unfilled
    if unfilled == 0 {
      unsafe local.pointee.table.remove(region.pointee.id)
      release.unregister()
    }
  }

  private mutating func raise(_ order: FillOrder) {
    let granule = unsafe order.instance.pointee.granule
    let most =
      order.stride > 1
      ? 1 : min(max(1, Self.largestRun / granule), order.end - order.next)
    var length: UInt64 = 1
    while length < most, isUnfilled(order, order.next + length) { length += 1 }
    guard let question = unsafe questions.take() else { return }
    // A backing that came filled is asked for what it holds before anything is filled.
    unsafe question.pointee.kind =
      order.region?.pointee.shape.arrivesFilled == true ? .minor : .missing
    unsafe question.pointee.access = uffd_access.prefetch.rawValue
    unsafe question.pointee.region = unsafe order.region
    unsafe question.pointee.instance = unsafe order.instance
    unsafe question.pointee.backing = unsafe order.backing
    unsafe question.pointee.pgoff = order.next
    unsafe question.pointee.count = length
    unsafe question.pointee.order = unsafe Unmanaged.passUnretained(order)
    order.next += length == 1 ? order.stride : length
    order.open += 1
    unsafe work(question)
  }

  /// A question of an order is split in two.
  @inline(never)
  func addPiece(to order: Unmanaged<FillOrder>) {
    unsafe order._withUnsafeGuaranteedRef { $0.open += 1 }
  }

  /// Granules of an order that could not be filled.
  @inline(never)
  func addFailure(to order: Unmanaged<FillOrder>, _ granules: UInt64) {
    unsafe order._withUnsafeGuaranteedRef { $0.failed += granules }
  }

  /// A question of an order has ended.
  @inline(never)
  func settle(_ order: Unmanaged<FillOrder>) {
    unsafe order._withUnsafeGuaranteedRef { $0.open -= 1 }
  }
}
