// SPDX-License-Identifier: Apache-2.0
// What we know of each page, two bits a granule. Two vocabularies over one table: a region page belongs
// to a mapping, a backing page to the content that mappings share. Poison and discard are of the mapping.

/// A page of a region, as the client sees it.
enum RegionPage: UInt8, CaseIterable {
  /// Nothing was installed yet.
  case unmapped = 0
  /// We installed content.
  case mapped = 1
  /// The client gave it back. Stays so after it was zeroed: an install that the client's madvise wipes a
  /// moment later must not bring old content back.
  case discarded = 2
  /// We poisoned it. COPY would overwrite poison, so nobody may fill it.
  case poisoned = 3
}

/// A page of a backing.
enum BackingPage: UInt8, CaseIterable {
  /// The page cache does not hold it.
  case absent = 0
  /// Somebody has claimed it and is getting the content.
  case filling = 1
  /// Published.
  case present = 2
  /// It was published and a client punched it away: it reads zero now, in every region.
  case punched = 3
}

/// Two bits for each granule, in memory that costs nothing until a page is touched. Any thread may
/// change any page; a word changes atomically.
@safe struct PageStates: @unchecked Sendable {
  private let words: UnsafeMutablePointer<UInt64>
  /// Where page 0 of this view lies in the table.
  private let first: UInt64
  let count: UInt64
  private static let perWord: UInt64 = 32

  /// Bytes of zeroed memory that `count` pages need.
  static func bytes(for count: UInt64) -> UInt64 { (count + perWord - 1) / perWord * 8 }

  /// `memory` holds `bytes(for: count)` zero bytes and outlives the view.
  init(_ memory: UnsafeMutableRawPointer, count: UInt64) {
    unsafe words = memory.assumingMemoryBound(to: UInt64.self)
    first = 0
    self.count = count
  }

  /// A part of a table, for a part of its region.
  init(_ whole: PageStates, _ pages: Range<UInt64>) {
    precondition(pages.upperBound <= whole.count)
    unsafe words = unsafe whole.words
    first = whole.first + pages.lowerBound
    count = UInt64(pages.count)
  }

  @inline(__always)
  private func locate(_ page: UInt64) -> (word: AtomicWord, shift: UInt64) {
    precondition(page < count)
    let place = first + page
    return unsafe (AtomicWord(words + Int(place / Self.perWord)), place % Self.perWord * 2)
  }

  @inline(__always)
  func bits(_ page: UInt64) -> UInt8 {
    let (word, shift) = locate(page)
    return UInt8(truncatingIfNeeded: word.acquired >> shift & 3)
  }

  @inline(__always)
  func setBits(_ page: UInt64, _ bits: UInt8) {
    let (word, shift) = locate(page)
    var found = word.relaxed
    while !word.compareExchange(&found, found & ~(3 << shift) | UInt64(bits) << shift) {}
  }

  /// Sets these bits, too. No other thread changes the table.
  @inline(__always)
  fileprivate func insertBits(_ page: UInt64, _ bits: UInt8) {
    let (word, shift) = locate(page)
    word.relaxed |= UInt64(bits) << shift
  }

  /// Changes one page from `old` to `new`; false if it is not `old`.
  @inline(__always)
  func replaceBits(_ page: UInt64, _ old: UInt8, with new: UInt8) -> Bool {
    let (word, shift) = locate(page)
    var found = word.acquired
    while found >> shift & 3 == UInt64(old) {
      if word.compareExchange(&found, found & ~(3 << shift) | UInt64(new) << shift) { return true }
    }
    return false
  }

  // MARK: Runs of pages, a word at a time

  /// The lower bit of each page of a word.
  private static let lower: UInt64 = 0x5555_5555_5555_5555

  /// The pages of one word from `page` on, before `end`.
  @inline(__always)
  private func part(_ page: UInt64, before end: UInt64) -> (
    word: AtomicWord, shift: UInt64, length: UInt64
  ) {
    let place = first + page
    let offset = place % Self.perWord
    return unsafe (
      AtomicWord(words + Int(place / Self.perWord)), offset * 2,
      min(Self.perWord - offset, end - page)
    )
  }

  /// Both bits of the first `length` pages of a word, from 1 to 32.
  @inline(__always)
  private static func mask(_ length: UInt64) -> UInt64 { .max >> (64 - length * 2) }

  /// A bit for each page of `word` that has these bits.
  @inline(__always)
  private static func matches(_ word: UInt64, _ bits: UInt8) -> UInt64 {
    let differing = word ^ (UInt64(bits) * lower)
    return ~(differing | differing >> 1) & lower
  }

  /// Changes the pages of a range: `change` is given a word and a mask of the pages in question, and leaves the
  /// others as they are.
  @inline(__always)
  private func update(_ range: Range<UInt64>, _ change: (UInt64, UInt64) -> UInt64) {
    precondition(range.upperBound <= count)
    var page = range.lowerBound
    while page < range.upperBound {
      let (word, shift, length) = part(page, before: range.upperBound)
      var found = word.relaxed
      while !word.compareExchange(&found, change(found, Self.mask(length) << shift)) {}
      page += length
    }
  }

  /// Sets every page of a range.
  func setBits(_ range: Range<UInt64>, _ bits: UInt8) {
    update(range) { word, mask in word & ~mask | UInt64(bits) * Self.lower & mask }
  }

  /// Changes those pages of a range that are `old`.
  func replaceBits(_ range: Range<UInt64>, _ old: UInt8, with new: UInt8) {
    update(range) { word, mask in word ^ (Self.matches(word, old) & mask) * UInt64(old ^ new) }
  }

  /// Makes holes of those pages of a backing that were not published: whether somebody is getting the content or
  /// gives that up in this moment, it is one of the two.
  func punchUnpublished(_ range: Range<UInt64>) {
    update(range) { word, mask in
      let unpublished =
        Self.matches(word, BackingPage.absent.rawValue)
        | Self.matches(word, BackingPage.filling.rawValue)
      return word | (unpublished & mask) * UInt64(BackingPage.punched.rawValue)
    }
  }

  /// How many pages of a range, from its first on, have these bits.
  func run(ofBits bits: UInt8, in range: Range<UInt64>) -> UInt64 {
    precondition(range.upperBound <= count)
    var page = range.lowerBound
    while page < range.upperBound {
      let (word, shift, length) = part(page, before: range.upperBound)
      let others = ~Self.matches(word.acquired >> shift, bits) & Self.lower & Self.mask(length)
      if others != 0 {
        return page - range.lowerBound + UInt64(others.trailingZeroBitCount) / 2
      }
      page += length
    }
    return UInt64(range.count)
  }

  /// How many pages have these bits. Walks the table; for reports, not for the fault path.
  func count(ofBits bits: UInt8) -> UInt64 { count(ofBits: bits, in: 0..<count) }

  /// How many pages of a range have these bits.
  func count(ofBits bits: UInt8, in range: Range<UInt64>) -> UInt64 {
    precondition(range.upperBound <= count)
    var total: UInt64 = 0
    var page = range.lowerBound
    while page < range.upperBound {
      let (word, shift, length) = part(page, before: range.upperBound)
      let matches = Self.matches(word.acquired >> shift, bits) & Self.mask(length)
      total += UInt64(matches.nonzeroBitCount)
      page += length
    }
    return total
  }

  /// Copies the states of `other`, which has as many pages.
  func copy(from other: PageStates) {
    precondition(other.count == count)
    for page in 0..<count {
      let bits = other.bits(page)
      if bits != 0 { setBits(page, bits) }
    }
  }
}

// A switch and no `init(rawValue:)!`, which is a call and a check on the fault path.
extension RegionPage {
  /// Of two bits.
  @inline(__always)
  fileprivate init(bits: UInt8) {
    switch bits {
    case 0: self = .unmapped
    case 1: self = .mapped
    case 2: self = .discarded
    default: self = .poisoned
    }
  }
}

extension BackingPage {
  /// Of two bits.
  @inline(__always)
  fileprivate init(bits: UInt8) {
    switch bits {
    case 0: self = .absent
    case 1: self = .filling
    case 2: self = .present
    default: self = .punched
    }
  }
}

extension PageStates {
  @inline(__always)
  func region(_ page: UInt64) -> RegionPage { RegionPage(bits: bits(page)) }
  @inline(__always)
  func set(_ page: UInt64, _ state: RegionPage) { setBits(page, state.rawValue) }
  func set(_ pages: Range<UInt64>, _ state: RegionPage) { setBits(pages, state.rawValue) }
  func replace(_ pages: Range<UInt64>, _ old: RegionPage, with new: RegionPage) {
    replaceBits(pages, old.rawValue, with: new.rawValue)
  }
  /// How many pages of a range, from its first on, are in this state.
  func run(of state: RegionPage, in pages: Range<UInt64>) -> UInt64 {
    run(ofBits: state.rawValue, in: pages)
  }

  /// Makes an unmapped page a mapped one. `alone`: no other thread changes this table, and a locked instruction
  /// would be a tenth of what a fault costs us.
  @inline(__always)
  func setMapped(_ page: UInt64, alone: Bool) {
    if alone { insertBits(page, RegionPage.mapped.rawValue) } else { set(page, .mapped) }
  }
  @inline(__always)
  func backing(_ page: UInt64) -> BackingPage { BackingPage(bits: bits(page)) }
  @inline(__always)
  func set(_ page: UInt64, _ state: BackingPage) { setBits(page, state.rawValue) }
  @inline(__always)
  func replace(_ page: UInt64, _ old: BackingPage, with new: BackingPage) -> Bool {
    replaceBits(page, old.rawValue, with: new.rawValue)
  }
  func replace(_ pages: Range<UInt64>, _ old: BackingPage, with new: BackingPage) {
    replaceBits(pages, old.rawValue, with: new.rawValue)
  }
  func run(of state: BackingPage, in pages: Range<UInt64>) -> UInt64 {
    run(ofBits: state.rawValue, in: pages)
  }
}
