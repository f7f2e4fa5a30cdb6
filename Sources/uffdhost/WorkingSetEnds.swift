// SPDX-License-Identifier: Apache-2.0
// The two ends of a working set, for whatever serves an instance: '--record' writes down what was touched,
// '--replay' names what is filled before it is touched again. Called by the main thread.
import UffdHost
import UffdWorkingSet

struct WorkingSetEnds {
  private let output: WorkingSetFile?
  private let identity: ContentIdentity?
  /// For regions and clients; nil: nothing is recorded.
  let recording: Recording?
  /// What is replayed; nil: nothing is.
  let input: (path: String, set: WorkingSet)?

  /// Throws `.usage` for a file that cannot be written, or that holds no set of this content: before
  /// anything is served.
  init(
    record: String?, replay: String?, _ instance: Instance, _ parameters: [Parameter]
  ) throws(HostError) {
    if let record {
      let file = WorkingSetFile(record)
      try file.checkStorable()
      output = file
      identity = try ContentIdentity(of: instance, parameters)
      recording = try Recording(instance)
    } else {
      output = nil
      identity = nil
      recording = nil
    }
    if let replay {
      let set = try WorkingSetFile(replay).load()
      try set.check(instance, parameters: parameters, name: replay)
      input = (replay, set)
    } else {
      input = nil
    }
  }

  /// Writes what was recorded so far; nil: nothing was to be.
  func store() throws(HostError) -> (file: String, set: WorkingSet)? {
    guard let output, let identity, let recording else { return nil }
    let set = WorkingSet(recording, identity: identity)
    try output.store(set)
    return (output.path, set)
  }
}
