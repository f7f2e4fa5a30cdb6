// SPDX-License-Identifier: Apache-2.0
// The child process: one repetition. A process of its own for each, so
// that every subject begins with the same empty address space, and whatever hangs or crashes takes nothing
// along.
import CBench
import Glibc
import UffdHost

/// The hidden subcommand that the bench starts its own program with.
public enum BenchChild {
  private static let reportDescriptor: Int32 = 3

  /// The exit code if `words` are a child's, else nil: an ordinary command line.
  public static func run(_ words: [String]) -> Int32? {
    guard let job = Job(words: words) else { return nil }
    _ = fcntl(reportDescriptor, F_SETFD, FD_CLOEXEC)
    do throws(HostError) {
      report(try perform(job))
      return 0
    } catch {
      report(error.line)
      return 1
    }
  }

  private static func report(_ line: String) {
    var text = line + "\n"
    text.withUTF8 { bytes in _ = unsafe write(reportDescriptor, bytes.baseAddress, bytes.count) }
  }

  private static func perform(_ job: Job) throws(HostError) -> String {
    if job.work == .describe { return try HostSubject.describe(job).line }
    if job.placement == .pinned, cbench_pin() < 0 { throw failure() }
    var raw = job.raw
    if job.work == .record { return try performInC(&raw, job).line }
    if job.operation != .zero, unsafe cbench_warm(&raw) < 0 { throw failure() }
    switch job.subject {
    case .kernel, .c, .peer: return try performInC(&raw, job).line
    case .host: return try HostSubject(job).run().line
    case .hostExternal: return try ServerSubject(job).run().line
    case .hostIsolated:
      throw HostError(.usage, "isolated providers are not measured yet; leave this subject out")
    }
  }

  private static func performInC(_ raw: inout cbench_job, _ job: Job) throws(HostError) -> Sample {
    var result = cbench_result()
    let error =
      switch job.work {
      case .fill: unsafe cbench_fill(&raw, &result)
      case .language: unsafe cbench_language(&raw, &result)
      case .record: unsafe cbench_record(&raw, &result)
      default: unsafe cbench_demand(&raw, &result)
      }
    if error < 0 { throw failure() }
    return Sample(result)
  }

  /// The last failure of CBench as an error.
  static func failure() -> HostError {
    let call = unsafe String(cString: cbench_failure())
    return HostError(
      .system,
      "a measurement cannot be made: \(call) failed; 'uffdhost doctor' tells what works here")
  }
}
