// SPDX-License-Identifier: Apache-2.0
// Touching served memory, and looking at what the process has. Only in the body of an exit test: whatever is
// wrong with the host, the touching thread sleeps in the kernel.

import CLinux
import FaultInjection
import Glibc
import Testing
import UffdPluginABI

@testable import UffdHost

extension Region {
  var start: UnsafeMutableRawPointer { unsafe memory.baseAddress! }
  var length: UInt64 { unsafe UInt64(memory.count) }

  func address(of granuleIndex: UInt64) -> UnsafeMutableRawPointer {
    unsafe start + Int(granuleIndex * granule)
  }

  /// Where the region first differs from the test provider's content; -1: nowhere.
  func difference(firstGranule: UInt64 = 0, seed: UInt64 = 1) -> Int64 {
    unsafe client_first_difference(start, firstGranule * granule, length, seed)
  }
  /// The same for one granule of a region that shows the object from its start.
  func holdsContent(_ index: UInt64, seed: UInt64 = 1) -> Bool {
    unsafe client_first_difference(address(of: index), index * granule, granule, seed) == -1
  }
  func isZero(_ index: UInt64) -> Bool {
    unsafe client_first_nonzero(address(of: index), granule) == -1
  }
  func load(_ index: UInt64) -> UInt64 { unsafe address(of: index).load(as: UInt64.self) }
  func store(_ index: UInt64, _ value: UInt64) {
    unsafe address(of: index).storeBytes(of: value, as: UInt64.self)
  }
  /// The signal that a load raises, or 0.
  func signal(_ index: UInt64, write: Bool = false) -> Int32 {
    unsafe GuardedAccess.touch(UnsafeRawPointer(address(of: index)), write: write)
  }
  /// madvise(2) on some granules: 0 or a negative errno.
  func advise(_ index: UInt64, _ count: UInt64 = 1, _ advice: Int32) -> Int32 {
    unsafe clinux_madvise(address(of: index), count * granule, advice)
  }
}

/// The word that the content begins with at a granule.
func contentWord(_ index: UInt64, granule: UInt64 = 4096, seed: UInt64 = 1) -> UInt64 {
  test_content_word(seed, index * granule)
}

/// A client thread that does one thing.
func inBackground(_ body: @escaping @Sendable () -> Void) throws -> KernelThread {
  try KernelThread("test-client", body)
}

/// Waits until `condition` holds; false after `seconds`.
func eventually(seconds: Double = 5, _ condition: () -> Bool) -> Bool {
  let limit = monotonicNanoseconds() + UInt64(seconds * 1e9)
  while !condition() {
    if monotonicNanoseconds() > limit { return false }
    sleepBriefly()
  }
  return true
}

/// Nanoseconds of CPU that this process has used.
func cpuNanoseconds() -> UInt64 {
  var time = timespec()
  unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// What the process has open.
struct Belongings: Equatable, CustomStringConvertible {
  var mappings: Int
  var descriptors: Int
  var threads: Int

  init() {
    mappings = Self.text("/proc/self/maps").split(separator: "\n").count
    descriptors = Self.entries("/proc/self/fd")
    threads = Self.entries("/proc/self/task")
  }
  var description: String {
    "\(mappings) mappings, \(descriptors) descriptors, \(threads) threads"
  }

  static func text(_ path: String) -> String {
    let fd = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { return "" }
    defer { close(fd) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = unsafe read(fd, &chunk, chunk.count)
      if count <= 0 { return String(decoding: bytes, as: UTF8.self) }
      bytes += chunk[..<count]
    }
  }

  private static func entries(_ path: String) -> Int {
    guard let folder = unsafe opendir(path) else { return -1 }
    defer { unsafe closedir(folder) }
    var count = 0
    while unsafe readdir(folder) != nil { count += 1 }
    return count
  }
}

/// The VmFlags of the mapping that begins at `address` (proc_pid_smaps(5)): `um` and `ui` mean that a uffd
/// watches it.
func vmFlags(of address: UnsafeRawPointer) -> [String] {
  let start = String(UInt(bitPattern: address), radix: 16)
  var isOurs = false
  for line in Belongings.text("/proc/self/smaps").split(separator: "\n") {
    if let dash = line.firstIndex(of: "-"), line[..<dash].allSatisfy(\.isHexDigit) {
      isOurs = line[..<dash] == start
    } else if isOurs, line.hasPrefix("VmFlags:") {
      return line.split(separator: " ").dropFirst().map(String.init)
    }
  }
  return []
}

/// What this machine lets the tests do.
enum Machine {
  static let hasUserfaultfd = (try? Userfaultfd(wanted: [])) != nil
  static let hasPoison = (try? Userfaultfd(wanted: []))?.offered.contains(.poison) == true
  static let isRoot = geteuid() == 0
  /// Whether this is a release build.
  static var isOptimised: Bool {
    #if DEBUG
      false
    #else
      true
    #endif
  }

  /// Free huge pages of 2 MiB that nobody has reserved.
  static var freeHugePages: Int {
    func number(_ name: String) -> Int {
      let text = Belongings.text("/sys/kernel/mm/hugepages/hugepages-2048kB/" + name)
      return Int(text.split(separator: "\n").first ?? "0") ?? 0
    }
    return number("free_hugepages") - number("resv_hugepages")
  }

  /// Skip a test, or one case of it, in words.
  static func needHugePages() throws {
    if freeHugePages < 24 { try Test.cancel("fewer than 24 huge pages of 2 MiB are free") }
  }
  static func needPoison() throws {
    if !hasPoison { try Test.cancel("this kernel cannot poison a page (Linux 6.6)") }
  }
}

// So that an exit test can capture them.
extension MemoryKind: Codable {}
extension Sharing: Codable {}
