// SPDX-License-Identifier: Apache-2.0
// Reads the facts from the system. Needs no privilege and changes nothing: every descriptor it opens is
// closed again at once.

internal import CLinux
internal import Glibc

extension Facts {
  static func gather() -> Facts {
    let status = SmallFile.fields("/proc/self/status")
    let names = kernelNames()
    let device = gatherDevice("/dev/userfaultfd")
    let full = O_CLOEXEC | O_NONBLOCK
    let userOnly = full | CLINUX_UFFD_USER_MODE_ONLY
    var features: UInt64?
    let deviceCode = device.openCode == 0 ? tryDevice(full, &features) : device.openCode
    let syscallCode = trySyscall(full, &features)
    let userOnlyCode = trySyscall(userOnly, &features)
    // CAP_SYS_PTRACE is bit 19.
    let capabilities = status["CapEff"].flatMap { UInt64($0, radix: 16) } ?? 0
    return Facts(
      kernelRelease: names.release, machine: names.machine,
      pageBytes: UInt64(sysconf(Int32(_SC_PAGESIZE))),
      device: device, deviceMinor: miscMinor("userfaultfd"), deviceCode: deviceCode,
      syscallCode: syscallCode, userOnlyCode: userOnlyCode,
      unprivilegedSetting: SmallFile.number("/proc/sys/vm/unprivileged_userfaultfd").map {
        Int($0)
      },
      hasPtraceCapability: capabilities >> 19 & 1 == 1,
      seccompMode: status["Seccomp"].flatMap { Int($0) } ?? 0,
      noNewPrivileges: status["NoNewPrivs"] == "1",
      features: features, pools: gatherPools(), shmemHuge: gatherShmemHuge(),
      maximumMappings: SmallFile.number("/proc/sys/vm/max_map_count"),
      openFiles: softLimit(RLIMIT_NOFILE), lockedBytes: softLimit(__RLIMIT_MEMLOCK),
      addressSpaceBytes: softLimit(RLIMIT_AS), memoryGroup: gatherMemoryGroup(),
      overcommitMode: SmallFile.number("/proc/sys/vm/overcommit_memory").map { Int($0) },
      kvm: gatherDevice("/dev/kvm"))
  }
}

private func kernelNames() -> (release: String, machine: String) {
  var names = utsname()
  guard unsafe uname(&names) == 0 else { return ("unknown", "unknown") }
  func text<Tuple>(_ tuple: Tuple) -> String {
    unsafe withUnsafeBytes(of: tuple) { bytes in
      unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
  }
  return (text(names.release), text(names.machine))
}

private func gatherDevice(_ path: String) -> Facts.Device {
  var info = stat()
  guard unsafe stat(path, &info) == 0 else { return Facts.Device(mode: nil, openCode: errno) }
  var device = Facts.Device(mode: info.st_mode & 0o7777, owner: info.st_uid, group: info.st_gid)
  let fd = unsafe open(path, O_RDWR | O_CLOEXEC)
  device.openCode = fd < 0 ? errno : 0
  if fd >= 0 { close(fd) }
  return device
}

/// Asks the new descriptor, if it is one, for its features and closes it. Returns 0 or the errno.
private func finish(_ result: Int32, _ features: inout UInt64?) -> Int32 {
  guard result >= 0 else { return -result }
  defer { close(result) }
  var answer: UInt64 = 0
  var ioctls: UInt64 = 0
  if unsafe clinux_uffd_api(result, &answer, &ioctls) == 0 { features = answer }
  return 0
}

private func tryDevice(_ flags: Int32, _ features: inout UInt64?) -> Int32 {
  let device = unsafe open("/dev/userfaultfd", O_RDWR | O_CLOEXEC)
  guard device >= 0 else { return errno }
  defer { close(device) }
  return finish(clinux_uffd_from_device(device, flags), &features)
}

private func trySyscall(_ flags: Int32, _ features: inout UInt64?) -> Int32 {
  finish(clinux_uffd_from_syscall(flags), &features)
}

private func miscMinor(_ name: String) -> Int? {
  for line in SmallFile.lines("/proc/misc") {
    let words = line.split(separator: " ")
    if words.count == 2, words[1] == name { return Int(words[0]) }
  }
  return nil
}

private func softLimit(_ resource: __rlimit_resource) -> UInt64? {
  var limit = rlimit()
  guard unsafe getrlimit(__rlimit_resource_t(resource.rawValue), &limit) == 0 else { return nil }
  // RLIM_INFINITY is a cast that Swift does not import.
  return limit.rlim_cur == .max ? nil : UInt64(limit.rlim_cur)
}

/// "always [madvise] never" says madvise.
private func gatherShmemHuge() -> String? {
  guard let text = SmallFile.text("/sys/kernel/mm/transparent_hugepage/shmem_enabled"),
    let open = text.firstIndex(of: "["), let close = text[open...].firstIndex(of: "]")
  else { return nil }
  return String(text[text.index(after: open)..<close])
}

private func gatherPools() -> [Facts.HugePool] {
  let root = "/sys/kernel/mm/hugepages"
  var pools: [Facts.HugePool] = []
  // Names are hugepages-2048kB. The sizes any machine has are powers of two from 64 KiB to 16 GiB.
  for shift: UInt64 in 6...24 {
    let folder = "\(root)/hugepages-\(1 << shift)kB"
    guard let total = SmallFile.number("\(folder)/nr_hugepages") else { continue }
    func count(_ name: String) -> UInt64 { SmallFile.number("\(folder)/\(name)") ?? 0 }
    // The size goes into the flags as its logarithm (MFD_HUGE_SHIFT is 26).
    let flags = UInt32(MFD_CLOEXEC) | UInt32(MFD_HUGETLB) | UInt32(shift + 10) << 26
    let memfd = unsafe clinux_memfd_create("doctor", flags)
    if memfd >= 0 { close(memfd) }
    pools.append(
      Facts.HugePool(
        pageBytes: 1024 << shift, total: total, free: count("free_hugepages"),
        reserved: count("resv_hugepages"), surplus: count("surplus_hugepages"),
        overcommit: count("nr_overcommit_hugepages"), memfdCode: memfd < 0 ? -memfd : 0))
  }
  return pools
}

/// Our own memory group: the tightest limit on the way to the root, of version 2 or 1.
private func gatherMemoryGroup() -> Facts.MemoryGroup? {
  for line in SmallFile.lines("/proc/self/cgroup") {
    let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count == 3 else { continue }
    let isUnified = parts[0] == "0"
    guard isUnified || parts[1].split(separator: ",").contains("memory") else { continue }
    let roots =
      isUnified ? ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] : ["/sys/fs/cgroup/memory"]
    for root in roots {
      if let group = tightest(root, String(parts[2]), isUnified) { return group }
    }
  }
  return nil
}

private func tightest(_ root: String, _ path: String, _ isUnified: Bool) -> Facts.MemoryGroup? {
  var found: Facts.MemoryGroup?
  var path = path == "/" ? "" : path
  while true {
    let folder = root + path
    let limit = SmallFile.number("\(folder)/\(isUnified ? "memory.max" : "memory.limit_in_bytes")")
    let used = SmallFile.number(
      "\(folder)/\(isUnified ? "memory.current" : "memory.usage_in_bytes")")
    // Version 1 says "no limit" as the largest whole number of pages.
    if let limit, limit < 1 << 62, limit < found?.limitBytes ?? .max {
      found = Facts.MemoryGroup(path: path, limitBytes: limit, usedBytes: used ?? 0)
    }
    guard let slash = path.lastIndex(of: "/") else { return found }
    path = String(path[..<slash])
  }
}
