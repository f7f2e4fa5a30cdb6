// SPDX-License-Identifier: Apache-2.0

// The key=value pairs of one instance, copied out of the host's array, and the parsing of their
// values. Used while an instance is made; control thread.

internal import UffdPluginABI

/// The user's parameters for one instance. Every key is one that the description declares: the kit
/// answers ABSENT for any other before the instance sees it.
public struct ParameterList: Sendable {
  private let pairs: [(key: String, value: String)]

  init(
    _ parameters: UnsafePointer<uffd_parameter>?, _ count: UInt64, declared: [String]
  ) throws(ProviderError) {
    var pairs: [(key: String, value: String)] = []
    if let parameters = unsafe parameters {
      for index in 0..<Int(count) {
        let key = unsafe String(cString: parameters[index].key)
        let value = unsafe String(cString: parameters[index].value)
        guard declared.contains(key) else {
          throw ProviderError(
            .absent, "there is no parameter \(key); there are \(declared.joined(separator: ", "))")
        }
        pairs.append((key, value))
      }
    }
    self.pairs = pairs
  }

  /// For tests and for instances that are made without a host.
  public init(_ pairs: [(key: String, value: String)]) {
    self.pairs = pairs
  }

  /// The value of `key` as the user gave it; of a repeated key the last.
  public func string(_ key: String) -> String? {
    pairs.last { $0.key == key }?.value
  }

  /// All values of a repeatable key, in the user's order.
  public func strings(_ key: String) -> [String] {
    pairs.filter { $0.key == key }.map(\.value)
  }

  /// The value of a parameter of kind SIZE, in bytes.
  public func size(_ key: String) throws(ProviderError) -> UInt64? {
    guard let text = string(key) else { return nil }
    guard let bytes = ParameterList.parseSize(text) else {
      throw .badValue(
        "\(key)=\(text) is not a size: give digits, then nothing, K, M, G or T, below 16 exbibytes")
    }
    return bytes
  }

  /// The value of a parameter of kind NUMBER.
  public func number(_ key: String) throws(ProviderError) -> UInt64? {
    guard let text = string(key) else { return nil }
    guard let number = ParameterList.parseNumber(text) else {
      throw .badValue(
        "\(key)=\(text) is not a number: give decimal digits, or hexadecimal ones after 0x, up to "
          + "64 bits")
    }
    return number
  }

  /// Digits, then nothing, K, M, G or T (powers of 1024). Nil if it is anything else or does not fit.
  public static func parseSize(_ text: String) -> UInt64? {
    let shifts: [Character: UInt64] = ["K": 10, "M": 20, "G": 30, "T": 40]
    guard let last = text.last else { return nil }
    let shift = shifts[last] ?? 0
    guard let digits = parseDigits(shift == 0 ? text[...] : text.dropLast(), radix: 10) else {
      return nil
    }
    let (bytes, overflow) = digits.multipliedReportingOverflow(by: 1 << shift)
    return overflow ? nil : bytes
  }

  /// Unsigned: decimal, or hexadecimal after 0x. Nil if it is anything else or does not fit.
  public static func parseNumber(_ text: String) -> UInt64? {
    if text.hasPrefix("0x") || text.hasPrefix("0X") {
      return parseDigits(text.dropFirst(2), radix: 16)
    }
    return parseDigits(text[...], radix: 10)
  }

  /// `UInt64.init(_:radix:)` without the sign that it allows.
  private static func parseDigits(_ text: Substring, radix: Int) -> UInt64? {
    guard let first = text.utf8.first, first != UInt8(ascii: "+"), first != UInt8(ascii: "-") else {
      return nil
    }
    return UInt64(text, radix: radix)
  }
}
