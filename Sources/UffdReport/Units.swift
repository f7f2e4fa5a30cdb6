// SPDX-License-Identifier: Apache-2.0
// Numbers as people write and read them: sizes, durations, rates, counts. Pure, without locale; used by
// everything that prints and by the option parser, on any thread.

// For the C mathematics library that rounding of Double links against.
import Glibc

public enum Units {
  /// Why a text is not a size.
  public enum SizeError: Error, Sendable, Equatable {
    case malformed
    case tooLarge

    /// A clause for the end of an error sentence.
    public var reason: String {
      switch self {
      case .malformed: "not a size; write bytes, or a number with K, M, G or T as in 64K, 2M, 1GiB"
      case .tooLarge: "larger than 2^64 - 1 bytes"
      }
    }
  }

  /// `4096`, `64K`, `2M`, `1GiB`, `1t`: a whole number of bytes, with a binary unit if wanted. `KB` and its
  /// like are refused, for nobody knows whether they mean 1000 or 1024.
  public static func parseSize(_ text: some StringProtocol) throws(SizeError) -> UInt64 {
    var rest = Substring(text).utf8
    let digits = rest.prefix { $0 >= 0x30 && $0 <= 0x39 }
    guard !digits.isEmpty else { throw .malformed }
    rest = rest.dropFirst(digits.count)
    let shift: UInt64
    switch Substring(rest).lowercased() {
    case "": shift = 0
    case "k", "kib": shift = 10
    case "m", "mib": shift = 20
    case "g", "gib": shift = 30
    case "t", "tib": shift = 40
    default: throw .malformed
    }
    guard let number = UInt64(Substring(digits)) else { throw .tooLarge }
    let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
    guard !overflow else { throw .tooLarge }
    return bytes
  }

  /// `512 B`, `4 KiB`, `1.25 GiB`. Whole numbers of a unit have no decimals, others have two.
  public static func bytes(_ count: UInt64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    var index = count == 0 ? 0 : (63 - count.leadingZeroBitCount) / 10
    if count & ((1 << (10 * index)) - 1) == 0 {
      return "\(count >> (10 * UInt64(index))) \(units[index])"
    }
    var value = Double(count) / Double(UInt64(1) << (10 * index))
    if value >= 1023.995 {
      index += 1
      value /= 1024
    }
    return "\(decimal(value, 2)) \(units[index])"
  }

  /// `834 ns`, `9.1 us`, `12.4 ms`, `3.20 s`, `2 min 05 s`: about three digits that count.
  public static func duration(nanoseconds: UInt64) -> String {
    let value = Double(nanoseconds)
    switch nanoseconds {
    case 0..<1000: return "\(nanoseconds) ns"
    case 0..<999_950: return "\(decimal(value / 1e3, 1)) us"
    case 0..<999_950_000: return "\(decimal(value / 1e6, 1)) ms"
    case 0..<59_995_000_000: return "\(decimal(value / 1e9, 2)) s"
    default:
      let seconds =
        nanoseconds / 1_000_000_000 + (nanoseconds % 1_000_000_000 >= 500_000_000 ? 1 : 0)
      let minutes = "\(grouped(seconds / 60)) min "
      return minutes + padLeft(String(seconds % 60), 2, "0") + " s"
    }
  }

  /// `1,234,567`.
  public static func grouped(_ count: UInt64) -> String {
    let digits = String(count)
    var text = ""
    for (index, digit) in digits.enumerated() {
      if index > 0 && (digits.utf8.count - index) % 3 == 0 { text += "," }
      text.append(digit)
    }
    return text
  }

  /// `123,456/s`: how often something happened per second; `0/s` when no time has passed.
  public static func rate(_ count: UInt64, nanoseconds: UInt64) -> String {
    grouped(perSecond(count, nanoseconds: nanoseconds)) + "/s"
  }

  /// `1.25 GiB/s`.
  public static func byteRate(_ count: UInt64, nanoseconds: UInt64) -> String {
    bytes(perSecond(count, nanoseconds: nanoseconds)) + "/s"
  }

  /// `61.2 %` of a whole; a whole of nothing is 0 %. Less than everything never reads `100.0 %`.
  public static func percent(_ part: UInt64, of whole: UInt64) -> String {
    guard whole > 0 else { return "0.0 %" }
    let tenths = (Double(part) / Double(whole) * 1000).rounded()
    let capped = part < whole ? min(tenths, 999) : tenths
    return "\(decimal(capped / 10, 1)) %"
  }

  /// Rounded down to a whole number; 0 when no time has passed.
  public static func perSecond(_ count: UInt64, nanoseconds: UInt64) -> UInt64 {
    guard nanoseconds > 0 else { return 0 }
    return UInt64(exactly: (Double(count) * 1e9 / Double(nanoseconds)).rounded(.down)) ?? .max
  }

  /// A finite number with exactly that many decimals (0 to 9), rounded to nearest, half away from zero. From
  /// 9.2e18 / 10^decimals on Swift's own shortest form, which is a JSON number too.
  public static func decimal(_ value: Double, _ decimals: Int) -> String {
    precondition(value.isFinite && (0...9).contains(decimals))
    var scale: UInt64 = 1
    for _ in 0..<decimals { scale *= 10 }
    guard let scaled = UInt64(exactly: (value.magnitude * Double(scale)).rounded()),
      scaled < UInt64(Int64.max)
    else { return value.description }
    let sign = value < 0 && scaled > 0 ? "-" : ""
    guard decimals > 0 else { return sign + String(scaled) }
    return sign + String(scaled / scale) + "." + padLeft(String(scaled % scale), decimals, "0")
  }

  /// Fills up from the left. Counts characters, as all our tables do: they hold no wide ones.
  public static func padLeft(_ text: String, _ width: Int, _ fill: Character = " ") -> String {
    String(repeating: fill, count: max(0, width - text.count)) + text
  }

  /// Fills up from the right with spaces.
  public static func padRight(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }
}
