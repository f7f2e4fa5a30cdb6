// SPDX-License-Identifier: Apache-2.0
// `uffdhost workingset show FILE`: what a recorded working set holds.
import UffdHost
import UffdReport
import UffdWorkingSet

enum WorkingSetCommand {
  static func show(_ path: String, json: Bool) throws(HostError) {
    let set = try WorkingSetFile(path).load()
    Output.write(
      json ? set.json(name: path) + "\n" : set.text(name: path, Terminal.style(1)))
  }
}
