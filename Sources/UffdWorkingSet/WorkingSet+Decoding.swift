// SPDX-License-Identifier: Apache-2.0
// The bytes of a file as a working set, or what is wrong with them. The
// file may come from anywhere: nothing in it is believed before it was checked, and there is one way only
// to write each set.

extension WorkingSet {
  /// Why bytes are no working set.
  public enum Flaw: Error, Sendable, Equatable {
    case noWorkingSet
    case version(UInt32)
    case truncated
    /// There are bytes behind its end.
    case tooLong
    case checksum
    /// It is whole, and says something that cannot be.
    case inconsistent(String)

    /// A clause that follows on "the file ...".
    public var clause: String {
      switch self {
      case .noWorkingSet: "is no working set"
      case .version(let version):
        "has version \(version) of the format, and this program knows version \(Format.version)"
      case .truncated: "ends in the middle: it was cut off"
      case .tooLong: "goes on behind its end"
      case .checksum: "is damaged: its checksum is wrong"
      case .inconsistent(let what): "contradicts itself: \(what)"
      }
    }
  }

  /// Reads a whole file.
  public init(decoding bytes: [UInt8]) throws(Flaw) {
    let magic = bytes.prefix(Format.magic.count)
    guard Format.magic.starts(with: magic), !magic.isEmpty else { throw .noWorkingSet }
    var source = Source(bytes[magic.count...])
    guard magic.count == Format.magic.count else { throw .truncated }
    let version = UInt32(truncatingIfNeeded: try source.number(bytes: 4))
    guard version == Format.version else { throw .version(version) }
    guard bytes.count >= Format.headerLength else { throw .truncated }
    let headerLength = try source.number(bytes: 4)
    guard headerLength == Format.headerLength else {
      throw .inconsistent("a header of version 1 has \(Format.headerLength) bytes")
    }
    granule = try source.number(bytes: 8)
    objectSize = try source.number(bytes: 8)
    let kind = try source.number(bytes: 4)
    let nameLength = try source.number(bytes: 4)
    let (first, second) = (try source.number(bytes: 8), try source.number(bytes: 8))
    recordedAt = try source.number(bytes: 8)
    microseconds = try source.number(bytes: 8)
    let count = try source.number(bytes: 8)
    let listLength = try source.number(bytes: 8)
    let room = UInt64(source.left)
    guard nameLength <= room, listLength <= room - nameLength,
      room - nameLength - listLength >= Format.checksumLength
    else { throw .truncated }
    guard room - nameLength - listLength == Format.checksumLength else { throw .tooLong }
    // Before anything is made of it.
    var end = Source(bytes[(bytes.count - Format.checksumLength)...])
    guard CRC32.of(bytes.dropLast(Format.checksumLength)) == UInt32(try end.number(bytes: 4)) else {
      throw .checksum
    }
    guard nameLength <= Format.longestName,
      let name = String(validating: source.take(Int(nameLength)), as: UTF8.self)
    else { throw .inconsistent("its provider has no name that could be read") }
    provider = name
    switch kind {
    case 1: identity = .named(high: first, low: second)
    case 2: identity = .described(configuration: first, content: second)
    default: throw .inconsistent("it identifies its content in an unknown way")
    }
    guard granule >= 4096, granule.nonzeroBitCount == 1, granule <= 1 << 40 else {
      throw .inconsistent("no granule has \(granule) bytes")
    }
    guard objectSize > 0, objectSize <= Format.largestObject else {
      throw .inconsistent("no object has \(objectSize) bytes")
    }
    entries = []
    try readEntries(source.take(Int(listLength)), count)
  }

  private mutating func readEntries(
    _ bytes: ArraySlice<UInt8>, _ count: UInt64
  ) throws(Flaw) {
    // Each takes two bytes at least.
    guard count <= granules, count <= UInt64(bytes.count) / 2 else {
      throw .inconsistent("it has room for fewer touches than it counts")
    }
    entries.reserveCapacity(Int(count))
    var source = Source(bytes)
    var pgoff: UInt64 = 0
    var time: UInt64 = 0
    for _ in 0..<count {
      let code = try source.variable()
      let step = Int64(bitPattern: code >> 1) ^ -Int64(bitPattern: code & 1)
      pgoff = pgoff &+ UInt64(bitPattern: step)
      guard pgoff < granules else { throw .inconsistent("a touch is outside the object") }
      let (later, overflow) = time.addingReportingOverflow(try source.variable())
      guard !overflow, later <= microseconds else {
        throw .inconsistent("a touch is later than the end of the recording")
      }
      time = later
      entries.append(Entry(pgoff: pgoff, microseconds: time))
    }
    guard source.left == 0 else { throw .inconsistent("it has more touches than it counts") }
    let sorted = entries.map(\.pgoff).sorted()
    guard zip(sorted, sorted.dropFirst()).allSatisfy({ $0 < $1 }) else {
      throw .inconsistent("a granule is touched for the first time twice")
    }
  }
}

/// Bytes that are read from front to back.
private struct Source {
  private var bytes: ArraySlice<UInt8>

  init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

  var left: Int { bytes.count }

  mutating func take(_ count: Int) -> ArraySlice<UInt8> {
    defer { bytes = bytes.dropFirst(count) }
    return bytes.prefix(count)
  }

  mutating func number(bytes count: Int) throws(WorkingSet.Flaw) -> UInt64 {
    guard bytes.count >= count else { throw .truncated }
    return take(count).reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// LEB128, in its shortest form.
  mutating func variable() throws(WorkingSet.Flaw) -> UInt64 {
    var number: UInt64 = 0
    for position in 0..<10 as Range<UInt64> {
      guard let byte = bytes.popFirst() else {
        throw .inconsistent("it has room for fewer touches than it counts")
      }
      let part = UInt64(byte & 0x7f)
      let isLast = byte & 0x80 == 0
      // The tenth byte has one bit of 64; a last byte of nothing could have been left out.
      if position == 9 && part > 1 || isLast && part == 0 && position > 0 { break }
      number |= part << (position * 7)
      if isLast { return number }
    }
    throw .inconsistent("a number is not written as it should be")
  }
}
