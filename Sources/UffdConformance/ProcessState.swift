// SPDX-License-Identifier: Apache-2.0
// What this process holds: descriptors, threads, memory. Read from /proc/self and the C library; the leak
// and life checks compare two of these.
import CHookTrap
import Glibc

/// A reading of this process.
struct ProcessState: Equatable {
  var descriptors: Set<Int32>
  var threads: Int
  /// VmSize in KiB.
  var addressSpace: UInt64
  /// Bytes that malloc has handed out.
  var malloced: UInt64

  static func now() -> ProcessState {
    Fence.retired.empty()
    let malloced = hook_trap_malloced()
    return ProcessState(
      descriptors: openDescriptors(), threads: folder("/proc/self/task").count,
      addressSpace: statusNumber("VmSize:"), malloced: malloced)
  }

  /// Waits up to a second for threads that were told to end.
  static func settled(threads: Int) -> ProcessState {
    var state = now()
    for _ in 0..<100 where state.threads > threads {
      usleep(10_000)
      state = now()
    }
    return state
  }

  static func openDescriptors() -> Set<Int32> {
    // The listing's own descriptor is closed by the time that it is asked about.
    Set(folder("/proc/self/fd").compactMap { Int32($0) }.filter { fcntl($0, F_GETFD) >= 0 })
  }

  private static func folder(_ path: String) -> [String] {
    guard let handle = unsafe opendir(path) else { return [] }
    defer { unsafe closedir(handle) }
    var names: [String] = []
    while let entry = unsafe readdir(handle) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { tuple in
        unsafe String(cString: UnsafeRawPointer(tuple).assumingMemoryBound(to: CChar.self))
      }
      if !name.hasPrefix(".") { names.append(name) }
    }
    return names
  }

  /// A number of /proc/self/status.
  private static func statusNumber(_ key: String) -> UInt64 {
    let fd = unsafe open("/proc/self/status", O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { return 0 }
    defer { close(fd) }
    var buffer = [UInt8](repeating: 0, count: 8192)
    let count = unsafe read(fd, &buffer, buffer.count)
    let text = String(decoding: buffer[..<max(0, count)], as: UTF8.self)
    for line in text.split(separator: "\n") where line.hasPrefix(key) {
      return UInt64(line.dropFirst(key.count).filter(\.isNumber)) ?? 0
    }
    return 0
  }
}

/// splitmix64: the random numbers of a seed.
struct Random: RandomNumberGenerator {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
  mutating func below(_ limit: UInt64) -> UInt64 { limit == 0 ? 0 : next() % limit }
}
