// SPDX-License-Identifier: Apache-2.0
// The life of an instance: order, repetition, and what the process looks like around it.
import CHookTrap
import Glibc
import UffdPluginABI

let lifeChecks: [Check] =
  [
    Check(
      "life.repeat", "an instance can be opened and closed 100 times",
      "once per configure that returned OK, control thread; may block, boundedly"
    ) { context in
      for _ in 0..<100 { try context.withInstance { _ in } }
    },
    Check(
      "life.many", "eight instances are open at once and closed in any order",
      "One library may have many instances at once, with different parameters."
    ) { context in
      var instances = try (0..<8).map { _ in try context.open() }
      var random = Random(context.seed)
      while !instances.isEmpty {
        let instance = instances.remove(at: Int(random.below(UInt64(instances.count))))
        if context.library.has(.alloc), instance.granule <= 4096 || instances.count % 4 == 0 {
          let pgoff = instance.granules - 1
          try context.verify(
            try instance.content(pgoff).bytes, at: pgoff, instance, "with others open")
        }
        instance.close()
        try instance.rethrow()
      }
    },
    Check(
      "life.descriptors", "descriptors are opened O_CLOEXEC", "Descriptors are opened O_CLOEXEC."
    ) { context in
      let before = ProcessState.openDescriptors()
      try context.withInstance { instance in
        if context.library.has(.alloc) { _ = try instance.content(0) }
        for fd in ProcessState.openDescriptors().subtracting(before)
        where fcntl(fd, F_GETFD) & FD_CLOEXEC == 0 {
          throw Failure("descriptor \(fd) would be inherited by programs that the host starts")
        }
      }
    },
    Check(
      "life.threads", "threads live between config_complete and close", Sentence.threadsLive
    ) { context in
      let before = ProcessState.now().threads
      try context.withInstance { instance in
        if context.library.has(.alloc) { _ = try instance.content(0) }
      }
      let after = ProcessState.settled(threads: before).threads
      if after > before {
        throw Failure("\(after - before) threads were left a second after close")
      }
    },
    Check(
      "life.process-state",
      "hooks leave folder, environment, locale, signal handlers and children of the process alone",
      "No exit(), fork(), chdir(), setenv(), setlocale() or signal handler after configure."
    ) { context in
      let before = EntryReading.shared.surroundings
      let handlers = EntryReading.shared.signalHandlers
      try context.withInstance { instance in
        if context.library.has(.alloc) { _ = try instance.content(0) }
        if context.library.has(.predicate) {
          _ = instance.canUserfault(unsafe instance.traits.memory_kind, .missing, [])
        }
        if hook_trap_has_child() != 0 { throw Failure("a process that a hook had started") }
      }
      if hook_trap_process_state() != before {
        throw Failure("another working folder, environment or locale than before")
      }
      for number in 1..<65 where hook_trap_signal_handler(Int32(number)) != handlers[number - 1] {
        throw Failure("another handler for signal \(number) than before")
      }
    },
    Check(
      "life.predicate", "can_userfault answers 0 or 1, and a reason for 0",
      "1 yes, 0 no; anything else is a broken provider"
    ) { context in
      try context.library.require(.predicate, "can_userfault")
      try context.withInstance { instance in
        for flags: UInt64 in 0..<8 {
          for modes: UInt64 in [1, 4, 5] {
            for kind in [uffd_memory_kind.anon, .shmem, .hugetlb] {
              let (answer, reason) = instance.canUserfault(
                kind, .init(rawValue: modes), .init(rawValue: flags))
              if answer > 1 { throw Failure("\(answer)") }
              if answer == 0, reason?.isEmpty ?? true { throw Failure("0 without a reason") }
            }
          }
        }
        let own = unsafe instance.traits.memory_kind
        let flags: UInt64 = instance.hasBacking ? 5 : 0
        let (answer, reason) = instance.canUserfault(
          own, instance.hasBacking ? [.missing, .minor] : .missing, .init(rawValue: flags))
        if answer != 1 {
          throw Failure(
            "no (\(reason ?? "")) to a region of the instance's own memory and granule",
            expected: "1: it is what config_complete declares")
        }
      }
    },
    Rule.keptPointer.with { context in
      try context.withInstance { instance in
        for pgoff in context.samples(instance, 8) {
          if context.library.has(.alloc) { _ = try instance.content(pgoff) }
          if context.library.has(.extents) {
            _ = try instance.extents(pgoff, 1, capacity: 1, stride: 24)
          }
        }
      }
    },
    Rule.afterClose.with { context in
      for _ in 0..<3 {
        try context.withInstance { instance in
          if context.library.has(.alloc) { _ = try instance.content(0) }
        }
        usleep(60_000)
        try Switchboard.rethrow()
      }
    },
  ] + Rule.of("life", but: Rule.afterClose, Rule.keptPointer)
