// SPDX-License-Identifier: Apache-2.0
// `uffdhost status --socket SOCKET`: asks a server how it is, and prints that.
import UffdHost
import UffdReport
import UffdServer

enum StatusCommand {
  static func show(_ socket: String, json: Bool) throws(HostError) {
    let answer = try StatusQuery.ask(socket)
    if json {
      Output.write(answer.json + "\n")
    } else {
      Output.write(try StatusQuery.text(answer.json))
      if let path = answer.endingServer {
        Output.write(
          "\nanother server has left this path and ends: 'uffdhost status --socket \(path)'\n")
      }
    }
  }
}
