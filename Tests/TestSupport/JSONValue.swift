// SPDX-License-Identifier: Apache-2.0
// JSON whose types can be told apart: a number is no boolean.
import Foundation

public enum JSONValue: Decodable, Equatable, Sendable {
  case null
  case boolean(Bool)
  case number(UInt64)
  case text(String)
  case list([JSONValue])
  case object([String: JSONValue])

  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .null
    } else if let value = try? container.decode(Bool.self) {
      self = .boolean(value)
    } else if let value = try? container.decode(UInt64.self) {
      self = .number(value)
    } else if let value = try? container.decode(String.self) {
      self = .text(value)
    } else if let value = try? container.decode([JSONValue].self) {
      self = .list(value)
    } else {
      self = .object(try container.decode([String: JSONValue].self))
    }
  }

  /// Parses the whole text.
  public init(parsing text: String) throws {
    self = try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
  }

  public subscript(key: String) -> JSONValue {
    if case .object(let fields) = self { fields[key] ?? .null } else { .null }
  }
  /// The number; a value that no report has, if it is none.
  public var number: UInt64 { if case .number(let value) = self { value } else { .max } }
  public var isNumber: Bool { if case .number = self { true } else { false } }
  public var boolean: Bool? { if case .boolean(let value) = self { value } else { nil } }
  public var text: String? { if case .text(let value) = self { value } else { nil } }
  public var list: [JSONValue]? { if case .list(let value) = self { value } else { nil } }
  public var keys: Set<String> {
    if case .object(let fields) = self { Set(fields.keys) } else { [] }
  }
}
