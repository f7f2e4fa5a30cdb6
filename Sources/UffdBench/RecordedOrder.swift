// SPDX-License-Identifier: Apache-2.0
// An order in which a program touched its pages, for all subjects to replay: whether it fits a case, and the file
// that children read it from.
import CBench
import Glibc
import UffdHost
import UffdReport

/// The first touches of a recorded program.
public struct RecordedOrder: Equatable, Sendable {
  /// Where it comes from, for sentences.
  public var name: String
  /// Bytes.
  public var granule: UInt64
  public var objectSize: UInt64
  /// Numbers of granules, each once.
  public var granules: [UInt64]

  public init(name: String, granule: UInt64, objectSize: UInt64, granules: [UInt64]) {
    (self.name, self.granule) = (name, granule)
    (self.objectSize, self.granules) = (objectSize, granules)
  }

  /// Of the memory that it was recorded in, in whole granules.
  var bytes: UInt64 { (objectSize - 1) / granule * granule + granule }

  /// Throws `.usage` unless it can be replayed in so many bytes of such pages.
  func check(page: UInt64, bytes: UInt64) throws(HostError) {
    func refused(_ why: String) -> HostError {
      HostError(.usage, "the working set \(name.quoted) \(why)")
    }
    guard granule == page else {
      throw refused(
        "was recorded in granules of \(Units.bytes(granule)), and here pages of \(Units.bytes(page)) are "
          + "touched; record another with '--record'")
    }
    guard let last = granules.max() else {
      throw refused("has no touches; record another with '--record'")
    }
    guard last < bytes / page else {
      throw refused(
        "has a touch of granule \(last), and \(bytes / page) granules (\(Units.bytes(bytes))) are measured; "
          + "a larger '--size' may help, if there is memory for it")
    }
  }

  /// A file without a name that children inherit.
  func file() throws(HostError) -> Int32 {
    let file = try Self.emptyFile()
    // CBench has 31 bits for a page.
    let numbers = granules.map { UInt32(truncatingIfNeeded: $0) }
    let length = numbers.count * MemoryLayout<UInt32>.size
    guard unsafe pwrite(file, numbers, length, 0) == length else {
      throw HostError(.system, "a recorded order cannot be written to memory; is there enough?")
    }
    return file
  }

  static func emptyFile() throws(HostError) -> Int32 {
    let file = cbench_make_image(nil, 0, 1)
    if file < 0 { throw BenchChild.failure() }
    return file
  }
}

extension Measurement {
  /// The order of our own program, as a file: it is run once, in a child.
  func record(page: UInt64, bytes: UInt64, seed: UInt64) throws(HostError) -> Int32 {
    var job = Job()
    job.work = .record
    job.recorded = try RecordedOrder.emptyFile()
    (job.page, job.bytes, job.seed) = (page, bytes, seed)
    let sample = try sample(job)
    guard sample.wrong == 0 else {
      throw HostError(
        .service, "the program whose touches are recorded found \(sample.wrong) wrong records")
    }
    return job.recorded
  }
}
