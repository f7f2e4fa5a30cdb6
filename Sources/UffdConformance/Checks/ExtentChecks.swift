// SPDX-License-Identifier: Apache-2.0
// extents and will_need: what is said of the object, and that a hint is only a hint.
import UffdPluginABI

let extentChecks: [Check] = [
  Check(
    "extents.cover", "extents begin at pgoff, leave no gap and stay inside the range",
    "OK with *filled (1 to capacity) elements that begin at pgoff, follow each other without a gap and stay inside the range; fewer than the whole is fine."
  ) { context in
    try context.library.require(.extents, "extents")
    try context.withInstance { instance in
      for range in ranges(context, instance) {
        for capacity in [1, 2, 64] {
          for stride in [24, 40] { try cover(instance, range, capacity, stride) }
        }
      }
    }
  },
  Rule.insideRoom.with { context in
    try context.library.require(.extents, "extents")
    try context.withInstance { instance in
      for range in ranges(context, instance) {
        for capacity in [1, 8] {
          let answer = try instance.extents(
            range.lowerBound, UInt64(range.count), capacity: capacity, stride: 64)
          if answer.spilled {
            throw Failure("bytes between the elements were written, with a stride of 64")
          }
        }
      }
    }
  },
  Check(
    "extents.true", "what extents call zero is zero",
    "1: every byte is known to be zero; 0: ask alloc_folio"
  ) { context in
    try context.library.require(.extents, "extents")
    try context.requireContent()
    try context.withInstance { instance in
      for range in ranges(context, instance) {
        let answer = try instance.extents(
          range.lowerBound, UInt64(range.count), capacity: 64, stride: 24)
        for extent in answer.list where extent.is_zero == 1 {
          for pgoff in extent.pgoff..<(extent.pgoff + min(extent.count, 64)) {
            if try !instance.content(pgoff).bytes.isZero {
              throw Failure("pgoff \(pgoff) has data and is in an extent with is_zero 1")
            }
          }
        }
      }
    }
  },
  Check(
    "extents.will-need", "will_need changes no content",
    "will_need: these granules will be asked for soon: warm the source. A hint."
  ) { context in
    try context.library.require(.willNeed, "will_need")
    try context.requireContent()
    try context.withInstance { instance in
      for range in ranges(context, instance) {
        instance.willNeed(range.lowerBound, UInt64(range.count))
        let pgoffs = [range.lowerBound, range.upperBound - 1]
        for pgoff in pgoffs where context.windows(instance).contains(where: { $0.contains(pgoff) })
        {
          try context.verify(
            try instance.content(pgoff).bytes, at: pgoff, instance, "after will_need")
        }
      }
    }
  },
]

private func ranges(_ context: Context, _ instance: MockInstance) -> [Range<UInt64>] {
  var random = Random(context.seed)
  let count = instance.granules
  var ranges = [0..<count, 0..<1, (count - 1)..<count]
  for _ in 0..<12 { ranges.append(context.run(instance, &random, most: 64)) }
  return ranges
}

private func cover(
  _ instance: MockInstance, _ range: Range<UInt64>, _ capacity: Int, _ stride: Int
) throws {
  let answer = try instance.extents(
    range.lowerBound, UInt64(range.count), capacity: capacity, stride: stride)
  let asked = "\(range.count) granules from pgoff \(range.lowerBound) with room for \(capacity)"
  guard answer.status == .ok else { throw Failure("\(answer.status) for \(asked)") }
  guard (1...UInt64(capacity)).contains(answer.filled) else {
    throw Failure("\(answer.filled) elements for \(asked)")
  }
  var next = range.lowerBound
  for extent in answer.list {
    if extent.pgoff != next {
      throw Failure("an extent from pgoff \(extent.pgoff) for \(asked)", expected: "pgoff \(next)")
    }
    if extent.count == 0 || extent.count > range.upperBound - next {
      throw Failure("an extent of \(extent.count) granules from pgoff \(next) for \(asked)")
    }
    if extent.is_zero > 1 { throw Failure("is_zero \(extent.is_zero) for \(asked)") }
    next += extent.count
  }
}
