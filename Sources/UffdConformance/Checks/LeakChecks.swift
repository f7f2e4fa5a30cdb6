// SPDX-License-Identifier: Apache-2.0
// What is left in the process after close, and after the same questions again and again.
import UffdPluginABI

let leakChecks: [Check] = [
  Check(
    "leak.open-close", "nothing is left after close: memory, descriptors, threads, mappings",
    Sentence.closeFrees
  ) { context in
    try Leak.find(rounds: 50) { try context.withInstance { _ in } }
  },
  Check(
    "leak.open-serve-close", "nothing is left after an instance has served and was closed",
    Sentence.closeFrees
  ) { context in
    var pgoffs: [UInt64] = []
    var rounds = 0
    try context.withInstance { (pgoffs, rounds) = effort(context, $0) }
    try Leak.find(rounds: rounds) {
      try context.withInstance { instance in try serve(context, instance, pgoffs) }
    }
  },
  Check(
    "leak.serving", "the same questions again take no more memory",
    "exactly once per OK answer of kind LENT, whatever became of it; fault thread or control thread; must not block"
  ) { context in
    try context.requireContent()
    try context.withInstance { instance in
      let (pgoffs, rounds) = effort(context, instance)
      var staging: [Int] = []
      try Leak.find(rounds: rounds) {
        try serve(context, instance, pgoffs)
        staging.append(instance.host.stagingInUse)
      }
      if let first = staging.first, let last = staging.last, last >= first + rounds / 2 {
        throw Failure("\(last) buffers from staging_alloc, \(first) after the first round")
      }
    }
  },
]

/// Which granules, and how often.
private func effort(_ context: Context, _ instance: MockInstance) -> ([UInt64], Int) {
  instance.granule > 4096 ? ([0], 20) : (Array(context.samples(instance, 6).prefix(6)), 50)
}

/// A little of everything that a host does.
private func serve(_ context: Context, _ instance: MockInstance, _ pgoffs: [UInt64]) throws {
  let library = context.library
  for pgoff in pgoffs {
    if library.has(.alloc) { _ = try instance.content(pgoff) }
    if library.has(.filemap), try instance.add(pgoff) == .ok {
      if library.has(.lookup) { _ = try instance.lookup(pgoff) }
      if library.has(.discard) { instance.discard(pgoff) } else { instance.remove(pgoff) }
    }
    if library.has(.extents) {
      _ = try instance.extents(pgoff, 1, capacity: 1, stride: 24)
    }
    if library.has(.willNeed) { instance.willNeed(pgoff, 1) }
  }
}
