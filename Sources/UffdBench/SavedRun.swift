// SPDX-License-Identifier: Apache-2.0
// A report that was saved as JSON, read again. Reads what BenchReport
// writes and other JSON too, strictly, but not for strangers: a user names the file.
public import UffdHost

/// The rows of an earlier run that a comparison needs.
public struct SavedRun: Sendable {
  struct Key: Hashable {
    var caseName: String
    var subject: String
    var placement: String
    var threads: Int
  }
  struct Entry {
    var ratio: Spread
    var isDoubtful: Bool
  }

  var entries: [Key: Entry] = [:]

  /// Throws `.usage` where the text is no report of the bench; `name` is the file's.
  public init(_ text: String, name: String) throws(HostError) {
    var reader = PlainJSON(Array(text.utf8))
    guard let document = reader.document(), case .list(let rows)? = document["rows"] else {
      throw HostError(
        .usage, "'\(name)' is no report of 'uffdhost bench'; give a file that '--save' has written")
    }
    for row in rows {
      guard let name = row["case"]?.text, let subject = row["subject"]?.text,
        let placement = row["placement"]?.text, let threads = row["threads"]?.number,
        let median = row["ratio"]?.number, let lower = row["ratio_lower"]?.number,
        let upper = row["ratio_upper"]?.number, case .list(let doubts)? = row["doubts"]
      else { continue }
      entries[
        Key(caseName: name, subject: subject, placement: placement, threads: Int(threads))] = Entry(
          ratio: Spread(median: median, lower: lower, upper: upper), isDoubtful: !doubts.isEmpty)
    }
  }
}

/// A JSON value.
enum PlainValue: Equatable {
  case null
  case boolean(Bool)
  case number(Double)
  case text(String)
  case list([PlainValue])
  case object([String: PlainValue])

  subscript(name: String) -> PlainValue? {
    if case .object(let members) = self { members[name] } else { nil }
  }
  var text: String? { if case .text(let text) = self { text } else { nil } }
  var number: Double? { if case .number(let number) = self { number } else { nil } }
}

/// Recursive descent over bytes. Nil wherever the text is not JSON.
struct PlainJSON {
  private let bytes: [UInt8]
  private var place = 0
  private static let mostDepth = 16

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  mutating func document() -> PlainValue? {
    guard let value = value(depth: 0) else { return nil }
    skipSpace()
    return place == bytes.count ? value : nil
  }

  private var next: UInt8? { place < bytes.count ? bytes[place] : nil }

  private mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 {
      place += 1
    }
  }

  private mutating func take(_ text: StaticString) -> Bool {
    skipSpace()
    let wanted = Array("\(text)".utf8)
    guard bytes[place...].starts(with: wanted) else { return false }
    place += wanted.count
    return true
  }

  private mutating func value(depth: Int) -> PlainValue? {
    if depth > Self.mostDepth { return nil }
    if take("null") { return .null }
    if take("true") { return .boolean(true) }
    if take("false") { return .boolean(false) }
    if take("[") { return list(depth) }
    if take("{") { return object(depth) }
    if take("\"") { return string().map(PlainValue.text) }
    return number()
  }

  private mutating func list(_ depth: Int) -> PlainValue? {
    var elements: [PlainValue] = []
    if take("]") { return .list([]) }
    repeat {
      guard let element = value(depth: depth + 1) else { return nil }
      elements.append(element)
    } while take(",")
    return take("]") ? .list(elements) : nil
  }

  private mutating func object(_ depth: Int) -> PlainValue? {
    var members: [String: PlainValue] = [:]
    if take("}") { return .object([:]) }
    repeat {
      guard take("\""), let name = string(), take(":"), let value = value(depth: depth + 1) else {
        return nil
      }
      members[name] = value
    } while take(",")
    return take("}") ? .object(members) : nil
  }

  /// Behind the first quote.
  private mutating func string() -> String? {
    var text: [UInt8] = []
    while let byte = next {
      place += 1
      switch byte {
      case UInt8(ascii: "\""): return String(validating: text, as: UTF8.self)
      case UInt8(ascii: "\\"):
        guard let scalar = escape() else { return nil }
        text += Array(String(Character(scalar)).utf8)
      case 0..<0x20: return nil
      default: text.append(byte)
      }
    }
    return nil
  }

  private mutating func escape() -> Unicode.Scalar? {
    guard let byte = next else { return nil }
    place += 1
    switch byte {
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{c}"
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
    case UInt8(ascii: "u"):
      guard place + 4 <= bytes.count else { return nil }
      let digits = String(decoding: bytes[place..<(place + 4)], as: UTF8.self)
      place += 4
      return UInt32(digits, radix: 16).flatMap(Unicode.Scalar.init)
    default: return nil
    }
  }

  private mutating func number() -> PlainValue? {
    let start = place
    while let byte = next,
      (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || "+-.eE".utf8.contains(byte)
    {
      place += 1
    }
    return Double(String(decoding: bytes[start..<place], as: UTF8.self)).map(PlainValue.number)
  }
}
