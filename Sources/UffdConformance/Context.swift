// SPDX-License-Identifier: Apache-2.0
// What a check is given: the library, the user's parameters, and what the content is known to be. One per
// child process; used on its main thread, the known content on any.
import UffdHost
import UffdPluginABI

/// The surroundings of the checks of one family.
final class Context: @unchecked Sendable {
  let library: Library
  let parameters: [Parameter]
  let seed: UInt64
  let seconds: Int
  private let lock = Lock()
  private var known: [UInt64: Bytes] = [:]
  private var oracleInstance: MockInstance?

  init(_ library: Library, _ parameters: [Parameter], seed: UInt64, seconds: Int) {
    self.library = library
    self.parameters = parameters
    self.seed = seed
    self.seconds = seconds
  }

  /// An instance with the user's parameters.
  func open(_ parameters: [Parameter]? = nil) throws -> MockInstance {
    let instance = try MockInstance(library, parameters ?? self.parameters)
    return instance
  }

  /// Opens an instance for `body`, closes it, and looks whether a service call broke a rule.
  func withInstance(_ body: (MockInstance) throws -> Void) throws {
    let instance = try open()
    do { try body(instance) } catch {
      instance.close()
      throw error
    }
    try instance.rethrow()
    instance.close()
    try Switchboard.rethrow()
  }

  /// For hooks that fill memory; a declarative provider has none.
  func requireContent() throws { try library.require(.alloc, "alloc_folio") }

  /// The windows of the object that are looked at: all of it, or its beginning and its end.
  func windows(_ instance: MockInstance) -> [Range<UInt64>] {
    let most = max(2, (2 << 20) / instance.granule)
    let count = instance.granules
    if count <= 2 * most { return [0..<count] }
    return [0..<most, (count - most)..<count]
  }

  /// Some granules of the windows: the first, the last, and `count` others.
  func samples(_ instance: MockInstance, _ count: Int) -> [UInt64] {
    var random = Random(seed)
    let windows = windows(instance)
    var picked = [windows[0].lowerBound, windows[windows.count - 1].upperBound - 1]
    while picked.count < count {
      let window = windows[Int(random.below(UInt64(windows.count)))]
      picked.append(window.lowerBound + random.below(UInt64(window.count)))
      // Huge pages take their time.
      if instance.granule > 4096, picked.count >= 3 { break }
    }
    return picked
  }

  /// A run inside a window.
  func run(
    _ instance: MockInstance, _ random: inout Random, most: UInt64 = 16
  ) -> Range<UInt64> {
    let windows = windows(instance)
    let window = windows[Int(random.below(UInt64(windows.count)))]
    let start = window.lowerBound + random.below(UInt64(window.count))
    let most = instance.granule > 4096 ? min(most, 2) : most
    let count = 1 + random.below(min(most, window.upperBound - start))
    return start..<(start + count)
  }

  /// The content of one granule, as an instance of its own answers it when asked for it alone.
  func reference(_ pgoff: UInt64) throws -> Bytes {
    if let bytes = lock.held({ known[pgoff] }) { return bytes }
    return try lock.held {
      if oracleInstance == nil { oracleInstance = try open() }
      let bytes = try oracleInstance!.content(pgoff).bytes
      known[pgoff] = bytes
      return bytes
    }
  }

  /// Reads what `reference` may be asked for, and closes the instance that was asked.
  func learn(_ instance: MockInstance) throws {
    for window in windows(instance) { for pgoff in window { _ = try reference(pgoff) } }
    closeOracle()
  }

  func closeOracle() {
    let oracle = lock.held { () -> MockInstance? in
      defer { oracleInstance = nil }
      return oracleInstance
    }
    oracle?.close()
  }

  /// Compares an answer with the known content; throws what is different.
  func verify(_ bytes: Bytes, at pgoff: UInt64, _ instance: MockInstance, _ how: String) throws {
    if library.isVolatile { return }
    let granule = Int(instance.granule)
    for index in 0..<(bytes.count / granule) {
      let expected = try reference(pgoff + UInt64(index))
      let found = bytes.slice(index * granule, granule)
      if let place = found.firstDifference(expected) {
        throw Failure(
          "byte \(place) of pgoff \(pgoff + UInt64(index)) is \(found.storage[place]) \(how)",
          expected: "\(expected.storage[place]), as another instance answered for it alone")
      }
    }
  }
}
