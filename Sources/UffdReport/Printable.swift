// SPDX-License-Identifier: Apache-2.0
// Foreign text (arguments, names and messages of providers, paths) before it goes to a terminal. Pure.

extension String {
  /// On one line and without a control character: those, and the line ends of Unicode, become `\u{1b}` and
  /// the like. Neither a file name nor a provider can steer the terminal or fake a line of ours.
  public var printable: String {
    var text = ""
    for scalar in unicodeScalars {
      switch scalar.value {
      case 0x0a: text += "\\n"
      case 0x09: text += "\\t"
      case 0..<0x20, 0x7f...0x9f, 0x2028, 0x2029, 0x202a...0x202e, 0x2066...0x2069:
        text += "\\u{" + String(scalar.value, radix: 16) + "}"
      default: text.unicodeScalars.append(scalar)
      }
    }
    return text
  }

  /// `printable` in single quotes for a sentence, with the middle left out where it is long.
  public var quoted: String {
    let text = printable
    guard text.count > 80 else { return "'\(text)'" }
    return "'\(text.prefix(50))...\(text.suffix(25))'"
  }
}
