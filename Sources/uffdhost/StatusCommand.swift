// SPDX-License-Identifier: Apache-2.0
// `uffdhost status --socket SOCKET`: asks a server how it is, and prints that.
import UffdHost
import UffdReport
import UffdServer

enum StatusCommand {
  static func show(_ socket: String, json: Bool) throws(HostError) {
    let answer = try StatusQuery.ask(socket)
    if json {
      Output.write(answer + "\n")
    } else {
      Output.write(try StatusQuery.text(answer))
    }
  }
}
