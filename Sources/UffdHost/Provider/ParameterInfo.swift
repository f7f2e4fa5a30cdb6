// SPDX-License-Identifier: Apache-2.0
// The parameters that a provider declares, and the check of what a user gave against them. The host
// refuses what it can before any code of the provider runs.
import UffdPluginABI

/// One key that a provider understands (`uffd_parameter_info`).
public struct ParameterInfo: Sendable, Equatable {
  /// What the value is.
  public enum Kind: String, Sendable {
    case string, file, size, number
  }
  public let key: String
  /// One line for people.
  public let help: String?
  /// What holds without the parameter, for people.
  public let defaultValue: String?
  public let kind: Kind
  public let isRequired: Bool
  public let isRepeatable: Bool

  /// Reads the declarations of a table.
  static func read(_ table: uffd_provider) throws(ProviderTable.Flaw) -> [ParameterInfo] {
    let count = unsafe table.parameter_count
    if count == 0 { return [] }
    guard let base = unsafe table.parameters, count <= 1024 else {
      throw unsafe ProviderTable.Flaw(
        "its parameter list is NULL or has more than 1024 entries (\(table.parameter_count))")
    }
    let stride = unsafe table.parameter_stride
    let size = unsafe MemoryLayout<uffd_parameter_info>.size
    guard stride >= size, stride <= 4096 else {
      throw ProviderTable.Flaw(
        "its parameter_stride is \(stride), ABI 1.0 needs at least \(size)")
    }
    var result: [ParameterInfo] = []
    for index in 0..<Int(count) {
      var info = unsafe uffd_parameter_info()
      let source = unsafe UnsafeRawPointer(base) + index * Int(stride)
      let readable = unsafe withUnsafeMutableBytes(of: &info) { room in
        unsafe readCarefully(source, into: room.baseAddress!, length: size)
      }
      guard readable, let key = unsafe stringCarefully(info.key), isKey(key) else {
        throw ProviderTable.Flaw(
          "its parameter \(index) has no key of the form [A-Za-z][A-Za-z0-9._-]*")
      }
      let kind: Kind
      switch unsafe info.kind {
      case .string: kind = .string
      case .file: kind = .file
      case .size: kind = .size
      case .number: kind = .number
      default:
        throw unsafe ProviderTable.Flaw(
          "its parameter '\(key)' has the unknown kind \(info.kind.rawValue)")
      }
      if result.contains(where: { $0.key == key }) {
        throw ProviderTable.Flaw("it declares the parameter '\(key)' twice")
      }
      unsafe result.append(
        ParameterInfo(
          key: key, help: stringCarefully(info.help),
          defaultValue: stringCarefully(info.default_value), kind: kind,
          isRequired: info.flags.contains(.required),
          isRepeatable: info.flags.contains(.repeatable)))
    }
    return result
  }

  static func isKey(_ text: String) -> Bool {
    guard let first = text.unicodeScalars.first, first.isASCII, first.properties.isAlphabetic else {
      return false
    }
    return text.unicodeScalars.allSatisfy { scalar in
      scalar.isASCII
        && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar)
          || scalar == "." || scalar == "_" || scalar == "-")
    }
  }
}

extension ParameterInfo {
  /// Checks a user's parameters against the declarations; throws the sentence for the first mistake.
  package static func check(
    _ given: [Parameter], against declared: [ParameterInfo], provider: String
  ) throws(HostError) {
    var seen: Set<String> = []
    for parameter in given {
      guard let info = declared.first(where: { $0.key == parameter.key }) else {
        let known = declared.map(\.key).joined(separator: ", ")
        throw HostError(
          .usage,
          "the provider '\(provider)' knows no parameter '\(parameter.key)'; "
            + (known.isEmpty ? "it takes none" : "it takes \(known)"))
      }
      if !seen.insert(parameter.key).inserted, !info.isRepeatable {
        throw HostError(
          .usage, "the parameter '\(parameter.key)' is given twice; give it once")
      }
      if parameter.value.utf8.contains(0) {
        throw HostError(.usage, "the value of '\(parameter.key)' contains a NUL byte; remove it")
      }
      try info.check(parameter.value)
    }
    for info in declared where info.isRequired && !seen.contains(info.key) {
      throw HostError(
        .usage,
        "the provider '\(provider)' needs the parameter '\(info.key)'; give \(info.key)=...")
    }
  }

  private func check(_ value: String) throws(HostError) {
    switch kind {
    case .string: break
    case .file:
      if value.isEmpty {
        throw HostError(.usage, "the parameter '\(key)' is empty; give the path of a file")
      }
    case .size:
      if ByteSize.parse(value) == nil {
        throw HostError(
          .usage,
          "'\(key)=\(value)' is no size; give bytes, or a number with K, M, G or T (as in 64M)")
      }
    case .number:
      if ByteSize.parseNumber(value) == nil {
        throw HostError(
          .usage,
          "'\(key)=\(value)' is no number; give an unsigned number, decimal or hexadecimal after 0x"
        )
      }
    }
  }
}

/// The grammar of sizes and numbers in parameters (`UFFD_PARAMETER_SIZE`, `UFFD_PARAMETER_NUMBER`).
enum ByteSize {
  /// Bytes: digits, then nothing, K, M, G or T. Nil: not a size, or more than 64 bits.
  static func parse(_ text: String) -> UInt64? {
    let shifts: [Character: UInt64] = ["K": 10, "M": 20, "G": 30, "T": 40]
    guard let last = text.last else { return nil }
    let shift = shifts[last] ?? 0
    let digits = shift == 0 ? Substring(text) : text.dropLast()
    guard !digits.isEmpty, digits.utf8.allSatisfy({ (48...57).contains($0) }),
      let value = UInt64(digits)
    else { return nil }
    let (result, overflow) = value.multipliedReportingOverflow(by: 1 << shift)
    return overflow ? nil : result
  }

  /// An unsigned number, decimal, or hexadecimal after `0x`.
  static func parseNumber(_ text: String) -> UInt64? {
    if text.hasPrefix("0x") || text.hasPrefix("0X") {
      let digits = text.dropFirst(2)
      guard digits.utf8.allSatisfy({ byte in byte != 43 && byte != 45 }) else { return nil }
      return UInt64(digits, radix: 16)
    }
    guard !text.isEmpty, text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
    return UInt64(text)
  }
}
