// SPDX-License-Identifier: Apache-2.0
// The cases: what is measured, with how many threads, where, and against whom. Plain data; Bench runs it.
import UffdHost

/// One thing to measure.
struct BenchCase: Sendable {
  enum Kind: String, Sendable {
    /// Pages are touched one by one.
    case demand
    /// Everything is filled in one go.
    case fill
    /// The handler's code between read(2) and the install, while faults are served.
    case path
    /// The handler's code with the kernel taken out.
    case language
    /// The command with one page, from its start to its end.
    case start
  }

  var name: String
  /// For people: what the work is.
  var summary: String
  var kind = Kind.demand
  var memory: MemoryKind
  var operation = Operation.copy
  var order = TouchOrder.random
  /// In random order faults are counted one by one, unless the case is about their neighbours.
  var hasFaultAroundInRandomOrder = false
  var regions = 1
  /// Userfaultfds of another process than the handler's; 0: it is the same process.
  var clients = 0
  var threads = [1]
  /// As many readers as CPUs; else one.
  var hasReaderPerCPU = false
  var placements: [Placement] = [.pinned]
  var subjects: [Subject] = [.kernel, .c, .peer, .host]

  /// Whether the host may fill neighbours along with a page: where an order says what comes next.
  var hasFaultAround: Bool {
    kind == .demand && (order != .random || hasFaultAroundInRandomOrder)
  }

  /// Whether the figure that is compared is the median touch; else it is the time of everything.
  func comparesMedian(threads: Int) -> Bool {
    kind == .path || kind == .demand && !hasFaultAround && threads == 1
  }
}

extension BenchCase {
  static let all = anon + shmem + hugetlb + language + [start]

  private static let upTo8 = [1, 2, 4, 8]
  private static let both: [Placement] = [.pinned, .unpinned]
  private static let withoutPeer: [Subject] = [.kernel, .c, .host]

  private static let anon = [
    BenchCase(
      name: "anon-copy", summary: "missing fault, COPY of 4 KiB, anonymous memory, random order",
      memory: .anon, threads: upTo8, placements: both),
    BenchCase(
      name: "anon-copy-readers", summary: "the same with one reader for each CPU", memory: .anon,
      threads: [2, 4, 8], hasReaderPerCPU: true, placements: [.unpinned, .pinned],
      subjects: [.c, .host]),
    BenchCase(
      name: "anon-copy-16-regions", summary: "the same in 16 regions", memory: .anon, regions: 16),
    BenchCase(
      name: "anon-copy-256-regions", summary: "the same in 256 regions", memory: .anon,
      regions: 256),
    BenchCase(
      name: "anon-copy-external",
      summary: "the same, and the client is another process; that of 'host' is in its own",
      memory: .anon, clients: 1, placements: both,
      subjects: [.c, .host, .hostExternal]),
    BenchCase(
      name: "anon-copy-16-clients", summary: "the same, of 16 clients in turn", memory: .anon,
      regions: 16, clients: 16, subjects: [.c, .hostExternal]),
    BenchCase(
      name: "anon-copy-256-clients", summary: "the same, of 256 clients in turn", memory: .anon,
      regions: 256, clients: 256, subjects: [.c, .hostExternal]),
    BenchCase(
      name: "anon-zero", summary: "missing fault, ZEROPAGE, anonymous memory, random order",
      memory: .anon, operation: .zero, threads: upTo8),
    BenchCase(
      name: "anon-poison", summary: "COPY answers EFAULT, POISON, SIGBUS in the client",
      memory: .anon, operation: .poison, threads: upTo8, subjects: [.c, .host]),
    BenchCase(
      name: "anon-sequential",
      summary: "COPY of 4 KiB, anonymous memory, from the start to the end",
      memory: .anon, order: .sequential),
    BenchCase(
      name: "anon-random-around",
      summary: "COPY of 4 KiB, anonymous memory, random order, with fault-around", memory: .anon,
      hasFaultAroundInRandomOrder: true),
    BenchCase(
      name: "anon-sparse", summary: "COPY of 4 KiB, anonymous memory, every tenth page at random",
      memory: .anon, order: .sparse),
    BenchCase(
      name: "anon-zipf", summary: "COPY of 4 KiB, anonymous memory, popular pages again and again",
      memory: .anon, order: .zipf),
    BenchCase(
      name: "anon-recorded",
      summary: "COPY of 4 KiB, anonymous memory, in the order of a program's first touches",
      memory: .anon, order: .recorded),
    BenchCase(
      name: "anon-fill", summary: "everything is filled, anonymous memory", kind: .fill,
      memory: .anon, threads: [1, 2]),
  ]

  private static let shmem = [
    BenchCase(
      name: "shmem-copy", summary: "missing fault, COPY of 4 KiB into shared memory, random order",
      memory: .shmem, threads: upTo8),
    BenchCase(
      name: "shmem-continue",
      summary: "minor fault, CONTINUE of 4 KiB, shared memory, random order",
      memory: .shmem, operation: .continue, threads: upTo8, placements: both,
      subjects: withoutPeer),
    BenchCase(
      name: "shmem-fill", summary: "everything is copied into shared memory", kind: .fill,
      memory: .shmem),
    BenchCase(
      name: "shmem-fill-continue", summary: "everything in shared memory is mapped", kind: .fill,
      memory: .shmem, operation: .continue, subjects: withoutPeer),
  ]

  private static let hugetlb = [
    BenchCase(
      name: "hugetlb-copy", summary: "missing fault, COPY of 2 MiB, huge pages, random order",
      memory: .hugetlb, threads: upTo8),
    BenchCase(
      name: "hugetlb-continue", summary: "minor fault, CONTINUE of 2 MiB, huge pages, random order",
      memory: .hugetlb, operation: .continue, threads: upTo8, subjects: withoutPeer),
    BenchCase(
      name: "hugetlb-fill", summary: "everything is copied into huge pages", kind: .fill,
      memory: .hugetlb),
    BenchCase(
      name: "hugetlb-fill-continue", summary: "everything in huge pages is mapped", kind: .fill,
      memory: .hugetlb, operation: .continue, subjects: withoutPeer),
  ]

  private static let language = [
    BenchCase(
      name: "path-copy", summary: "own code between read(2) and COPY, while faults are served",
      kind: .path, memory: .anon, subjects: [.c, .host]),
    BenchCase(
      name: "path-continue",
      summary: "own code between read(2) and CONTINUE, while faults are served", kind: .path,
      memory: .shmem, operation: .continue, subjects: [.c, .host]),
    BenchCase(
      name: "language-copy", summary: "a missing fault with the kernel's calls replaced",
      kind: .language, memory: .anon, regions: 4, subjects: [.c, .host]),
    BenchCase(
      name: "language-continue", summary: "a minor fault with the kernel's calls replaced",
      kind: .language, memory: .shmem, operation: .continue, regions: 4, subjects: [.c, .host]),
  ]

  private static let start = BenchCase(
    name: "start",
    summary:
      "the command with one page, from its start to its end; 'c' is an empty Swift program that "
      + "opens the same library",
    kind: .start, memory: .anon, placements: [.unpinned], subjects: [.c, .host])
}
