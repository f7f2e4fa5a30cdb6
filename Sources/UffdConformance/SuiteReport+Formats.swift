// SPDX-License-Identifier: Apache-2.0
// Results as lines for people, as TAP, and as JSON.
import UffdReport

extension CheckResult {
  /// One line, and for a failure what was expected, what came, and the broken sentence.
  public var text: String {
    let word =
      switch state {
      case .ok: "ok       "
      case .failed: "not ok   "
      case .skipped: "skipped  "
      }
    let name = Units.padRight(id, 30)
    switch state {
    case .ok: return "\(word)\(name) \(expected)\n"
    case .skipped: return "\(word)\(name) \(came.printable)\n"
    case .failed:
      return """
        \(word)\(id)
                   expected  \(expected.printable)
                   came      \(came.printable)
                   header    "\(sentence)"

        """
    }
  }

  /// One line of TAP, version 13, with a YAML block for a failure.
  public func tap(_ number: Int) -> String {
    switch state {
    case .ok: return "ok \(number) - \(id): \(expected.tapText)\n"
    case .skipped: return "ok \(number) - \(id) # SKIP \(came.tapText)\n"
    case .failed:
      return """
        not ok \(number) - \(id)
          ---
          expected: \(expected.yaml)
          came: \(came.yaml)
          header: \(sentence.yaml)
          ...

        """
    }
  }
}

extension SuiteReport {
  public var summary: String {
    "\(count(.ok)) ok, \(count(.failed)) not ok, \(count(.skipped)) skipped; seed \(seed)"
  }

  public func json() -> String {
    var json = JSONWriter()
    json.object { json in
      json.field("library", library)
      json.field("seed", seed)
      json.field("ok", count(.ok))
      json.field("not_ok", count(.failed))
      json.field("skipped", count(.skipped))
      json.array("checks") { json in
        for result in results {
          json.object { json in
            json.field("id", result.id)
            json.field("state", result.state == .failed ? "not ok" : result.state.rawValue)
            json.field("expected", result.expected)
            json.field("came", result.came.isEmpty ? nil : result.came)
            json.field("header", result.sentence)
          }
        }
      }
    }
    return json.text
  }
}

extension String {
  /// `#` begins a directive in TAP.
  fileprivate var tapText: String {
    String(printable.map { $0 == "#" ? " " : $0 })
  }

  /// A double-quoted YAML scalar, which JSON's are.
  fileprivate var yaml: String {
    var text = ""
    appendJSON(to: &text)
    return text
  }
}
