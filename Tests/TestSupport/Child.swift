// SPDX-License-Identifier: Apache-2.0
// Runs a program to its end, or kills it: whatever touches served memory does so in a process of its own.
// A waiting test holds no thread of the test runner.
import Foundation
public import Glibc

/// How a program ended and what it said.
public struct Outcome: Sendable {
  /// Its exit code; nil if a signal ended it.
  public let code: Int32?
  public let signal: Int32?
  /// It did not end by itself, and was killed.
  public let isTimedOut: Bool
  public let output: String
  public let errors: String

  /// What it said on standard error, line by line.
  public var errorLines: [String] { errors.split(separator: "\n").map(String.init) }
  /// For the comment of an expectation.
  public var story: String {
    "code \(code.map(String.init) ?? "none") signal \(signal.map(String.init) ?? "none")"
      + "\(isTimedOut ? ", TIMED OUT" : "")\n\(errors)\(output)"
  }
}

/// A running program.
public struct Child: Sendable {
  public let pid: pid_t

  public func send(_ signal: Int32) { kill(pid, signal) }

  /// Waits until a thread with this name runs; false after 20 seconds.
  public func hasThread(_ name: String) async throws -> Bool {
    for _ in 0..<4000 {
      let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task")) ?? []
      for task in tasks {
        let comm = try? String(contentsOfFile: "/proc/\(pid)/task/\(task)/comm", encoding: .utf8)
        if comm?.hasPrefix(name) == true { return true }
      }
      try await Task.sleep(for: .milliseconds(5))
    }
    return false
  }

  /// Where its descriptor leads; nil if it has none of that number.
  public func descriptor(_ fd: Int) -> String? {
    try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/fd/\(fd)")
  }

  /// How a program is started.
  public struct Options: Sendable {
    public var environment: [String: String] = [:]
    /// Standard descriptors that the program starts without.
    public var closed: Set<Int32> = []
    /// Standard output goes to this file.
    public var output: String?
    /// Seconds until the program is killed.
    public var limit = 40.0
    /// It sleeps most of its time, and need not wait for others to end.
    public var isIdle = false
    public init() {}
  }

  /// Runs `arguments`, the first of which is a path, while `during` looks at it.
  public static func run(
    _ arguments: [String], _ options: Options = Options(),
    during: @Sendable (Child) async throws -> Void = { _ in }
  ) async throws -> Outcome {
    if !options.isIdle { await Gate.shared.enter() }
    let scratch = try Scratch()
    let child = try spawn(arguments, options, scratch)
    async let end = child.end(limit: options.limit)
    let looked: Result<Void, any Error>
    do {
      looked = .success(try await during(child))
    } catch {
      looked = .failure(error)
      child.send(SIGKILL)
    }
    let (status, isTimedOut) = await end
    if !options.isIdle { await Gate.shared.leave() }
    try looked.get()
    let read = { (name: String) in
      String(
        decoding: FileManager.default.contents(atPath: "\(scratch.path)/\(name)") ?? Data(),
        as: UTF8.self)
    }
    let signal = status & 0x7f
    return Outcome(
      code: signal == 0 ? status >> 8 & 0xff : nil, signal: signal == 0 ? nil : signal,
      isTimedOut: isTimedOut, output: read("out"), errors: read("err"))
  }

  private static func spawn(
    _ arguments: [String], _ options: Options, _ scratch: Scratch
  ) throws -> Child {
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    let flags = O_WRONLY | O_CREAT | O_TRUNC
    let files = [
      (Int32(0), "/dev/null", O_RDONLY), (1, options.output ?? scratch.path + "/out", flags),
      (2, scratch.path + "/err", flags),
    ]
    for (fd, path, flags) in files {
      if options.closed.contains(fd) {
        unsafe posix_spawn_file_actions_addclose(&actions, fd)
      } else {
        unsafe posix_spawn_file_actions_addopen(&actions, fd, path, flags, 0o644)
      }
    }
    var environment = ProcessInfo.processInfo.environment
    // A backtrace of a process that serves its own memory can hang.
    environment["SWIFT_BACKTRACE"] = "enable=no"
    environment.merge(options.environment) { $1 }
    var words = unsafe arguments.map { unsafe strdup($0) } + [nil]
    var settings = unsafe environment.map { unsafe strdup("\($0)=\($1)") } + [nil]
    defer {
      for index in unsafe words.indices { unsafe free(words[index]) }
      for index in unsafe settings.indices { unsafe free(settings[index]) }
    }
    var pid: pid_t = 0
    let error = unsafe posix_spawn(&pid, arguments[0], &actions, nil, &words, &settings)
    guard error == 0 else {
      throw SpawnFailure(text: "\(arguments[0]): errno \(error)")
    }
    return Child(pid: pid)
  }

  private func end(limit: Double) async -> (status: Int32, isTimedOut: Bool) {
    let deadline = ContinuousClock.now + .seconds(limit)
    var isTimedOut = false
    var status: Int32 = 0
    while unsafe waitpid(pid, &status, WNOHANG) == 0 {
      if !isTimedOut, ContinuousClock.now > deadline {
        isTimedOut = true
        send(SIGKILL)
      }
      try? await Task.sleep(for: .milliseconds(3))
    }
    return (status, isTimedOut)
  }
}

/// Something that a test needs could not be done.
public struct SpawnFailure: Error {
  public let text: String
  public init(text: String) { self.text = text }
}

/// Lets few programs run at one time: many would only slow each other down, past the limits of tests.
actor Gate {
  static let shared = Gate()
  private var places = max(2, ProcessInfo.processInfo.activeProcessorCount)
  private var waiting: [CheckedContinuation<Void, Never>] = []

  func enter() async {
    if places > 0 {
      places -= 1
    } else {
      await withCheckedContinuation { waiting.append($0) }
    }
  }

  func leave() {
    if waiting.isEmpty { places += 1 } else { waiting.removeFirst().resume() }
  }
}
