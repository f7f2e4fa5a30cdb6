// SPDX-License-Identifier: Apache-2.0
// The conditions of a run: is there enough memory, is it really there, what else runs. A virtual machine can
// spoil each of them silently, so each is looked at, and said.
import CBench
import Glibc
import UffdHost
import UffdReport

/// Looks at the machine before, during and after a run. Used by one thread.
final class Machine {
  private let options: BenchOptions
  /// Nanoseconds for the first touch of a page: the first look, and the worst.
  private var freshPages: [Double] = []
  private var loadBefore = 0.0

  init(_ options: BenchOptions) { self.options = options }

  // MARK: Memory

  /// Content, memory that is filled with it, and room for the rest of the machine.
  func affordable(_ bytes: UInt64) -> UInt64 {
    min(bytes, cbench_available_memory() / 4 & ~((2 << 20) - 1))
  }

  /// Bytes of a case, a multiple of its regions' pages; nil: it cannot be measured here.
  func bytes(
    _ benchCase: BenchCase, _ content: Content, _ report: inout BenchReport
  ) -> UInt64? {
    if benchCase.kind == .start { return 0 }
    let page = content.description.granule
    let whole = (content.description.objectSize + page - 1) / page * page
    let wanted = min(options.wantedBytes(benchCase), whole)
    var bytes = affordable(wanted)
    if benchCase.memory == .hugetlb {
      bytes = min(bytes, cbench_free_huge_pages() << 21)
    }
    let unit = page * UInt64(benchCase.regions)
    bytes = bytes / unit * unit
    if bytes == 0 {
      let lack = benchCase.memory == .hugetlb ? "free huge pages" : "memory"
      report.omissions.append("\(benchCase.name): there are too few \(lack)")
      return nil
    }
    if bytes < wanted {
      report.omissions.append(
        "\(benchCase.name) has \(Units.bytes(bytes)), not \(Units.bytes(wanted)): there is no more memory of "
          + "that kind")
    }
    return bytes
  }

  // MARK: Before

  func prepare(_ cases: [BenchCase], _ report: inout BenchReport) throws(HostError) {
    let most = cases.filter { $0.memory != .hugetlb }
      .reduce(0) { max($0, affordable(options.wantedBytes($1))) }
    // A quarter more than the largest case, so that others may take some of it.
    if cbench_keep_backed(most + most / 4) < 0 { throw BenchChild.failure() }
    loadBefore = load(milliseconds: options.isQuick ? 100 : 1000)
    if loadBefore > 0.1 {
      report.warnings.append(
        "others used \(Doubt.percent(loadBefore)) of a CPU before anything was measured")
    }
    #if DEBUG
      report.warnings.append("this is a debug build; build with '-c release'")
    #endif
    if options.isQuick { report.warnings.append("a quick run is too short to be quoted") }
  }

  /// The part of a CPU that is in use while we sleep.
  private func load(milliseconds: UInt32) -> Double {
    let before = cbench_busy()
    usleep(milliseconds * 1000)
    return Double(cbench_busy() - before) / Double(milliseconds) / 1e6
  }

  // MARK: Between rounds

  /// Waits for a quiet moment, but not for long; touches fresh memory.
  func look() {
    if !options.isQuick {
      let limit = cbench_now() + 1_000_000_000
      while load(milliseconds: 100) > 0.2, cbench_now() < limit {}
    }
    freshPages.append(Double(cbench_fresh_page()))
  }

  // MARK: After

  func conclude(_ content: Content?, _ report: inout BenchReport) {
    let fresh = Spread(freshPages) ?? Spread(median: 0, lower: 0, upper: 0)
    let worst = freshPages.max() ?? 0
    if worst > fresh.median * 2 {
      report.warnings.append(
        "the first touch of fresh memory took \(BenchReport.duration(worst)) once, and "
          + "\(BenchReport.duration(fresh.median)) as a rule: the hypervisor takes memory back")
    }
    report.conditions = [
      ("system", Self.system), ("cpus", "\(cbench_cpu_count())"),
      (
        "rounds",
        "\(options.countedRounds), up to \(options.mostRounds) where they do not agree, after one that is dropped; "
          + "subjects in random order, a process for each"
      ),
      ("waiting_of_c", options.waiting.rawValue),
      ("load_before", "\(Doubt.percent(loadBefore)) of a CPU"),
      ("fresh_page", "\(BenchReport.duration(fresh.median)) for the first touch"),
      (
        "content",
        "\(content?.place ?? "none"), read into the page cache before each repetition"
      ),
    ]
  }

  private static var system: String {
    var names = utsname()
    guard unsafe uname(&names) == 0 else { return "Linux" }
    let release = unsafe withUnsafeBytes(of: &names.release) { bytes in
      unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    return "Linux \(release)"
  }
}
