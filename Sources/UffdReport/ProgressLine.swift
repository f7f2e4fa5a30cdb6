// SPDX-License-Identifier: Apache-2.0
// The one line that moves while a run goes on. Pure: the caller has the clock, the counters, the descriptor
// and the terminal's width, and writes what it gets. One thread owns the value.

public struct ProgressLine: Sendable {
  private let isTerminal: Bool
  private var isDrawn = false
  private var lastFaults: UInt64 = 0
  private var lastNanoseconds: UInt64 = 0

  /// Where `isTerminal` is false nothing is ever drawn.
  public init(isTerminal: Bool) {
    self.isTerminal = isTerminal
  }

  /// The bytes that replace the line; empty when there is no terminal. The rate is the one since the last
  /// call, so calls should be about 0.1 to 1 s apart.
  public mutating func update(
    faults: UInt64, residentBytes: UInt64, totalBytes: UInt64,
    replayed: (done: UInt64, total: UInt64)? = nil,
    filled: (done: UInt64, total: UInt64)? = nil, elapsedNanoseconds: UInt64, width: Int
  ) -> String {
    guard isTerminal else { return "" }
    let faultsNow = faults >= lastFaults ? faults - lastFaults : 0
    let timeNow = elapsedNanoseconds >= lastNanoseconds ? elapsedNanoseconds - lastNanoseconds : 0
    lastFaults = faults
    lastNanoseconds = elapsedNanoseconds
    isDrawn = true
    let resident = min(residentBytes, totalBytes)
    var parts = [
      Units.padLeft(Units.percent(resident, of: totalBytes), 7) + " resident",
      Units.padLeft(Units.grouped(Units.perSecond(faultsNow, nanoseconds: timeNow)), 9)
        + " faults/s",
      Units.decimal(Double(elapsedNanoseconds) / 1e9, 1) + " s",
    ]
    if let replayed {
      parts.append(Units.percent(replayed.done, of: replayed.total) + " replayed")
    }
    if let filled { parts.append(Units.percent(filled.done, of: filled.total) + " filled") }
    // The last column stays free: writing there wraps on some terminals.
    let columns = max(0, width - 1)
    var line = ""
    for part in parts where line.isEmpty || line.count + 3 + part.count <= columns {
      line += (line.isEmpty ? "" : "   ") + part
    }
    let room = columns - line.count - 3
    if room >= 10 {
      let inner = min(room, 40)
      let bar = TextStyle().bar(resident, of: totalBytes, columns: inner)
      line = "[" + Units.padRight(bar, inner) + "] " + line
    }
    return "\r" + line.prefix(columns) + "\u{1b}[K"
  }

  /// The bytes that take the line away again, before anything else is printed. Empty when nothing is drawn.
  public mutating func erase() -> String {
    guard isDrawn else { return "" }
    isDrawn = false
    return "\r\u{1b}[K"
  }
}
