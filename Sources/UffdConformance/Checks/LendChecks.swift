// SPDX-License-Identifier: Apache-2.0
// Lent memory: it stays put and unchanged until put_folio, whatever else happens.
import UffdPluginABI

let lendChecks: [Check] =
  [
    Check(
      "lend.unchanged", "lent memory stays readable and unchanged until put_folio",
      "A LENT answer stays readable and unchanged until its put_folio, which comes exactly once."
    ) { context in
      try lending(context) { instance, random in
        var lends = try collect(context, instance, &random, 24)
        for round in 0..<4 {
          try disturb(context, instance, &random)
          // Putting some back must not touch the others.
          if round > 0, lends.count > 1 {
            instance.put(lends.remove(at: Int(random.below(UInt64(lends.count)))))
          }
          for lend in lends { try look(lend) }
        }
        for lend in lends { instance.put(lend) }
      }
    },
    Check(
      "lend.same-page-twice", "one page can be lent twice, and each lend ends by itself",
      "exactly once per OK answer of kind LENT, whatever became of it; fault thread or control thread; must not block"
    ) { context in
      try lending(context) { instance, random in
        var manner = Manner()
        manner.keepsLend = true
        for pgoff in context.samples(instance, 12) {
          let first = try instance.content(pgoff, 1, manner)
          let second = try instance.content(pgoff, 1, manner)
          if let lend = first.lend { instance.put(lend) }
          if let lend = second.lend {
            try look(lend)
            instance.put(lend)
          }
          try context.verify(
            try instance.content(pgoff).bytes, at: pgoff, instance, "after its lends were put back"
          )
        }
      }
    },
    Check(
      "lend.order", "lends are put back in any order, and content is the same after",
      "folio is the answer as the provider gave it, valid until the hook returns"
    ) { context in
      try lending(context) { instance, random in
        for _ in 0..<3 {
          var lends = try collect(context, instance, &random, 16)
          lends.shuffle(using: &random)
          for lend in lends { instance.put(lend) }
        }
        for pgoff in context.samples(instance, 12) {
          try context.verify(
            try instance.content(pgoff).bytes, at: pgoff, instance, "after lends were put back")
        }
      }
    },
    Check(
      "lend.other-instance", "what one instance lends does not end with another's close",
      Sentence.noGlobals
    ) { context in
      try lending(context) { instance, random in
        let other = try context.open()
        let lends = try collect(context, instance, &random, 12)
        let others = try collect(context, other, &random, 12)
        for lend in others { other.put(lend) }
        other.close()
        for lend in lends { try look(lend) }
        for lend in lends { instance.put(lend) }
      }
    },
    Rule.lendDeclared.with { context in
      try context.requireContent()
      try context.withInstance { instance in
        for pgoff in context.samples(instance, 24) { _ = try instance.content(pgoff) }
      }
    },
  ] + Rule.of("lend", but: Rule.lendDeclared)

/// An instance of a provider that lends.
private func lending(
  _ context: Context, _ body: (MockInstance, inout Random) throws -> Void
) throws {
  try context.library.require(.lend, "put_folio")
  var random = Random(context.seed)
  try context.withInstance { instance in
    var manner = Manner()
    manner.keepsLend = true
    var hasLent = false
    for pgoff in context.samples(instance, 24) where !hasLent {
      guard let lend = try instance.content(pgoff, 1, manner).lend else { continue }
      hasLent = true
      instance.put(lend)
    }
    if !hasLent { throw NotApplicable("with these parameters the provider lends nothing") }
    try body(instance, &random)
  }
}

private func collect(
  _ context: Context, _ instance: MockInstance, _ random: inout Random, _ count: Int
) throws -> [Lend] {
  var manner = Manner()
  manner.keepsLend = true
  var lends: [Lend] = []
  for _ in 0..<count {
    let run = context.run(instance, &random, most: 4)
    let answer = try instance.content(run.lowerBound, UInt64(run.count), manner)
    if let lend = answer.lend { lends.append(lend) }
  }
  return lends
}

private func look(_ lend: Lend) throws {
  guard let now = lend.readAgain() else {
    throw Failure("memory lent for pgoff \(lend.pgoff) cannot be read before its put_folio")
  }
  if let place = now.firstDifference(lend.bytes) {
    throw Failure(
      "byte \(place) of the lend for pgoff \(lend.pgoff) changed before its put_folio")
  }
}

/// Everything else that a host may call meanwhile.
private func disturb(
  _ context: Context, _ instance: MockInstance, _ random: inout Random
) throws {
  for _ in 0..<8 {
    let run = context.run(instance, &random)
    _ = try instance.read(run.lowerBound, UInt64(run.count))
    if context.library.has(.willNeed) {
      instance.willNeed(run.lowerBound, UInt64(run.count))
    }
    if context.library.has(.extents) {
      _ = try instance.extents(run.lowerBound, UInt64(run.count), capacity: 4, stride: 24)
    }
    if context.library.has(.filemap), try instance.add(run.lowerBound) == .ok {
      instance.remove(run.lowerBound)
    }
  }
}
