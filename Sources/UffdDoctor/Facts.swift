// SPDX-License-Identifier: Apache-2.0
// What the doctor knows about a machine. Filled by Facts.gather() from the system, or by a test by hand;
// Facts.checks() judges it and looks at nothing else.

/// The state of a machine, as far as uffdhost depends on it. Codes are 0 or an errno.
struct Facts: Sendable, Equatable {
  struct Device: Sendable, Equatable {
    /// Permission bits and owner, or nil where there is no such file.
    var mode: UInt32?
    var owner: UInt32 = 0
    var group: UInt32 = 0
    /// What open(2) for reading and writing answered.
    var openCode: Int32 = 0
  }

  struct HugePool: Sendable, Equatable {
    var pageBytes: UInt64
    var total: UInt64
    var free: UInt64
    var reserved: UInt64
    var surplus: UInt64
    /// How many surplus pages the kernel may take beyond the pool.
    var overcommit: UInt64
    /// What memfd_create(MFD_HUGETLB) of this size answered.
    var memfdCode: Int32 = 0

    /// Pages that a new backing can still have.
    var available: UInt64 {
      let unreserved = free > reserved ? free - reserved : 0
      return unreserved + (overcommit > surplus ? overcommit - surplus : 0)
    }
  }

  struct MemoryGroup: Sendable, Equatable {
    var path: String
    var limitBytes: UInt64
    var usedBytes: UInt64
  }

  var kernelRelease: String
  var machine: String
  var pageBytes: UInt64

  var device: Device
  /// The misc minor number of the driver in /proc/misc, whether or not a device file exists.
  var deviceMinor: Int?
  /// USERFAULTFD_IOC_NEW on the opened device.
  var deviceCode: Int32
  /// userfaultfd(2) in full mode, and in user-mode-only mode.
  var syscallCode: Int32
  var userOnlyCode: Int32
  /// vm.unprivileged_userfaultfd, or nil where the kernel has no such setting.
  var unprivilegedSetting: Int?
  var hasPtraceCapability: Bool
  /// 0 no filter, 1 strict, 2 filter.
  var seccompMode: Int
  var noNewPrivileges: Bool

  /// Features of UFFDIO_API, or nil where no userfaultfd could be opened.
  var features: UInt64?

  var pools: [HugePool]
  /// The chosen word of transparent_hugepage/shmem_enabled.
  var shmemHuge: String?

  var maximumMappings: UInt64?
  /// Soft limits; nil is unlimited.
  var openFiles: UInt64?
  var lockedBytes: UInt64?
  var addressSpaceBytes: UInt64?
  var memoryGroup: MemoryGroup?
  /// vm.overcommit_memory.
  var overcommitMode: Int?

  var kvm: Device
}
