// SPDX-License-Identifier: Apache-2.0
// A run for people: a headline, then labelled lines, the verdict last, where the eye is when a run ends.

import UffdHost

extension RunReport {
  /// The whole report, with a newline after every line.
  public func text(_ style: TextStyle = TextStyle()) -> String {
    var sheet = Sheet(style: style)
    headline(&sheet)
    setting(&sheet)
    sheet.blank()
    outcome(&sheet)
    sheet.blank()
    times(&sheet)
    sheet.blank()
    verdict(&sheet)
    return sheet.text
  }

  /// `text(_:)` with the two things a caller knows most often.
  public func text(color: Bool, width: Int) -> String {
    text(TextStyle(color: color, width: width))
  }

  private func headline(_ sheet: inout Sheet) {
    let name = "\(provider) \(providerVersion)".printable
    let served = "served \(Units.bytes(mappedBytes)) of \(memory.rawValue) memory"
    let time = "in \(Units.duration(nanoseconds: elapsedNanoseconds))"
    sheet.line(sheet.style.paint(name, .bold) + " " + served + " " + time)
    sheet.blank()
  }

  private func setting(_ sheet: inout Sheet) {
    var memoryItems = [memory.rawValue, "granule \(Units.bytes(granule))"]
    let noun = regions == 1 ? "region" : "regions"
    memoryItems.append("\(regions) \(sharing.rawValue) \(noun) of \(Units.bytes(bytes))")
    memoryItems.append("filled into the \(fill.rawValue)")
    memoryItems.append("\(Units.percent(residentBytes, of: mappedBytes)) resident")
    sheet.items("memory", memoryItems)
    sheet.items(
      "touched",
      [
        access, Self.plural(threads, "thread"), "mode \(mode)",
        Self.plural(passes, "pass", "passes"),
        Self.plural(readers, "reader"),
      ])
    let perSecond = Units.grouped(faultsPerSecond)
    let bytesPerSecond = Units.byteRate(installedBytes, nanoseconds: elapsedNanoseconds)
    sheet.items("rate", ["\(perSecond) faults/s", bytesPerSecond])
  }

  private func outcome(_ sheet: inout Sheet) {
    let faults = statistics.faults
    sheet.items(
      "faults",
      [
        "missing \(Units.grouped(faults.missing))", "minor \(Units.grouped(faults.minor))",
        "wp \(Units.grouped(faults.wp))",
      ])
    if statistics.installedAround > 0 {
      let noun = statistics.installedAround == 1 ? "granule" : "granules"
      sheet.items(
        "around", ["\(Units.grouped(statistics.installedAround)) \(noun) filled beside a fault"])
    }
    if statistics.knownZeroBytes > 0 {
      sheet.items(
        "known zero",
        ["\(Units.bytes(statistics.knownZeroBytes)) for which the provider was not asked"])
    }
    let installed = statistics.installed
    sheet.items(
      "installed",
      [
        "copied \(Units.bytes(installed.copied))", "zeroed \(Units.bytes(installed.zeroed))",
        "continued \(Units.bytes(installed.continued))",
        "poisoned \(Units.bytes(installed.poisoned))",
      ])
    if statistics.publishedBytes > 0 {
      sheet.items(
        "published", ["\(Units.bytes(statistics.publishedBytes)) through the host's own mapping"])
    }
    let rare: [(String, UInt64)] = [
      ("already present", statistics.alreadyPresent), ("put off", statistics.putOff),
      ("discarded granules", statistics.discarded), ("still parked", statistics.parkedNow),
      ("provider errors", statistics.providerErrors),
      ("provider violations", statistics.providerViolations), ("given up", statistics.givenUp),
    ]
    let seen = rare.filter { $0.1 > 0 }.map { "\($0.0) \(Units.grouped($0.1))" }
    if !seen.isEmpty { sheet.items("also", seen) }
    background(&sheet)
  }

  private func background(_ sheet: inout Sheet) {
    if let replay {
      sheet.items("replayed", items(replay.fill, "of \(replay.file.printable)"))
    }
    if let backgroundFill { sheet.items("background", items(backgroundFill, "to fill")) }
    if let recorded {
      sheet.items(
        "recorded",
        [
          "\(Units.grouped(recorded.granules)) granules",
          "\(Units.bytes(recorded.granules * granule))", "into \(recorded.file.printable)",
        ])
    }
  }

  private func items(_ fill: Fill, _ origin: String) -> [String] {
    var items = [
      "\(Units.grouped(fill.granules)) granules \(origin)", "filled \(Units.grouped(fill.filled))",
      "touched before \(Units.grouped(fill.present))",
    ]
    if fill.left > 0 { items.append("not filled \(Units.grouped(fill.left))") }
    items.append("in \(Units.duration(nanoseconds: fill.nanoseconds))")
    if fillRate > 0 { items.append("at most \(Units.bytes(fillRate))/s") }
    return items
  }

  private func times(_ sheet: inout Sheet) {
    if statistics.samples > 0 {
      let provider = statistics.sampledProviderNanoseconds
      let kernel = statistics.sampledKernelNanoseconds
      let samples = statistics.samples
      sheet.items(
        "time",
        [
          "provider \(Units.duration(nanoseconds: provider / samples))"
            + " (\(Units.percent(provider, of: provider + kernel)))",
          "kernel \(Units.duration(nanoseconds: kernel / samples))"
            + " (\(Units.percent(kernel, of: provider + kernel)))",
          "\(Units.grouped(samples)) sampled",
        ])
    }
    guard latency.count > 0 else {
      sheet.items("latency", ["nothing was touched"])
      return
    }
    let named: [(String, UInt64)] = [
      ("p50", latency.p50), ("p90", latency.p90), ("p99", latency.p99), ("p99.9", latency.p999),
      ("max", latency.maximum),
    ]
    sheet.items("latency", named.map { "\($0.0) \(Units.duration(nanoseconds: $0.1))" })
    sheet.text += latency.bars(sheet.style, indent: Sheet.margin)
  }

  private func verdict(_ sheet: inout Sheet) {
    let shown = errors.prefix(10)
    for error in shown { sheet.items("error", [error.printable], ink: .red) }
    if errors.count > shown.count {
      sheet.items("", ["and \(Units.grouped(UInt64(errors.count - shown.count))) more errors"])
    }
    let against = (oracle ?? "its oracle").printable
    switch verification {
    case .verified(let bytes):
      sheet.items("verified", ["all \(Units.bytes(bytes)) equal \(against)"], ink: .green)
    case .notVerified(let reason):
      sheet.items("not verified", [reason.printable], ink: .yellow)
    case .failed(let difference):
      let granules = difference.granules == 1 ? "granule differs" : "granules differ"
      sheet.items(
        "WRONG BYTES",
        [
          "\(Units.grouped(difference.granules)) \(granules) from \(against)",
          "first at offset \(difference.firstOffset) (0x\(String(difference.firstOffset, radix: 16)))",
          "of \(Units.bytes(difference.comparedBytes)) compared",
        ], ink: .red)
    }
    if interrupted {
      sheet.items("interrupted", ["the numbers are those of the part that ran"], ink: .yellow)
    }
  }

  private static func plural(_ count: Int, _ one: String, _ many: String? = nil) -> String {
    "\(count) \(count == 1 ? one : many ?? one + "s")"
  }
}

/// Labelled lines with a margin, wrapped between items where the style's width ends.
private struct Sheet {
  static let margin = 15
  let style: TextStyle
  var text = ""

  init(style: TextStyle) { self.style = style }

  mutating func line(_ line: String) { text += line + "\n" }
  mutating func blank() { text += "\n" }

  mutating func items(_ label: String, _ items: [String], ink: TextStyle.Ink = .dim) {
    text += "  " + style.paint(label, ink)
    text += String(repeating: " ", count: max(1, Self.margin - 2 - label.count))
    var column = Self.margin
    for (index, item) in items.enumerated() {
      let comma = index < items.count - 1 ? "," : ""
      let width = item.count + comma.count
      if index > 0 && column + 1 + width > style.width {
        text += "\n" + String(repeating: " ", count: Self.margin)
        column = Self.margin
      } else if index > 0 {
        text += " "
        column += 1
      }
      text += item + comma
      column += width
    }
    text += "\n"
  }
}
