// SPDX-License-Identifier: Apache-2.0
import Testing
import UffdHost

@testable import uffdhost

/// Real pieces, broken pieces and pieces of Unicode that make Characters and scalars differ.
private let pieces: [String] =
  OptionName.allCases.map(\.spelled) + Command.names + [
    "--", "-", "-h", "-V", "=", "a=", "image=", "x", "0", "1", "7", "64K", "2M", "1.5", ".", "0x",
    "none",
    "pattern:", "random", "zipf", "poison", "\u{301}", "\u{1b}", "\n", "\0", "\r\n", "👩‍👩‍👧", "é", "'",
    "\"",
    "18446744073709551615", "99999999999999999999999", "", " ", "=", "--=", "--provider=shmem",
    "\u{202e}",
  ]

private func randomArguments(_ random: inout SplitMix) -> [String] {
  (0..<random.next() % 6).map { _ in
    (0..<(1 + random.next() % 3 / 2)).map { _ in pieces[Int(random.next() % UInt64(pieces.count))] }
      .joined()
  }
}

@Test func `no line of arguments traps, and every refusal is one sentence`() {
  var random = SplitMix(state: 2026)
  var kinds = (good: 0, bad: 0)
  for _ in 0..<30_000 {
    var arguments = randomArguments(&random)
    if random.next() % 2 == 0 { arguments += ["--provider", "shmem"] }
    do throws(HostError) {
      _ = try Command.parse(arguments)
      kinds.good += 1
    } catch {
      kinds.bad += 1
      let isOneSentence =
        error.kind == .usage && error.message.hasSuffix("; see 'uffdhost --help'")
        && error.message.utf8.count < 600
        && error.message.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f }
      #expect(isOneSentence, "\(arguments) -> \(error.message)")
    }
  }
  // The generator must reach both sides, else it proves nothing.
  #expect(kinds.good > 1000 && kinds.bad > 1000, "\(kinds)")
}
