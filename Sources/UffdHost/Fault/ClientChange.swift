// SPDX-License-Identifier: Apache-2.0
// What is asked of a client's reader, and what it answers. Filled by the reader before the asker goes on.
import Synchronization

/// A change that only the client's reader makes.
enum ClientChange: Sendable {
  case add(ClientAddition)
  case remove(Range<UInt64>, @Sendable (HostError?) -> Void)
  case drain
  case poisonMissing
  case detach
  case inspect(ClientInspection)
  case prefetch(ClientPrefetch)
}

/// Regions that shall be served too.
final class ClientAddition: @unchecked Sendable {
  let plan: ClientPlan
  var error: HostError?
  init(_ plan: ClientPlan) { self.plan = plan }
}

/// The regions of a client at one moment. The reader lists them; their pages are counted by whoever asked.
@safe final class ClientInspection: @unchecked Sendable {
  /// A client may cut its memory into tens of thousands of pieces.
  static let most = 1024
  private var regions: [(region: ClientProgress.Region, states: PageStates, memory: Mapping)] = []
  private(set) var isTruncated = false
  /// Its faults that wait for something, and those among them that failed and are held.
  var parked: UInt64 = 0
  var held: UInt64 = 0
  /// When the oldest of those began that wait and did not fail, in nanoseconds of CLOCK_MONOTONIC; nil: none.
  var oldest: UInt64?

  func count(_ question: UnsafeMutablePointer<Question>) {
    parked += 1
    if unsafe question.pointee.phase == .timed, unsafe question.pointee.waiting == .held {
      held += 1
    } else if unsafe !question.isUnwanted, unsafe question.pointee.born != 0 {
      oldest = unsafe min(oldest ?? .max, question.pointee.born)
    }
  }

  /// Pages that nobody has handed over are waited for, too.
  func count(_ strangers: Strangers) {
    parked += UInt64(strangers.moments.count)
    if let first = strangers.moments.min() { oldest = min(oldest ?? .max, first) }
  }

  func list(_ region: UnsafeMutablePointer<RegionRecord>) {
    guard let memory = unsafe region.pointee.stateMemory, unsafe !region.pointee.shape.readsZero
    else { return }
    guard regions.count < Self.most else {
      isTruncated = true
      return
    }
    unsafe regions.append(
      (
        ClientProgress.Region(
          start: region.pointee.start, length: region.pointee.length,
          offset: region.pointee.firstPgoff * region.pointee.granule,
          pageSize: region.pointee.pageSize, residentBytes: 0, poisonedBytes: 0, discardedBytes: 0),
        region.pointee.states, memory.takeUnretainedValue()
      ))
  }

  func count() -> [ClientProgress.Region] {
    regions.map { entry in
      var region = entry.region
      region.residentBytes =
        entry.states.count(ofBits: RegionPage.mapped.rawValue) * region.pageSize
      region.poisonedBytes =
        entry.states.count(ofBits: RegionPage.poisoned.rawValue) * region.pageSize
      region.discardedBytes =
        entry.states.count(ofBits: RegionPage.discarded.rawValue) * region.pageSize
      return region
    }
  }
}

/// A client, or a part of it, on its way to being ordinary memory: filled pass by pass, then let go.
@safe final class ClientDrain: @unchecked Sendable {
  let client: Client
  /// Addresses; nil: all of it, and the session ends with it.
  let range: Range<UInt64>?
  let completion: (@Sendable (HostError?) -> Void)?
  /// The region that is being filled, as a fill.
  var order: FillOrder?
  /// Regions that begin below this are done in this pass.
  var next: UInt64 = 0
  /// When this pass began, in nanoseconds of CLOCK_MONOTONIC.
  var began = monotonicNanoseconds()
  /// Granules that this pass could not fill.
  var failed: UInt64 = 0
  /// Not before this moment, in nanoseconds of CLOCK_MONOTONIC.
  var due: UInt64 = 0
  /// What is still missing is poisoned, not filled.
  var poisons = false
  /// Nothing is watched any more; events that are under way are still read.
  var isLettingGo = false
  var poisonedBytes: UInt64 = 0

  init(
    _ client: Client, _ range: Range<UInt64>? = nil,
    _ completion: (@Sendable (HostError?) -> Void)? = nil
  ) {
    self.client = client
    self.range = range
    self.completion = completion
  }

  func covers(_ region: UnsafeMutablePointer<RegionRecord>) -> Bool {
    guard let range else { return true }
    return unsafe region.pointee.start >= range.lowerBound && region.end <= range.upperBound
  }
}
