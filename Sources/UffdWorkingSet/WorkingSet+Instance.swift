// SPDX-License-Identifier: Apache-2.0
// Between working sets and the core: what was recorded becomes a set,
// and a set becomes what is prefetched, if it belongs to the content at hand.
import Glibc
import Synchronization
public import UffdHost
import UffdReport

extension WorkingSet {
  /// What was recorded so far. The identity is best found out before the recording: it may take a provider
  /// some time.
  public init(_ recording: Recording, identity: ContentIdentity) {
    let instance = recording.instance
    let touches = recording.touches
    self.init(
      identity: identity, provider: instance.provider.name,
      granule: instance.granule, objectSize: instance.objectSize,
      recordedAt: UInt64(max(0, time(nil))),
      // Not before the last touch, which may be younger than the list.
      microseconds: recording.elapsedNanoseconds / 1000,
      entries: touches.map { Entry(pgoff: $0.granule, microseconds: $0.nanoseconds / 1000) })
  }

  /// Throws `.usage` unless the set belongs to the content of this instance, opened with `parameters`.
  /// `name` is the file's.
  public func check(
    _ instance: Instance, parameters: [Parameter], name: String
  ) throws(HostError) {
    func refused(_ why: String) -> HostError {
      HostError(.usage, "the working set \(name.quoted) \(why)")
    }
    guard granule == instance.granule else {
      throw refused(
        "was recorded in granules of \(Units.bytes(granule)), and the provider "
          + "'\(instance.provider.name)' serves granules of \(Units.bytes(instance.granule)): record another "
          + "with '--record'")
    }
    guard objectSize == instance.objectSize else {
      throw refused(
        "belongs to an object of \(objectSize) bytes, and this one has \(instance.objectSize): it is another "
          + "image, or the image has changed; record another with '--record'")
    }
    let found = try ContentIdentity(of: instance, parameters)
    if found == identity { return }
    switch (identity, found) {
    case (.described(let recorded, _), .described(let here, _)) where recorded == here:
      throw refused(
        "belongs to other bytes: samples of the content differ; record another with '--record'")
    case (.described, .described):
      throw refused(
        "was recorded with another configuration: provider, parameters, sizes and times of files must be the "
          + "same; record another with '--record'")
    default:
      throw refused(
        "belongs to other content: it is another image, or the image has changed since; record another with "
          + "'--record'")
    }
  }
}

extension ContentIdentity {
  /// The name that the provider gives the content of an instance, or else a description of it, for which some
  /// granules are read.
  ///
  /// Throws `.service` where the provider takes too long to show them.
  public init(of instance: Instance, _ parameters: [Parameter]) throws(HostError) {
    if let (high, low) = instance.contentIdentifier {
      self = .named(high: high, low: low)
      return
    }
    let kinds = instance.provider.parameters
    let traits = parameters.map { parameter in
      let isFile = kinds.contains { $0.key == parameter.key && $0.kind == .file }
      let file = isFile ? ContentIdentity.file(parameter.value) : nil
      return (key: parameter.key, trait: file ?? .text(parameter.value))
    }
    let samples = Samples(instance)
    try samples.take()
    self = .describing(
      provider: instance.provider.name, parameters: traits, samples: samples.bytes)
  }

  private static func file(_ path: String) -> Trait? {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { return nil }
    return .file(
      size: UInt64(max(0, status.st_size)),
      modifiedNanoseconds: UInt64(bitPattern: Int64(status.st_mtim.tv_sec)) &* 1_000_000_000
        &+ UInt64(status.st_mtim.tv_nsec))
  }
}

/// The beginnings of some granules, read on a thread of their own: nobody knows how long a provider takes.
private final class Samples: Sendable {
  private let instance: Instance
  private let read = Mutex<[[UInt8]]>([])
  private let isDone = Atomic<Bool>(false)
  private static let patience: UInt64 = 20_000_000_000

  init(_ instance: Instance) { self.instance = instance }

  var bytes: [[UInt8]] { read.withLock { $0 } }

  func take() throws(HostError) {
    // Content that may change from one reading to the next has none.
    if instance.provider.behaviours.contains("volatile") { return }
    let thread: KernelThread
    do {
      thread = try KernelThread("uffd-samples") { [self] in readAll() }
    } catch {
      throw HostError(.system, "a thread that samples content cannot be started (\(error.name))")
    }
    let limit = monotonicNanoseconds() + Self.patience
    while !isDone.load(ordering: .acquiring) {
      if monotonicNanoseconds() > limit {
        throw HostError(
          .service,
          "the provider '\(instance.provider.name)' did not show samples of its content within 20 seconds, by "
            + "which a working set knows whose it is; try without")
      }
      usleep(500)
    }
    thread.join()
  }

  /// Ends at the first that cannot be read, for each of those may take as long as a fault.
  private func readAll() {
    defer { isDone.store(true, ordering: .releasing) }
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: Int(instance.granule), alignment: 4096)
    defer { unsafe buffer.deallocate() }
    for place in ContentIdentity.samplePlaces(granules: instance.granuleCount) {
      guard unsafe (try? instance.readContent(firstGranule: place, into: buffer)) != nil else {
        return
      }
      let sample = unsafe Array(buffer.prefix(ContentIdentity.sampleLength))
      read.withLock { $0.append(sample) }
    }
  }
}

extension Region {
  /// Fills what of a set lies in the region.
  public func replay(_ set: WorkingSet) throws(HostError) -> Prefetch {
    try prefetch(set.runs(bridging: WorkingSet.bridging))
  }
}

extension Client {
  /// Fills what of a set lies in the client's regions.
  package func replay(_ set: WorkingSet) -> Prefetch {
    prefetch(set.runs(bridging: WorkingSet.bridging))
  }
}
