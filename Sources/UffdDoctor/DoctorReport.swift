// SPDX-License-Identifier: Apache-2.0
// What the doctor found, as text for a person and as JSON for a script.

public struct DoctorReport: Sendable {
  public let kernel: String
  public let machine: String
  /// Whether kernel behaviour was tried as well.
  public let isDeep: Bool
  public let checks: [Check]

  init(kernel: String, machine: String, isDeep: Bool, checks: [Check]) {
    self.kernel = kernel
    self.machine = machine
    self.isDeep = isDeep
    self.checks = checks
  }

  /// Whether nothing that is required stands in the way.
  public var canServe: Bool { !checks.contains(where: \.isObstacle) }

  /// 0 when uffdhost can serve here, 4 when something required is missing.
  public var exitCode: Int32 { canServe ? 0 : 4 }

  /// One line per check, its remedy below it, and the verdict at the end. Features that need nothing said
  /// about them share a line.
  public func text(color: Bool) -> String {
    let width = checks.map(\.title.count).max() ?? 0
    var lines = ["uffdhost doctor: Linux \(kernel) on \(machine)", ""]
    func add(_ state: Check.State, _ title: String, _ detail: String) {
      let word = Self.pad(state.word, 8)
      let mark = color ? "\u{1b}[\(state.color)m\(word)\u{1b}[0m" : word
      lines.append("  \(mark)  \(Self.pad(title, width))  \(detail)")
    }
    var gathered: Set<Check.State> = []
    for check in checks {
      if check.isPlainFeature {
        guard gathered.insert(check.state).inserted else { continue }
        let same = checks.filter { $0.isPlainFeature && $0.state == check.state }.map(\.title)
        let word = check.state == .ok ? "present" : check.detail
        add(check.state, "features", "\(word): \(same.joined(separator: " "))")
      } else {
        add(check.state, check.title, check.detail)
      }
      if let remedy = check.remedy {
        lines.append("\(String(repeating: " ", count: 14 + width))mend: \(remedy)")
      }
    }
    lines.append("")
    lines.append(verdict)
    return lines.joined(separator: "\n") + "\n"
  }

  private var verdict: String {
    let obstacles = checks.filter(\.isObstacle)
    if let first = obstacles.first {
      let others = obstacles.count > 1 ? ", and \(obstacles.count - 1) more" : ""
      return "uffdhost cannot serve here: \(first.title): \(first.detail)\(others)"
    }
    let restrictions = checks.filter { $0.state != .ok && $0.state != .notApplicable }.count
    let tried = isDeep ? "" : "; kernel behaviour was not tried (--deep)"
    switch restrictions {
    case 0: return "uffdhost can serve here\(tried)"
    case 1: return "uffdhost can serve here, with 1 restriction named above\(tried)"
    default: return "uffdhost can serve here, with \(restrictions) restrictions named above\(tried)"
    }
  }

  private static func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }
}

extension Check {
  fileprivate var isPlainFeature: Bool {
    id.hasPrefix("feature.") && (state == .ok || state == .notApplicable)
  }
}

extension Check.State {
  /// At most eight characters, so that the column stays narrow.
  fileprivate var word: String {
    switch self {
    case .ok: "ok"
    case .warning: "warning"
    case .missing: "missing"
    case .blocked: "blocked"
    case .differs: "differs"
    case .notApplicable: "n/a"
    }
  }

  /// ANSI: green, yellow, red, faint.
  fileprivate var color: String {
    switch self {
    case .ok: "32"
    case .warning: "33"
    case .missing, .blocked, .differs: "31"
    case .notApplicable: "2"
    }
  }
}
