// SPDX-License-Identifier: Apache-2.0
// What an install call's answer means and what comes next: the errno playbook as one pure function
// (docs/kernel.md has the table in words). Classified by state, not by errno alone, because kernels
// differ in the errno of one and the same condition.

/// The calls that install.
enum InstallCall: CaseIterable {
  case copy, zero, `continue`, poison
}

/// What the answer has to be judged by.
struct InstallContext: Equatable {
  var hugetlb: Bool
  /// The destination maps a backing MAP_SHARED, so that EEXIST can mean "in the page cache, not mapped".
  var shared: Bool
  /// The call covered one page of the memory; if not, ENOENT may be the fault of a neighbour.
  var singlePage: Bool
  /// CONTINUE after an EEXIST of COPY on this page.
  var afterExists: Bool = false
  /// The source is memory of the provider, not of ours.
  var sourceIsForeign: Bool = false
}

/// What to do after an install call that did not simply succeed.
enum InstallStep: Equatable {
  /// Part of it is done and its waiters are awake: go on behind it.
  case advance
  /// Nothing was done because the address space is changing: read events, come back by timer. EAGAIN
  /// outlives the reading of the event, so there is no message to wait for.
  case putOff
  /// Something is there. EEXIST never wakes: the caller must.
  case present
  /// The page cache has it, this mapping not: CONTINUE.
  case mapCached
  /// CONTINUE found no page: it was punched. Judge the page again.
  case notCached
  /// ZEROPAGE does not work on this memory: COPY zeroes.
  case copyZeroes
  /// Do it page by page.
  case split
  /// The page is not ours any more (unmapped, or beyond the end of its file): wake and forget.
  case drop
  /// No memory, or no huge page. Try again a few times, then give up.
  case noMemory
  /// The source cannot be read.
  case badSource
  /// The page's memory is broken (EIO): give up.
  case badMemory
  /// POISON does not exist here.
  case cannotPoison
  /// The client is gone.
  case clientGone
  /// An answer that our own mistake causes: give the page up and say so.
  case hostBug
}

func nextStep(
  after call: InstallCall, error: Int32, done: Int64, _ context: InstallContext
) -> InstallStep {
  let error = Errno(error)
  if error == .EAGAIN { return done > 0 ? .advance : .putOff }
  switch error {
  case .EEXIST:
    // On hugetlb COPY says EEXIST also when the pool is empty (hugetlb_mfill_atomic_pte): the caller
    // tells the two apart.
    if call == .copy || call == .zero, context.shared { return .mapCached }
    return .present
  case .EFAULT:
    switch call {
    case .continue: return context.afterExists && context.hugetlb ? .noMemory : .notCached
    case .copy: return context.sourceIsForeign ? .badSource : .drop
    case .zero, .poison: return .drop
    }
  case .ENOENT: return context.singlePage ? .drop : .split
  case .EINVAL:
    switch call {
    case .zero: return .copyZeroes
    case .continue: return .drop
    case .poison: return .cannotPoison
    // A source beyond what a process can have is refused before it is read.
    case .copy: return context.sourceIsForeign ? .badSource : .hostBug
    }
  case .ENOMEM, .ENOSPC: return .noMemory
  case .ESRCH: return .clientGone
  case .EIO: return .badMemory
  case .EINTR: return .putOff
  default: return .hostBug
  }
}
