// SPDX-License-Identifier: Apache-2.0
// What the command wants to know about the descriptors it prints to. Any thread.

import Glibc
import UffdReport

enum Terminal {
  static func isTerminal(_ fd: Int32) -> Bool { isatty(fd) == 1 }

  /// Columns of the terminal behind `fd`; 80 where there is none or it does not say.
  static func width(_ fd: Int32) -> Int {
    var size = winsize()
    guard unsafe ioctl(fd, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
    return Int(size.ws_col)
  }

  /// Colour only on a terminal that is not `dumb`, and not against the user's will (`NO_COLOR`); block
  /// characters only where the locale says UTF-8.
  static func style(_ fd: Int32) -> TextStyle {
    guard isTerminal(fd) else { return TextStyle() }
    let isDumb = environment("TERM") == "dumb"
    // The first of these that is set and not empty decides, as in setlocale(3).
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].compactMap { environment($0) }.first ?? ""
    let isUTF8 = ["utf-8", "utf8"].contains { locale.lowercased().hasSuffix($0) }
    return TextStyle(
      color: !isDumb && environment("NO_COLOR") == nil, unicode: !isDumb && isUTF8, width: width(fd)
    )
  }

  /// Set and not empty.
  private static func environment(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    let text = unsafe String(cString: value)
    return text.isEmpty ? nil : text
  }
}
