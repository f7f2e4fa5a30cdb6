// SPDX-License-Identifier: Apache-2.0
// The handler in C serves what it should, and a wrong byte does not
// pass. Whatever faults runs in a child process.
import CBench
import Glibc
import TestSupport
import Testing
import UffdHost

@testable import UffdBench

private let page: UInt64 = 4096
private let pages: UInt64 = 64

private func job(_ subject: Subject, _ operation: Operation = .copy) -> Job {
  var job = Job()
  job.subject = subject
  job.operation = operation
  job.memory = operation == .continue ? .shmem : .anon
  job.bytes = page * pages
  job.library = Checkout.products + "/libAnonProvider.so"
  return job
}

/// What the child of the built command says of a job whose content is in `image`. Its report, descriptor 3,
/// goes to standard output, and the image comes in as 9.
private func run(_ job: Job, image: String, _ readers: Int = 1) async throws -> Sample {
  var job = job
  job.image = 9
  let command = "exec 9<\"$1\"; shift; exec \"$@\" 3>&1"
  let outcome = try await Child.run(
    ["/bin/sh", "-c", command, "sh", image, Checkout.uffdhost] + job.words)
  #expect(outcome.code == 0, "\(outcome.story)")
  let line = outcome.output.split(separator: "\n").last ?? ""
  return try #require(Sample(line: line), "\(outcome.story)")
}

@Test(arguments: [
  (Subject.c, Operation.copy), (.c, .zero), (.c, .continue), (.c, .poison), (.peer, .copy),
  (.kernel, .copy), (.kernel, .continue),
])
func `every subject of CBench is right`(subject: Subject, operation: Operation) async throws {
  let scratch = try Scratch()
  let image = try scratch.noise("image", bytes: Int(page * pages))
  let sample = try await run(job(subject, operation), image: image)
  #expect(sample.wrong == 0 && sample.touched == pages)
  #expect(sample.p50 > 0 && sample.elapsed > 0)
}

/// All subjects that can, with as many threads as a page each.
@Test(
  arguments: [MemoryKind.anon, .shmem, .hugetlb],
  [Operation.copy, .zero, .continue, .poison])
func `threads fault side by side, whatever the kind of fault`(
  memory: MemoryKind, operation: Operation
) async throws {
  let count = 8
  let isMeasured = BenchCase.all.contains {
    $0.kind == .demand && $0.memory == memory && $0.operation == operation
  }
  if !isMeasured || memory == .hugetlb && Checkout.freeHugePages < 2 * count { return }
  let scratch = try Scratch()
  var many = job(.c, operation)
  many.memory = memory
  many.page = memory.page
  (many.threads, many.bytes) = (count, many.page * UInt64(count))
  many.library = memory.rawValue
  let image = try scratch.noise("image", bytes: Int(many.bytes))
  // The zeroes that a host knows of.
  let hole = try scratch.file("hole", "")
  #expect(unsafe truncate(hole, Int(many.bytes)) == 0)
  many.parameters = [Parameter("image", operation == .zero ? hole : image)]
  for subject in [Subject.c, .host] {
    many.subject = subject
    let sample = try await run(many, image: image)
    #expect(sample.wrong == 0 && sample.touched == count, "\(subject)")
  }
}

@Test func `a host fills neighbours only where a case says so`() async throws {
  let scratch = try Scratch()
  let image = try scratch.noise("image", bytes: Int(page * pages))
  var host = job(.host)
  (host.order, host.parameters) = (.sequential, [Parameter("image", image)])
  let alone = try await run(host, image: image)
  host.hasFaultAround = true
  let along = try await run(host, image: image)
  // Most pages are there when they are touched, and that takes a tenth of a fault.
  #expect(along.p50 < alone.p50 / 2, "\(along.p50) and \(alone.p50) ns")
}

@Test(arguments: Waiting.allCases) func `the handler serves however it waits`(
  waiting: Waiting
) async throws {
  let scratch = try Scratch()
  let image = try scratch.noise("image", bytes: Int(page * pages))
  var job = job(.c)
  job.waiting = waiting
  #expect(try await run(job, image: image).wrong == 0)
}

@Test func `several readers, threads and regions, and another process`() async throws {
  let scratch = try Scratch()
  let image = try scratch.noise("image", bytes: Int(page * pages))
  var many = job(.c)
  (many.regions, many.threads, many.readers) = (16, 4, 2)
  many.placement = .unpinned
  let sample = try await run(many, image: image)
  #expect(sample.wrong == 0 && sample.touched == pages)
  var elsewhere = job(.c)
  elsewhere.clients = 1
  #expect(try await run(elsewhere, image: image).wrong == 0)
  (elsewhere.clients, elsewhere.regions) = (16, 16)
  #expect(try await run(elsewhere, image: image).wrong == 0)
}

@Test func `filling is right in large pieces, and page by page`() async throws {
  let scratch = try Scratch()
  let image = try scratch.noise("image", bytes: Int(page * pages))
  for subject in [Subject.kernel, .c, .peer, .host] {
    var fill = job(subject)
    fill.work = .fill
    fill.parameters = [Parameter("image", image)]
    let sample = try await run(fill, image: image)
    #expect(sample.wrong == 0 && sample.bytes == page * pages, "\(subject)")
  }
}

@Test(arguments: ["demand", "fill"])
func `one wrong byte in the memory of a host is one wrong page`(work: String) async throws {
  let scratch = try Scratch()
  let image = try scratch.noise("image", bytes: Int(page * pages))
  let other = try scratch.copy(image, as: "other")
  let fd = unsafe open(other, O_RDWR)
  var byte: UInt8 = 0
  #expect(unsafe pwrite(fd, &byte, 1, Int(5 * page + 77)) == 1)
  close(fd)
  var host = job(.host)
  host.work = try #require(Job.Work(rawValue: work))
  host.parameters = [Parameter("image", image)]
  #expect(try await run(host, image: image).wrong == 0)
  host.parameters = [Parameter("image", other)]
  let sample = try await run(host, image: image)
  #expect(sample.wrong == 1 && sample.firstWrong == 5 * page)
}

@Test func `comparing sees a byte, a mark, and what is not zero`() {
  let image = cbench_make_image(nil, page * pages, 0)
  defer { close(image) }
  var raw = job(.c).raw
  raw.image = image
  let memory = unsafe mmap(nil, Int(raw.bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE, image, 0)!
  defer { unsafe munmap(memory, Int(raw.bytes)) }
  func wrong(isMarked: Bool) -> UInt64 {
    var result = cbench_result()
    let areas: [UnsafeMutableRawPointer?] = unsafe [memory]
    #expect(unsafe cbench_verify(&raw, areas, isMarked ? 1 : 0, &result) == 0)
    return result.wrong
  }
  #expect(wrong(isMarked: false) == 0)
  #expect(wrong(isMarked: true) == pages)
  unsafe memory.storeBytes(of: 0, toByteOffset: Int(9 * page + 4095), as: UInt8.self)
  #expect(wrong(isMarked: false) == 1)
  raw.operation = CBENCH_ZERO
  #expect(wrong(isMarked: false) == pages)
}

@Test func `the handler's own code is measured without a kernel`() {
  var raw = job(.c).raw
  raw.regions = 4
  var result = cbench_result()
  #expect(unsafe cbench_language(&raw, &result) == 0)
  // Full batches only, and the last page of each region is kept for a real fault.
  #expect(result.touched == UInt64(CBENCH_LANGUAGE_PASSES) * (4 * (pages - 1) / 16 * 16))
  #expect(result.elapsed > 0)
}
