// SPDX-License-Identifier: Apache-2.0
// get_folio_noalloc: edges, and that asking changes nothing and takes nothing.
import CHookTrap
import UffdPluginABI

let lookupChecks: [Check] =
  [
    Check(
      "lookup.past-end", "a lookup beyond the object is OUT_OF_RANGE",
      "OK present; ABSENT; BUSY with the ticket as in alloc_folio; OUT_OF_RANGE; GONE."
    ) { context in
      try looking(context) { instance in
        let count = instance.granules
        for pgoff in [count, count + 1, count + 4096, 1 << 50, UInt64.max] {
          let status = try instance.lookup(pgoff)
          if status != .outOfRange {
            throw Failure(
              "\(status) for pgoff \(pgoff) of an object of \(count) granules",
              expected: "OUT_OF_RANGE")
          }
        }
      }
    },
    Check(
      "lookup.changes-nothing", "looking a granule up does not make it present, nor absent",
      "get_folio_noalloc: a minor fault: does the filemap hold this granule?"
    ) { context in
      try looking(context) { instance in
        let granules = context.samples(instance, 32)
        let first = try granules.map { try instance.lookup($0) }
        for _ in 0..<3 {
          for (pgoff, status) in zip(granules, first) {
            let now = try instance.lookup(pgoff)
            if now != status {
              throw Failure("\(now) for pgoff \(pgoff)", expected: "\(status), as the first time")
            }
          }
        }
      }
    },
    Check(
      "lookup.no-growth", "10,000 lookups take no memory",
      "fault thread; never allocates, must not block"
    ) { context in
      try looking(context) { instance in
        let granules = context.samples(instance, 16)
        try Leak.find(rounds: 20) {
          for _ in 0..<32 { for pgoff in granules { _ = try instance.lookup(pgoff) } }
        }
      }
    },
    Rule.accepted.with { context in
      try looking(context) { instance in
        try context.library.require(.filemap, "filemap_add")
        var model = FilemapModel(instance)
        for pgoff in Set(context.samples(instance, 24)).sorted() {
          try model.add(pgoff..<(pgoff + 1))
          try model.expect(pgoff)
        }
        try model.expectAll()
      }
    },
  ] + Rule.of("lookup", but: Rule.accepted)

private func looking(_ context: Context, _ body: (MockInstance) throws -> Void) throws {
  try context.library.require(.lookup, "get_folio_noalloc")
  try context.withInstance(body)
}
