// SPDX-License-Identifier: Apache-2.0
// A provider behind the host of this package: regions on the real userfaultfd, and a second instance that is
// asked directly what they should hold.
import UffdHost

/// Used by the thread of the check; `verify` by any.
final class KernelBench: @unchecked Sendable {
  let host: Host
  let instance: Instance
  private let oracle: Instance
  private let isVolatile: Bool
  private let lock = Lock()
  private var known: [UInt64: Bytes] = [:]

  init(_ context: Context, _ parameters: [Parameter]) throws {
    var options = Host.Options()
    options.faultDeadlineNanoseconds = 8_000_000_000
    host = try Host(options)
    instance = try host.open(context.library.provider, parameters: parameters)
    oracle = try host.open(context.library.provider, parameters: parameters)
    isVolatile = context.library.isVolatile
  }

  func close() throws {
    if let violation = instance.contractViolation {
      throw Failure("the host found that \(violation)")
    }
    let statistics = host.statistics
    if statistics.givenUp > 0 { throw Failure("\(statistics.givenUp) faults were given up") }
    try instance.close()
    try oracle.close()
  }

  func requireBacking() throws {
    if !instance.hasBacking { throw NotApplicable("the instance has no backing to publish into") }
  }

  /// The granules that are touched.
  var windows: [Range<UInt64>] {
    let count = instance.granuleCount
    let most = max(2, (1 << 20) / instance.granule)
    return count <= 2 * most ? [0..<count] : [0..<most, (count - most)..<count]
  }

  /// Maps the object for `body`.
  func map(_ options: Region.Options = Region.Options(), _ body: (Region) throws -> Void) throws {
    let region: Region
    do { region = try instance.map(options) } catch  where error.kind == .usage {
      throw NotApplicable(error.message)
    }
    defer { region.detach() }
    try body(region)
  }

  func expected(_ pgoff: UInt64) throws -> Bytes {
    try lock.held {
      if let bytes = known[pgoff] { return bytes }
      let buffer = UnsafeMutableRawBufferPointer.allocate(
        byteCount: Int(instance.granule), alignment: 4096)
      defer { unsafe buffer.deallocate() }
      unsafe try oracle.readContent(firstGranule: pgoff, into: buffer)
      let bytes = unsafe Bytes(buffer.baseAddress!, buffer.count)
      known[pgoff] = bytes
      return bytes
    }
  }

  /// Touches and compares all granules of the windows.
  func verify(_ region: Region, shuffledBy seed: UInt64? = nil) throws {
    var order = windows.flatMap { Array($0) }
    if let seed {
      var random = Random(seed)
      order.shuffle(using: &random)
    }
    for pgoff in order {
      if isVolatile {
        try touch(region, pgoff)
      } else {
        try compare(region, pgoff, try expected(pgoff), "in served memory")
      }
    }
  }

  private func touch(_ region: Region, _ pgoff: UInt64) throws {
    let place = Int(pgoff * region.granule)
    let signal = unsafe GuardedAccess.touch(region.memory.baseAddress! + place)
    if signal != 0 { throw Failure("pgoff \(pgoff) raised signal \(signal) in served memory") }
  }

  func compare(_ region: Region, _ pgoff: UInt64, _ bytes: Bytes, _ how: String) throws {
    let place = Int(pgoff * region.granule)
    let result = unsafe bytes.storage.withUnsafeBytes { expected in
      unsafe GuardedAccess.compare(
        region.memory.baseAddress! + place, expected.baseAddress!, length: bytes.count)
    }
    switch result {
    case .equal: return
    case .differs(let offset): throw Failure("byte \(offset) of pgoff \(pgoff) is wrong \(how)")
    case .signal(let number):
      let name = number == 7 ? "SIGBUS: the page could not be provided" : "signal \(number)"
      throw Failure("pgoff \(pgoff) raised \(name) \(how)")
    }
  }
}
