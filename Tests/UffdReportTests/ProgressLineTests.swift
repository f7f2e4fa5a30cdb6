// SPDX-License-Identifier: Apache-2.0
import Testing
import UffdReport

private func draw(_ line: inout ProgressLine, width: Int, faults: UInt64 = 1000) -> String {
  line.update(
    faults: faults, residentBytes: 1 << 20, totalBytes: 4 << 20, elapsedNanoseconds: 500_000_000,
    width: width)
}

@Test func `nothing is drawn where there is no terminal`() {
  var line = ProgressLine(isTerminal: false)
  #expect(draw(&line, width: 80) == "")
  #expect(line.erase() == "")
}

@Test func `the line has a bar, the share, the rate and the time`() {
  var line = ProgressLine(isTerminal: true)
  #expect(
    draw(&line, width: 70)
      == "\r[#####                ]  25.0 % resident       2,000 faults/s   0.5 s\u{1b}[K")
  #expect(line.erase() == "\r\u{1b}[K")
  #expect(line.erase() == "")
}

@Test func `a replay is a part of the line where there is one`() {
  var line = ProgressLine(isTerminal: true)
  let text = line.update(
    faults: 0, residentBytes: 0, totalBytes: 1, replayed: (3, 4), filled: (1, 8),
    elapsedNanoseconds: 1, width: 100)
  #expect(text.contains("   75.0 % replayed   12.5 % filled"))
}

@Test func `the rate is that since the last update`() {
  var line = ProgressLine(isTerminal: true)
  _ = draw(&line, width: 80)
  let text = line.update(
    faults: 1500, residentBytes: 0, totalBytes: 0, elapsedNanoseconds: 1_500_000_000, width: 80)
  #expect(text.contains("      500 faults/s"))
}

@Test func `no terminal is too narrow and the line never reaches its last column`() {
  for width in 0...200 {
    var line = ProgressLine(isTerminal: true)
    let text = draw(&line, width: width, faults: 987_654_321_000)
    #expect(text.hasPrefix("\r") && text.hasSuffix("\u{1b}[K"))
    #expect(text.count - 4 <= max(0, width - 1), "\(width)")
  }
}
