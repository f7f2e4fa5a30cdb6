// SPDX-License-Identifier: Apache-2.0
// What to do about a fault, from its kind and the two page states. Pure: the whole table is tested
// without a kernel. Who calls it: a reader, before it asks a provider, and again before it installs.

/// The kind of a fault.
enum FaultKind: UInt8, CaseIterable {
  case missing, minor
  /// A flag this host does not know, or write protection, which it never arms.
  case unknown

  @inline(__always)
  init(flags: UInt64) {
    let known = UffdMessage.writeFlag | UffdMessage.minorFlag
    if flags & ~known != 0 {
      self = .unknown
    } else {
      self = flags & UffdMessage.minorFlag != 0 ? .minor : .missing
    }
  }
}

/// What it means that the page cache holds a page which nobody published.
enum Strays {
  /// Our own backing: nothing; it is punched.
  case evicted
  /// A client's memfd: the client has put content there itself.
  case areContent
  /// A client's memfd: nothing. It is not ours to punch, so the page is given up.
  case refused
}

/// How a region maps its memory and where its content goes: all that a decision needs to know of it.
struct RegionShape: Equatable {
  var shared: Bool
  /// Missing content is published into the backing; else it goes into the mapping alone.
  var fillsBacking: Bool
  /// The backing came with its content (a file the user named): our page states say nothing of it.
  var arrivesFilled: Bool
  var strays = Strays.evicted
  /// A mapping that grew after it was handed over: fresh pages, which are zero.
  var readsZero = false
}

/// What to do about one page.
enum FaultAction: Equatable {
  /// Get the content and install it (publish it first, if the region fills a backing).
  case fill
  /// Install zeroes.
  case zero
  /// Ask the provider whether its filemap holds the page, then CONTINUE.
  case lookUp
  /// CONTINUE without asking: the fault is older than the publication of its page.
  case mapCached
  /// Somebody is filling the page; come back.
  case wait
  /// The page cache holds a page that nobody published: punch it, wake, fill it as missing.
  case evict
  /// The client's memfd holds a page that nobody vouches for: give it up.
  case refuse
  /// Poison it (again).
  case poison
  /// Nothing: nobody waits for it, and it is not what it was when it was to be taken along.
  case leave

  /// The same for a page that nobody waits for, in a region where it is `state`. Only what is simply
  /// missing is taken along; whatever else is to be done is done when somebody touches the page.
  @inline(__always)
  func forNobody(_ state: RegionPage) -> FaultAction {
    guard state == .unmapped else { return .leave }
    switch self {
    case .fill, .lookUp, .mapCached: return self
    case .zero, .wait, .evict, .refuse, .poison, .leave: return .leave
    }
  }
}

/// Decides one page. `backing` is nil for a region without one.
///
/// A page that is `mapped` and missing all the same is either a stale message (the install finds EEXIST and
/// wakes), or a discard of which no event told us: zero in both cases, never the provider's old bytes.
func decide(
  _ kind: FaultKind, _ shape: RegionShape, _ region: RegionPage, _ backing: BackingPage?
) -> FaultAction {
  if kind == .unknown || region == .poisoned { return .poison }
  if shape.readsZero { return .zero }
  guard let backing, shape.fillsBacking || shape.arrivesFilled else {
    // Content belongs to the mapping alone; a page of the backing below it does not matter (it is
    // shadowed by the COPY, as for any MAP_PRIVATE mapping).
    return region == .unmapped ? .fill : .zero
  }
  if !shape.shared && region == .discarded {
    // The client's private page is gone for good; what the backing holds is not its content any more.
    return .zero
  }
  if shape.arrivesFilled {
    // The kernel says whether the page is there; a hole is filled by policy or by the provider.
    return kind == .minor ? .lookUp : (region == .discarded ? .zero : .fill)
  }
  switch (kind, backing) {
  case (_, .filling): return .wait
  case (.minor, .present): return .lookUp
  case (.minor, .absent):
    switch shape.strays {
    case .evicted: return .evict
    case .areContent: return .mapCached
    case .refused: return .refuse
    }
  // A sibling region that is not watched any more may have put a page into the hole.
  case (.minor, .punched), (_, .present): return .mapCached
  case (_, .punched): return .zero
  case (_, .absent): return region == .discarded ? .zero : .fill
  }
}
