// SPDX-License-Identifier: Apache-2.0
// The server's state, put together when somebody asks for it.
import Glibc
import UffdHost

extension Server {
  func statusReport() -> StatusReport {
    let now = monotonicNanoseconds()
    var report = StatusReport()
    report.pid = getpid()
    report.provider = service.provider
    report.phase = phase.rawValue
    report.waiting = waiting(now)
    report.isSocketPassed = !listener.isOurs
    report.uptimeNanoseconds = now - began
    report.connections = UInt64(connections.count)
    report.handshakes = UInt64(connections.values.count { $0.deadline != nil && !$0.isExcused })
    report.clientsServed = counts.clients
    report.clientsDrained = counts.drained
    report.clientsGone = counts.gone
    report.refused = counts.refused
    var room = StatusReport.mostRegions
    for client in service.clients.sorted(by: { $0.id < $1.id }) {
      var entry = StatusReport.Session(client, mostRegions: room)
      if let session = sessions[client.id] {
        entry.sinceNanoseconds = now - session.since
        entry.isConnected = session.connection != nil
      }
      room -= entry.regions.count
      report.sessions.append(entry)
    }
    return report
  }
}
