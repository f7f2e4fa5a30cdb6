// SPDX-License-Identifier: Apache-2.0
// What the fault path tells a person: one sentence for each kind of trouble, and no flood of them.
import Synchronization
import UffdPluginABI

/// Writes the log lines of a session. Any reader may call it. Never inlined: the fault path must not carry
/// the reference counts of texts that it does not write.
final class Reporter: Sendable {
  private let sink: LogSink
  private let written = Mutex<[String: UInt64]>([:])
  /// Lines of one kind; after that only each thousandth.
  private static let most: UInt64 = 8

  init(_ sink: @escaping LogSink) { self.sink = sink }

  private func say(_ level: LogLevel, _ kind: String, _ text: () -> String) {
    let count = written.withLock { counts in
      counts[kind, default: 0] += 1
      return counts[kind]!
    }
    if count <= Self.most {
      sink(level, text())
      if count == Self.most { sink(level, "further lines of this kind: every thousandth") }
    } else if count % 1000 == 0 {
      sink(level, "\(text()) (\(count) times so far)")
    }
  }

  @inline(never)
  func readFailed(_ error: Errno) {
    if error == .EBADFD { return madeBlocking() }
    say(.error, "read") { "the uffd cannot be read (\(error.name)); was its descriptor closed?" }
  }

  /// It is looked at again after a moment; see `Reader.pause`.
  private func madeBlocking() {
    say(.warning, "blocking") {
      "a client has made its userfaultfd blocking (fcntl(2), O_NONBLOCK), which is the server's, too; it is "
        + "made non-blocking again"
    }
  }

  @inline(never)
  func unknownEvent(_ event: UInt8) {
    say(.error, "event") {
      "the kernel sent the unknown event 0x\(String(event, radix: 16)); it is ignored"
    }
  }

  @inline(never)
  func unknownFault(_ flags: UInt64) {
    say(.error, "flags") {
      "the kernel reported a fault with flags 0x\(String(flags, radix: 16)), which this host never asked "
        + "for; the page is given up"
    }
  }

  @inline(never)
  func tooManyQuestions() {
    say(.warning, "questions") { "too many faults wait for their provider; the newest ask again" }
  }

  @inline(never)
  func gaveUp(
    _ instance: UnsafeMutablePointer<InstanceRecord>, _ pgoff: UInt64, _ reason: GivingUp
  ) {
    let owner = unsafe instance.pointee.owner
    say(.error, "gave up \(owner.provider.name)") {
      "granule \(pgoff) of provider '\(owner.provider.name)' cannot be provided: \(reason.text)"
        + owner.takeErrorText()
    }
  }

  @inline(never)
  func providerFailed(
    _ instance: UnsafeMutablePointer<InstanceRecord>, _ pgoff: UInt64, _ status: uffd_status
  ) {
    say(.debug, "status") {
      unsafe "provider '\(instance.pointee.owner.provider.name)' answered \(status.name) for granule \(pgoff)"
    }
  }

  @inline(never)
  func violation(_ instance: UnsafeMutablePointer<InstanceRecord>, _ violation: Violation) {
    let owner = unsafe instance.pointee.owner
    owner.noteViolation(violation.rawValue)
    sink(
      .error,
      "provider '\(owner.provider.name)' (\(owner.provider.path)) broke the contract: "
        + "\(violation.rawValue); its regions fail closed, please report it to the provider's author"
    )
  }

  @inline(never)
  func unreadableLend(_ instance: UnsafeMutablePointer<InstanceRecord>, _ pgoff: UInt64) {
    let name = unsafe instance.pointee.owner.provider.name
    say(.error, "lend \(name)") {
      "provider '\(name)' lent memory for granule \(pgoff) that cannot be read: the file behind it shrank "
        + "or cannot be read, or the pointer is wrong"
    }
  }

  @inline(never)
  func strayPage(_ instance: UnsafeMutablePointer<InstanceRecord>, _ pgoff: UInt64) {
    say(.warning, "stray") {
      unsafe "the backing of provider '\(instance.pointee.owner.provider.name)' holds granule \(pgoff), "
        + "which nobody published; it is punched and filled anew"
    }
  }

  @inline(never)
  func cannotKill(_ client: UInt64) {
    say(.error, "kill") {
      "client \(client) was forked and nobody knows its process: it sleeps on instead of being killed"
    }
  }

  @inline(never)
  func grew(_ client: UInt64, _ address: UInt64) {
    say(.info, "grew") {
      "client \(client) faults at 0x\(String(address, radix: 16)), behind what it handed over: a mapping that "
        + "grew"
    }
  }

  @inline(never)
  func strangeFault(_ client: UInt64, _ address: UInt64) {
    say(.error, "strange") {
      "client \(client) faults at 0x\(String(address, radix: 16)), which it never handed over; the page is "
        + "poisoned"
    }
  }

  @inline(never)
  func cannotFollow(_ client: UInt64, _ what: String, _ why: String) {
    say(.error, "follow \(what)") {
      "client \(client): a \(what) cannot be followed (\(why)); its threads wait until that is mended"
    }
  }

  @inline(never)
  func tooManyForks(_ client: UInt64, _ served: Int) {
    say(.error, "forks") {
      "client \(client) has forked, and \(served) processes of its family are served already: what the new "
        + "one misses is poisoned; raise '--max-clients', a quarter of which one family may be"
    }
  }

  @inline(never)
  func cannotWatch(_ client: UInt64, _ error: Errno) {
    say(.error, "watch") {
      "client \(client): its userfaultfd cannot be watched (\(error.name)); its threads wait, and it is "
        + "tried again: raise fs.epoll.max_user_watches, or lower '--max-clients'"
    }
  }

  @inline(never)
  func notReleased(_ client: UInt64, _ error: Errno) {
    say(.debug, "release") {
      "client \(client): the kernel does not let go of a range (\(error.name)); it was unmapped unseen"
    }
  }

  @inline(never)
  func killing(
    _ instance: UnsafeMutablePointer<InstanceRecord>, _ pgoff: UInt64, _ reason: String
  ) {
    let name = unsafe instance.pointee.owner.provider.name
    sink(
      .error,
      "granule \(pgoff) of provider '\(name)' cannot be had, and \(reason): the client process is killed"
    )
  }
}
