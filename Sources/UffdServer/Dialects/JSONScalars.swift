// SPDX-License-Identifier: Apache-2.0
// The scalars of JSON, byte by byte: strings, numbers, and the three words. Parts of JSONReader.

/// A string behind its first quote. Gives its meaning as UTF-8, escapes resolved.
struct JSONStringScanner: Sendable {
  private enum State {
    case plain
    /// Inside a character of several bytes: how many are left, and between which the next one has
    /// to lie.
    case character(left: Int, from: UInt8, to: UInt8)
    case escape
    case hex(digits: Int, value: UInt32)
    /// Behind the first half of a surrogate pair: the second half's backslash, its `u`.
    case secondBackslash, secondU
  }

  private(set) var bytes: [UInt8] = []
  private var state = State.plain
  /// The first half of a pair whose second half has not come yet.
  private var highSurrogate: UInt32?

  /// Whether the string has ended with this byte.
  mutating func take(_ byte: UInt8, at offset: Int) throws(Refusal) -> Bool {
    if byte < 0x20 { throw Refusal("byte \(offset) is a control character inside a string") }
    switch state {
    case .plain: return try takePlain(byte, offset)
    case .character(let left, let from, let to):
      guard (from...to).contains(byte) else { throw invalidUTF8(offset) }
      bytes.append(byte)
      state = left == 1 ? .plain : .character(left: left - 1, from: 0x80, to: 0xbf)
    case .escape: try takeEscape(byte, offset)
    case .hex(let digits, let value): try takeDigit(byte, digits, value, offset)
    case .secondBackslash:
      guard byte == UInt8(ascii: "\\") else { throw loneSurrogate(offset) }
      state = .secondU
    case .secondU:
      guard byte == UInt8(ascii: "u") else { throw loneSurrogate(offset) }
      state = .hex(digits: 0, value: 0)
    }
    return false
  }

  private mutating func takePlain(_ byte: UInt8, _ offset: Int) throws(Refusal) -> Bool {
    switch byte {
    case UInt8(ascii: "\""): return true
    case UInt8(ascii: "\\"):
      state = .escape
      return false
    // Unicode's table of well-formed sequences: nothing longer than need be, no surrogates, nothing
    // above U+10FFFF.
    case 0x00...0x7f: break
    case 0xc2...0xdf: state = .character(left: 1, from: 0x80, to: 0xbf)
    case 0xe0: state = .character(left: 2, from: 0xa0, to: 0xbf)
    case 0xed: state = .character(left: 2, from: 0x80, to: 0x9f)
    case 0xe1...0xef: state = .character(left: 2, from: 0x80, to: 0xbf)
    case 0xf0: state = .character(left: 3, from: 0x90, to: 0xbf)
    case 0xf1...0xf3: state = .character(left: 3, from: 0x80, to: 0xbf)
    case 0xf4: state = .character(left: 3, from: 0x80, to: 0x8f)
    default: throw invalidUTF8(offset)
    }
    bytes.append(byte)
    return false
  }

  private mutating func takeEscape(_ byte: UInt8, _ offset: Int) throws(Refusal) {
    state = .plain
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): bytes.append(byte)
    case UInt8(ascii: "b"): bytes.append(0x08)
    case UInt8(ascii: "f"): bytes.append(0x0c)
    case UInt8(ascii: "n"): bytes.append(0x0a)
    case UInt8(ascii: "r"): bytes.append(0x0d)
    case UInt8(ascii: "t"): bytes.append(0x09)
    case UInt8(ascii: "u"): state = .hex(digits: 0, value: 0)
    default: throw Refusal("byte \(offset) is \(hexadecimal(byte)) behind a '\\' in a string")
    }
  }

  private mutating func takeDigit(
    _ byte: UInt8, _ digits: Int, _ value: UInt32, _ offset: Int
  ) throws(Refusal) {
    guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
      throw Refusal("byte \(offset) is \(hexadecimal(byte)), where a '\\u' has its four digits")
    }
    let value = value << 4 | UInt32(digit)
    state = .hex(digits: digits + 1, value: value)
    if digits == 3 { try takeUnit(value, offset) }
  }

  /// Four digits are a UTF-16 unit, and a character above U+FFFF has two of them.
  private mutating func takeUnit(_ unit: UInt32, _ offset: Int) throws(Refusal) {
    state = .plain
    if let high = highSurrogate {
      guard (0xdc00...0xdfff).contains(unit) else { throw loneSurrogate(offset) }
      highSurrogate = nil
      append(0x10000 + (high - 0xd800) << 10 + (unit - 0xdc00))
    } else if (0xd800...0xdbff).contains(unit) {
      highSurrogate = unit
      state = .secondBackslash
    } else if (0xdc00...0xdfff).contains(unit) {
      throw loneSurrogate(offset)
    } else {
      append(unit)
    }
  }

  private mutating func append(_ value: UInt32) {
    bytes += UTF8.encode(Unicode.Scalar(value)!)!
  }

  private func invalidUTF8(_ offset: Int) -> Refusal {
    Refusal("a string is not UTF-8 at byte \(offset)")
  }

  private func loneSurrogate(_ offset: Int) -> Refusal {
    Refusal("a string has half of a surrogate pair at byte \(offset)")
  }
}

/// A number. Its end is the first byte that is not its own.
struct JSONNumberScanner: Sendable {
  private enum State {
    case start, minus, zero, integer, point, fraction, exponent, exponentSign, exponentDigits
  }

  private var state = State.start
  /// Nil from the moment on in which it cannot become a UInt64 any more.
  private var magnitude: UInt64? = 0

  /// Of a number that has ended.
  var value: JSONValue { magnitude.map(JSONValue.integer) ?? .otherNumber }

  /// Whether the byte belongs to the number. Throws if the number neither goes on nor ends with it.
  mutating func take(_ byte: UInt8, at offset: Int) throws(Refusal) -> Bool {
    let isDigit = (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    switch (state, byte) {
    case (.start, UInt8(ascii: "-")):
      state = .minus
      magnitude = nil
    case (.start, UInt8(ascii: "0")), (.minus, UInt8(ascii: "0")): state = .zero
    case (.zero, _) where isDigit:
      throw Refusal("a number has a zero in front at byte \(offset - 1)")
    case (.start, _) where isDigit, (.minus, _) where isDigit, (.integer, _) where isDigit:
      state = .integer
      magnitude = magnitude.flatMap { Self.append(byte & 0xf, to: $0) }
    case (.zero, UInt8(ascii: ".")), (.integer, UInt8(ascii: ".")):
      state = .point
      magnitude = nil
    case (.point, _) where isDigit, (.fraction, _) where isDigit: state = .fraction
    case (.zero, UInt8(ascii: "e")), (.integer, UInt8(ascii: "e")), (.fraction, UInt8(ascii: "e")),
      (.zero, UInt8(ascii: "E")), (.integer, UInt8(ascii: "E")), (.fraction, UInt8(ascii: "E")):
      state = .exponent
      magnitude = nil
    case (.exponent, UInt8(ascii: "+")), (.exponent, UInt8(ascii: "-")): state = .exponentSign
    case (.exponent, _) where isDigit, (.exponentSign, _) where isDigit,
      (.exponentDigits, _) where isDigit:
      state = .exponentDigits
    case (.zero, _), (.integer, _), (.fraction, _), (.exponentDigits, _): return false
    default:
      throw Refusal("byte \(offset) is \(hexadecimal(byte)), where a number has a digit")
    }
    return true
  }

  private static func append(_ digit: UInt8, to value: UInt64) -> UInt64? {
    let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
    let (sum, carry) = tens.addingReportingOverflow(UInt64(digit))
    return overflow || carry ? nil : sum
  }
}

/// One of true, false and null.
struct JSONWordScanner: Sendable {
  private var rest: ArraySlice<UInt8> = []
  private var value = JSONValue.null

  init() {}

  /// Nil: no word begins so.
  init?(first: UInt8) {
    switch first {
    case UInt8(ascii: "t"): (rest, value) = (ArraySlice("rue".utf8), .boolean(true))
    case UInt8(ascii: "f"): (rest, value) = (ArraySlice("alse".utf8), .boolean(false))
    case UInt8(ascii: "n"): (rest, value) = (ArraySlice("ull".utf8), .null)
    default: return nil
    }
  }

  /// The word's meaning, with its last letter.
  mutating func take(_ byte: UInt8, at offset: Int) throws(Refusal) -> JSONValue? {
    guard rest.popFirst() == byte else {
      throw Refusal("byte \(offset) is \(hexadecimal(byte)) inside a word that JSON does not have")
    }
    return rest.isEmpty ? value : nil
  }
}
