// SPDX-License-Identifier: Apache-2.0
// Providers without fault-path code: a file is the content, or is itself the backing.

import CLinux
import FaultInjection
import Glibc
import Testing

@testable import UffdHost

@Suite(
  "Declared files",
  .enabled(if: Machine.hasUserfaultfd, "no userfaultfd can be opened"),
  .enabled(if: Compiler.isThere, "there is no cc to compile the tests' provider"))
struct DeclaredTests {
  /// A file with the test content in all granules but those of `holes`; removed by the caller.
  private static func makeFile(
    _ folder: String, bytes: Int, granule: Int = 4096, holes: Set<Int> = []
  ) throws -> String {
    var template = Array("\(folder)/uffdhost-test-XXXXXX".utf8CString)
    let fd = unsafe mkstemp(&template)
    guard fd >= 0, ftruncate(fd, bytes) == 0 else { throw Trouble("no file in \(folder)") }
    defer { close(fd) }
    let room = try Mapping.scratch(UInt64(granule))
    for index in 0..<(bytes + granule - 1) / granule where !holes.contains(index) {
      unsafe test_content_fill(room.base, UInt64(index * granule), UInt64(granule), 1)
      let length = min(granule, bytes - index * granule)
      guard unsafe pwrite(fd, room.base, length, off_t(index * granule)) == length else {
        throw Trouble("no room in \(folder)")
      }
    }
    return String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  @Test(
    "a file as content, with and without hooks; what is beyond its end",
    arguments: ["refuse", "zero"])
  func content(_ hole: String) async {
    await #expect(processExitsWith: .success) { [hole] in
      GuardedAccess.install()
      let path = try Self.makeFile("/tmp", bytes: 20 * 4096 + 1000)
      defer { unsafe unlink(path) }
      for table in [TestTable.declarativeOnly, .declarative] {
        let scene = try Scene(table)
        for kind in [MemoryKind.anon, .shmem] {
          let instance = try scene.open(
            kind, granules: 24, ("file", path), ("hole", hole))
          let region = try instance.map()
          for index in 0..<20 as Range<UInt64> { #expect(region.holdsContent(index)) }
          // The file ends inside this granule: zeroes from there on.
          let last = unsafe region.address(of: 20)
          #expect(unsafe client_first_difference(last, 20 * 4096, 1000, 1) == -1)
          #expect(unsafe client_first_nonzero(last + 1000, 3096) == -1)
          #expect(region.signal(22) == (hole == "zero" ? 0 : SIGBUS))
          if hole == "zero" { #expect(region.isZero(22)) }
          let other = try instance.map(.with { $0.granules = 20 })
          try other.drain()
          #expect(other.difference() == -1)
        }
        #expect(scene.state[\.allocs] == 0, "alloc_folio was called though a file is the content")
      }
    }
  }

  @Test(
    "a file on tmpfs as the backing: minor faults, holes, sharing and private writes",
    arguments: ["refuse", "zero"])
  func backing(_ hole: String) async {
    await #expect(processExitsWith: .success) { [hole] in
      GuardedAccess.install()
      let path = try Self.makeFile("/dev/shm", bytes: 16 * 4096, holes: [4, 5])
      defer { unsafe unlink(path) }
      let scene = try Scene(.declarativeOnly)
      let instance = try scene.open(
        .shmem, granules: 16, ("backing-file", path), ("hole", hole))
      for sharing in [Sharing.private, .shared] {
        let region = try instance.map(.with { $0.sharing = sharing })
        for index in 0..<16 as Range<UInt64> where index != 4 && index != 5 {
          #expect(region.holdsContent(index), "\(sharing) \(index)")
        }
        #expect(region.signal(4) == (hole == "zero" ? 0 : SIGBUS), "\(sharing)")
        if hole == "zero" { #expect(region.isZero(4), "\(sharing)") }
        // A private page that is given back is zero; a shared one is still in the file.
        #expect(region.advise(7, 1, MADV_DONTNEED) == 0)
        #expect(sharing == .shared ? region.holdsContent(7) : region.isZero(7))
        region.store(9, 99)
        let other = try instance.map()
        #expect(other.load(9) == (sharing == .shared ? 99 : contentWord(9)))
      }
      #expect(scene.host.statistics.faults.minor > 0)
      #expect(scene.host.statistics.installed.copied == 0)
    }
  }

  @Test("a region of such a backing drains to what the file holds", arguments: ["refuse", "zero"])
  func drained(_ hole: String) async {
    await #expect(processExitsWith: .success) { [hole] in
      GuardedAccess.install()
      let path = try Self.makeFile("/dev/shm", bytes: 64 * 4096, holes: [4, 5, 40])
      defer { unsafe unlink(path) }
      let scene = try Scene(.declarativeOnly)
      let instance = try scene.open(
        .shmem, granules: 64, ("backing-file", path), ("hole", hole))
      for sharing in [Sharing.private, .shared] {
        let region = try instance.map(.with { $0.sharing = sharing })
        #expect(region.load(60) == contentWord(60))
        let isDrained = (try? region.drain()) != nil
        #expect(isDrained == (hole == "zero"), "\(sharing)")
        for index in 0..<64 as Range<UInt64> {
          let isHole = [4, 5, 40].contains(index)
          let signal = region.signal(index)
          #expect(signal == (isHole && hole == "refuse" ? SIGBUS : 0), "\(sharing) \(index)")
          if signal == 0 {
            #expect(
              isHole ? region.isZero(index) : region.holdsContent(index), "\(sharing) \(index)")
          }
        }
      }
    }
  }

  @Test("files that cannot serve are refused with a sentence")
  func refused() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene(.declarativeOnly)
      let small = try Self.makeFile("/dev/shm", bytes: 4 * 4096)
      let disk = try Self.makeFile("/tmp", bytes: 4 * 4096)
      defer {
        unsafe unlink(small)
        unsafe unlink(disk)
      }
      func complaint(_ key: String, _ value: String, _ kind: MemoryKind = .shmem) -> String {
        do {
          _ = try scene.open(kind, granules: 8, (key, value))
          return "none"
        } catch { return "\(error)" }
      }
      #expect(complaint("backing-file", small).contains("does not hold 32768 bytes"))
      #expect(complaint("backing-file", "/no/such").contains("cannot be opened (ENOENT)"))
      #expect(complaint("file", "/no/such").contains("cannot be opened (ENOENT)"))
      #expect(complaint("file", "/tmp").contains("is not a file with content"))
      #expect(complaint("file", "/dev/null").contains("is not a file with content"))
      let fd = unsafe open(disk, O_RDONLY)
      defer { close(fd) }
      if clinux_filesystem_type(fd) != Int64(CLINUX_TMPFS_MAGIC) {
        #expect(complaint("backing-file", disk).contains("neither tmpfs nor hugetlbfs"))
      }
    }
  }

  @Test("hugetlbfs that runs out of pages while it is served: a poisoned page, never a loop")
  func exhausted() async throws {
    try Machine.needHugePages()
    try Machine.needPoison()
    if !Machine.isRoot { try Test.cancel("only root may mount a hugetlbfs") }
    await #expect(processExitsWith: .success) {
      GuardedAccess.install()
      let folder = "/tmp/uffdhost-test-huge-\(getpid())"
      unsafe mkdir(folder, 0o700)
      defer { unsafe rmdir(folder) }
      guard Compiler.run("mount -t hugetlbfs -o size=4M,pagesize=2M none '\(folder)'") == 0 else {
        return
      }
      defer { _ = Compiler.run("umount -l '\(folder)'") }
      // Mapping the file reserves the whole mount. A page that is punched loses its reservation, and a thief
      // takes the page.
      let fd = unsafe open(folder + "/backing", O_RDWR | O_CREAT, 0o600)
      let thief = unsafe open(folder + "/thief", O_RDWR | O_CREAT, 0o600)
      #expect(ftruncate(fd, 2 << 21) == 0 && ftruncate(thief, 2 << 21) == 0)
      let loot = unsafe mmap(
        nil, 1 << 21, PROT_READ | PROT_WRITE, MAP_SHARED | Int32(MAP_NORESERVE), thief, 0)!
      close(fd)
      close(thief)
      let scene = try Scene(.declarativeOnly)
      let instance = try scene.open(
        .hugetlb, granules: 2, granule: 2 << 20, ("backing-file", folder + "/backing"),
        ("hole", "zero"))
      let region = try instance.map()
      #expect(region.isZero(0) && region.isZero(1))
      region.store(0, 5)
      #expect(region.advise(1, 1, MADV_REMOVE) == 0)
      #expect(unsafe GuardedAccess.touch(loot, write: true) == 0, "there was nothing to steal")
      let cpu = cpuNanoseconds()
      let started = monotonicNanoseconds()
      #expect(region.signal(1) == SIGBUS)
      let elapsed = monotonicNanoseconds() - started
      #expect(elapsed < 8_000_000_000, "\(elapsed) ns: it was tried until the deadline")
      #expect(cpuNanoseconds() - cpu < 1_000_000_000)
      #expect(region.load(0) == 5)
    }
  }
}
