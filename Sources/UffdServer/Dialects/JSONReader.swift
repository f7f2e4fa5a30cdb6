// SPDX-License-Identifier: Apache-2.0
// A reader of JSON for what strangers hand over: strict (RFC 8259, no name twice in one object),
// bounded in bytes and in depth, and fed as the bytes arrive. Each byte is looked at once, so that
// a client that sends them one by one costs no more than one that sends them together. A dialect
// calls it, on the thread that reads the socket.

/// What a text says. Floating point does not exist here: an address that went through a Double is
/// another address.
enum JSONValue: Equatable, Sendable {
  case null
  case boolean(Bool)
  case integer(UInt64)
  /// A number that is no UInt64: negative, with a fraction or an exponent, or above 2^64 - 1. It is
  /// good JSON.
  case otherNumber
  /// As UTF-8. Bytes, because Swift's Strings are equal when they only look equal.
  case string([UInt8])
  case array([JSONValue])
  case object([[UInt8]: JSONValue])
}

/// Reads one array or object from the front of a stream.
struct JSONReader: Sendable {
  enum Progress: Equatable {
    /// So far it is the beginning of a text; `consumed` counts all bytes given.
    case needsMore
    /// The text ended at byte `consumed`. What follows was not looked at.
    case complete(JSONValue)
  }

  /// What may come next, outside of strings and numbers.
  private enum Expected {
    case root, element, elementOrEnd, name, nameOrEnd, colon, commaOrEnd
    case string, number, word
  }

  /// An array or an object whose end has not come yet.
  private struct Container {
    let isObject: Bool
    var elements: [JSONValue] = []
    var members: [[UInt8]: JSONValue] = [:]
    /// Of the member whose value comes next.
    var name: [UInt8]?
    init(isObject: Bool) { self.isObject = isObject }
  }

  /// Bytes taken so far, white space in front included.
  private(set) var consumed = 0

  private let mostBytes: Int
  private let mostDepth: Int
  private var expected = Expected.root
  private var open: [Container] = []
  private var string = JSONStringScanner()
  private var number = JSONNumberScanner()
  private var word = JSONWordScanner()
  private var root: JSONValue?

  /// A text may have `mostBytes`, white space in front included, and containers within containers
  /// up to `mostDepth`.
  init(mostBytes: Int, mostDepth: Int) {
    self.mostBytes = mostBytes
    self.mostDepth = mostDepth
  }

  /// Goes on with the bytes that follow those of the last call, as far as the text goes. After it
  /// has thrown or has said `.complete`, the reader is used up.
  mutating func take(_ bytes: [UInt8]) throws(Refusal) -> Progress {
    for byte in bytes {
      try step(byte)
      consumed += 1
      if let root { return .complete(root) }
      if consumed == mostBytes {
        throw Refusal("the text does not end within its first \(mostBytes) bytes")
      }
    }
    return .needsMore
  }

  private mutating func step(_ byte: UInt8) throws(Refusal) {
    switch expected {
    case .string:
      if try string.take(byte, at: consumed) { try finishString() }
      return
    case .word:
      if let value = try word.take(byte, at: consumed) { add(value) }
      return
    case .number:
      if try number.take(byte, at: consumed) { return }
      // A number ends at the byte behind it, which has a meaning of its own.
      add(number.value)
    default: break
    }
    if Self.isSpace(byte) { return }
    try stepBetweenScalars(byte)
  }

  /// JSON's white space, which is less than Unicode's.
  static func isSpace(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09
  }

  private mutating func stepBetweenScalars(_ byte: UInt8) throws(Refusal) {
    switch (expected, byte) {
    case (.root, UInt8(ascii: "[")), (.root, UInt8(ascii: "{")): try begin(byte)
    case (.elementOrEnd, UInt8(ascii: "]")), (.nameOrEnd, UInt8(ascii: "}")): end()
    case (.element, _), (.elementOrEnd, _): try beginElement(byte)
    case (.name, UInt8(ascii: "\"")), (.nameOrEnd, UInt8(ascii: "\"")): beginString()
    case (.colon, UInt8(ascii: ":")): expected = .element
    case (.commaOrEnd, UInt8(ascii: ",")): expected = open.last!.isObject ? .name : .element
    case (.commaOrEnd, UInt8(ascii: "]")) where !open.last!.isObject: end()
    case (.commaOrEnd, UInt8(ascii: "}")) where open.last!.isObject: end()
    default: throw unexpected(byte)
    }
  }

  private mutating func beginElement(_ byte: UInt8) throws(Refusal) {
    switch byte {
    case UInt8(ascii: "["), UInt8(ascii: "{"): try begin(byte)
    case UInt8(ascii: "\""): beginString()
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
      number = JSONNumberScanner()
      _ = try number.take(byte, at: consumed)
      expected = .number
    default:
      guard let scanner = JSONWordScanner(first: byte) else { throw unexpected(byte) }
      word = scanner
      expected = .word
    }
  }

  private mutating func begin(_ bracket: UInt8) throws(Refusal) {
    guard open.count < mostDepth else {
      throw Refusal("byte \(consumed) opens a nesting deeper than \(mostDepth)")
    }
    let isObject = bracket == UInt8(ascii: "{")
    open.append(Container(isObject: isObject))
    expected = isObject ? .nameOrEnd : .elementOrEnd
  }

  private mutating func end() {
    let container = open.removeLast()
    let value =
      container.isObject ? JSONValue.object(container.members) : .array(container.elements)
    if open.isEmpty { root = value } else { add(value) }
  }

  private mutating func beginString() {
    string = JSONStringScanner()
    expected = .string
  }

  /// What a string is depends on where it stood: a member's name, if the object has none yet.
  private mutating func finishString() throws(Refusal) {
    let last = open.count - 1
    guard open[last].isObject, open[last].name == nil else { return add(.string(string.bytes)) }
    if open[last].members[string.bytes] != nil {
      throw Refusal("the name that ends at byte \(consumed) is there twice in one object")
    }
    open[last].name = string.bytes
    expected = .colon
  }

  /// A complete value inside the innermost container.
  private mutating func add(_ value: JSONValue) {
    let last = open.count - 1
    if let name = open[last].name {
      open[last].members[name] = value
      open[last].name = nil
    } else {
      open[last].elements.append(value)
    }
    expected = .commaOrEnd
  }

  private func unexpected(_ byte: UInt8) -> Refusal {
    let wanted =
      switch expected {
      case .root: "an array or an object begins"
      case .element, .string, .number, .word: "a value begins"
      case .elementOrEnd: "a value or ']' belongs"
      case .name: "a name in quotes belongs"
      case .nameOrEnd: "a name in quotes or '}' belongs"
      case .colon: "':' belongs"
      case .commaOrEnd: open.last!.isObject ? "',' or '}' belongs" : "',' or ']' belongs"
      }
    return Refusal("byte \(consumed) is \(hexadecimal(byte)), where \(wanted)")
  }
}

/// As in `0x0a`. Bytes of strangers are not printed as they are.
func hexadecimal(_ byte: UInt8) -> String {
  let digits = String(byte, radix: 16)
  return digits.utf8.count == 1 ? "0x0" + digits : "0x" + digits
}
