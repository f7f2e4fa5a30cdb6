// SPDX-License-Identifier: Apache-2.0
// A server on a thread of the test's process, with a core of the test's own.
import CLinux
import Glibc
import Synchronization
import TestSupport
import Testing
import UffdHost

@testable import UffdServer

final class TestServer: Sendable {
  private struct State {
    var thread: pthread_t?
    var result: Result<Int32, HostError>?
    var lines: [String] = []
  }
  private let state = Mutex(State())
  let scratch: Scratch
  let path: String
  let service: FakeService

  /// Starts it and waits until it listens. `core`: a real one in the place of the tests'.
  init(
    _ service: FakeService = FakeService(), core: (any Service)? = nil,
    speaking dialects: [any Dialect.Type] = [ServerTestDialect.self, MuteTestDialect.self],
    listens: Bool = true, _ change: (inout ServerOptions) -> Void = { _ in }
  ) throws {
    scratch = try Scratch()
    path = scratch.path + "/s"
    self.service = service
    var options = ServerOptions()
    options.handshakeNanoseconds = 5_000_000_000
    options.tickNanoseconds = 50_000_000
    change(&options)
    let final = options
    _ = try KernelThread("test-server") { [self] in
      state.withLock { $0.thread = pthread_self() }
      let result: Result<Int32, HostError>
      do throws(HostError) {
        result = .success(try serve(final, core ?? service, dialects))
      } catch {
        result = .failure(error)
      }
      state.withLock {
        $0.thread = nil
        $0.result = result
      }
    }
    if listens { try wait("it listens") { unsafe access(path, F_OK) == 0 } }
  }

  private func serve(
    _ options: ServerOptions, _ core: any Service, _ dialects: [any Dialect.Type]
  ) throws(HostError) -> Int32 {
    let signals = try Signals()
    let log = ServerLog(.text, level: .debug) { line in
      self.state.withLock { $0.lines.append(line) }
    }
    let manager = try ServiceManager(environment: { _ in nil })
    let listener = try Listener(path: path)
    let server = try Server(options, listener, dialects, core, signals, manager, log)
    return try server.run()
  }

  var lines: [String] { state.withLock { $0.lines } }
  func hasLine(_ part: String) -> Bool { lines.contains { $0.contains(part) } }
  func waitForLine(_ part: String) throws { try wait("a line with '\(part)'") { hasLine(part) } }
  var isRunning: Bool { state.withLock { $0.result == nil } }

  /// Of CPU that its thread has used.
  var cpuNanoseconds: UInt64 {
    state.withLock { state in
      var (clock, time) = (clockid_t(), timespec())
      guard let thread = state.thread, unsafe pthread_getcpuclockid(thread, &clock) == 0,
        unsafe clock_gettime(clock, &time) == 0
      else { return 0 }
      return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
  }

  /// To its thread: it has the signal blocked, others of this process may not.
  func send(_ signal: Int32) {
    state.withLock { state in
      if let thread = state.thread { pthread_kill(thread, signal) }
    }
  }

  /// Its exit code; it must have been told to end.
  func end() throws -> Int32 {
    try wait("the server ends") { !isRunning }
    return try state.withLock { $0.result }!.get()
  }

  func stop() throws -> Int32 {
    send(SIGTERM)
    return try end()
  }

  func connect() throws -> TestConnection { try TestConnection(path) }
}

struct Lateness: Error { let what: String }

/// Looks again and again, for some seconds.
func wait(_ what: String, seconds: UInt64 = 10, until condition: () -> Bool) throws {
  let limit = monotonicNanoseconds() + seconds * 1_000_000_000
  while !condition() {
    guard monotonicNanoseconds() < limit else { throw Lateness(what: what) }
    usleep(1000)
  }
}
