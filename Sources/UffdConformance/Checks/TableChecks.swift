// SPDX-License-Identifier: Apache-2.0
// The table and the entry function. The loader's own checks come first: what it refuses is not checked.
import UffdPluginABI

let tableChecks: [Check] =
  [
    Check(
      "table.loads", "the loader accepts the library and its table", Sentence.bits
    ) { _ in
      // A library that is refused never gets here: the child says so instead.
    },
    Check(
      "table.quiet", "loading opens no descriptor, starts no thread and does not wait",
      "Called by the loader on the control thread, possibly more than once; does no I/O and must not block."
    ) { _ in
      guard let before = EntryReading.shared.before, let after = EntryReading.shared.after else {
        throw NotApplicable("the library was loaded before")
      }
      let opened = after.descriptors.subtracting(before.descriptors)
      if !opened.isEmpty { throw Failure("\(opened.count) descriptors more than before") }
      // A SERIAL library gets its one thread from the loader.
      let ours = 1
      if after.threads > before.threads + ours {
        throw Failure("\(after.threads - before.threads) threads more than before")
      }
      let milliseconds = EntryReading.shared.nanoseconds / 1_000_000
      if milliseconds > 2000 { throw Failure("\(milliseconds) ms until it was loaded") }
    },
    Check(
      "table.constant", "the entry function returns one table that does not change",
      "Returns a table that never changes and lives as long as the process, or NULL: \"declined\"."
    ) { context in
      let library = context.library
      let before = library.tableBytes
      for _ in 0..<3 where library.askEntry() != library.address {
        throw Failure("another pointer when the entry function was called again")
      }
      try context.withInstance { instance in
        if library.has(.alloc) { _ = try instance.content(0) }
      }
      if library.askEntry() != library.address {
        throw Failure("another pointer after an instance was open")
      }
      if let place = library.tableBytes.firstDifference(before) {
        throw Failure("byte \(place) of the table was changed")
      }
    },
  ] + Rule.of("table")
