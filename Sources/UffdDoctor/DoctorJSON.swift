// SPDX-License-Identifier: Apache-2.0
// The report as JSON: one object, one check per line.

extension DoctorReport {
  public func json() -> String {
    let rows = checks.map { check in
      "    {\"id\": \(quoted(check.id)), \"title\": \(quoted(check.title)), "
        + "\"state\": \(quoted(check.state.rawValue)), \"required\": \(check.isRequired), "
        + "\"detail\": \(quoted(check.detail)), \"remedy\": \(check.remedy.map(quoted) ?? "null")}"
    }
    return """
      {
        "kernel": \(quoted(kernel)),
        "machine": \(quoted(machine)),
        "deep": \(isDeep),
        "can_serve": \(canServe),
        "checks": [
      \(rows.joined(separator: ",\n"))
        ]
      }

      """
  }
}

/// A JSON string: quotes, backslashes and control characters escaped.
private func quoted(_ text: String) -> String {
  var result = "\""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\"": result += "\\\""
    case "\\": result += "\\\\"
    case "\n": result += "\\n"
    case _ where scalar.value < 0x20:
      let digits = String(scalar.value, radix: 16)
      result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result + "\""
}
