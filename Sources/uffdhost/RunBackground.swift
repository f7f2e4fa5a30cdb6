// SPDX-License-Identifier: Apache-2.0
// What happens beside the faults of a run: its regions are recorded, or filled, and its report says how that
// went. Called by the main thread.
import UffdHost
import UffdReport
import UffdWorkingSet

struct RunBackground {
  private let ends: WorkingSetEnds
  private let fillsRest: Bool
  private var replays: [Prefetch] = []
  private var fills: [Prefetch] = []

  init(_ options: RunOptions, _ instance: Instance) throws(HostError) {
    ends = try WorkingSetEnds(
      record: options.record, replay: options.replay, instance, options.parameters)
    fillsRest = options.fillsInBackground
  }

  /// For the regions of the run; nil: nothing is recorded.
  var recording: Recording? { ends.recording }

  /// Begins to fill the regions of a pass: the working set first, wherever both may go on.
  mutating func begin(_ regions: [Region]) throws(HostError) {
    for region in regions {
      if let input = ends.input { replays.append(try region.replay(input.set)) }
      if fillsRest { fills.append(try region.fillInBackground()) }
    }
  }

  /// How far all replays so far are together; nil: nothing is replayed.
  var replayed: Prefetch.Progress? { ends.input == nil ? nil : Self.sum(replays) }
  /// The same of everything else.
  var filled: Prefetch.Progress? { fillsRest ? Self.sum(fills) : nil }

  private static func sum(_ prefetches: [Prefetch]) -> Prefetch.Progress {
    prefetches.reduce(into: Prefetch.Progress()) { sum, prefetch in
      let progress = prefetch.progress
      sum.total += progress.total
      sum.filled += progress.filled
      sum.present += progress.present
      sum.left += progress.left
    }
  }

  private static func fill(_ prefetches: [Prefetch], _ progress: Prefetch.Progress)
    -> RunReport.Fill
  {
    RunReport.Fill(
      granules: progress.total, filled: progress.filled, present: progress.present,
      left: progress.total - min(progress.total, progress.filled + progress.present),
      nanoseconds: prefetches.reduce(0) { $0 + $1.elapsedNanoseconds })
  }

  /// Writes what was recorded, also after an interrupt, and adds what there is to say to the report.
  func conclude(_ report: inout RunReport) {
    if let input = ends.input, let replayed {
      report.replay = RunReport.Replay(file: input.path, fill: Self.fill(replays, replayed))
    }
    if let filled { report.backgroundFill = Self.fill(fills, filled) }
    do throws(HostError) {
      guard let (file, set) = try ends.store() else { return }
      report.recorded = RunReport.Recorded(
        file: file, granules: UInt64(set.entries.count), nanoseconds: set.microseconds * 1000)
    } catch {
      report.errors.append(error.message)
    }
  }
}
