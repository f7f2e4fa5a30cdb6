// SPDX-License-Identifier: Apache-2.0
// One repetition as the parent sees it: a child is started, and what it cost and what others did is noted.
import CBench
import Glibc
import UffdHost

/// Starts children. Used by one thread.
struct Measurement {
  /// An executable whose main calls `BenchChild.run` first.
  let program: String
  /// Nanoseconds until a child is taken for hung.
  static let limit: UInt64 = 300_000_000_000

  func sample(_ job: Job) throws(HostError) -> Sample {
    let busyBefore = cbench_busy()
    let (text, child) = try run(program, ["uffdhost"] + job.words)
    let busy = cbench_busy() - busyBefore
    guard let line = text.split(separator: "\n").last, var sample = Sample(line: line) else {
      throw trouble(text, child)
    }
    note(child, busy, in: &sample)
    return sample
  }

  func describe(_ job: Job) throws(HostError) -> Description {
    let (text, child) = try run(program, ["uffdhost"] + job.words)
    guard let line = text.split(separator: "\n").last, let description = Description(line: line)
    else { throw trouble(text, child) }
    return description
  }

  /// From the start of a program to its end.
  func duration(_ program: String, _ arguments: [String]) throws(HostError) -> Sample {
    let busyBefore = cbench_busy()
    let (_, child) = try run(program, arguments)
    let busy = cbench_busy() - busyBefore
    guard child.code == 0 else {
      throw HostError(
        .service, "'\(arguments.joined(separator: " "))' ended with code \(child.code)")
    }
    var sample = Sample()
    sample.touched = 1
    (sample.elapsed, sample.mean, sample.p50, sample.p99) = (
      child.elapsed, child.elapsed, child.elapsed, child.elapsed
    )
    note(child, busy, in: &sample)
    return sample
  }

  private func note(_ child: cbench_child, _ busy: UInt64, in sample: inout Sample) {
    sample.lifetime = child.elapsed
    sample.foreign = busy > child.busy ? busy - child.busy : 0
  }

  private func run(
    _ path: String, _ arguments: [String]
  ) throws(HostError) -> (text: String, child: cbench_child) {
    var child = cbench_child()
    var report = [CChar](repeating: 0, count: 4096)
    let error = unsafe withArguments(arguments) { words in
      unsafe cbench_run(path, words, Self.limit, &report, UInt64(report.count), &child)
    }
    if error < 0 { throw BenchChild.failure() }
    let bytes = report.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    return (String(decoding: bytes, as: UTF8.self), child)
  }

  private func trouble(_ text: String, _ child: cbench_child) -> HostError {
    if let line = text.split(separator: "\n").last, let error = HostError(line: line) {
      return error
    }
    let end = child.code > 128 ? "signal \(child.code - 128)" : "code \(child.code)"
    return HostError(.service, "a measuring process ended with \(end) and said nothing")
  }
}
