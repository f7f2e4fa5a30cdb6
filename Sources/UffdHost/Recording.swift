// SPDX-License-Identifier: Apache-2.0

/// Which granules of an object were touched first, and when: a program's working set, as its faults show
/// it.
///
///     let recording = try Recording(instance)
///     var options = Region.Options()
///     options.recording = recording
///     let region = try instance.map(options)
///     // ... the program runs ...
///     for touch in recording.touches { print(touch.granule) }
///
/// A recording may be given to several regions and clients of one instance, and is then the union of what
/// they touch. It goes on as long as one of them is served; it may be looked at any time, from any thread.
///
/// Only faults are seen: a page that was filled before it was touched, by ``Region/prefetch(_:)`` or a
/// drain, is not in it. A fault takes nothing along while its region is recorded.
public final class Recording: Sendable {
  /// The first touch of a granule.
  public struct Touch: Sendable, Equatable {
    /// Which granule of the object.
    public var granule: UInt64
    /// When, in nanoseconds since the recording began. Touches of one batch of faults are as good as
    /// simultaneous.
    public var nanoseconds: UInt64

    public init(granule: UInt64, nanoseconds: UInt64) {
      self.granule = granule
      self.nanoseconds = nanoseconds
    }
  }

  /// Whose granules are recorded.
  public let instance: Instance
  let table: TouchTable
  private let memory: Mapping
  private let start: UInt64

  /// Begins to record; the clock runs from now on.
  ///
  /// Throws `.system` where there are no 8 bytes of address space for each granule. Memory is used only
  /// where something is touched.
  public init(_ instance: Instance) throws(HostError) {
    do {
      memory = try Mapping.scratch(TouchTable.bytes(for: instance.granuleCount))
    } catch {
      throw HostError(
        .system,
        "there is no memory to record \(instance.granuleCount) granules of '\(instance.provider.name)' "
          + "(\(error.name))")
    }
    table = unsafe TouchTable(memory.base, count: instance.granuleCount)
    self.instance = instance
    start = monotonicNanoseconds()
  }

  /// Throws `.usage` unless it is a recording of `instance`.
  func check(_ instance: Instance) throws(HostError) {
    guard instance === self.instance else {
      throw HostError(
        .usage, "a recording belongs to one instance; make another for '\(instance.provider.name)'")
    }
  }

  /// Nanoseconds since the recording began.
  public var elapsedNanoseconds: UInt64 { monotonicNanoseconds() - start }

  /// What was touched so far, each granule once, in the order of the first touches. Walks the whole table.
  public var touches: [Touch] {
    var touches: [Touch] = []
    for granule in 0..<table.count {
      guard let moment = table.moment(granule) else { continue }
      touches.append(Touch(granule: granule, nanoseconds: moment - min(start, moment)))
    }
    touches.sort { ($0.nanoseconds, $0.granule) < ($1.nanoseconds, $1.granule) }
    return touches
  }
}
