// SPDX-License-Identifier: Apache-2.0
// `uffdhost serve` as the subject: a server is started, this process is its client and speaks Firecracker's
// hand-off to it.
import CBench
import Glibc
import UffdHost

/// One repetition with a server of its own.
struct ServerSubject {
  private let job: Job

  init(_ job: Job) { self.job = job }

  func run() throws(HostError) -> Sample {
    let folder = try Self.makeFolder()
    defer { unsafe rmdir(folder) }
    let socket = folder + "/socket"
    // The server leaves its lock beside the socket: whoever listens there next locks the same file.
    defer {
      unsafe unlink(socket)
      unsafe unlink(socket + ".lock")
    }
    // Whoever is killed at the end of its time cannot end it any more.
    let server = try Self.start(
      ["uffdhost", "serve", "--provider", job.library, "--listen", socket]
        + ["--dialect", "firecracker", "--exit-with-parent"] + around
        + job.parameters.map { "\($0.key)=\($0.value)" })
    defer { cbench_end(server) }
    var raw = job.raw
    var result = cbench_result()
    let error = unsafe cbench_client(&raw, socket, server, 10_000_000_000, &result)
    if error == -ESRCH {
      throw HostError(
        .service, "'uffdhost serve' ended before it listened; start it by hand to see why")
    }
    if error < 0 { throw BenchChild.failure() }
    return Sample(result)
  }

  /// A page for a fault, as the handler in C does it, where the touch of a page is what counts.
  private var around: [String] { job.hasFaultAround ? [] : ["--fault-around", "off"] }

  /// Only we can enter it.
  private static func makeFolder() throws(HostError) -> String {
    let parent = Content.folder
    var template = Array((parent + "/uffdhost-bench-XXXXXX").utf8CString)
    guard unsafe mkdtemp(&template) != nil else {
      throw HostError(
        .system,
        "no folder for a socket can be made in '\(parent)'; set TMPDIR to one that is yours")
    }
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private static func start(_ arguments: [String]) throws(HostError) -> Int32 {
    let process = unsafe withArguments(arguments) { unsafe cbench_start("/proc/self/exe", $0) }
    if process < 0 { throw BenchChild.failure() }
    return process
  }
}

/// Calls `body` with an array of C strings that a null pointer ends.
func withArguments<Result>(
  _ arguments: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
  let strings = unsafe arguments.map { unsafe strdup($0) } + [nil]
  defer { for index in unsafe strings.indices { unsafe free(strings[index]) } }
  return unsafe strings.withUnsafeBufferPointer { unsafe body($0.baseAddress!) }
}
