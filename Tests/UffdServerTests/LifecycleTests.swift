// SPDX-License-Identifier: Apache-2.0
// `uffdhost serve` as a process, with the real core, and memory of this process that it serves. The
// provider is of the gallery: page n is full of n + 1, and page 1 takes as long as a test wants.
import Glibc
import TestSupport
import Testing
import UffdHost

@testable import UffdServer

@Suite(
  .serialized, .enabled(if: TestUffd.isPossible, "no userfaultfd can be opened here"),
  .enabled(if: Checkout.find("cc") != nil, "there is no C compiler"))
struct LifecycleTests {
  private static let pages = 64

  /// A server holds no place among the programs that may run at one time.
  private static var idle: Child.Options {
    var options = Child.Options()
    options.isIdle = true
    return options
  }

  /// Runs a server whose page 1 comes after some seconds, while `body` has a client.
  private func serve(
    slowness seconds: Int, _ options: [String] = [],
    _ body: @Sendable @escaping (Child, String) async throws -> Void
  ) async throws -> Outcome {
    let scratch = try Scratch()
    let provider = try await Compiler.gallery(
      "hang.c",
      ["SECONDS": "\(seconds)", "CANCEL": "1", "BLOCKS": "1", "GRANULES": "\(Self.pages)"],
      in: scratch)
    let path = scratch.path + "/s"
    return try await Child.run(
      [Checkout.uffdhost, "serve", "--provider", provider, "--listen", path] + options, Self.idle
    ) { child in
      for _ in 0..<2000 where unsafe access(path, F_OK) != 0 {
        try await Task.sleep(for: .milliseconds(5))
      }
      try await body(child, path)
    }
  }

  /// Every page is right, without anybody serving; `poisoned` are SIGBUS.
  private func expectWhole(_ memory: ServedMemory, poisoned: Set<Int> = []) {
    GuardedAccess.install()
    for page in 0..<Self.pages {
      #expect(
        memory.byte(page) == (poisoned.contains(page) ? nil : UInt8(page + 1)), "page \(page)")
    }
  }

  @Test func `SIGTERM fills everything and lets go`() async throws {
    let outcome = try await serve(slowness: 1) { child, path in
      let client = try NativeClient(path, pages: Self.pages)
      #expect(client.byte(7) == 8)
      child.send(SIGTERM)
      // Gone for those who come, and still there for who is served.
      for _ in 0..<1000 where unsafe access(path, F_OK) == 0 { usleep(1000) }
      #expect(client.byte(9) == 10)
      #expect(try client.connection.isClosed())
      self.expectWhole(client.memory)
    }
    #expect(outcome.code == 0, "\(outcome.story)")
    #expect(outcome.errors.contains("1 to be drained"), "\(outcome.story)")
    #expect(outcome.errors.contains("drained: every page is there"), "\(outcome.story)")
  }

  @Test func `a server that drains says how far it is, and another one at its path does, too`()
    async throws
  {
    let outcome = try await serve(slowness: 4) { child, path in
      let client = try NativeClient(path, pages: Self.pages)
      child.send(SIGTERM)
      for _ in 0..<5000 where unsafe access(path + Listener.lateSuffix, F_OK) != 0 { usleep(1000) }
      let status = [Checkout.uffdhost, "status", "--socket", path]
      let asked = try await Child.run(status, Self.idle)
      #expect(asked.code == 0 && asked.output.contains("', draining, up "), "\(asked.story)")
      #expect(asked.output.contains("\nending   for "), "\(asked.story)")
      #expect(asked.output.contains("waiting for 1 clients, "), "\(asked.story)")
      // The path is free: the next server takes it.
      _ = try await Child.run(
        [Checkout.uffdhost, "serve", "--provider", "anon", "pattern=1", "size=1M"]
          + ["--listen", path], Self.idle
      ) { next in
        for _ in 0..<5000 where unsafe access(path, F_OK) != 0 { usleep(1000) }
        let both = try await Child.run(status, Self.idle)
        #expect(both.code == 0 && both.output.contains("pid \(next.pid), "), "\(both.story)")
        #expect(
          both.output.contains("'uffdhost status --socket \(path).draining'"), "\(both.story)")
        next.send(SIGTERM)
      }
      self.expectWhole(client.memory)
    }
    #expect(outcome.code == 0, "\(outcome.story)")
  }

  @Test(arguments: [false, true]) func `what is missing at the end of the time is poisoned`(
    isImpatient: Bool
  ) async throws {
    let outcome = try await serve(
      slowness: 60, isImpatient ? ["--deadline=50"] : ["--deadline=50", "--drain-timeout=1"]
    ) { child, path in
      let client = try NativeClient(path, pages: Self.pages)
      for page in 0..<Self.pages where page != 1 { #expect(client.byte(page) == UInt8(page + 1)) }
      child.send(SIGTERM)
      if isImpatient {
        try await Task.sleep(for: .milliseconds(100))
        child.send(SIGTERM)
      }
      #expect(try client.connection.isClosed())
      self.expectWhole(client.memory, poisoned: [1])
    }
    #expect(outcome.code == 1, "\(outcome.story)")
    #expect(outcome.errors.contains("4 KiB could not be had and are poisoned"), "\(outcome.story)")
  }

  @Test func `a client that drains itself is answered, and the server goes on`() async throws {
    let outcome = try await serve(slowness: 0) { child, path in
      let client = try NativeClient(path, pages: Self.pages)
      try client.ask(.drain)
      #expect(try client.frame().kind == .done)
      self.expectWhole(client.memory)
      let second = try NativeClient(path, pages: Self.pages)
      #expect(second.byte(3) == 4)
      child.send(SIGTERM)
      #expect(try second.connection.isClosed())
      self.expectWhole(second.memory)
    }
    #expect(outcome.code == 0, "\(outcome.story)")
    #expect(outcome.errors.contains("2 clients were served"), "\(outcome.story)")
  }

  @Test func `a Firecracker that hangs up at once is served and drained`() async throws {
    let outcome = try await serve(slowness: 0) { child, path in
      let memory = try ServedMemory(pages: Self.pages)
      do {
        let connection = try TestConnection(path)
        let region =
          "[{\"base_host_virt_addr\": \(memory.address), \"size\": \(memory.length), \"offset\": 0}]"
        try connection.send(region, [memory.uffd!])
        memory.giveUpUffd()
      }
      for page in 0..<8 { #expect(memory.byte(page) == UInt8(page + 1)) }
      child.send(SIGTERM)
      for _ in 0..<2000 where kill(child.pid, 0) == 0 {
        try await Task.sleep(for: .milliseconds(5))
      }
      self.expectWhole(memory)
    }
    #expect(outcome.code == 0, "\(outcome.story)")
    #expect(outcome.errors.contains("firecracker): drained: every page is there"))
  }

  @Test func `a client is filled in the background, at the rate, and status tells how far it is`()
    async throws
  {
    let outcome = try await serve(
      slowness: 0, ["--background-fill", "--fill-rate", "\(Self.pages * 4096 / 10)"]
    ) { child, path in
      let client = try NativeClient(path, pages: Self.pages)
      func fill() throws -> (StatusReport.Fill, missing: UInt64, faults: UInt64) {
        // Asked from here: on a busy machine a command may take longer to start than the fill takes.
        let session = try #require(
          try StatusReport(parsing: StatusQuery.ask(path).json).sessions.first)
        return (try #require(session.fill), session.missingBytes, session.faultsMissing)
      }
      // It takes ten seconds.
      let (first, missing, _) = try fill()
      #expect(first.total == UInt64(Self.pages * 4096) && missing > 0 && !first.isFinished)
      var now = first
      while !now.isFinished {
        #expect(now.filled <= now.total && now.nanoseconds < 60_000_000_000)
        if now.nanoseconds >= 60_000_000_000 { return }
        try await Task.sleep(for: .milliseconds(50))
        now = try fill().0
      }
      #expect(now.filled == now.total && now.left == 0 && now.nanoseconds > 9_000_000_000)
      let (_, left, faults) = try fill()
      #expect(left == 0 && faults == 0)
      let text = try await Child.run([Checkout.uffdhost, "status", "--socket", path])
      #expect(
        text.output.contains("background fill: 100.0 % of 256 KiB, 256 KiB filled"),
        "\(text.story)")
      child.send(SIGTERM)
      #expect(try client.connection.isClosed())
      self.expectWhole(client.memory)
    }
    #expect(outcome.code == 0 && outcome.errors.contains("serving 256 KiB"), "\(outcome.story)")
  }

  @Test func `status tells of a client and its pages`() async throws {
    let outcome = try await serve(slowness: 0) { child, path in
      let client = try NativeClient(path, pages: Self.pages)
      for page in 0..<16 { #expect(client.byte(page) == UInt8(page + 1)) }
      let asked = try await Child.run([Checkout.uffdhost, "status", "--socket", path, "--json"])
      #expect(asked.code == 0, "\(asked.story)")
      let report = try StatusReport(parsing: asked.output)
      #expect(report.pid == child.pid && report.phase == "serving" && report.sessions.count == 1)
      let session = try #require(report.sessions.first)
      #expect(session.pid == getpid() && session.dialect == "native" && session.isConnected)
      #expect(session.bytes == UInt64(Self.pages * 4096))
      #expect(session.residentBytes >= 16 * 4096)
      #expect(session.residentBytes + session.missingBytes == session.bytes)
      #expect(session.faultsMissing >= 1 && session.parked == 0 && session.errors == 0)
      #expect((session.latency?.maximum ?? 0) > 0)
      #expect(session.regions.first?.pageSize == 4096)
      let text = try await Child.run([Checkout.uffdhost, "status", "--socket", path])
      #expect(text.code == 0 && text.output.contains("native"), "\(text.story)")
      child.send(SIGTERM)
      #expect(try client.connection.isClosed())
    }
    #expect(outcome.code == 0, "\(outcome.story)")
  }

  @Test func `a server without descriptors turns away, does not spin, and recovers`() async throws {
    let scratch = try Scratch()
    let path = scratch.path + "/s"
    let outcome = try await Child.run(
      [
        "/bin/sh", "-c",
        "ulimit -n 40; exec \"$0\" serve --provider anon pattern=1 size=1M --listen \"$1\"",
        Checkout.uffdhost, path,
      ], Self.idle
    ) { child in
      for _ in 0..<2000 where unsafe access(path, F_OK) != 0 {
        try await Task.sleep(for: .milliseconds(5))
      }
      // What it says that it takes with one frame (HELLO, max_descriptors) is what it takes.
      let first = try TestConnection(path)
      try first.send(NativeRequests.opening)
      #expect(try first.bytes(56)[44..<48] == [4, 0, 0, 0])
      var clients = try (0..<60).map { _ in try TestConnection(path) }
      try await Task.sleep(for: .milliseconds(300))
      let before = Self.cpuTicks(of: child.pid)
      try await Task.sleep(for: .seconds(1))
      // A hundredth of a second each: spinning would take all of it.
      #expect(Self.cpuTicks(of: child.pid) - before < 20)
      clients.removeAll()
      // Those that are still in the queue are taken a dozen at a time, with a tenth of a second between.
      try await Task.sleep(for: .seconds(3))
      let client = try NativeClient(path, pages: 16)
      try client.ask(.drain)
      #expect(try client.frame().kind == .done)
      child.send(SIGTERM)
    }
    #expect(outcome.code == 0, "\(outcome.story)")
    #expect(outcome.errors.contains("(EMFILE)"), "\(outcome.story)")
    #expect(outcome.errorLines.count < 40, "\(outcome.story)")
  }

  /// User and system time of a process, in clock ticks.
  private static func cpuTicks(of pid: pid_t) -> Int {
    guard let file = unsafe fopen("/proc/\(pid)/stat", "r") else { return 0 }
    defer { unsafe fclose(file) }
    var buffer = [UInt8](repeating: 0, count: 1024)
    let count = unsafe fread(&buffer, 1, buffer.count, file)
    let fields = String(decoding: buffer[..<count], as: UTF8.self).split(separator: " ")
    return (Int(fields[13]) ?? 0) + (Int(fields[14]) ?? 0)
  }
}

@Test func `a process that is not the parent any more has ended`() throws {
  #expect(try ParentProcess.watch(getppid()) != nil)
  // This process lives, and has started another one.
  #expect(try ParentProcess.watch(getpid()) == nil)
}
