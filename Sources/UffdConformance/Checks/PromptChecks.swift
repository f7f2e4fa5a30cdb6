// SPDX-License-Identifier: Apache-2.0
// Hooks that may not wait do not: judged by the middle of many calls, so that a busy machine is no failure.
import UffdPluginABI

private let limitMilliseconds: UInt64 = 50

let promptChecks: [Check] = [
  Check(
    "prompt.content", "a provider that does not declare BLOCKS answers at once",
    "return promptly: no I/O, no sleeping, no lock that anybody holds while doing either."
  ) { context in
    try context.requireContent()
    try timed(context) { instance in
      if instance.mayBlock { throw NotApplicable("the instance declares that its hooks may wait") }
      for pgoff in context.samples(instance, 15) {
        _ = try instance.askOnce(pgoff, 1, ticket: instance.newTicket())
      }
      if context.library.has(.extents) {
        for pgoff in context.samples(instance, 5) {
          _ = try instance.extents(pgoff, 1, capacity: 1, stride: 24)
        }
      }
      if context.library.has(.willNeed) {
        for pgoff in context.samples(instance, 5) { instance.willNeed(pgoff, 1) }
      }
      let pages = max(1, instance.granule / (16 << 20))
      try look(["alloc_folio", "extents", "will_need"], limit: limitMilliseconds * pages)
    }
  },
  Check(
    "prompt.never-waiting", "hooks that must not block return at once, whatever is declared",
    "A hook that says \"must not block\" must return promptly in every provider:"
  ) { context in
    try timed(context) { instance in
      let library = context.library
      for pgoff in context.samples(instance, 9).prefix(9) {
        if library.has(.predicate) {
          _ = instance.canUserfault(unsafe instance.traits.memory_kind, .missing, [])
        }
        if library.has(.lend) { _ = try instance.content(pgoff) }
        if library.has(.lookup) { _ = try instance.lookup(pgoff) }
        if library.has(.filemap), try instance.add(pgoff) == .ok { instance.remove(pgoff) }
        if library.has(.discard) { instance.discard(pgoff) }
        if library.has(.cancel) { instance.cancel(instance.newTicket()) }
      }
      let hooks = [
        "can_userfault", "put_folio", "get_folio_noalloc", "filemap_add", "filemap_remove",
        "discard", "cancel",
      ]
      try look(hooks, limit: limitMilliseconds)
    }
  },
]

private func timed(_ context: Context, _ body: (MockInstance) throws -> Void) throws {
  try context.withInstance { instance in
    HookTimes.shared.forget()
    unsafe HookTimes.shared.isOn = true
    defer { unsafe HookTimes.shared.isOn = false }
    try body(instance)
  }
}

private func look(_ hooks: [String], limit: UInt64) throws {
  for hook in hooks {
    guard let median = HookTimes.shared.median(hook) else { continue }
    if median / 1_000_000 >= limit {
      throw Failure(
        "\(hook) took \(median / 1_000_000) ms, in the middle of its calls",
        expected: "less than \(limit) ms")
    }
  }
}
