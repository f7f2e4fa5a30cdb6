// SPDX-License-Identifier: Apache-2.0
// The working sets of a run: its regions are recorded or filled, and its report says how that went. Called by
// the main thread.
import UffdHost
import UffdReport
import UffdWorkingSet

struct RunWorkingSets {
  private let ends: WorkingSetEnds
  private var prefetches: [Prefetch] = []

  init(_ options: RunOptions, _ instance: Instance) throws(HostError) {
    ends = try WorkingSetEnds(
      record: options.record, replay: options.replay, instance, options.parameters)
  }

  /// For the regions of the run; nil: nothing is recorded.
  var recording: Recording? { ends.recording }

  /// Begins to fill the regions of a pass.
  mutating func replay(_ regions: [Region]) throws(HostError) {
    guard let input = ends.input else { return }
    for region in regions { prefetches.append(try region.replay(input.set)) }
  }

  /// How far all replays so far are together; nil: nothing is replayed.
  var progress: Prefetch.Progress? {
    if ends.input == nil { return nil }
    return prefetches.reduce(into: Prefetch.Progress()) { sum, prefetch in
      let progress = prefetch.progress
      sum.total += progress.total
      sum.filled += progress.filled
      sum.present += progress.present
      sum.left += progress.left
    }
  }

  /// Writes what was recorded, also after an interrupt, and adds what there is to say to the report.
  func conclude(_ report: inout RunReport) {
    if let input = ends.input, let progress {
      report.replay = RunReport.Replay(
        file: input.path, granules: progress.total, filled: progress.filled,
        present: progress.present,
        left: progress.total - min(progress.total, progress.filled + progress.present),
        nanoseconds: prefetches.reduce(0) { $0 + $1.elapsedNanoseconds })
    }
    do throws(HostError) {
      guard let (file, set) = try ends.store() else { return }
      report.recorded = RunReport.Recorded(
        file: file, granules: UInt64(set.entries.count), nanoseconds: set.microseconds * 1000)
    } catch {
      report.errors.append(error.message)
    }
  }
}
