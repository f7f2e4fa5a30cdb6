// SPDX-License-Identifier: Apache-2.0
// alloc_folio: the edges of the object, runs and parts of runs, and the same bytes for the same page.
import Glibc
import UffdHost
import UffdPluginABI

let allocChecks: [Check] =
  [
    Check(
      "alloc.first-and-last", "the first and the last granule have content", Sentence.content
    ) { context in
      try context.requireContent()
      try context.withInstance { instance in
        for pgoff in [0, instance.granules - 1] { _ = try instance.content(pgoff) }
      }
    },
    Check(
      "alloc.past-end", "a question beyond the object is OUT_OF_RANGE",
      "Beyond the object. configure: the value of a key is not acceptable."
    ) { context in
      try context.requireContent()
      try context.withInstance { instance in
        let count = instance.granules
        for pgoff in [count, count + 1, count + 1_000_000, 1 << 50, UInt64.max - 1] {
          let answer = try instance.ask(pgoff)
          if answer.status != .outOfRange {
            throw Failure(
              "\(answer.status) for pgoff \(pgoff) of an object of \(count) granules",
              expected: "OUT_OF_RANGE")
          }
        }
      }
    },
    Check(
      "alloc.tail", "bytes of the last granule beyond the object are zero",
      "bytes, at least 1; the tail of the last granule reads zero"
    ) { context in
      try context.requireContent()
      try context.withInstance { instance in
        let used = Int((instance.objectSize - 1) % instance.granule + 1)
        if used == instance.granule { throw NotApplicable("the object ends with a granule") }
        let bytes = try instance.content(instance.granules - 1).bytes
        let tail = bytes.slice(used, bytes.count - used)
        if !tail.isZero { throw Failure("other bytes than zero after byte \(instance.objectSize)") }
      }
    },
    Check(
      "alloc.fills-whole", "every byte of a STAGED answer is written",
      "Host memory for the answer, page-aligned, at least count * granule bytes, undefined content."
    ) { context in
      try context.requireContent()
      if context.library.isVolatile { throw NotApplicable("the content is VOLATILE") }
      try context.withInstance { instance in
        for pgoff in context.samples(instance, 24) {
          var manner = Manner()
          let first = try instance.content(pgoff, 1, manner).bytes
          manner.poison = 0x5a
          let second = try instance.content(pgoff, 1, manner).bytes
          if let place = first.firstDifference(second), first.storage[place] == 0xa5 {
            throw Failure("byte \(place) of pgoff \(pgoff) is what staging held before")
          }
        }
      }
    },
    Check(
      "alloc.same-bytes", "a page has the same bytes whenever and wherever it is asked for",
      Sentence.same
    ) { context in
      try context.requireContent()
      if context.library.isVolatile { throw NotApplicable("the content is VOLATILE") }
      try context.withInstance { instance in
        var random = Random(context.seed)
        for pgoff in context.samples(instance, 48) {
          try context.verify(
            try instance.content(pgoff).bytes, at: pgoff, instance, "when it is asked alone")
        }
        for _ in 0..<(instance.granule > 4096 ? 4 : 48) {
          let run = context.run(instance, &random)
          var manner = Manner()
          manner.access = [[], .write, .prefetch][Int(random.below(3))]
          let bytes = try instance.read(run.lowerBound, UInt64(run.count), manner)
          try context.verify(
            bytes, at: run.lowerBound, instance, "in a run of \(run.count) from \(run.lowerBound)")
        }
      }
    },
    Check(
      "alloc.no-memory", "a refused staging_alloc is NO_MEMORY or BUSY, and passes",
      "No memory, or a limit of the provider is reached. The host tries again, then gives up."
    ) { context in
      try context.requireContent()
      try context.withInstance { instance in
        instance.host.refusesStaging = true
        var manner = Manner()
        manner.patience = 1_000_000
        for pgoff in context.samples(instance, 24) {
          let ticket = instance.newTicket()
          for _ in 0..<5 {
            let answer = try instance.askOnce(pgoff, 1, ticket: ticket, manner)
            if ![.ok, .busy, .noMemory].contains(answer.status) {
              throw Failure("\(answer.status) when the host had no staging memory")
            }
            if answer.status == .ok {
              try context.verify(answer.bytes, at: pgoff, instance, "without staging memory")
              break
            }
            usleep(1000)
          }
        }
        if instance.host.stagingCalls == 0 {
          throw NotApplicable("the provider does not call staging_alloc")
        }
        instance.host.refusesStaging = false
        for pgoff in context.samples(instance, 24) {
          try context.verify(
            try instance.content(pgoff).bytes, at: pgoff, instance, "when there was memory again")
        }
      }
    },
    Rule.lateStaging.with { context in
      try context.requireContent()
      try context.withInstance { instance in
        for pgoff in context.samples(instance, 12) {
          _ = try instance.askOnce(pgoff, 1, ticket: instance.newTicket())
        }
        // A late access is a trap, and ends this process.
        usleep(120_000)
      }
    },
    Check(
      "alloc.sizes", "regions of the table's other granules get content of their size",
      "Sizes of granule a provider can serve: the sum of the sizes, which are powers of two."
    ) { context in
      try context.requireContent()
      try context.withInstance { instance in
        let others = context.library.provider.granules.filter {
          $0 != instance.granule && $0 <= 4 << 20
        }
        if others.isEmpty { throw NotApplicable("the table declares no other granule up to 4M") }
        for granule in others {
          if context.library.has(.predicate) {
            let (answer, _) = instance.canUserfault(.anon, .missing, .foreign, granule: granule)
            if answer == 0 { continue }
          }
          var manner = Manner()
          manner.granule = granule
          let answer = try instance.ask(0, 1, manner)
          if answer.status != .ok {
            throw Failure("\(answer.status) for a granule of \(granule) bytes", expected: "OK")
          }
        }
      }
    },
  ] + Rule.of("alloc", but: Rule.lateStaging)
