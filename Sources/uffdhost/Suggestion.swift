// SPDX-License-Identifier: Apache-2.0
// "did you mean": the closest known word to one that nobody knows. Pure.

enum Suggestion {
  /// ` (did you mean '--threads'?)` with a space before it, or nothing when no candidate is near.
  static func clause(for word: String, among candidates: [String]) -> String {
    guard let best = closest(to: word, among: candidates) else { return "" }
    return " (did you mean '\(best)'?)"
  }

  /// A candidate that needs at most one change per three characters (two changes at most), else the only
  /// one that begins with the word.
  static func closest(to word: String, among candidates: [String]) -> String? {
    guard word.utf8.count <= 40 else { return nil }
    let letters = Array(word.lowercased().utf8)
    let limit = min(2, letters.count / 3)
    var best: (distance: Int, candidate: String)?
    for candidate in candidates {
      let distance = changes(letters, Array(candidate.utf8))
      if distance <= limit && distance < best?.distance ?? .max { best = (distance, candidate) }
    }
    if let best { return best.candidate }
    let longer = candidates.filter { letters.count >= 3 && $0.utf8.starts(with: letters) }
    return longer.count == 1 ? longer[0] : nil
  }

  /// How many insertions, deletions, substitutions and swaps of neighbours lead from one to the other.
  static func changes(_ from: [UInt8], _ to: [UInt8]) -> Int {
    var beforeLast = [Int](repeating: 0, count: to.count + 1)
    var last = Array(0...to.count)
    for i in 0..<from.count {
      var row = [i + 1] + [Int](repeating: 0, count: to.count)
      for j in 0..<to.count {
        let substituted = last[j] + (from[i] == to[j] ? 0 : 1)
        row[j + 1] = min(substituted, last[j + 1] + 1, row[j] + 1)
        if i > 0 && j > 0 && from[i] == to[j - 1] && from[i - 1] == to[j] {
          row[j + 1] = min(row[j + 1], beforeLast[j - 1] + 1)
        }
      }
      beforeLast = last
      last = row
    }
    return last[to.count]
  }
}
