// SPDX-License-Identifier: Apache-2.0
// writeback and flush. The content that was there is written back in the end.
import UffdPluginABI

let writebackChecks: [Check] = [
  Check(
    "writeback.comes-back", "bytes that were written are the content from then on",
    "OK: from now on alloc_folio answers these bytes; NO_MEMORY, IO_ERROR, GONE: the folio stays in memory and dirty."
  ) { context in
    try writing(context) { instance, pgoffs, random in
      for pgoff in pgoffs {
        let before = try instance.content(pgoff).bytes
        let bytes = Bytes((0..<before.count).map { _ in UInt8(truncatingIfNeeded: random.next()) })
        try write(instance, pgoff, bytes)
        let read = try instance.content(pgoff).bytes
        try write(instance, pgoff, before)
        if let place = read.firstDifference(bytes) {
          throw Failure("byte \(place) of pgoff \(pgoff) is not what was written")
        }
        try context.verify(
          try instance.content(pgoff).bytes, at: pgoff, instance, "after it was written back")
      }
    }
  },
  Check(
    "writeback.flush", "flush answers OK and keeps what was written",
    "flush: makes every writeback that returned OK durable. Kernel: fsync."
  ) { context in
    try writing(context) { instance, pgoffs, _ in
      let pgoff = pgoffs[0]
      let before = try instance.content(pgoff).bytes
      let bytes = Bytes(before.storage.map { ~$0 })
      try write(instance, pgoff, bytes)
      let flushed = try instance.flush()
      let read = try instance.content(pgoff).bytes
      try write(instance, pgoff, before)
      let restored = try instance.flush()
      if flushed != .ok || restored != .ok { throw Failure("flush answered \(flushed)") }
      if read.firstDifference(bytes) != nil { throw Failure("other bytes after flush") }
    }
  },
  Check(
    "writeback.alone", "a writeback changes no other granule", Sentence.same
  ) { context in
    try writing(context) { instance, pgoffs, _ in
      if instance.granules < 2 { throw NotApplicable("the object has one granule") }
      for pgoff in pgoffs { _ = try context.reference(pgoff) }
      let (written, others) = (pgoffs[0], pgoffs.filter { $0 != pgoffs[0] })
      let before = try instance.content(written).bytes
      try write(instance, written, Bytes(before.storage.map { ~$0 }))
      defer { _ = try? instance.writeback(written, before) }
      for pgoff in others {
        try context.verify(
          try instance.content(pgoff).bytes, at: pgoff, instance,
          "after pgoff \(written) was written")
      }
    }
  },
]

private func writing(
  _ context: Context, _ body: (MockInstance, [UInt64], inout Random) throws -> Void
) throws {
  try context.library.require(.writeback, "writeback")
  try context.requireContent()
  var random = Random(context.seed)
  try context.withInstance { instance in
    try body(instance, Array(context.samples(instance, 8).prefix(8)), &random)
  }
}

private func write(_ instance: MockInstance, _ pgoff: UInt64, _ bytes: Bytes) throws {
  for attempt in 0..<5 {
    let status = try instance.writeback(pgoff, bytes)
    if status == .ok { return }
    if attempt == 4 { throw Failure("writeback answered \(status) for pgoff \(pgoff)") }
    usleepBriefly(attempt)
  }
}
