// SPDX-License-Identifier: Apache-2.0
// The parent: plans, lets the subjects take turns, collects. It never serves and never touches served memory.
import CBench
import Glibc
public import UffdHost
import UffdReport

/// A run of the bench.
public struct Bench {
  /// How far it is.
  public struct Progress: Sendable {
    public var done: Int
    public var total: Int
    /// What is being measured.
    public var name: String
  }

  private let options: BenchOptions
  private let measurement: Measurement
  private let emptyProgram: String

  /// `program` is an executable whose main calls `BenchChild.run` first: usually the running one.
  /// `emptyProgram` opens the library it is given and ends.
  public init(
    _ options: BenchOptions, program: String = "/proc/self/exe", emptyProgram: String
  ) {
    self.options = options
    measurement = Measurement(program: program)
    self.emptyProgram = emptyProgram
  }

  /// Measures; `tell` hears before each repetition how far it is.
  ///
  /// Throws what kept everything from being measured. A subject that fails is left out, with a reason.
  public func run(_ tell: (Progress) -> Void = { _ in }) throws(HostError) -> BenchReport {
    var report = BenchReport()
    let machine = Machine(options)
    let cases = try options.chosenCases()
    let contents = try contents(cases, machine)
    try machine.prepare(cases, &report)
    var work: [Work] = []
    try checkRecorded(cases, contents)
    for benchCase in cases {
      guard let content = contents.first(where: { $0.serves(benchCase) }) else { continue }
      guard let bytes = machine.bytes(benchCase, content, &report) else { continue }
      report.headlines.append(
        BenchReport.Headline(name: benchCase.name, summary: benchCase.summary, bytes: bytes))
      guard let order = try order(benchCase, content, bytes, &report) else { continue }
      let pages = bytes / content.description.granule
      for variant in variants(benchCase) {
        if benchCase.kind == .demand, pages < variant.threads {
          report.omissions.append(
            "\(benchCase.name), \(variant.threads) threads: there are too few pages for so many")
        } else {
          work.append(Work(content: content, variant: variant, bytes: bytes, order: order))
        }
      }
    }
    let total = work.reduce(0) { $0 + $1.variant.benchCase.subjects.count } * turns
    var progress = Progress(done: 0, total: total, name: "")
    var random = Shuffler(options.seed)
    for item in work {
      let rounds = measure(item, machine, &random, &report) { name, isExtra in
        progress.name = name
        if isExtra { progress.total += 1 }
        tell(progress)
        progress.done += 1
      }
      report.rows += item.variant.rows(rounds)
    }
    machine.conclude(contents.first, &report)
    return report
  }

  /// The first round is dropped: caches and tables of the machine fill in it.
  private var turns: Int { options.countedRounds + 1 }

  private func variants(_ benchCase: BenchCase) -> [Variant] {
    var placements = benchCase.placements
    if benchCase.kind == .fill {
      // One thread has a CPU of its own, two need two.
      return benchCase.threads.map { threads in
        Variant(
          benchCase: benchCase, threads: threads, placement: threads == 1 ? .pinned : .unpinned)
      }
    }
    if let wanted = options.placement, placements.count > 1 { placements = [wanted] }
    if options.isQuick, options.placement == nil { placements = [placements[0]] }
    return benchCase.threads.flatMap { threads in
      placements.map { Variant(benchCase: benchCase, threads: threads, placement: $0) }
    }
  }

  private func contents(
    _ cases: [BenchCase], _ machine: Machine
  ) throws(HostError) -> [Content] {
    let most = cases.reduce(4 << 20) { max($0, machine.affordable(options.wantedBytes($1))) }
    let bytes = (most + (2 << 20) - 1) & ~((2 << 20) - 1)
    if let library = options.library, !options.parameters.isEmpty {
      return [
        try Content.copied(library, options.parameters, bytes: bytes, measurement.describe)
      ]
    }
    return try Content.made(
      options.library.map { [$0] } ?? MemoryKind.allCases.map(\.rawValue), bytes: bytes,
      measurement.describe)
  }

  /// A set that no case replays is not passed over in silence.
  private func checkRecorded(_ cases: [BenchCase], _ contents: [Content]) throws(HostError) {
    guard let recorded = options.recorded else { return }
    for benchCase in cases where benchCase.order == .recorded {
      if contents.contains(where: { $0.serves(benchCase) }) { return }
    }
    throw HostError(
      .usage,
      "the working set \(recorded.name.quoted) is replayed in anonymous memory, which this provider does not serve"
    )
  }

  /// The file with a case's order, -1 where it is made from the seed; nil: the case is left out.
  private func order(
    _ benchCase: BenchCase, _ content: Content, _ bytes: UInt64, _ report: inout BenchReport
  ) throws(HostError) -> Int32? {
    guard benchCase.order == .recorded else { return -1 }
    let page = content.description.granule
    if let recorded = options.recorded {
      try recorded.check(page: page, bytes: bytes)
      return try recorded.file()
    }
    do throws(HostError) {
      return try measurement.record(page: page, bytes: bytes, seed: options.seed)
    } catch {
      report.omissions.append("\(benchCase.name): \(error.message)")
      return nil
    }
  }

  /// All rounds of one variant: more than were asked for, as long as they do not agree.
  private func measure(
    _ work: Work, _ machine: Machine, _ random: inout Shuffler, _ report: inout BenchReport,
    _ tell: (String, Bool) -> Void
  ) -> [Round] {
    let variant = work.variant
    var rounds: [Round] = []
    var failed: Set<Subject> = []
    var turn = 0
    while turn < turns || rounds.count < options.mostRounds && variant.isUnsteady(rounds) {
      defer { turn += 1 }
      machine.look()
      var round: Round = [:]
      for subject in random.shuffled(variant.benchCase.subjects) {
        tell("\(variant.benchCase.name), \(subject.rawValue)", turn >= turns)
        if failed.contains(subject) { continue }
        do throws(HostError) {
          let sample = try sample(subject, work, turn)
          round[subject] = sample
          if sample.wrong > 0 {
            report.errors.append(
              "\(variant.benchCase.name), \(subject.rawValue): \(sample.wrong) pages hold wrong bytes, the "
                + "first at offset \(sample.firstWrong)")
          }
        } catch {
          failed.insert(subject)
          report.omissions.append(
            "\(variant.benchCase.name), \(subject.rawValue): \(error.message)")
        }
      }
      if turn > 0 { rounds.append(round) }
    }
    return rounds
  }

  private func sample(
    _ subject: Subject, _ work: Work, _ turn: Int
  ) throws(HostError) -> Sample {
    let (content, variant, bytes) = (work.content, work.variant, work.bytes)
    let benchCase = variant.benchCase
    if benchCase.kind == .start { return try start(subject, content) }
    var job = Job()
    job.work =
      switch benchCase.kind {
      case .fill: .fill
      case .language: .language
      case .path: .path
      default: .demand
      }
    job.subject = subject
    job.clients = benchCase.clients
    job.memory = benchCase.memory
    job.operation = benchCase.operation
    job.order = benchCase.order
    job.hasFaultAround = benchCase.hasFaultAround
    job.waiting = options.waiting
    job.placement = variant.placement
    job.regions = benchCase.regions
    job.threads = variant.threads
    job.readers = benchCase.hasReaderPerCPU ? Int(cbench_cpu_count()) : 1
    job.page = content.description.granule
    job.bytes = bytes
    job.seed = options.seed &+ UInt64(turn)
    job.recorded = work.order
    job.library = content.description.path
    job.image = benchCase.operation == .zero ? content.hole ?? content.image : content.image
    job.parameters = content.parameters(image: job.image, bytes: bytes)
    return try measurement.sample(job)
  }

  /// The command with one page, from its start to its end, or the empty program with the same library.
  private func start(_ subject: Subject, _ content: Content) throws(HostError) -> Sample {
    let path = content.description.path
    let hasEmptyProgram = unsafe access(emptyProgram, X_OK) == 0
    guard subject == .host || hasEmptyProgram else {
      throw HostError(
        .system,
        "the program to compare with, '\(emptyProgram)', is not there; it comes with a build, and is not "
          + "installed")
    }
    if subject == .c { return try measurement.duration(emptyProgram, ["uffdhost-empty", path]) }
    let parameters = content.parameters(image: content.image, bytes: 4096)
    return try measurement.duration(
      measurement.program,
      ["uffdhost", "--provider", path, "--verify", "none"]
        + parameters.map { "\($0.key)=\($0.value)" })
  }
}

/// One variant with what it needs.
private struct Work {
  var content: Content
  var variant: Variant
  var bytes: UInt64
  /// A file with the recorded order; -1: there is none.
  var order: Int32
}

/// SplitMix64: the same turns for the same seed.
struct Shuffler: RandomNumberGenerator {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
    return z ^ z >> 31
  }

  mutating func shuffled<Element>(_ list: [Element]) -> [Element] { list.shuffled(using: &self) }
}
