// SPDX-License-Identifier: Apache-2.0
// The state of a server for people: a line about it, one for each client, and one for each region
// that is not whole.
import UffdReport

extension StatusReport {
  var text: String {
    var text =
      "server   pid \(pid), provider '\(provider)', \(phase), up \(Units.duration(nanoseconds: uptimeNanoseconds))"
      .printable + "\n"
    if let waiting {
      text +=
        "ending   for \(Units.duration(nanoseconds: waiting.sinceNanoseconds)); \(waiting.text)\n"
    }
    text +=
      "clients  \(sessions.count) now; \(clientsServed) served, \(clientsDrained) drained, \(clientsGone) gone, "
      + "\(refused) refused; \(connections) connections, \(handshakes) handshakes\n"
    guard !sessions.isEmpty else { return text }
    text += "\n" + table([Session.heads] + sessions.map(\.cells))
    for session in sessions { text += session.details }
    return text
  }

  /// Columns as wide as their widest cell; numbers to the right.
  private func table(_ rows: [[String]]) -> String {
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      let cells = row.indices.map { column in
        Session.textColumns.contains(column)
          ? Units.padRight(row[column], widths[column])
          : Units.padLeft(row[column], widths[column])
      }
      let line = cells.joined(separator: "  ")
      return String(line.reversed().drop { $0 == " " }.reversed()) + "\n"
    }.joined()
  }
}

extension StatusReport.Waiting {
  var text: String {
    if clients == 0 {
      if handshakes > 0 { return "waiting for handshakes" }
      return waitsForCommand ? "waiting for the command to end" : "waiting for nobody any more"
    }
    var text = "waiting for \(clients) clients, \(Units.bytes(missingBytes)) missing"
    if let estimateNanoseconds {
      text += ", about \(Units.duration(nanoseconds: estimateNanoseconds)) to go"
    }
    if let patienceNanoseconds {
      text += "; given up in \(Units.duration(nanoseconds: patienceNanoseconds))"
    }
    return text
  }
}

extension StatusReport.Session {
  fileprivate static let heads = [
    "id", "pid", "user", "dialect", "phase", "health", "bytes", "resident", "missing", "poisoned",
    "faults", "parked", "longest", "held", "errors", "p50", "p99", "max",
  ]
  fileprivate static let textColumns: Set<Int> = [3, 4, 5]

  fileprivate var cells: [String] {
    let times = latency.map { [$0.p50, $0.p99, $0.maximum] }
    return [
      "\(id)", parent == nil ? "\(pid)" : "-", "\(uid)", dialect.printable, phase.printable,
      health.rawValue,
      Units.bytes(bytes) + (isTruncated ? "+" : ""),
      Units.percent(residentBytes + discardedBytes, of: bytes),
      Units.bytes(missingBytes), Units.bytes(poisonedBytes),
      Units.grouped(faultsMissing &+ faultsMinor), "\(parked)",
      longestWaitNanoseconds == 0 ? "-" : Units.duration(nanoseconds: longestWaitNanoseconds),
      "\(held)", "\(errors &+ givenUp)",
    ] + (times?.map { Units.duration(nanoseconds: $0) } ?? ["-", "-", "-"])
  }

  /// What the table has no room for.
  fileprivate var details: String {
    var lines: [String] = []
    if let parent { lines.append("forked by client \(parent)") }
    if let fill { lines.append(fill.line) }
    if installedAround > 0 {
      lines.append("\(Units.grouped(installedAround)) granules were filled beside a fault")
    }
    if knownZeroBytes > 0 {
      lines.append("\(Units.bytes(knownZeroBytes)) were known to be zero")
    }
    for region in regions {
      var line =
        "0x\(String(region.start, radix: 16))  \(Units.bytes(region.bytes)) at \(region.offset)"
        + ", pages of \(Units.bytes(region.pageSize)): \(Units.bytes(region.residentBytes)) resident"
      for (bytes, word) in [
        (region.missingBytes, "missing"), (region.discardedBytes, "discarded"),
        (region.poisonedBytes, "poisoned"),
      ] where bytes > 0 { line += ", \(Units.bytes(bytes)) \(word)" }
      lines.append(line)
    }
    let more = regionCount - min(regionCount, UInt64(regions.count))
    if more > 0 || isTruncated {
      lines.append("and \(more)\(isTruncated ? " or more" : "") other regions")
    }
    return lines.isEmpty ? "" : "\nclient \(id)\n" + lines.map { "  \($0)\n" }.joined()
  }
}

extension StatusReport.Fill {
  fileprivate var line: String {
    let done = filled &+ present &+ left
    var line =
      "background fill: \(Units.percent(min(done, total), of: total)) of \(Units.bytes(total)), "
      + "\(Units.bytes(filled)) filled, \(Units.bytes(present)) touched before"
    if left > 0 { line += ", \(Units.bytes(left)) left" }
    line += ", \(Units.byteRate(filled, nanoseconds: nanoseconds))"
    return line + (isFinished ? ", finished" : "")
  }
}
