// SPDX-License-Identifier: Apache-2.0
// The two ends of a working set in a run: '--record' writes down what
// was touched, '--replay' fills it before it is touched again. Called by the main thread.
import UffdHost
import UffdReport
import UffdWorkingSet

struct RunWorkingSets {
  private let output: WorkingSetFile?
  private let identity: ContentIdentity?
  /// For the regions of the run; nil: nothing is recorded.
  let recording: Recording?
  private let input: (path: String, set: WorkingSet)?
  private var prefetches: [Prefetch] = []

  /// Throws `.usage` for a file that cannot be written, or that holds no set of this content: before
  /// anything is touched.
  init(_ options: RunOptions, _ instance: Instance) throws(HostError) {
    if let path = options.record {
      let file = WorkingSetFile(path)
      try file.checkStorable()
      output = file
      identity = try ContentIdentity(of: instance, options.parameters)
      recording = try Recording(instance)
    } else {
      output = nil
      identity = nil
      recording = nil
    }
    if let path = options.replay {
      let set = try WorkingSetFile(path).load()
      try set.check(instance, parameters: options.parameters, name: path)
      input = (path, set)
    } else {
      input = nil
    }
  }

  /// Begins to fill the regions of a pass.
  mutating func replay(_ regions: [Region]) throws(HostError) {
    guard let input else { return }
    for region in regions { prefetches.append(try region.replay(input.set)) }
  }

  /// How far all replays so far are together; nil: nothing is replayed.
  var progress: Prefetch.Progress? {
    if input == nil { return nil }
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
    if let input, let progress {
      report.replay = RunReport.Replay(
        file: input.path, granules: progress.total, filled: progress.filled,
        present: progress.present,
        left: progress.total - min(progress.total, progress.filled + progress.present),
        nanoseconds: prefetches.reduce(0) { $0 + $1.elapsedNanoseconds })
    }
    guard let output, let identity, let recording else { return }
    let set = WorkingSet(recording, identity: identity)
    do throws(HostError) {
      try output.store(set)
      report.recorded = RunReport.Recorded(
        file: output.path, granules: UInt64(set.entries.count), nanoseconds: set.microseconds * 1000
      )
    } catch {
      report.errors.append(error.message)
    }
  }
}
