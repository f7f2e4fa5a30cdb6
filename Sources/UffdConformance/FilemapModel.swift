// SPDX-License-Identifier: Apache-2.0
// The filemap as it must be: a set. Applies each operation to itself and to the provider. One thread.
import UffdPluginABI

struct FilemapModel {
  private let instance: MockInstance
  var held: Set<UInt64> = []
  private var touched: Set<UInt64> = []

  init(_ instance: MockInstance) { self.instance = instance }

  /// The first run of `range` that is absent.
  func absentRun(_ range: Range<UInt64>) -> Range<UInt64> {
    guard let first = range.first(where: { !held.contains($0) }) else {
      return range.lowerBound..<range.lowerBound
    }
    var end = first
    while end < range.upperBound, !held.contains(end) { end += 1 }
    return first..<end
  }

  /// All of `range` is absent. Throws where the provider refuses; a limit is no failure of the provider.
  mutating func add(_ range: Range<UInt64>) throws {
    if range.isEmpty { return }
    switch try instance.add(range.lowerBound, UInt64(range.count)) {
    case .ok:
      held.formUnion(range)
      touched.formUnion(range)
    case .noMemory: throw NotApplicable("the provider's limit is too low for this check")
    case let other:
      throw Failure(
        "\(other) for \(range.count) granules from pgoff \(range.lowerBound)",
        expected: "OK: they are inside the object and not in the filemap")
    }
  }

  mutating func remove(_ range: Range<UInt64>) throws {
    instance.remove(range.lowerBound, UInt64(range.count))
    held.subtract(range)
    touched.formUnion(range)
    try instance.rethrow()
  }

  mutating func discard(_ range: Range<UInt64>) {
    instance.discard(range.lowerBound, UInt64(range.count))
    held.subtract(range)
    touched.formUnion(range)
  }

  mutating func removeAll() throws {
    for pgoff in held { try remove(pgoff..<(pgoff + 1)) }
  }

  mutating func discardAll() throws {
    for pgoff in held.sorted() { discard(pgoff..<(pgoff + 1)) }
  }

  /// The provider's word on one granule.
  mutating func expect(_ pgoff: UInt64) throws {
    guard instance.library.has(.lookup) else { return }
    let status = try instance.lookup(pgoff)
    Rule.seen.mark(Rule.accepted)
    if held.contains(pgoff) {
      if status == .absent {
        throw Breach(Rule.accepted, "ABSENT for pgoff \(pgoff), which was added and not removed")
      }
      if status != .ok {
        throw Failure("\(status) for pgoff \(pgoff), which is in the filemap", expected: "OK")
      }
    } else if status != .absent {
      throw Failure("\(status) for pgoff \(pgoff), which is not in the filemap", expected: "ABSENT")
    }
  }

  /// Everything that was ever touched.
  mutating func expectAll() throws { for pgoff in touched.sorted() { try expect(pgoff) } }
}
