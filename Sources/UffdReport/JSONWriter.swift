// SPDX-License-Identifier: Apache-2.0
// The one JSON writer of the tree. Every `--json` goes through it; nothing here reads JSON.
// A value type without locks: whoever prints builds one, on any thread.

/// A value that is a JSON scalar by itself. Floating point is not: a caller says how many decimals count,
/// see `JSONWriter.field(_:_:decimals:)`.
public protocol JSONScalar {
  /// Appends the value as JSON text.
  func appendJSON(to text: inout String)
}

/// Writes one JSON document, pretty, with two spaces per level.
///
///     var json = JSONWriter()
///     json.object { json in
///       json.field("bytes", region.bytes)
///       json.array("errors") { json in
///         for error in errors { json.item(error) }
///       }
///     }
///     print(json.text)
///
/// A field outside an object and an item inside one are bugs of the caller and stop the program.
public struct JSONWriter: Sendable {
  private enum Container { case document, object, array }

  /// What was written so far, without a newline at the end.
  public private(set) var text = ""
  private var container = Container.document
  private var isEmpty = true
  private var depth = 0

  public init() {}

  // MARK: Values with a name, inside an object

  public mutating func field(_ name: String, _ value: some JSONScalar) {
    begin(name)
    value.appendJSON(to: &text)
  }

  /// A number with a fixed count of decimals. What is not finite has no JSON and becomes `null`.
  public mutating func field(_ name: String, _ value: Double, decimals: Int) {
    begin(name)
    appendNumber(value, decimals)
  }

  public mutating func null(_ name: String) {
    begin(name)
    text += "null"
  }

  public mutating func object(_ name: String, _ body: (inout JSONWriter) -> Void) {
    begin(name)
    nest(.object, "{", "}", body)
  }

  public mutating func array(_ name: String, _ body: (inout JSONWriter) -> Void) {
    begin(name)
    nest(.array, "[", "]", body)
  }

  // MARK: Values without a name: elements of an array, or the document itself

  public mutating func item(_ value: some JSONScalar) {
    begin(nil)
    value.appendJSON(to: &text)
  }

  /// A number with a fixed count of decimals. What is not finite has no JSON and becomes `null`.
  public mutating func item(_ value: Double, decimals: Int) {
    begin(nil)
    appendNumber(value, decimals)
  }

  public mutating func null() {
    begin(nil)
    text += "null"
  }

  public mutating func object(_ body: (inout JSONWriter) -> Void) {
    begin(nil)
    nest(.object, "{", "}", body)
  }

  public mutating func array(_ body: (inout JSONWriter) -> Void) {
    begin(nil)
    nest(.array, "[", "]", body)
  }

  // MARK: Layout

  /// Comma, line, indentation and name of the next value.
  private mutating func begin(_ name: String?) {
    precondition((name != nil) == (container == .object), "a JSON name belongs into an object")
    precondition(container != .document || isEmpty, "a JSON document is one value")
    if container != .document {
      text += isEmpty ? "\n" : ",\n"
      indent()
    }
    isEmpty = false
    if let name {
      name.appendJSON(to: &text)
      text += ": "
    }
  }

  private mutating func nest(
    _ inner: Container, _ open: String, _ close: String, _ body: (inout JSONWriter) -> Void
  ) {
    let outer = container
    text += open
    container = inner
    isEmpty = true
    depth += 1
    body(&self)
    depth -= 1
    if !isEmpty {
      text += "\n"
      indent()
    }
    text += close
    container = outer
    isEmpty = false
  }

  private mutating func indent() {
    for _ in 0..<depth { text += "  " }
  }

  private mutating func appendNumber(_ value: Double, _ decimals: Int) {
    text += value.isFinite ? Units.decimal(value, decimals) : "null"
  }
}

extension Bool: JSONScalar {
  public func appendJSON(to text: inout String) { text += self ? "true" : "false" }
}

extension Int: JSONScalar {
  public func appendJSON(to text: inout String) { text += String(self) }
}

extension Int32: JSONScalar {
  public func appendJSON(to text: inout String) { text += String(self) }
}

extension UInt32: JSONScalar {
  public func appendJSON(to text: inout String) { text += String(self) }
}

extension UInt64: JSONScalar {
  public func appendJSON(to text: inout String) { text += String(self) }
}

extension Optional: JSONScalar where Wrapped: JSONScalar {
  public func appendJSON(to text: inout String) {
    if let self { self.appendJSON(to: &text) } else { text += "null" }
  }
}

extension String: JSONScalar {
  /// Beyond what JSON demands, DEL, the C1 controls and the two Unicode line ends are escaped, so that a
  /// file name can neither steer a terminal nor break a line.
  public func appendJSON(to text: inout String) {
    text += "\""
    for scalar in unicodeScalars {
      switch scalar.value {
      case 0x22: text += "\\\""
      case 0x5c: text += "\\\\"
      case 0x08: text += "\\b"
      case 0x09: text += "\\t"
      case 0x0a: text += "\\n"
      case 0x0c: text += "\\f"
      case 0x0d: text += "\\r"
      case 0..<0x20, 0x7f...0x9f, 0x2028, 0x2029:
        let digits = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}
