// SPDX-License-Identifier: Apache-2.0
// What uffdhost wants to reach, and whether the rows of a run show it. Pure.

/// One aim beside what was measured.
public struct Aim: Sendable {
  public var title: String
  public var limit: Double
  public var isUpperLimit: Bool
  /// What the figure is in.
  public var unit = ""
  /// Nil: this run did not measure it.
  public var measured: Double?
  /// It stands on a row that has doubts.
  public var isDoubtful = false

  /// Nil: not measured.
  public var isReached: Bool? { measured.map { isUpperLimit ? $0 <= limit : $0 >= limit } }
}

/// Finds rows.
struct AimTable {
  let rows: [Row]

  private func row(
    _ name: String, _ subject: Subject, threads: Int = 1, _ placement: Placement = .pinned
  ) -> Row? {
    rows.first {
      $0.caseName == name && $0.subject == subject && $0.threads == threads
        && $0.placement == placement
    }
  }

  /// An aim whose figure is made of rows, all of which must be there.
  private func aim(
    _ title: String, atMost limit: Double, in unit: String = "", _ rows: [Row?],
    _ figure: ([Row]) -> Double?
  ) -> Aim {
    let found = rows.compactMap { $0 }
    var aim = Aim(title: title, limit: limit, isUpperLimit: true, unit: unit)
    guard found.count == rows.count else { return aim }
    aim.measured = figure(found)
    aim.isDoubtful = found.contains { !$0.doubts.isEmpty }
    return aim
  }

  private func aim(
    _ title: String, atLeast limit: Double, _ rows: [Row?], _ figure: ([Row]) -> Double?
  ) -> Aim {
    var aim = aim(title, atMost: limit, rows, figure)
    aim.isUpperLimit = false
    return aim
  }

  private static func ratio(_ rows: [Row]) -> Double? { rows[0].ratio?.median }

  var aims: [Aim] { faults + language + many + fills + patterns + [start] }

  private var faults: [Aim] {
    [
      aim(
        "demand fault, missing COPY, p50 against C", atMost: 1.02, [row("anon-copy", .host)],
        Self.ratio),
      aim(
        "demand fault, minor CONTINUE, p50 against C", atMost: 1.02,
        [row("shmem-continue", .host)], Self.ratio),
    ]
  }

  private var language: [Aim] {
    ["copy", "continue"].flatMap { name in
      let host = row("language-\(name)", .host)
      return [
        aim("own code for a message, \(name)", atMost: 40, in: "ns", [host]) { $0[0].p50 },
        aim("own code for a message, \(name), against C", atMost: 2.5, [host], Self.ratio),
      ]
    }
  }

  private var many: [Aim] {
    [
      aim(
        "client in another process against in process, p50", atMost: 1.02,
        [row("anon-copy-external", .hostExternal), row("anon-copy-external", .host)]
      ) { $0[0].p50 / $0[1].p50 },
      aim(
        "256 clients on one thread against one, p50", atMost: 1.05,
        [row("anon-copy-256-clients", .hostExternal), row("anon-copy-external", .hostExternal)]
      ) { $0[0].p50 / $0[1].p50 },
      aim(
        "2 faulting threads, a reader for each CPU, against C with as many", atMost: 1.05,
        [row("anon-copy-readers", .host, threads: 2, .unpinned)], Self.ratio),
    ]
  }

  private var fills: [Aim] {
    let single = row("anon-fill", .host)
    let fills: [(String, Row?)] = [
      ("anonymous memory", single),
      ("anonymous memory, two threads", row("anon-fill", .host, threads: 2, .unpinned)),
      ("shared memory, CONTINUE", row("shmem-fill-continue", .host)),
      ("huge pages", row("hugetlb-fill", .host)),
    ]
    return fills.map { name, row in
      aim("fill everything, \(name), speed of the C loop", atLeast: 0.97, [row]) { rows in
        // Less work is no speed.
        rows[0].installed < rows[0].bytes ? nil : rows[0].ratio.map { 1 / $0.median }
      }
    } + [
      aim(
        "fill everything, anonymous memory, times the speed of a page at a time", atLeast: 2.8,
        [single, row("anon-fill", .peer)]
      ) { $0[0].installed < $0[0].bytes ? nil : $0[0].bytesPerSecond / $0[1].bytesPerSecond }
    ]
  }

  private var patterns: [Aim] {
    let sparse = row("anon-sparse", .host)
    return [
      aim(
        "sequential touches, time against the kernel's private mapping of the file", atMost: 0.7,
        [row("anon-sequential", .host), row("anon-sequential", .kernel)]
      ) { $0[0].nanosecondsPerPage / $0[1].nanosecondsPerPage },
      aim("sparse touches, time against a page at a time", atMost: 1.10, [sparse], Self.ratio),
      aim("sparse touches, bytes against a page at a time", atMost: 1.15, [sparse]) {
        $0[0].installed / $0[0].bytes
      },
    ]
  }

  private var start: Aim {
    aim(
      "the command with one fault, against an empty Swift program", atMost: 1.5,
      [row("start", .host, .unpinned)], Self.ratio)
  }
}
