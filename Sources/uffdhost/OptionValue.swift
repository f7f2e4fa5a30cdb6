// SPDX-License-Identifier: Apache-2.0
// The values of options: text that becomes a number, a size, a time or one of some words, or a
// sentence that names the option, what was given and what is wanted. Pure; used by Options only.

import UffdHost
import UffdReport

struct OptionValue {
  private let name: OptionName
  private let text: String

  init(_ option: Words.Option) {
    name = option.name
    text = option.value
  }

  private func refused(_ wanted: String) -> HostError {
    .usage("option '\(name.spelled)' cannot be \(text.quoted): \(wanted)")
  }

  func number(_ range: ClosedRange<Int>) throws(HostError) -> Int {
    guard Self.isDigits(text), let number = Int(text), range.contains(number) else {
      throw refused("give a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  func oneOf<Choice: RawRepresentable<String>>(_ choices: [Choice]) throws(HostError) -> Choice {
    if let choice = choices.first(where: { $0.rawValue == text }) { return choice }
    let names = choices.map(\.rawValue)
    let list = names.dropLast().joined(separator: ", ") + " or " + (names.last ?? "")
    throw refused("give \(list)" + Suggestion.clause(for: text, among: names))
  }

  func size() throws(HostError) -> UInt64 {
    let bytes: UInt64
    do throws(Units.SizeError) { bytes = try Units.parseSize(text) } catch {
      throw refused(error.reason)
    }
    guard bytes > 0 else { throw refused("give at least 1 byte") }
    return bytes
  }

  /// Bytes a second; 0 for no limit.
  func rate() throws(HostError) -> UInt64 {
    do throws(Units.SizeError) { return try Units.parseSize(text) } catch {
      throw refused(error.reason)
    }
  }

  /// Seconds with up to nine decimals, more than none, as nanoseconds.
  func seconds(
    limit: UInt64, tooShort: String = "a fault needs some time"
  ) throws(HostError) -> UInt64 {
    let wanted = "give seconds such as 10 or 0.5, at most \(limit)"
    let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    guard let whole = parts.first, Self.isDigits(whole), let seconds = UInt64(whole),
      seconds <= limit
    else { throw refused(wanted) }
    var nanoseconds: UInt64 = 0
    if parts.count == 2 {
      let fraction = parts[1]
      guard Self.isDigits(fraction), fraction.utf8.count <= 9, let number = UInt64(fraction) else {
        throw refused(wanted)
      }
      nanoseconds = number
      for _ in fraction.utf8.count..<9 { nanoseconds *= 10 }
    }
    nanoseconds += seconds * 1_000_000_000
    guard nanoseconds > 0 else {
      throw refused("\(tooShort); give more than 0 seconds")
    }
    return nanoseconds
  }

  /// Permission bits in octal, as chmod(1) takes them.
  func mode() throws(HostError) -> UInt32 {
    guard (3...4).contains(text.utf8.count), Self.isDigits(text), let mode = UInt32(text, radix: 8),
      mode <= 0o777
    else { throw refused("give permission bits such as 0600 or 660") }
    return mode
  }

  /// `USER`, `USER:GROUP` or `:GROUP`; names or numbers, which are looked up later.
  func owner() throws(HostError) -> ServeOptions.Owner {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    let group = parts.count == 2 ? parts[1] : nil
    guard parts.count <= 2, group != "", !parts[0].isEmpty || group != nil else {
      throw refused("give USER, USER:GROUP or :GROUP")
    }
    return ServeOptions.Owner(user: parts[0].isEmpty ? nil : parts[0], group: group)
  }

  /// How many granules a fault takes along.
  func faultAround() throws(HostError) -> FaultAround {
    if text == "auto" { return .adaptive }
    if text == "off" { return .off }
    guard Self.isDigits(text), let number = UInt64(text), number > 0 else {
      throw refused("give auto, off, or the most granules that a fault settles, at least 1")
    }
    return .upTo(number)
  }

  func path() throws(HostError) -> String {
    if text.isEmpty { throw refused("give the path of a file") }
    return text
  }

  func seed() throws(HostError) -> UInt64 {
    guard let seed = Self.parseSeed(text[...]) else { throw refused(Self.seedForm) }
    return seed
  }

  func oracle() throws(HostError) -> Oracle {
    switch text {
    case "none": return .none
    case "provider": return .provider
    case "", "pattern": throw refused("give FILE, pattern:SEED, provider or none")
    default: break
    }
    let prefix = "pattern:"
    guard text.utf8.starts(with: prefix.utf8) else { return .file(text) }
    guard let seed = Self.parseSeed(Substring(text.utf8.dropFirst(prefix.utf8.count))) else {
      throw refused("after 'pattern:' " + Self.seedForm)
    }
    return .pattern(seed: seed)
  }

  private static let seedForm =
    "give a whole number from 0 to 2^64 - 1, decimal or 0x and hexadecimal"

  private static func parseSeed(_ text: Substring) -> UInt64? {
    if text.utf8.starts(with: "0x".utf8) {
      let digits = text.utf8.dropFirst(2)
      guard digits.first != UInt8(ascii: "+"), digits.first != UInt8(ascii: "-") else { return nil }
      return UInt64(Substring(digits), radix: 16)
    }
    return isDigits(text) ? UInt64(text) : nil
  }

  /// At least one, and ASCII digits only: Swift's parsers take a sign too.
  private static func isDigits(_ text: some StringProtocol) -> Bool {
    !text.isEmpty && text.utf8.allSatisfy { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
  }
}
