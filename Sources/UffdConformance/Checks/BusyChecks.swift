// SPDX-License-Identifier: Apache-2.0
// BUSY, kick and cancel: answers that come later, or are not wanted any more.
import Glibc
import UffdPluginABI

let busyChecks: [Check] =
  [
    Check(
      "busy.kick-lost", "a question is answered when it is asked again without a kick",
      Sentence.asked
    ) { context in
      try waiting(context) { instance in
        instance.host.losesKicks = true
        var manner = Manner()
        manner.patience = 2_000_000
        manner.limit = 3_000_000_000
        do { try readSome(context, instance, manner, "without kicks") } catch let breach as Breach {
          throw Failure("\(breach.came), asked every 2 ms without kicks")
        }
      }
    },
    Check(
      "busy.asked-late", "a question is answered when it is asked again long after its kick",
      Sentence.asked
    ) { context in
      try waiting(context) { instance in
        for pgoff in context.samples(instance, 6).prefix(6) {
          let ticket = instance.newTicket()
          var answer = try instance.askOnce(pgoff, 1, ticket: ticket)
          for _ in 0..<20 where answer.status == .busy {
            usleep(60_000)
            answer = try instance.askOnce(pgoff, 1, ticket: ticket)
          }
          if answer.status != .ok {
            throw Failure("\(answer.status) for pgoff \(pgoff) when it was asked late")
          }
          try context.verify(answer.bytes, at: pgoff, instance, "when it was asked late")
        }
      }
    },
    Check(
      "busy.reserves-nothing", "questions that are never asked again take nothing from others",
      "a BUSY answer reserves nothing that another question could not have;"
    ) { context in
      try waiting(context) { instance in
        for _ in 0..<50 {
          for pgoff in context.samples(instance, 4).prefix(4) {
            _ = try instance.askOnce(pgoff, 1, ticket: instance.newTicket())
          }
        }
        try readSome(context, instance, Manner(), "after questions that were given up")
      }
    },
    Check(
      "busy.close", "an instance can be closed while questions are BUSY",
      "Not guaranteed: the process may be killed. Required."
    ) { context in
      for _ in 0..<8 {
        try context.withInstance { instance in
          try context.requireContent()
          for pgoff in context.samples(instance, 6).prefix(6) {
            _ = try instance.askOnce(pgoff, 1, ticket: instance.newTicket())
          }
        }
      }
      usleep(80_000)
      try Switchboard.rethrow()
    },
    Check(
      "busy.prefetch", "a prefetch takes nothing from the demand that follows",
      "nobody waits; BUSY or partial is welcome"
    ) { context in
      try context.requireContent()
      try context.withInstance { instance in
        var manner = Manner()
        manner.access = .prefetch
        for pgoff in context.samples(instance, 12) {
          _ = try instance.askOnce(pgoff, 1, ticket: instance.newTicket(), manner)
        }
        try readSome(context, instance, Manner(), "after a prefetch")
      }
    },
    Check(
      "busy.cancel-unknown", "cancel of unknown and of answered tickets is no error",
      "A ticket that was answered already is no error."
    ) { context in
      try context.library.require(.cancel, "cancel")
      try context.withInstance { instance in
        for ticket: UInt64 in [0, 1, UInt64.max] { instance.cancel(ticket) }
        for pgoff in context.samples(instance, 8) {
          let ticket = instance.newTicket()
          let answer = try instance.askOnce(pgoff, 1, ticket: ticket)
          instance.cancel(ticket)
          instance.cancel(ticket)
          if answer.status == .ok {
            try context.verify(answer.bytes, at: pgoff, instance, "before a cancel")
          }
        }
        try readSome(context, instance, Manner(), "after cancels")
      }
    },
    Check(
      "busy.cancel-running", "cancel while a call runs ends nothing but that question",
      "cancel may run on any thread while another hook runs, or it could not do its work."
    ) { context in
      try context.library.require(.cancel, "cancel")
      try context.withInstance { instance in
        let current = CurrentTicket()
        var random = Random(context.seed)
        let canceller = try WorkerThread {
          while let ticket = current.ticket {
            instance.cancel(ticket)
            usleep(200)
          }
        }
        defer {
          current.set(nil)
          canceller.join()
        }
        for pgoff in context.samples(instance, 40) {
          let ticket = instance.newTicket()
          current.set(ticket)
          // Before, during and after the call.
          if random.below(2) == 0 { usleep(400) }
          let answer = try instance.askOnce(pgoff, 1, ticket: ticket)
          if answer.status == .ok {
            try context.verify(answer.bytes, at: pgoff, instance, "while it was cancelled")
          }
        }
        current.set(0)
        try readSome(context, instance, Manner(), "after cancels")
      }
    },
  ] + Rule.of("busy")

private final class CurrentTicket: @unchecked Sendable {
  private let lock = Lock()
  private var value: UInt64? = 0
  var ticket: UInt64? { lock.held { value } }
  func set(_ new: UInt64?) { lock.held { value = new } }
}

/// An instance that answers BUSY at least now and then.
private func waiting(_ context: Context, _ body: (MockInstance) throws -> Void) throws {
  try context.requireContent()
  try context.withInstance { instance in
    var isBusy = false
    for pgoff in context.samples(instance, 12) where !isBusy {
      isBusy =
        try instance.askOnce(pgoff, 1, ticket: instance.newTicket()).status == .busy
    }
    if !isBusy { throw NotApplicable("the provider was never BUSY") }
    try body(instance)
  }
}

private func readSome(
  _ context: Context, _ instance: MockInstance, _ manner: Manner, _ how: String
) throws {
  for pgoff in context.samples(instance, 8).prefix(8) {
    try context.verify(
      try instance.content(pgoff, 1, manner).bytes, at: pgoff, instance, how)
  }
}
