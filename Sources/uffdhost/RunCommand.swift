// SPDX-License-Identifier: Apache-2.0
// `uffdhost --provider LIB [key=value ...]`: map, serve, touch, verify, report.
import Glibc
import UffdHost
import UffdReport

/// One run. The main thread waits, draws progress and takes signals; everything else happens elsewhere.
struct RunCommand {
  private let options: RunOptions

  init(_ options: RunOptions) { self.options = options }

  func run() throws(HostError) -> Int32 {
    let interrupts = Interrupts()
    GuardedAccess.install()
    let provider = try Provider.load(options.provider)
    let host = try makeHost()
    let instance = try host.open(provider, parameters: options.parameters)
    let granules = try window(instance)
    try checkMode(instance)
    let expectation = try Expectation(options.verify, options.parameters, instance, host)
    var report = RunReport(
      provider: provider.name, providerVersion: provider.version, memory: instance.memoryKind,
      granule: instance.granule, bytes: granules * instance.granule)
    describe(&report, instance, expectation)
    var background = try RunBackground(options, instance)
    var tally = Tally()
    for pass in 0..<options.passes where !tally.isInterrupted && !tally.hasFailed {
      try runPass(pass, host, instance, granules, expectation, interrupts, &background, &tally)
    }
    tally.write(to: &report, host.statistics, expectation)
    background.conclude(&report)
    if let violation = instance.contractViolation {
      report.errors.append("the provider '\(provider.name)' broke the contract: \(violation)")
    }
    try instance.close()
    Output.write(options.json ? report.json() + "\n" : report.text(Terminal.style(1)))
    return report.exitCode
  }

  private func makeHost() throws(HostError) -> Host {
    var hostOptions = Host.Options()
    hostOptions.readers = options.readers
    hostOptions.onError = options.onError
    hostOptions.faultAround = options.faultAround
    hostOptions.fillRate = options.fillRate
    hostOptions.faultDeadlineNanoseconds = options.deadlineNanoseconds
    hostOptions.log = { level, text in
      if level != .debug { Output.note("uffdhost: \(level.rawValue): \(text)") }
    }
    return try Host(hostOptions)
  }

  /// How many granules are mapped and touched. What is touched must fit into memory: it all becomes resident.
  private func window(_ instance: Instance) throws(HostError) -> UInt64 {
    let size = options.size ?? instance.objectSize
    guard size > 0 else {
      throw HostError(.usage, "'--size 0' maps nothing; give at least 1 byte")
    }
    guard size <= instance.objectSize else {
      throw HostError(
        .usage,
        "'--size \(size)' is more than the object of \(Units.bytes(instance.objectSize)); "
          + "give at most \(instance.objectSize)")
    }
    let granules = (size - 1) / instance.granule + 1
    let copies = instance.hasBacking && options.fill == .backing ? 1 : UInt64(options.regions)
    let memory = UInt64(sysconf(Int32(_SC_PHYS_PAGES))) * 4096
    let (bytes, overflow) = (granules * instance.granule).multipliedReportingOverflow(by: copies)
    if overflow || bytes > memory {
      throw HostError(
        .system,
        "a run touches \(overflow ? "more than 16 EiB" : Units.bytes(bytes)), and this machine has "
          + "\(Units.bytes(memory)) of memory; touch less with '--size'")
    }
    return granules
  }

  private func checkMode(_ instance: Instance) throws(HostError) {
    guard options.mode != .missing, !instance.hasBacking else { return }
    throw HostError(
      .usage,
      "'--mode \(options.mode.rawValue)' needs a backing, and \(instance.memoryKind.rawValue) memory of "
        + "provider '\(instance.provider.name)' has none: it only has missing faults")
  }

  private func describe(
    _ report: inout RunReport, _ instance: Instance, _ expectation: Expectation?
  ) {
    report.regions = options.regions
    // As the core maps it: anonymous memory is private, and a shared region always fills the backing.
    report.sharing = instance.hasBacking ? options.sharing : .private
    report.fill =
      !instance.hasBacking ? .mapping : report.sharing == .shared ? .backing : options.fill
    report.threads = options.threads
    report.readers = options.readers
    report.access = options.access.rawValue
    report.mode = options.mode.rawValue
    report.passes = options.passes
    report.seed = options.seed
    report.fillRate = options.fillRate
    report.oracle = expectation?.name
  }

  /// Maps the regions anew, touches them, takes them away.
  private func runPass(
    _ pass: Int, _ host: Host, _ instance: Instance, _ granules: UInt64,
    _ expectation: Expectation?, _ interrupts: Interrupts, _ background: inout RunBackground,
    _ tally: inout Tally
  ) throws(HostError) {
    if pass == 0, options.mode != .missing {
      try instance.publish(
        firstGranule: 0, count: granules, stride: options.mode == .both ? 2 : 1)
    }
    var regionOptions = Region.Options()
    regionOptions.granules = granules
    regionOptions.sharing = options.sharing
    regionOptions.fill = options.fill
    regionOptions.recording = background.recording
    var regions: [Region] = []
    for _ in 0..<options.regions { regions.append(try instance.map(regionOptions)) }
    let plan = TouchPlan(
      regions,
      AccessOrder(
        pattern: options.access, count: granules, seed: options.seed &+ UInt64(pass)),
      threads: options.threads, granule: instance.granule, expectation: expectation)
    let touchers = (0..<options.threads).map { Toucher(plan, $0) }
    let before = monotonicNanoseconds()
    try background.begin(regions)
    for toucher in touchers { try toucher.start() }
    watch(plan, host, before, background, interrupts, &tally)
    if tally.isInterrupted {
      // Whoever still sleeps in a fault is woken by its region going away.
      plan.stop()
      let patience = monotonicNanoseconds() + 200_000_000
      while plan.ended < plan.threads, monotonicNanoseconds() < patience { usleep(1000) }
    }
    tally.elapsedNanoseconds += monotonicNanoseconds() - before
    for region in regions { region.detach() }
    // A thread runs on before its install is written down; now nothing is under way any more.
    tally.residentBytes = regions.reduce(0) { $0 + $1.residentBytes }
    for toucher in touchers {
      toucher.join()
      tally.add(toucher)
    }
  }

  /// Waits for the touching threads; draws the progress line; an interrupt ends the wait.
  private func watch(
    _ plan: TouchPlan, _ host: Host, _ start: UInt64, _ background: RunBackground,
    _ interrupts: Interrupts, _ tally: inout Tally
  ) {
    var line = ProgressLine(isTerminal: Terminal.isTerminal(2) && !options.json)
    var nextDraw = start + 250_000_000
    // A short run is not to wait for the next look.
    var pause = 100_000
    while plan.ended < plan.threads {
      pause = min(pause * 2, 5_000_000)
      if interrupts.wait(nanoseconds: pause) {
        tally.isInterrupted = true
        break
      }
      let now = monotonicNanoseconds()
      guard now >= nextDraw else { continue }
      nextDraw = now + 250_000_000
      let installed = host.statistics.installed
      let text = line.update(
        faults: host.statistics.faults.total,
        residentBytes: installed.copied + installed.zeroed + installed.continued,
        totalBytes: plan.order.count * plan.granule * UInt64(plan.regions.count),
        replayed: background.replayed.map { ($0.done, $0.total) },
        filled: background.filled.map { ($0.done, $0.total) },
        elapsedNanoseconds: now - start, width: Terminal.width(2))
      Output.write(text, to: 2)
    }
    Output.write(line.erase(), to: 2)
  }
}

/// SIGINT and SIGTERM, taken by the main thread when it looks. Threads started later inherit the block.
@safe private final class Interrupts {
  private var set = sigset_t()

  init() {
    unsafe sigemptyset(&set)
    unsafe sigaddset(&set, SIGINT)
    unsafe sigaddset(&set, SIGTERM)
    unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
  }

  /// Waits; true if a signal came. From then on another one ends the process at once.
  func wait(nanoseconds: Int) -> Bool {
    var time = timespec(tv_sec: 0, tv_nsec: nanoseconds)
    guard unsafe sigtimedwait(&set, nil, &time) > 0 else { return false }
    unsafe pthread_sigmask(SIG_UNBLOCK, &set, nil)
    return true
  }
}

/// What the passes of a run add up to.
private struct Tally: ~Copyable {
  var isInterrupted = false
  var elapsedNanoseconds: UInt64 = 0
  var residentBytes: UInt64 = 0
  private var latency = LatencyHistogram()
  private var result = TouchResult()

  var hasFailed: Bool { !result.errors.isEmpty }

  mutating func add(_ toucher: Toucher) {
    latency.merge(toucher.latency)
    result.comparedBytes += toucher.result.comparedBytes
    result.wrongGranules += toucher.result.wrongGranules
    if let offset = toucher.result.firstWrongOffset {
      result.firstWrongOffset = min(result.firstWrongOffset ?? offset, offset)
    }
    result.errors += toucher.result.errors
  }

  func write(to report: inout RunReport, _ statistics: Statistics, _ expectation: Expectation?) {
    report.statistics = statistics
    report.latency = latency.summary
    report.elapsedNanoseconds = elapsedNanoseconds
    report.residentBytes = residentBytes
    report.interrupted = isInterrupted
    report.errors = result.errors
    if let offset = result.firstWrongOffset {
      report.verification = .failed(
        RunReport.Difference(
          firstOffset: offset, granules: result.wrongGranules,
          comparedBytes: result.comparedBytes))
    } else if !result.errors.isEmpty {
      report.verification = .notVerified(
        reason:
          "pages could not be provided; the \(Units.bytes(result.comparedBytes)) that were seen "
          + (expectation == nil ? "were not compared" : "are right"))
    } else if expectation == nil {
      report.verification = .notVerified(reason: "no oracle: give '--verify'")
    } else if result.comparedBytes == 0 {
      report.verification = .notVerified(reason: "nothing was touched")
    } else {
      report.verification = .verified(bytes: result.comparedBytes)
    }
  }
}
