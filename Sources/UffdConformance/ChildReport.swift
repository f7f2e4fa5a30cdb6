// SPDX-License-Identifier: Apache-2.0
// What a child process tells its parent: lines of fields with tabs between them. Both ends are here.
import CHookTrap
import Glibc

/// One line.
enum ChildLine: Equatable {
  case begin(id: String)
  case end(id: String, state: CheckResult.State, expected: String, came: String)
  case breach(id: String, came: String)
  /// A watched rule could have been broken, and was not.
  case seen(id: String)
  /// The checks cannot be run at all; `kind` is that of a HostError.
  case refuse(kind: String, message: String)
  case trap(signal: String, hook: String, fence: Int)
  case exited(hook: String)
  case hang(hooks: String)
  case done

  var text: String {
    let fields: [String] =
      switch self {
      case .begin(let id): ["begin", id]
      case .end(let id, let state, let expected, let came):
        ["end", id, state.rawValue, expected, came]
      case .breach(let id, let came): ["breach", id, came]
      case .seen(let id): ["seen", id]
      case .refuse(let kind, let message): ["refuse", kind, message]
      case .trap(let signal, let hook, let fence): ["trap", signal, hook, "\(fence)"]
      case .exited(let hook): ["exit", hook]
      case .hang(let hooks): ["hang", hooks]
      case .done: ["done"]
      }
    return fields.map(ChildLine.plain).joined(separator: "\t") + "\n"
  }

  init?(_ line: Substring) {
    let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
    switch (fields.first, fields.count) {
    case ("begin", 2): self = .begin(id: fields[1])
    case ("end", 5):
      guard let state = CheckResult.State(rawValue: fields[2]) else { return nil }
      self = .end(id: fields[1], state: state, expected: fields[3], came: fields[4])
    case ("breach", 3): self = .breach(id: fields[1], came: fields[2])
    case ("seen", 2): self = .seen(id: fields[1])
    case ("refuse", 3): self = .refuse(kind: fields[1], message: fields[2])
    case ("trap", 4):
      self = .trap(signal: fields[1], hook: fields[2], fence: Int(fields[3]) ?? 0)
    case ("exit", 2): self = .exited(hook: fields[1])
    case ("hang", 2): self = .hang(hooks: fields[1])
    case ("done", 1): self = .done
    default: return nil
    }
  }

  private static func plain(_ field: String) -> String {
    String(field.unicodeScalars.map { $0.value < 32 ? " " : Character($0) })
  }

  /// Writes the line to the parent, in one write.
  func send(_ fd: Int32) {
    var text = text
    text.withUTF8 { bytes in _ = unsafe write(fd, bytes.baseAddress!, bytes.count) }
  }
}
