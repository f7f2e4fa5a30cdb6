// SPDX-License-Identifier: Apache-2.0
// The command as a whole, with sizes of a few pages: rows, files, exit codes. No figure is judged here.
import Foundation
import Glibc
import TestSupport
import Testing
import UffdHost

@testable import UffdBench

private func bench(_ arguments: String...) async throws -> Outcome {
  var options = Child.Options()
  options.limit = 120
  return try await Child.run([Checkout.uffdhost, "bench"] + arguments, options)
}

private func parse(_ text: String) throws -> PlainValue {
  var reader = PlainJSON(Array(text.utf8))
  let document = reader.document()
  return try #require(document, "\(text)")
}

private func rows(_ document: PlainValue) throws -> [PlainValue] {
  guard case .list(let rows)? = document["rows"] else { return [] }
  return rows
}

@Test func `a quick run has a row for each subject`() async throws {
  let outcome = try await bench(
    "anon", "--quick", "--rounds", "1", "--size", "1M", "--case", "anon-copy", "--case",
    "anon-fill", "--case", "language-copy", "--case", "path-copy", "--case", "start", "--json")
  #expect(outcome.code == 0 && outcome.errors.isEmpty, "\(outcome.story)")
  let document = try parse(outcome.output)
  #expect(document["errors"] == .list([]) && document["omissions"] == .list([]))
  let found = try rows(document).map { row in
    "\(row["case"]?.text ?? "") \(row["subject"]?.text ?? "") \(row["threads"]?.number ?? 0)"
  }
  for name in ["anon-copy", "anon-fill"] {
    for subject in ["kernel", "c", "peer", "host"] {
      #expect(found.contains("\(name) \(subject) 1.0"), "\(found)")
    }
  }
  for name in ["language-copy", "path-copy", "start"] {
    for subject in ["c", "host"] { #expect(found.contains("\(name) \(subject) 1.0"), "\(found)") }
  }
  for row in try rows(document) {
    let p50 = try #require(row["p50_ns"]?.number)
    #expect(p50 > 0 && row["pages_per_s"]?.number ?? 0 > 0)
    if row["subject"]?.text == "c" { #expect(row["ratio"]?.number == 1) }
  }
}

@Test func `more threads than pages are left out, and that is said`() async throws {
  let outcome = try await bench(
    "anon", "--rounds", "1", "--size", "8K", "--case", "anon-poison", "--json")
  #expect(outcome.code == 0, "\(outcome.story)")
  let document = try parse(outcome.output)
  #expect(Set(try rows(document).compactMap { $0["threads"]?.number }) == [1, 2])
  let left = [4, 8].map { "anon-poison, \($0) threads: there are too few pages for so many" }
  #expect(document["omissions"] == .list(left.map(PlainValue.text)))
}

@Test func `a measurement that is killed leaves no server behind`() async throws {
  let scratch = try Scratch()
  var job = Job()
  (job.subject, job.clients, job.operation) = (.hostExternal, 1, .zero)
  // Zeroes for more than half a minute: it must not end by itself before this test has its turn.
  (job.bytes, job.library) = (16 << 30, "anon")
  job.parameters = [Parameter("pattern", "3"), Parameter("size", "16G")]
  var options = Child.Options()
  options.environment["TMPDIR"] = scratch.path
  let outcome = try await Child.run([Checkout.uffdhost] + job.words, options) { child in
    for _ in 0..<2000 where !hasSocket(below: scratch.path) {
      try await Task.sleep(for: .milliseconds(5))
    }
    #expect(!servers(below: scratch.path).isEmpty)
    child.send(SIGKILL)
  }
  #expect(outcome.signal == SIGKILL, "\(outcome.story)")
  for _ in 0..<2000 where !servers(below: scratch.path).isEmpty {
    try await Task.sleep(for: .milliseconds(5))
  }
  let left = servers(below: scratch.path)
  #expect(left.isEmpty)
  for pid in left { kill(pid, SIGKILL) }
}

private func hasSocket(below folder: String) -> Bool {
  let paths = (try? FileManager.default.subpathsOfDirectory(atPath: folder)) ?? []
  return paths.contains { $0.hasSuffix("/socket") }
}

/// Processes that serve at a socket in a folder.
private func servers(below folder: String) -> [pid_t] {
  let processes = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
  return processes.compactMap(pid_t.init).filter { pid in
    let line = try? String(contentsOfFile: "/proc/\(pid)/cmdline", encoding: .utf8)
    return line?.contains("\0serve\0") == true && line?.contains(folder) == true
  }
}

@Test func `a user's own content is copied for the handler in C`() async throws {
  let outcome = try await bench(
    "shmem", "pattern=3", "size=1M", "--quick", "--rounds", "1", "--case", "shmem-copy", "--case",
    "shmem-continue", "--case", "anon-zero", "--json")
  #expect(outcome.code == 0, "\(outcome.story)")
  let document = try parse(outcome.output)
  #expect(document["errors"] == .list([]), "\(outcome.story)")
  let names = Set(try rows(document).compactMap { $0["case"]?.text })
  #expect(names == ["shmem-copy", "shmem-continue"])
}

@Test func `a saved run is compared, and a slower one is an error`() async throws {
  let scratch = try Scratch()
  let file = scratch.path + "/run.json"
  let words = ["--quick", "--rounds", "1", "--size", "1M", "--case", "anon-copy-16-regions"]
  let first = try await Child.run([Checkout.uffdhost, "bench", "anon"] + words + ["--save", file])
  #expect(first.code == 0 && first.output.contains("against c"), "\(first.story)")
  let text = try String(contentsOfFile: file, encoding: .utf8)
  #expect(try rows(parse(text)).count == 4)
  // Ratios against c of a tenth of what any handler reaches, and a run without doubts.
  let doctored = text.replacing(#/"(ratio|ratio_lower|ratio_upper)": [0-9.]+/#) {
    "\"\($0.output.1)\": 0.1"
  }.replacing(#/"doubts": \[[^\]]*\]/#, with: "\"doubts\": []")
  let fast = try scratch.file("fast.json", doctored)
  let second = try await Child.run(
    [Checkout.uffdhost, "bench", "anon"] + words + ["--compare", fast])
  #expect(second.output.contains("compared with the saved run"), "\(second.story)")
  // With one round nothing spreads, so only load could make it doubtful.
  let isDoubtful = second.output.contains("doubtful")
  #expect(second.code == (isDoubtful ? 0 : 1), "\(second.story)")
}

@Test func `what cannot be measured is said in a sentence`() async throws {
  let unknown = try await bench("anon", "--case", "nonsense")
  #expect(unknown.code == 2 && unknown.errors.contains("there is no case 'nonsense'"))
  let missing = try await bench("nowhere", "--quick", "--case", "anon-copy")
  #expect(missing.code == 2 && missing.errors.contains("no provider 'nowhere'"))
  let file = try await bench("anon", "--quick", "--compare", "/nowhere/run.json")
  #expect(file.code == 2 && file.errors.contains("'/nowhere/run.json'"))
  for outcome in [unknown, missing, file] { #expect(outcome.errorLines.count == 1) }
  // A provider of another kind of memory has no such case.
  let other = try await bench("anon", "--quick", "--case", "shmem-copy")
  #expect(other.code == 4, "\(other.story)")
}
