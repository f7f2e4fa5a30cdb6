// SPDX-License-Identifier: Apache-2.0
// Recorded orders: the program that is recorded, that an order is replayed as it is, and which files are refused.
import CBench
import Glibc
import TestSupport
import Testing
import UffdHost
import UffdWorkingSet

@testable import UffdBench

private let page: UInt64 = 4096

/// 40 of 256 pages, up, down and across.
private let some: [UInt64] = (0..<40).map { $0 * 77 % 256 }

private func order(
  _ granules: [UInt64] = some, granule: UInt64 = page, objectSize: UInt64 = 256 * page
) -> RecordedOrder {
  RecordedOrder(name: "a.ws", granule: granule, objectSize: objectSize, granules: granules)
}

private func job(_ order: Int32) -> Job {
  var job = Job()
  (job.order, job.recorded, job.bytes) = (.recorded, order, 256 * page)
  return job
}

/// Here threads fault in this process: the core's own recorder says in which order.
@Test(.enabled(if: hasUserfaultfd, "no userfaultfd can be opened"))
func `pages are touched in the recorded order`() throws {
  let file = try order().file()
  defer { close(file) }
  let instance = try Host().open(
    Provider.load(Checkout.products + "/libAnonProvider.so"),
    parameters: [Parameter("pattern", "1"), Parameter("size", "1M")])
  let recording = try Recording(instance)
  var options = Region.Options()
  options.recording = recording
  let region = try instance.map(options)
  var raw = job(file).raw
  var result = cbench_result()
  let areas = unsafe [region.memory.baseAddress]
  #expect(unsafe cbench_touch(&raw, areas, &result) == 0)
  #expect(recording.touches.map(\.granule) == some)
  #expect(result.touched == some.count)
  region.detach()
}

private var hasUserfaultfd: Bool { (try? Host()) != nil }

@Test func `the pages of a recorded order are compared, and no others`() throws {
  let file = try order().file()
  let image = cbench_make_image(nil, 256 * page, 0)
  defer { for fd in [file, image] { close(fd) } }
  var raw = job(file).raw
  raw.image = image
  let length = Int(raw.bytes)
  let memory = unsafe mmap(nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE, image, 0)!
  defer { unsafe munmap(memory, length) }
  let areas: [UnsafeMutableRawPointer?] = unsafe [memory]
  for index in [some[39], 1] {
    unsafe memory.storeBytes(of: 0, toByteOffset: Int(index * page + 5), as: UInt8.self)
  }
  #expect(!some.contains(1))
  var result = cbench_result()
  #expect(unsafe cbench_verify(&raw, areas, 0, &result) == 0)
  #expect(result.wrong == 1 && result.first_wrong == some[39] * page)
}

@Test func `an order that is not there, or leads outside, is an error`() throws {
  let outside = try order([1, 256]).file()
  let empty = try RecordedOrder.emptyFile()
  defer { for fd in [outside, empty] { close(fd) } }
  for file in [outside, empty, -1] {
    var raw = job(file).raw
    var result = cbench_result()
    #expect(unsafe cbench_verify(&raw, [nil], 0, &result) < 0)
  }
}

@Test func `our own program touches a part of its memory, each page once, here and there in runs`()
  async throws
{
  let scratch = try Scratch()
  func recorded() async throws -> [UInt32] {
    var job = Job()
    (job.work, job.recorded, job.bytes) = (.record, 9, 8 << 20)
    let file = try scratch.file("order", "")
    let outcome = try await Child.run(
      ["/bin/sh", "-c", "exec 9<>\"$1\"; shift; exec \"$@\" 3>&1", "sh", file, Checkout.uffdhost]
        + job.words)
    let sample = outcome.output.split(separator: "\n").last.flatMap { Sample(line: $0) }
    #expect(sample?.wrong == 0, "\(outcome.story)")
    let fd = unsafe open(file, O_RDONLY)
    defer { close(fd) }
    var numbers = [UInt32](repeating: 0, count: 2048)
    let length = unsafe read(fd, &numbers, numbers.count * 4)
    #expect(length / 4 == Int(sample?.touched ?? 0))
    return Array(numbers.prefix(max(0, length / 4)))
  }
  let first = try await recorded()
  #expect(Set(first).count == first.count && first.allSatisfy { $0 < 2048 })
  #expect((2048 / 8...2048 / 2).contains(first.count), "\(first.count)")
  let neighbours = zip(first, first.dropFirst()).count { $1 == $0 + 1 }
  #expect((first.count / 5...first.count * 4 / 5).contains(neighbours), "\(neighbours)")
  // Two runs of the bench are compared: they have the same order.
  #expect(try await recorded() == first)
}

@Test(arguments: [
  (order(granule: 2 << 20), page, "granules of 2 MiB"), (order([]), page, "no touches"),
  (order([3, 256, 4]), page, "granule 256, and 256 granules (1 MiB)"),
])
func `an order that does not fit is refused in one sentence`(
  order: RecordedOrder, page: UInt64, words: String
) {
  do throws(HostError) {
    try order.check(page: page, bytes: 256 * page)
    Issue.record("accepted")
  } catch {
    #expect(error.kind == .usage && error.message.contains("'a.ws'"), "\(error.message)")
    #expect(error.message.contains(words), "\(error.message)")
  }
}

@Test func `a set says how much is measured, and needs the case that replays it`() throws {
  #expect(try order().check(page: page, bytes: 256 * page) == ())
  var options = BenchOptions()
  options.recorded = order(objectSize: 200 * page + 1)
  let replaying = try #require(BenchCase.all.first { $0.order == .recorded })
  #expect(options.wantedBytes(replaying) == 201 * page)
  options.size = 1 << 30
  #expect(options.wantedBytes(replaying) == 1 << 30)
  options.cases = ["anon-copy"]
  #expect(throws: HostError.self) { try options.chosenCases() }
  options.cases = ["anon-copy", "anon-recorded"]
  #expect(try options.chosenCases().count == 2)
}

private func bench(_ words: String...) async throws -> Outcome {
  try await Child.run(
    [Checkout.uffdhost, "bench", "anon", "--rounds", "1", "--case", "anon-recorded", "--json"]
      + words)
}

@Test func `every subject replays what another run has recorded`() async throws {
  let scratch = try Scratch()
  let file = scratch.path + "/a.ws"
  let run = try await Child.run(
    [Checkout.uffdhost, "--provider", "anon", "pattern=1", "size=1M", "--access", "zipf"]
      + ["--record", file])
  #expect(run.code == 0, "\(run.story)")
  let set = try WorkingSetFile(file).load()
  let outcome = try await bench("--recorded", file)
  #expect(outcome.code == 0, "\(outcome.story)")
  var reader = PlainJSON(Array(outcome.output.utf8))
  let document = reader.document()
  var rows: [PlainValue] = []
  if case .list(let found)? = document?["rows"] { rows = found }
  #expect(rows.compactMap { $0["subject"]?.text } == ["kernel", "c", "peer", "host"])
  for row in rows {
    #expect(row["bytes"]?.number == Double(set.bytes) && row["ratio_of"]?.text == "time")
  }
  #expect(document?["errors"] == .list([]))
}

@Test func `a file that cannot be replayed is an error of usage`() async throws {
  let scratch = try Scratch()
  func store(_ name: String, granule: UInt64) throws -> String {
    let path = scratch.path + "/" + name
    try WorkingSetFile(path).store(
      WorkingSet(
        identity: .described(configuration: 1, content: 2), provider: "x", granule: granule,
        objectSize: 8 << 20, entries: [.init(pgoff: 3, microseconds: 0)]))
    return path
  }
  let good = try store("good.ws", granule: page)
  let text = try scratch.file("text", "no working set at all\n")
  let cut = try scratch.copy(good, as: "cut.ws")
  #expect(unsafe truncate(cut, 70) == 0)
  let cases = [
    (text, [], "is no working set"), (cut, [], "was cut off"),
    (scratch.path, [], "no working set"), ("/nowhere/a.ws", [], "cannot be opened"),
    (try store("huge.ws", granule: 2 << 20), [], "granules of 2 MiB"),
    (good, ["--size", "8K"], "granule 3, and 2 granules (8 KiB)"),
  ]
  for (file, words, sentence) in cases {
    let outcome = try await Child.run(
      [Checkout.uffdhost, "bench", "anon", "--rounds", "1", "--recorded", file] + words)
    #expect(outcome.code == 2 && outcome.errors.contains(sentence), "\(outcome.story)")
    #expect(outcome.errorLines.count == 1 && outcome.output.isEmpty, "\(outcome.story)")
  }
  let other = try await Child.run([Checkout.uffdhost, "bench", "shmem", "--recorded", good])
  #expect(other.code == 2 && other.errors.contains("anonymous memory"), "\(other.story)")
}
