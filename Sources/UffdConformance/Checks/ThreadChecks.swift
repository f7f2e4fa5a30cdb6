// SPDX-License-Identifier: Apache-2.0
// The declared thread model, used to the full. What a model forbids is never done.
import Glibc
import UffdPluginABI

let threadChecks: [Check] = [
  Check(
    "threads.content", "eight threads ask one PARALLEL instance, and every byte is right",
    "any hook but configure, config_complete and close may run on any number of threads"
  ) { context in
    try parallel(context) { instance in
      try context.requireContent()
      try context.learn(instance)
      try onThreads(8) { index in
        try hammer(context, instance, seed: context.seed &+ UInt64(index), rounds: 60)
      }
    }
  },
  Check(
    "threads.filemap", "eight threads keep their granules apart in one filemap",
    "any hook but configure, config_complete and close may run on any number of threads"
  ) { context in
    try parallel(context) { instance in
      try context.library.require(.filemap, "filemap_add")
      let window = context.windows(instance)[0]
      do { try keepApart(instance, window) } catch let breach as Breach {
        throw Failure("\(breach.came), while other threads had theirs")
      }
    }
  },
  Check(
    "threads.instances", "instances are served by a thread each, and change threads",
    "the hooks of one instance never overlap; the thread may change"
  ) { context in
    try context.requireContent()
    let probe = try context.open()
    let model = probe.model
    try context.learn(probe)
    probe.close()
    if model == .serial {
      throw NotApplicable("the library is SERIAL: one thread calls every hook")
    }
    let instances = try (0..<4).map { _ in try context.open() }
    for round in 0..<2 {
      try onThreads(4) { index in
        try hammer(
          context, instances[(index + round) % 4], seed: context.seed &+ UInt64(index), rounds: 40)
      }
    }
    for instance in instances {
      try instance.rethrow()
      instance.close()
    }
  },
  Check(
    "threads.open-close", "instances are opened and closed while others serve",
    "configure, config_complete and close never overlap another hook of the same instance."
  ) { context in
    try context.requireContent()
    let instance = try context.open()
    if instance.model == .serial {
      instance.close()
      throw NotApplicable("the library is SERIAL: one thread calls every hook")
    }
    try context.learn(instance)
    let isServing = Flag()
    try onThreads(3) { index in
      if index == 0 {
        defer { isServing.lower() }
        for _ in 0..<30 { try context.withInstance { _ = try $0.content(0) } }
      } else if index == 1 || instance.model == .parallel {
        var round = context.seed &+ UInt64(index)
        repeat {
          try hammer(context, instance, seed: round, rounds: 4)
          round &+= 3
        } while isServing.isUp
      }
    }
    try instance.rethrow()
    instance.close()
  },
]

private final class Flag: @unchecked Sendable {
  private let lock = Lock()
  private var value = true
  var isUp: Bool { lock.held { value } }
  func lower() { lock.held { value = false } }
}

private func parallel(_ context: Context, _ body: (MockInstance) throws -> Void) throws {
  try context.withInstance { instance in
    if instance.model != .parallel {
      throw NotApplicable("the instance is not PARALLEL: its hooks never overlap")
    }
    try body(instance)
  }
}

/// Asks for runs, keeps lends for a moment, compares all.
private func hammer(
  _ context: Context, _ instance: MockInstance, seed: UInt64, rounds: Int
) throws {
  var random = Random(seed)
  var manner = Manner()
  manner.keepsLend = true
  for _ in 0..<(instance.granule > 4096 ? min(rounds, 3) : rounds) {
    let run = context.run(instance, &random, most: 8)
    let answer = try instance.content(run.lowerBound, UInt64(run.count), manner)
    try context.verify(answer.bytes, at: run.lowerBound, instance, "with other threads")
    if context.library.has(.extents), random.below(8) == 0 {
      _ = try instance.extents(run.lowerBound, UInt64(run.count), capacity: 2, stride: 24)
    }
    if let lend = answer.lend {
      let now = lend.readAgain()
      instance.put(lend)
      if now?.firstDifference(lend.bytes) != nil || now == nil {
        throw Failure("lent memory of pgoff \(lend.pgoff) changed while other threads asked")
      }
    }
  }
}

/// Neighbours belong to different threads: a word or a byte of a bitmap is shared.
private func keepApart(_ instance: MockInstance, _ window: Range<UInt64>) throws {
  try onThreads(8) { index in
    let mine = window.filter { $0 % 8 == UInt64(index) }
    for _ in 0..<(window.count > 256 ? 2 : 8) {
      var model = FilemapModel(instance)
      for pgoff in mine {
        try model.add(pgoff..<(pgoff + 1))
        try model.expect(pgoff)
      }
      try model.expectAll()
      try model.removeAll()
      try model.expectAll()
    }
  }
}
