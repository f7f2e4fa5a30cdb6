// SPDX-License-Identifier: Apache-2.0
// The filemap: add, remove, discard and lookup agree, also where an
// install fails half-way, and the accounting returns what it took.
import UffdPluginABI

let filemapChecks: [Check] = [
  Check("filemap.agrees", "what was added is present, what was not is absent", Sentence.filemap) {
    context in
    try mapping(context) { instance, random in
      var model = FilemapModel(instance)
      for pgoff in context.samples(instance, 32) { try model.expect(pgoff) }
      for _ in 0..<48 {
        let run = model.absentRun(context.run(instance, &random, most: 8))
        if run.isEmpty { continue }
        // A limit of the provider: make room.
        do { try model.add(run) } catch is NotApplicable { try model.removeAll() }
        for pgoff in run { try model.expect(pgoff) }
      }
      try model.expectAll()
      try model.removeAll()
      try model.expectAll()
    }
  },
  Check(
    "filemap.past-end", "adding beyond the object is OUT_OF_RANGE, and adds nothing",
    "OUT_OF_RANGE, GONE: none is."
  ) { context in
    try mapping(context) { instance, _ in
      let count = instance.granules
      for (pgoff, number): (UInt64, UInt64) in [
        (count, 1), (count - 1, 2), (1 << 50, 1), (UInt64.max, 2), (0, count + 1),
      ] {
        let status = try instance.add(pgoff, number)
        if status != .outOfRange {
          throw Failure(
            "\(status) for \(number) granules from pgoff \(pgoff) of \(count)",
            expected: "OUT_OF_RANGE")
        }
      }
      var model = FilemapModel(instance)
      for pgoff in [0, count - 1] { try model.expect(pgoff) }
    }
  },
  Check(
    "filemap.install-fails",
    "an install that fails at any granule leaves exactly what was published",
    "undoes filemap_add for exactly the granules that were added and not published, and for granules that the host evicts."
  ) { context in
    try mapping(context) { instance, random in
      var model = FilemapModel(instance)
      let length = min(UInt64(context.windows(instance)[0].count), instance.granule > 4096 ? 2 : 8)
      for published in 0...length where instance.granule <= 4096 || published < 2 {
        // alloc, add, COPY up to `published`, remove the rest, put.
        try install(instance, &model, 0..<length, published: published)
        try model.expectAll()
        // The faults come again, and the rest is installed.
        if published < length {
          try install(instance, &model, published..<length, published: length - published)
        }
        try model.expectAll()
        try model.removeAll()
      }
      try model.expectAll()
    }
  },
  Check(
    "filemap.accounting", "granules that are removed can be added again, for ever",
    "OK: all of them are accounted; NO_MEMORY: none is (a limit is reached);"
  ) { context in
    try mapping(context) { instance, _ in
      var model = FilemapModel(instance)
      let most = try fill(context, instance, &model)
      try model.removeAll()
      for _ in 0..<3 {
        let again = try fill(context, instance, &model)
        if again != most {
          throw Failure("\(again) granules could be added, \(most) the first time")
        }
        try model.removeAll()
      }
    }
  },
  Check(
    "filemap.limit", "beyond a limit nothing is added, and a removal makes room",
    "OK: all of them are accounted; NO_MEMORY: none is (a limit is reached);"
  ) { context in
    try mapping(context) { instance, _ in
      var model = FilemapModel(instance)
      let window = context.windows(instance)[0]
      let taken = try fill(context, instance, &model)
      guard taken < UInt64(window.count), taken >= 1 else {
        throw NotApplicable("no limit is reached with these parameters")
      }
      // A run that fits only in part must be refused as a whole.
      try model.remove(window.lowerBound..<(window.lowerBound + 1))
      let rest = (window.lowerBound + taken)..<min(window.lowerBound + taken + 4, window.upperBound)
      if rest.count > 1 {
        if try instance.add(rest.lowerBound, UInt64(rest.count)) != .noMemory {
          throw Failure("more than the limit of \(taken) granules was added in one run")
        }
        for pgoff in rest { try model.expect(pgoff) }
      }
      try model.add(window.lowerBound..<(window.lowerBound + 1))
    }
  },
  Check(
    "filemap.discard", "a discarded granule is absent, and can be added again",
    Sentence.discard
  ) { context in
    try context.library.require(.discard, "discard")
    try mapping(context) { instance, random in
      var model = FilemapModel(instance)
      let most = try fill(context, instance, &model)
      try model.discardAll()
      try model.expectAll()
      // The accounting has what it had; discarding what is absent gives nothing back twice.
      let window = context.windows(instance)[0]
      for pgoff in window.prefix(4) { instance.discard(pgoff) }
      let again = try fill(context, instance, &model)
      if again != most {
        throw Failure("\(again) granules could be added after a discard, \(most) before")
      }
      for _ in 0..<24 {
        let run = context.run(instance, &random, most: 4)
        model.discard(run)
        for pgoff in run { try model.expect(pgoff) }
        let absent = model.absentRun(run)
        if !absent.isEmpty, most == UInt64(window.count) { try model.add(absent) }
      }
      try model.expectAll()
    }
  },
  Check(
    "filemap.other-instance", "instances have filemaps of their own", Sentence.noGlobals
  ) { context in
    try mapping(context) { instance, _ in
      var model = FilemapModel(instance)
      try model.add(0..<1)
      try context.withInstance { other in
        var others = FilemapModel(other)
        try others.expect(0)
        try others.add(0..<1)
        try others.removeAll()
      }
      try model.expect(0)
    }
  },
  Check(
    "filemap.apart-from-content", "content does not depend on what the filemap holds",
    Sentence.same
  ) { context in
    try context.requireContent()
    try mapping(context) { instance, random in
      var model = FilemapModel(instance)
      for pgoff in context.samples(instance, 8) {
        try model.add(model.absentRun(pgoff..<(pgoff + 1)))
        try context.verify(
          try instance.content(pgoff).bytes, at: pgoff, instance, "when it is in the filemap")
        if context.library.has(.discard) { model.discard(pgoff..<(pgoff + 1)) }
        try context.verify(
          try instance.content(pgoff).bytes, at: pgoff, instance, "after that")
      }
    }
  },
]

private func mapping(
  _ context: Context, _ body: (MockInstance, inout Random) throws -> Void
) throws {
  try context.library.require(.filemap, "filemap_add")
  var random = Random(context.seed)
  try context.withInstance { try body($0, &random) }
}

/// Adds granules of the first window one by one until they are all in or a limit is reached.
private func fill(
  _ context: Context, _ instance: MockInstance, _ model: inout FilemapModel
) throws -> UInt64 {
  let window = context.windows(instance)[0]
  for (count, pgoff) in window.enumerated() {
    switch try instance.add(pgoff) {
    case .ok: model.held.insert(pgoff)
    case .noMemory: return UInt64(count)
    case let other: throw Failure("\(other) for pgoff \(pgoff)", expected: "OK, or NO_MEMORY")
    }
  }
  return UInt64(window.count)
}

/// What a host does with a missing fault, whose COPY stops after `published` granules.
private func install(
  _ instance: MockInstance, _ model: inout FilemapModel, _ range: Range<UInt64>, published: UInt64
) throws {
  var manner = Manner()
  manner.keepsLend = true
  var next = range.lowerBound
  let end = range.lowerBound + published
  while next < range.upperBound {
    var count = range.upperBound - next
    var lend: Lend?
    if instance.library.has(.alloc) {
      let answer = try instance.content(next, count, manner)
      (count, lend) = (answer.count, answer.lend)
    }
    try model.add(next..<(next + count))
    let undone = max(next, end)..<max(next + count, end)
    if undone.lowerBound < next + count { try model.remove(undone.lowerBound..<(next + count)) }
    if let lend { instance.put(lend) }
    if next + count > end { return }
    next += count
  }
}
