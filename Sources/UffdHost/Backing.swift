// SPDX-License-Identifier: Apache-2.0
import Synchronization

/// The memory that the regions of an instance share: a memfd of ours, or a file that came filled.
@safe final class Backing: @unchecked Sendable {
  let file: MemoryFile
  let size: UInt64
  let arrivesFilled: Bool
  let record: UnsafeMutablePointer<BackingRecord>
  /// Of a client's memfd: the reader that serves those who map it.
  let home: ReaderPort?
  private let publisherMapping: Mapping?
  private let states: Mapping
  private let crossed = Atomic(false)

  /// Creates an empty backing of `count` granules and the host's publisher mapping of it.
  init(
    kind: MemoryKind, granule: UInt64, count: UInt64, publisher: Userfaultfd
  ) throws(HostError) {
    size = granule * count
    arrivesFilled = false
    home = nil
    file = try MemoryFile.create(kind: kind, granule: granule, size: size)
    let mapping: Mapping
    do {
      mapping = try Mapping.window(fd: file.fd, offset: 0, length: size, shared: true)
    } catch {
      throw Backing.cannotMap(kind, granule, count, error)
    }
    do {
      try publisher.register(mapping.address, length: size, minor: false)
    } catch {
      throw HostError(
        .system, "the kernel refuses to watch a \(kind.rawValue) backing (\(error.name))")
    }
    publisherMapping = mapping
    unsafe (record, states) = unsafe try Backing.makeRecord(
      file, granule, count, base: mapping.address, publisher.calls)
  }

  /// Takes a client's memfd, of which `count` granules are served; its bytes are the object's. `states` is
  /// what is known of it.
  init(
    memfd: MemoryFile, count: UInt64, granule: UInt64, publisher: Userfaultfd, home: ReaderPort,
    _ states: Mapping
  ) throws(HostError) {
    file = memfd
    size = count * granule
    self.home = home
    arrivesFilled = false
    let mapping: Mapping
    do {
      mapping = try Mapping.foreignWindow(fd: memfd.fd, length: size)
      try publisher.register(mapping.address, length: size, minor: false)
    } catch {
      throw HostError(
        .usage,
        "the memfd that came along cannot be filled (\(error.name)); it must be open for writing, and not "
          + "sealed against it")
    }
    publisherMapping = mapping
    self.states = states
    unsafe record = unsafe Backing.makeRecord(
      memfd, granule, count, base: mapping.address, publisher.calls, states, isForeign: true)
  }

  /// Takes a file that is itself the backing.
  init(
    file: MemoryFile, size: UInt64, granule: UInt64, count: UInt64, publisher: Userfaultfd
  ) throws(HostError) {
    self.file = file
    self.size = size
    home = nil
    arrivesFilled = true
    publisherMapping = nil
    unsafe (record, states) = unsafe try Backing.makeRecord(
      file, granule, count, base: 0, publisher.calls)
  }

  private static func makeRecord(
    _ file: MemoryFile, _ granule: UInt64, _ count: UInt64, base: UInt64, _ publisher: UffdCalls
  ) throws(HostError) -> (UnsafeMutablePointer<BackingRecord>, Mapping) {
    let states: Mapping
    do {
      states = try Mapping.table(PageStates.bytes(for: count))
    } catch {
      throw HostError(
        .system, "the page states of \(count) granules do not fit into memory (\(error.name))")
    }
    let record = unsafe makeRecord(file, granule, count, base: base, publisher, states)
    return unsafe (record, states)
  }

  private static func makeRecord(
    _ file: MemoryFile, _ granule: UInt64, _ count: UInt64, base: UInt64, _ publisher: UffdCalls,
    _ states: Mapping, isForeign: Bool = false
  ) -> UnsafeMutablePointer<BackingRecord> {
    let record = UnsafeMutablePointer<BackingRecord>.allocate(capacity: 1)
    unsafe record.initialize(
      to: BackingRecord(
        states: PageStates(states.base, count: count), publisherBase: base, publisher: publisher,
        file: Unmanaged.passUnretained(file), granule: granule, isHugetlb: file.kind == .hugetlb,
        isForeign: isForeign, pageSize: file.pageSize))
    return unsafe record
  }

  deinit { unsafe record.deallocate() }

  /// Clients of several readers map it: they need the exclusion, as threads of one reader do not.
  var isCrossed: Bool { crossed.load(ordering: .acquiring) }
  /// Says so, once and for all.
  func cross() { crossed.store(true, ordering: .releasing) }

  /// The sentence for a backing that cannot be mapped; on hugetlb it is nearly always the pool.
  static func cannotMap(
    _ kind: MemoryKind, _ granule: UInt64, _ count: UInt64, _ error: Errno
  ) -> HostError {
    if kind == .hugetlb, error == .ENOMEM {
      return HostError(
        .system,
        "\(count) huge pages of \(granule >> 20) MiB cannot be reserved: the pool has too few free ones; "
          + "raise it: echo N > /sys/kernel/mm/hugepages/hugepages-\(granule >> 10)kB/nr_hugepages")
    }
    return HostError(
      .system,
      "\(granule * count) bytes of \(kind.rawValue) memory cannot be mapped (\(error.name)); map a "
        + "smaller part or free memory")
  }
}
