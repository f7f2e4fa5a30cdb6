// SPDX-License-Identifier: Apache-2.0
// What one repetition measured, and the line in which a child says so. Pure.
import CBench
import UffdHost

/// The figures of one repetition.
struct Sample: Equatable, Sendable {
  /// Pages, each counted once, and their bytes.
  var touched: UInt64 = 0
  var bytes: UInt64 = 0
  /// Bytes that the handler installed for them.
  var installed: UInt64 = 0
  var elapsed: UInt64 = 0
  /// Nanoseconds of a page's first touch; for `language` hundredths of a nanosecond for a message.
  var mean: UInt64 = 0
  var p50: UInt64 = 0
  var p99: UInt64 = 0
  var wrong: UInt64 = 0
  var firstWrong: UInt64 = 0
  /// What the parent knows: how long the child lived, and the CPU time that others used meanwhile.
  var lifetime: UInt64 = 0
  var foreign: UInt64 = 0

  init() {}

  init(_ result: cbench_result) {
    touched = result.touched
    bytes = result.bytes
    installed = result.bytes
    elapsed = result.elapsed
    mean = result.mean
    p50 = result.p50
    p99 = result.p99
    wrong = result.wrong
    firstWrong = result.first_wrong
  }

  private static let fields: [(String, any WritableKeyPath<Sample, UInt64> & Sendable)] = [
    ("touched", \.touched), ("bytes", \.bytes), ("installed", \.installed), ("elapsed", \.elapsed),
    ("mean", \.mean), ("p50", \.p50), ("p99", \.p99), ("wrong", \.wrong),
    ("first-wrong", \.firstWrong),
  ]

  var line: String {
    "sample " + Self.fields.map { "\($0.0)=\(self[keyPath: $0.1])" }.joined(separator: " ")
  }

  /// Nil: the line is no sample.
  init?(line: Substring) {
    let words = line.split(separator: " ")
    guard words.first == "sample", words.count == Self.fields.count + 1 else { return nil }
    for (word, field) in zip(words.dropFirst(), Self.fields) {
      let parts = word.split(separator: "=", maxSplits: 1)
      guard parts.count == 2, parts[0] == field.0, let value = UInt64(parts[1]) else { return nil }
      self[keyPath: field.1] = value
    }
  }
}

/// What a child says of a provider's instance.
struct Description: Equatable, Sendable {
  var memory: MemoryKind
  var granule: UInt64
  var objectSize: UInt64
  /// Of the library.
  var path: String

  var line: String { "instance \(memory.rawValue) \(granule) \(objectSize) \(path)" }

  init(memory: MemoryKind, granule: UInt64, objectSize: UInt64, path: String) {
    (self.memory, self.granule, self.objectSize, self.path) = (memory, granule, objectSize, path)
  }

  init?(line: Substring) {
    let words = line.split(separator: " ", maxSplits: 4)
    guard words.count == 5, words[0] == "instance",
      let memory = MemoryKind(rawValue: String(words[1])), let granule = UInt64(words[2]),
      let size = UInt64(words[3])
    else { return nil }
    self.init(memory: memory, granule: granule, objectSize: size, path: String(words[4]))
  }
}

extension HostError {
  /// In a line of its own.
  var line: String { "error \(kind) \(message)" }

  init?(line: Substring) {
    let words = line.split(separator: " ", maxSplits: 2)
    let kinds: [HostError.Kind] = [.usage, .refused, .system, .service]
    guard words.count == 3, words[0] == "error",
      let kind = kinds.first(where: { "\($0)" == words[1] })
    else { return nil }
    self.init(kind, String(words[2]))
  }
}
