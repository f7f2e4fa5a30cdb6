// SPDX-License-Identifier: Apache-2.0
// How many pages a fault takes along, from the faults that its region has seen: a decision on plain data,
// tested as a table. Who calls it: a reader, when it makes a question of a fault (Reader+Around).
//
// A fault costs some 9 us and a page that is copied along 1 us, so that pages which will be touched are
// cheap to take along, and all others are a loss of time and of memory. Hence: nothing for a fault that
// continues no run, twice as much each time a run goes on where it was left, and up to the length of one
// install; of a long run that is copied, another install behind it (Reader+Around).

/// What limits the pages that one fault settles.
struct AroundLimits: Equatable {
  /// Pages for a fault that continues nothing. They are aligned, as `fault_around_bytes` of the kernel is.
  var first: UInt64
  /// Pages for a run that has gone on for long.
  var most: UInt64

  static let nothing = AroundLimits(first: 1, most: 1)
}

/// Bytes that a fault takes along at first, where that copies nothing: as much as the kernel does for a
/// file that is mapped (`fault_around_bytes`).
private let firstUncopiedBytes: UInt64 = 64 << 10

/// The longest run of zero pages. Nothing is allocated for them, so that it takes no longer than a run of
/// copies.
private let longestZeroBytes: UInt64 = 2 << 20

/// The limits for pages that need `action`, in a region of granules of 1 << `shift` bytes. `most` is the
/// user's wish in granules, `run` the bytes of the longest install that copies; `mapsZeroPage`: zeroes are
/// the kernel's one zero page.
@inline(__always)
func aroundLimits(
  _ action: FaultAction, shift: UInt64, most wish: UInt64, run: UInt64, mapsZeroPage: Bool
) -> AroundLimits {
  let most = min(wish, run >> shift)
  guard most > 1 else { return .nothing }
  let first = max(1, min(most, firstUncopiedBytes >> shift))
  switch action {
  case .fill: return AroundLimits(first: 1, most: most)
  case .fillZero:
    return mapsZeroPage
      ? AroundLimits(first: first, most: min(wish, longestZeroBytes >> shift))
      : AroundLimits(first: 1, most: most)
  case .lookUp, .mapCached: return AroundLimits(first: first, most: most)
  case .zero, .wait, .evict, .refuse, .poison, .leave: return .nothing
  }
}

/// What a fault takes along.
struct AroundChoice: Equatable {
  /// With the fault's own pages. Not looked at yet: it may go beyond the region, and over pages that are
  /// settled.
  var pages: Range<UInt64>
  /// The stream that it belongs to, and how far that one reaches now.
  var stream: Int
  var window: UInt64
  /// Most of it was touched, in whatever order: what is missing of it is taken, wherever that lies.
  var isDense = false
}

/// Runs of pages that are being touched one after the other, up to `count` in a region at a time: where
/// each was left, and how much was taken last.
///
/// Several readers may write to it at once. What is lost then is a guess: whatever comes out is held
/// against the page states before anything is asked, and again before anything is installed.
@safe struct AccessStreams {
  let words: UnsafeMutablePointer<UInt64>
  static let count = 4
  /// Three words for each: the pages taken last, from and up to, and `used << 16 | window`.
  static let wordCount = 12

  /// No run was seen yet. Whoever makes it frees it.
  init() {
    unsafe words = .allocate(capacity: Self.wordCount)
    unsafe words.initialize(repeating: 0, count: Self.wordCount)
  }
  func free() { unsafe words.deallocate() }

  @inline(__always)
  private func word(_ stream: Int, _ index: Int) -> AtomicWord {
    unsafe AtomicWord(words + stream * 3 + index)
  }

  /// What the faults on `fault` take along, and the stream to `note` it for. Of the streams the one that
  /// was used longest ago makes room for a new one.
  @inline(__always)
  func choose(_ fault: Range<UInt64>, _ limits: AroundLimits, _ states: PageStates) -> AroundChoice
  {
    var oldest = (stream: 0, used: UInt64.max)
    for stream in 0..<Self.count {
      let (low, high) = (word(stream, 0).relaxed, word(stream, 1).relaxed)
      let last = word(stream, 2).relaxed
      if last >> 16 < oldest.used { oldest = (stream, last >> 16) }
      let window = last & 0xffff
      if window == 0 { continue }
      let next = min(max(window * 2, limits.first), limits.most)
      if fault.lowerBound >= high {
        // What lies between was there already: it raised no fault.
        if isSettled(high, fault.lowerBound, limits.most, states) {
          let end = max(fault.upperBound, fault.lowerBound &+ next)
          return AroundChoice(pages: fault.lowerBound..<end, stream: stream, window: next)
        }
      } else if fault.upperBound <= low {
        if isSettled(fault.upperBound, low, limits.most, states) {
          let start = min(fault.lowerBound, fault.upperBound - min(next, fault.upperBound))
          return AroundChoice(pages: start..<fault.upperBound, stream: stream, window: next)
        }
      } else {
        // Inside what was taken last: that is under way, or did not succeed.
        return AroundChoice(pages: fault, stream: stream, window: 0)
      }
    }
    if limits.first == 1, let block = denseBlock(fault, limits.most, states) {
      return AroundChoice(pages: block, stream: oldest.stream, window: 1, isDense: true)
    }
    let start = fault.lowerBound / limits.first * limits.first
    let end = max(fault.upperBound, start &+ limits.first)
    return AroundChoice(pages: start..<end, stream: oldest.stream, window: limits.first)
  }

  /// The aligned pieces of a region that are as long as an install are worth completing once half of them is
  /// there: if nothing more of one is ever touched, half of its pages were taken in vain, and their copies
  /// cost a sixth of the faults that were needed. `piece` is a power of two, or there are no pieces.
  @inline(__always)
  private func denseBlock(
    _ fault: Range<UInt64>, _ piece: UInt64, _ states: PageStates
  ) -> Range<UInt64>? {
    guard piece >= 8, piece & (piece - 1) == 0 else { return nil }
    let start = fault.lowerBound & ~(piece - 1)
    let end = min(start + piece, states.count)
    guard fault.upperBound <= end else { return nil }
    let mapped = states.count(ofBits: RegionPage.mapped.rawValue, in: start..<end)
    return mapped * 2 >= end - start ? start..<end : nil
  }

  /// Notes which pages were taken in the end.
  @inline(__always)
  func note(_ choice: AroundChoice, _ taken: Range<UInt64>) {
    var newest: UInt64 = 0
    for stream in 0..<Self.count { newest = max(newest, word(stream, 2).relaxed >> 16) }
    let last = word(choice.stream, 2)
    if choice.window == 0 {
      last.relaxed = (newest &+ 1) << 16 | last.relaxed & 0xffff
      return
    }
    word(choice.stream, 0).relaxed = taken.lowerBound
    word(choice.stream, 1).relaxed = taken.upperBound
    last.relaxed = (newest &+ 1) << 16 | choice.window
  }

  /// Whether nothing in [low, high) is missing, as far as a run may jump over what is there.
  @inline(__always)
  private func isSettled(
    _ low: UInt64, _ high: UInt64, _ most: UInt64, _ states: PageStates
  ) -> Bool {
    guard high - low <= most else { return false }
    var page = low
    while page < high {
      if states.region(page) == .unmapped { return false }
      page += 1
    }
    return true
  }
}
