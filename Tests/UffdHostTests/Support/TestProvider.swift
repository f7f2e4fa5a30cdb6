// SPDX-License-Identifier: Apache-2.0
// The tests' own provider (Providers/test_provider.c): compiled when
// first needed, loaded like any other, with its knobs and counters at hand.

import FaultInjection
import Glibc
import UffdPluginABI

@testable import UffdHost

/// How the provider's table is compiled.
enum TestTable: String, Codable, CaseIterable {
  case parallel, blocking, perInstance, serial, declarative, declarativeOnly
  /// With the hook `extents`.
  case extents, extentsBlocking, extentsSerial, extentsVolatile

  var flags: String {
    switch self {
    case .parallel: ""
    case .blocking: "-DTABLE_BEHAVIOURS=UFFD_BEHAVIOUR_BLOCKS"
    case .perInstance: "-DTABLE_THREADS=UFFD_THREADS_PER_INSTANCE"
    case .serial: "-DTABLE_THREADS=UFFD_THREADS_SERIAL"
    case .declarative: "-DTABLE_BEHAVIOURS=UFFD_BEHAVIOUR_DECLARATIVE"
    case .extents: "-DTABLE_EXTENTS"
    case .extentsBlocking: "-DTABLE_EXTENTS -DTABLE_BEHAVIOURS=UFFD_BEHAVIOUR_BLOCKS"
    case .extentsSerial: "-DTABLE_EXTENTS -DTABLE_THREADS=UFFD_THREADS_SERIAL"
    case .extentsVolatile: "-DTABLE_EXTENTS -DTABLE_BEHAVIOURS=UFFD_BEHAVIOUR_VOLATILE"
    case .declarativeOnly:
      "-DTABLE_DECLARATIVE_ONLY -DTABLE_BEHAVIOURS=UFFD_BEHAVIOUR_DECLARATIVE"
    }
  }
}

/// A failure of the tests' own machinery.
struct Trouble: Error {
  let text: String
  init(_ text: String) { self.text = text }
}

enum Compiler {
  /// The package's folder.
  static let root: String = {
    let parts = #filePath.split(separator: "/").dropLast(4)
    return "/" + parts.joined(separator: "/")
  }()

  /// Where the built products are: beside the test runner.
  static let products: String = {
    var buffer = [CChar](repeating: 0, count: 4096)
    let length = unsafe readlink("/proc/self/exe", &buffer, buffer.count - 1)
    let path = String(
      decoding: buffer[..<max(0, length)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return "/" + path.split(separator: "/").dropLast().joined(separator: "/")
  }()

  static let isThere = run("command -v cc >/dev/null 2>&1") == 0

  static func run(_ command: String) -> Int32 { unsafe system(command) }

  /// Compiles a file of Providers/ and returns the library's path. A library that is newer than its sources
  /// is taken as it is: every exit test is a process of its own.
  static func library(_ source: String, variant: String, flags: String) throws -> String {
    let tests = root + "/Tests"
    let folder = products + "/test-libraries"
    let path = "\(folder)/\(source)-\(variant).so"
    let sources = [
      "\(tests)/UffdHostTests/Providers/\(source).c",
      "\(tests)/FaultInjection/include/test_provider.h",
      "\(root)/Sources/UffdPluginABI/include/uffd_plugin.h",
    ]
    if sources.allSatisfy({ run("test '\(path)' -nt '\($0)'") == 0 }) { return path }
    unsafe mkdir(folder, 0o700)
    let fresh = "\(path).\(getpid())"
    let result = run(
      "cc -std=c11 -O1 -g -Wall -Werror -fPIC -shared \(flags) "
        + "-I'\(root)/Sources/UffdPluginABI/include' -I'\(tests)/FaultInjection/include' "
        + "-o '\(fresh)' '\(sources[0])'")
    guard result == 0, unsafe rename(fresh, path) == 0 else {
      throw Trouble("cc does not compile \(sources[0])")
    }
    return path
  }
}

/// The knobs and counters of the loaded provider.
@safe struct TestState: @unchecked Sendable {
  private let base: UnsafeMutablePointer<test_provider_state>

  /// Finds the state in a library that is loaded already.
  init(of path: String) throws {
    guard let library = unsafe dlopen(path, RTLD_NOW | RTLD_LOCAL),
      let symbol = unsafe dlsym(library, "test_provider_state")
    else { throw Trouble("\(path) has no test_provider_state") }
    unsafe base = symbol.assumingMemoryBound(to: test_provider_state.self)
  }

  subscript(_ field: WritableKeyPath<test_provider_state, UInt64>) -> UInt64 {
    get { unsafe AtomicWord(base.pointer(to: field)!).acquired }
    nonmutating set { unsafe AtomicWord(base.pointer(to: field)!).release(newValue) }
  }

  /// Waits until a counter has reached a value; false after `seconds`.
  func wait(
    for field: WritableKeyPath<test_provider_state, UInt64>, atLeast value: UInt64,
    seconds: UInt64 = 5
  ) -> Bool {
    let limit = monotonicNanoseconds() + seconds * 1_000_000_000
    while self[field] < value {
      if monotonicNanoseconds() > limit { return false }
      sleepBriefly()
    }
    return true
  }
}

/// A host and the tests' provider, for the body of an exit test.
struct Scene {
  let host: Host
  let provider: Provider
  let state: TestState

  /// Loads the provider and starts a host. The process ends after `seconds`, whatever hangs.
  init(
    _ table: TestTable = .parallel, seconds: UInt32 = 60, _ options: Host.Options = Host.Options()
  ) throws {
    alarm(seconds)
    let path = try Compiler.library("test_provider", variant: table.rawValue, flags: table.flags)
    host = try Host(options)
    provider = try Provider.load(path)
    state = try TestState(of: path)
  }

  /// An instance for clients, of so many pages of 4 KiB.
  func openForClients(pages: UInt64 = 64) throws -> Instance {
    try host.openForClients(
      provider,
      parameters: [
        Parameter("memory", "anon"), Parameter("granule", "4096"),
        Parameter("size", "\(pages * 4096)"), Parameter("seed", "1"),
      ])
  }

  func open(_ parameters: (String, String)...) throws -> Instance {
    try host.open(provider, parameters: parameters.map { Parameter($0, $1) })
  }

  /// An instance with `granules` granules of one kind of memory.
  func open(
    _ kind: MemoryKind, granules: UInt64, granule: UInt64 = 4096,
    _ more: (String, String)...
  ) throws -> Instance {
    try host.open(
      provider,
      parameters: [
        Parameter("memory", kind.rawValue), Parameter("granule", "\(granule)"),
        Parameter("size", "\(granules * granule)"),
      ] + more.map { Parameter($0, $1) })
  }
}

extension Host.Options {
  static func with(_ change: (inout Host.Options) -> Void) -> Host.Options {
    var options = Host.Options()
    change(&options)
    return options
  }
}

extension Region.Options {
  static func with(_ change: (inout Region.Options) -> Void) -> Region.Options {
    var options = Region.Options()
    change(&options)
    return options
  }
}

extension Instance {
  /// The host's statistics once every reader has finished what it was doing: a woken thread may be ahead of
  /// the count of its own page. (Detaching a region asks each reader.)
  func settledStatistics() throws -> Statistics {
    try map(.with { $0.granules = 1 }).detach()
    return host.statistics
  }
}
