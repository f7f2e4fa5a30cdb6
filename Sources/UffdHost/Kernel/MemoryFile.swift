// SPDX-License-Identifier: Apache-2.0
// The memfd behind a backing.
import CLinux
import Glibc

/// A shmem or hugetlb file of ours (memfd_create(2)), or one on tmpfs or hugetlbfs that a user named.
final class MemoryFile: Sendable {
  private let descriptor: Descriptor
  let kind: MemoryKind
  /// Size of its pages in bytes: 4096, or the huge page.
  let pageSize: UInt64

  private init(_ descriptor: Descriptor, _ kind: MemoryKind, _ pageSize: UInt64) {
    self.descriptor = descriptor
    self.kind = kind
    self.pageSize = pageSize
  }

  var fd: Int32 { descriptor.fd }

  /// Creates a memfd of `size` bytes, sealed against any change of its size.
  static func create(kind: MemoryKind, granule: UInt64, size: UInt64) throws(HostError)
    -> MemoryFile
  {
    var flags = UInt32(MFD_CLOEXEC) | UInt32(MFD_ALLOW_SEALING)
    var pageSize: UInt64 = 4096
    if kind == .hugetlb {
      // MFD_HUGE_*: the logarithm of the page size from bit 26.
      flags |= UInt32(MFD_HUGETLB) | UInt32(granule.trailingZeroBitCount) << 26
      pageSize = granule
    }
    let fd = unsafe clinux_memfd_create("uffdhost", flags)
    guard fd >= 0 else {
      throw HostError(
        .system,
        "a \(kind.rawValue) memfd cannot be created (\(Errno(-fd).name))"
          + (kind == .hugetlb
            ? "; is there a pool for this page size? See 'uffdhost doctor'" : ""))
    }
    let descriptor = Descriptor(owning: fd)
    guard size <= UInt64(Int64.max), ftruncate(fd, off_t(size)) == 0 else {
      throw HostError(
        .system, "a \(kind.rawValue) memfd of \(size) bytes cannot be made (\(Errno(errno).name))")
    }
    // Nobody, not even a client that is handed the descriptor, may pull pages from under a COPY.
    _ = clinux_add_seals(fd, CLINUX_SEAL_SHRINK | CLINUX_SEAL_GROW)
    return MemoryFile(descriptor, kind, pageSize)
  }

  /// Takes a memfd that a client handed over. It must be sealed against shrinking: pages that vanish under
  /// a COPY are an error there, but pages that vanish after it would read zero.
  static func adopt(_ descriptor: Descriptor) throws(HostError) -> (file: MemoryFile, size: UInt64)
  {
    let kind: MemoryKind
    let pageSize: UInt64
    switch clinux_filesystem_type(descriptor.fd) {
    case Int64(CLINUX_TMPFS_MAGIC): (kind, pageSize) = (.shmem, 4096)
    case Int64(CLINUX_HUGETLBFS_MAGIC):
      (kind, pageSize) = (.hugetlb, UInt64(clinux_filesystem_block_size(descriptor.fd)))
    default:
      throw HostError(
        .usage,
        "a descriptor that came along as a memfd is none: it is no shmem and no hugetlb file")
    }
    let seals = clinux_get_seals(descriptor.fd)
    guard seals >= 0, seals & CLINUX_SEAL_SHRINK != 0 else {
      throw HostError(
        .usage, "the memfd that came along is not sealed against shrinking; add F_SEAL_SHRINK")
    }
    guard let info = try? FileInfo(fd: descriptor.fd) else {
      throw HostError(.usage, "the memfd that came along cannot be examined")
    }
    return (MemoryFile(descriptor, kind, pageSize), info.size)
  }

  /// Which file it is: two descriptors of one file are equal.
  var identity: FileIdentity { FileIdentity(fd: fd) }

  /// It holds no page.
  var isEmpty: Bool { clinux_file_blocks(fd) == 0 }

  /// Opens a file that is itself the backing. Nil kind: it is on no memory file system.
  static func open(_ path: String) throws(HostError) -> (file: MemoryFile, size: UInt64) {
    let fd = unsafe Glibc.open(path, O_RDWR | O_CLOEXEC)
    guard fd >= 0 else {
      throw HostError(.usage, "the backing file '\(path)' cannot be opened (\(Errno(errno).name))")
    }
    let descriptor = Descriptor(owning: fd)
    guard let info = try? FileInfo(fd: fd), info.size > 0 else {
      throw HostError(.usage, "the backing file '\(path)' is empty or cannot be examined")
    }
    let size = info.size
    switch clinux_filesystem_type(fd) {
    case Int64(CLINUX_TMPFS_MAGIC):
      return (MemoryFile(descriptor, .shmem, 4096), size)
    case Int64(CLINUX_HUGETLBFS_MAGIC):
      return (
        MemoryFile(descriptor, .hugetlb, UInt64(clinux_filesystem_block_size(fd))), size
      )
    default:
      throw HostError(
        .usage,
        "the backing file '\(path)' is on neither tmpfs nor hugetlbfs, and userfaultfd serves no other; "
          + "copy it to /dev/shm")
    }
  }

  /// Frees the pages of a range (fallocate(2), FALLOC_FL_PUNCH_HOLE).
  func punch(_ offset: UInt64, length: UInt64) {
    _ = clinux_punch_hole(fd, offset, length)
  }
}

/// st_dev and st_ino of a file.
struct FileIdentity: Hashable, Sendable {
  let device: UInt64
  let inode: UInt64

  init(fd: Int32) {
    var device: UInt64 = 0
    var inode: UInt64 = 0
    unsafe _ = clinux_file_identity(fd, &device, &inode)
    self.device = device
    self.inode = inode
  }
}
