// SPDX-License-Identifier: Apache-2.0
// Judges features, huge pages and limits. Pure; called by Doctor.evaluate.

internal import Glibc

extension Facts {
  func featureChecks() -> [Check] {
    Feature.all.map { feature in
      let id = "feature.\(feature.name.lowercased())"
      guard let features else {
        return Check(
          id, feature.name, .notApplicable, "no userfaultfd can be opened to ask for it")
      }
      if features & feature.bit != 0 {
        return Check(id, feature.name, .ok, "present (since Linux \(feature.since))")
      }
      return Check(
        id, feature.name, .missing,
        "came with Linux \(feature.since); without it \(feature.loss)",
        remedy: "boot Linux \(feature.since) or later")
    }
  }

  // MARK: Memory

  func memoryChecks() -> [Check] {
    var checks = pools.map(poolCheck)
    if checks.isEmpty {
      checks.append(
        Check(
          "hugepages", "huge pages", .missing,
          "the kernel has no huge page pools, so providers of huge pages cannot be served",
          remedy: "boot a kernel with CONFIG_HUGETLBFS=y"))
    }
    return checks + [shmemHugeCheck(), overcommitCheck()]
  }

  private func poolCheck(_ pool: HugePool) -> Check {
    let size = byteText(pool.pageBytes)
    let id = "hugepages.\(size.filter { $0 != " " })"
    // A pool worth having is 128 MiB, and at least one page.
    let wanted = pool.total + max(1, (128 << 20) / pool.pageBytes)
    let remedy =
      "echo \(wanted) | sudo tee "
      + "/sys/kernel/mm/hugepages/hugepages-\(pool.pageBytes >> 10)kB/nr_hugepages"
    if pool.memfdCode != 0 {
      return Check(
        id, "\(size) pages", pool.memfdCode == EPERM ? .blocked : .missing,
        "memfd_create with pages of \(size) fails: \(errnoName(pool.memfdCode))")
    }
    if pool.total == 0, pool.overcommit == 0 {
      return Check(
        id, "\(size) pages", .missing,
        "the pool is empty, so memory of this granule cannot be served", remedy: remedy)
    }
    let counts =
      "\(pool.total) in the pool, \(pool.free) free, \(pool.reserved) reserved, "
      + "\(pool.surplus) surplus of \(pool.overcommit) allowed"
    if pool.available == 0 {
      return Check(
        id, "\(size) pages", .warning, "none is left for a new backing (\(counts))", remedy: remedy)
    }
    return Check(id, "\(size) pages", .ok, counts)
  }

  private func shmemHugeCheck() -> Check {
    let title = "huge shared memory"
    guard let shmemHuge else {
      return Check(
        "memory.shmem-huge", title, .notApplicable, "the kernel has no transparent huge pages")
    }
    let isEager = shmemHuge == "always" || shmemHuge == "force"
    return Check(
      "memory.shmem-huge", title, .ok,
      isEager
        ? "shmem_enabled is \(shmemHuge): a client's store may take 2 MiB of a memfd at once, "
          + "uffdhost itself fills page by page"
        : "shmem_enabled is \(shmemHuge): a memfd grows page by page unless its user asks otherwise"
    )
  }

  private func overcommitCheck() -> Check {
    let title = "overcommit"
    guard let overcommitMode else {
      return Check(
        "memory.overcommit", title, .notApplicable, "vm.overcommit_memory cannot be read")
    }
    if overcommitMode != 2 {
      return Check(
        "memory.overcommit", title, .ok,
        "vm.overcommit_memory is \(overcommitMode): regions larger than memory can be mapped")
    }
    return Check(
      "memory.overcommit", title, .warning,
      "vm.overcommit_memory is 2: whole private regions count at once, so that large ones are "
        + "refused with ENOMEM",
      remedy: "sudo sysctl -w vm.overcommit_memory=0")
  }

  // MARK: Limits

  func limitChecks() -> [Check] {
    var checks: [Check] = []
    if let maximumMappings {
      let isLow = maximumMappings < 65530
      checks.append(
        Check(
          "limit.mappings", "mappings", isLow ? .warning : .ok,
          "vm.max_map_count is \(maximumMappings); a region costs one mapping, and more where its "
            + "client splits it",
          remedy: isLow ? "sudo sysctl -w vm.max_map_count=262144" : nil))
    }
    let fewFiles = openFiles.map { $0 < 1024 } ?? false
    checks.append(
      Check(
        "limit.open-files", "open files", fewFiles ? .warning : .ok,
        "RLIMIT_NOFILE is \(openFiles.map { "\($0)" } ?? "unlimited"); "
          + "each client costs several descriptors",
        remedy: fewFiles ? "ulimit -n 4096" : nil))
    checks.append(
      Check(
        "limit.locked-memory", "locked memory", .ok,
        "RLIMIT_MEMLOCK is \(byteText(lockedBytes)); neither backings nor huge pages count"))
    checks.append(
      Check(
        "limit.address-space", "address space", addressSpaceBytes == nil ? .ok : .warning,
        "RLIMIT_AS is \(byteText(addressSpaceBytes))"
          + (addressSpaceBytes == nil ? "" : "; the host maps every backing a second time"),
        remedy: addressSpaceBytes == nil ? nil : "ulimit -v unlimited"))
    checks.append(memoryGroupCheck())
    return checks
  }

  private func memoryGroupCheck() -> Check {
    let title = "memory group"
    guard let memoryGroup else {
      return Check("limit.memory-group", title, .ok, "no memory cgroup limits this process")
    }
    let left = memoryGroup.limitBytes - min(memoryGroup.limitBytes, memoryGroup.usedBytes)
    let isTight = left < 256 << 20
    return Check(
      "limit.memory-group", title, isTight ? .warning : .ok,
      "cgroup \(memoryGroup.path) allows \(byteText(memoryGroup.limitBytes)), "
        + "\(byteText(left)) left; backings that uffdhost fills count against it",
      remedy: isTight ? "raise memory.max of cgroup \(memoryGroup.path)" : nil)
  }

  func kvmCheck() -> Check {
    let title = "/dev/kvm"
    if kvm.mode == nil {
      return Check("kvm", title, .notApplicable, "is not there, and only KVM guests need it")
    }
    if kvm.openCode == 0 { return Check("kvm", title, .ok, "can be opened") }
    return Check(
      "kvm", title, .blocked,
      "cannot be opened: \(errnoName(kvm.openCode)); only KVM guests need it",
      remedy: "sudo setfacl -m u:$USER:rw /dev/kvm")
  }
}

/// "2 MiB": the largest unit that leaves at least 1, rounded down; nil is "unlimited".
func byteText(_ bytes: UInt64?) -> String {
  guard let bytes else { return "unlimited" }
  let units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
  var unit = 0
  var value = bytes
  while value >= 1024, unit < units.count - 1 {
    value >>= 10
    unit += 1
  }
  return "\(value) \(units[unit])"
}
