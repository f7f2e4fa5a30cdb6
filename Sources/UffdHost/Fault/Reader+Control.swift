// SPDX-License-Identifier: Apache-2.0
// What the control thread asks of a reader, and the background fills: bounded pieces between batches of
// messages, so that a demand fault never waits for more than one piece.
import UffdPluginABI

extension Reader {
  /// Answers the mailbox.
  @inline(never)
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
      case .release(let order): release(order)
      case .adopt(let client): adopt(client)
      case .exclude: for client in clients { exclude(client) }
      case .change(let client, let change): self.change(client, change)
      case .stop: isStopping = true
      }
      done.signal()
    }
    for index in port.takeFinished() { unsafe finished(questions.slots + Int(index)) }
  }

  /// Drops every question about a region that is being detached.
  mutating func forget(_ id: UInt64) { unsafe forget { unsafe $0.pointee.id == id } }

  /// Takes regions of the session that is attended to off its table, drops every question about them, and
  /// wakes who sleeps there. The records are still the caller's to free.
  mutating func retire(_ regions: [RecordPointer]) {
    guard let first = unsafe regions.first?.region, let last = unsafe regions.last?.region else {
      return
    }
    for place in regions { unsafe place.region.pointee.isRetired = true }
    // What goes lies together, as a rule: a run at a time, from behind.
    let places = unsafe session.pointee.table.places(meeting: first.pointee.start..<last.end)
    var end = places.upperBound
    while end > places.lowerBound {
      var begin = end
      while begin > places.lowerBound,
        unsafe session.pointee.table.regions[begin - 1].pointee.isRetired
      {
        begin -= 1
      }
      if begin < end { unsafe session.pointee.table.remove(begin..<end) }
      end = min(begin, end - 1)
    }
    unsafe forget { unsafe $0.pointee.isRetired }
    unsafe calls.wake(first.pointee.start, length: last.end - first.pointee.start)
  }

  private mutating func forget(where isGone: (UnsafeMutablePointer<RegionRecord>) -> Bool) {
    var index = questions.activeCount - 1
    while index >= 0 {
      defer { index -= 1 }
      guard index < questions.activeCount else { continue }
      let question = unsafe questions.slots + Int(questions.active[index])
      guard let region = unsafe question.pointee.region, unsafe isGone(region) else { continue }
      switch unsafe question.pointee.phase {
      case .working: unsafe abandon(question, nil)
      case .busy:
        unsafe cancel(question)
        unsafe drop(question)
      case .timed: unsafe drop(question)
      case .free, .asking, .abandoned: break
      }
    }
    fills.removeAll { order in
      guard let region = unsafe order.region, unsafe isGone(region) else { return false }
      order.drop()
      order.finish()
      return true
    }
  }

  /// Ends a question whose region is gone.
  private mutating func drop(_ question: UnsafeMutablePointer<Question>) {
    unsafe unclaim(question)
    if let order = unsafe question.pointee.order, unsafe question.isUnwanted {
      unsafe addFailure(to: order, question.pointee.count)
    }
    unsafe end(question)
  }

  /// How long the fills want nothing, in nanoseconds; nil: until something else happens.
  @inline(never)
  mutating func pauseOfFills() -> Int64? {
    let now = monotonicNanoseconds()
    return fills.lazy.filter(\.canGoOn).map { Int64(clamping: $0.pace?.wait(now) ?? 0) }.min()
  }

  /// The order whose turn it is: of those that may take another piece now, the first of the lowest rank.
  private func nextFill() -> Int? {
    var now: UInt64?
    var best: (place: Int, rank: Int)?
    for (place, order) in fills.enumerated() where order.rank < best?.rank ?? .max && order.canGoOn
    {
      if let pace = order.pace {
        let time = now ?? monotonicNanoseconds()
        now = time
        if pace.wait(time) > 0 { continue }
      }
      best = (place, order.rank)
      if order.rank == 0 { break }
    }
    return best?.place
  }

  /// Fills what one install at most fills of the order whose turn it is, and ends orders that are done.
  @inline(never)
  mutating func fillPiece() {
    for order in fills { order.preparation?.goOn(behind: order.next) }
    if let place = nextFill() {
      let order = fills[place]
      unsafe attend(order.region?.pointee.session ?? local)
      fillPart(of: order)
      // The next piece is another order's: clients are filled side by side.
      if fills.count > 1, place < fills.count { fills.append(fills.remove(at: place)) }
    }
    fills.removeAll { order in
      if order.isDone { order.finish() }
      return order.isDone
    }
  }

  /// Bounded, for a fault may be waiting: in what is filled, in how many pieces that is, and in how many
  /// pages are looked at in vain.
  private mutating func fillPart(of order: FillOrder) {
    var (looks, pieces) = (0, 0)
    var bytes: UInt64 = 0
    while order.canGoOn, looks < 4096, pieces < 16, bytes < Self.largestRun {
      guard unsafe isUnfilled(order, look(order.region, order.backing, order.next)) else {
        order.prefetch?.skip(1)
        order.advance(order.stride)
        looks += 1
        continue
      }
      let room = order.pace?.take(Self.largestRun) ?? Self.largestRun
      if room == 0 { return }
      let filled = unsafe raise(order, room) * order.instance.pointee.granule
      order.pace?.correct(room, to: filled)
      if filled == 0 { return }
      bytes += filled
      pieces += 1
    }
  }

  /// Whether a background fill has to do anything about a granule. Without a region, only what is absent;
  /// for a region that is to be let go, what would not read right once the kernel serves it alone; as a
  /// hint, what nobody has touched.
  private func isUnfilled(_ order: FillOrder, _ look: PageLook) -> Bool {
    guard let region = unsafe order.region else {
      return look.backing == .absent || look.backing == .filling
    }
    if order.prefetch != nil { return look.region == .unmapped }
    return unsafe isUnfilled(region, look)
  }

  func isUnfilled(_ region: UnsafeMutablePointer<RegionRecord>, _ look: PageLook) -> Bool {
    let shape = unsafe region.pointee.shape
    switch look.region {
    case .mapped, .poisoned: return false
    // The kernel would show the file's page where a private page was given back.
    case .discarded: return unsafe !shape.shared && region.pointee.backing != nil
    case .unmapped:
      guard shape.fillsBacking, !shape.arrivesFilled, let state = look.backing else { return true }
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
    var pgoff = unsafe region.pgoffs.lowerBound
    let end = unsafe region.pgoffs.upperBound
    while pgoff < end {
      let look = unsafe look(region, order.backing, pgoff)
      let length = unsafe run(of: look, region, order.backing, from: pgoff, atMost: end - pgoff)
      // A discarded page stays discarded; it was zeroed unless another discard came since.
      let isZeroed = unsafe look.region == .discarded && region.isZeroed(byFillOf: order.began)
      if !isZeroed, isUnfilled(order, look) { unfilled += length }
      pgoff += length
    }
    release.unfilled = unfilled
    if unfilled == 0 {
      unsafe local.pointee.table.remove(region.pointee.id)
      release.unregister()
    }
  }

  /// Asks for one piece of at most `room` bytes, or a granule; its length, or 0: too many questions are open.
  private mutating func raise(_ order: FillOrder, _ room: UInt64) -> UInt64 {
    let granule = unsafe order.instance.pointee.granule
    let most = order.stride > 1 ? 1 : min(max(1, room / granule), order.end - order.next)
    var length: UInt64 = 0
    repeat {
      let pgoff = order.next + length
      let look = unsafe look(order.region, order.backing, pgoff)
      if length > 0, !isUnfilled(order, look) { break }
      length += unsafe run(
        of: look, order.region, order.backing, from: pgoff, atMost: most - length)
    } while length < most
    guard let question = unsafe questions.take() else { return 0 }
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
    // Nobody waits for a hint: whatever stands in its way, it is shed (Reader+Around).
    if order.prefetch != nil { unsafe question.pointee.wanted = 0..<0 }
    order.advance(length == 1 ? order.stride : length)
    order.open += 1
    unsafe work(question)
    return length
  }

  /// A question of an order is split in two.
  @inline(never)
  func addPiece(to order: Unmanaged<FillOrder>) {
    unsafe order._withUnsafeGuaranteedRef { $0.open += 1 }
  }

  /// Whether the source of a question was made ready before it was asked.
  @inline(never)
  func isPrepared(_ question: UnsafeMutablePointer<Question>) -> Bool {
    guard let order = unsafe question.pointee.order else { return false }
    return unsafe order._withUnsafeGuaranteedRef { $0.preparation?.isResident ?? false }
  }

  /// Granules of an order that could not be filled.
  @inline(never)
  func addFailure(to order: Unmanaged<FillOrder>, _ granules: UInt64) {
    unsafe order._withUnsafeGuaranteedRef {
      $0.failed += granules
      $0.prefetch?.leave(granules)
    }
  }

  /// A question of an order has ended.
  @inline(never)
  func settle(_ order: Unmanaged<FillOrder>, _ granules: UInt64) {
    unsafe order._withUnsafeGuaranteedRef {
      $0.open -= 1
      $0.prefetch?.answer(granules)
    }
  }
}
