// SPDX-License-Identifier: Apache-2.0

// Several instances at once, and what is left when they are closed.

import Glibc
import Testing
import UffdPluginABI

struct LifeTests {
  @Test(arguments: ProviderLibrary.names) func theTableIsOneAndTheSame(name: String) throws {
    #expect(
      unsafe try ProviderLibrary(name).table == ProviderLibrary(name).table)
  }

  @Test(arguments: ProviderLibrary.names) func instancesDoNotShareAnything(name: String) throws {
    let library = try ProviderLibrary(name)
    let first = try MockInstance(library, [("pattern", "1"), ("size", "6M")])
    let second = try MockInstance(library, [("pattern", "2"), ("size", "4M")])
    #expect(first.ask(1).bytes != second.ask(1).bytes)
    #expect(first.granules != second.granules)
    if name != "AnonProvider" {
      #expect(first.add(1, 1) == .ok)
      #expect(second.lookup(1) == .absent)
    }
    let before = second.ask(1).bytes
    first.close()
    #expect(second.ask(1).bytes == before)
  }

  @Test func providersOfOneKitLiveBesideEachOther() throws {
    let instances = try ProviderLibrary.names.map {
      try MockInstance(ProviderLibrary($0), [("pattern", "3"), ("size", "4M")])
    }
    let kinds = instances.map { unsafe $0.traits.memory_kind }
    #expect(kinds == [.anon, .shmem, .hugetlb])
    #expect(instances[0].readAll() == instances[2].readAll())
    #expect(instances[0].readAll() == instances[1].readAll())
  }

  @Test(arguments: ProviderLibrary.names) func closeLeavesNothing(name: String) async {
    // A process of its own, as every other test opens files and maps memory.
    await #expect(processExitsWith: .success) { [name] in
      let library = try ProviderLibrary(name)
      let image = try TemporaryFile(noise(3 << 20 | 5))
      let accepted = [("image", image.path), ("size", "64G")]
      let refused = [("image", image.path), ("size", "64G"), ("granule", "3")]
      func cycle() {
        if let instance = try? MockInstance(library, accepted) { _ = instance.ask(0) }
        _ = try? MockInstance(library, refused)
        _ = try? MockInstance(library, [("image", "/proc/self")])
      }
      cycle()
      let before = (pages: addressSpace(), files: openFiles())
      for _ in 0..<100 { cycle() }
      let after = (pages: addressSpace(), files: openFiles())
      #expect(after.files == before.files)
      // In 4 KiB pages: a tail is 2 MiB and so is the filemap of 64 GiB; 100 of either are 200 MiB. The
      // heap may take a new arena of 64 MiB.
      #expect(after.pages < before.pages + 25_600)
      #expect(!lines("/proc/self/maps").contains { $0.contains(image.path) })
    }
  }
}

/// The size of this process's address space in pages. Mappings are not counted, as the kernel merges
/// neighbours.
private func addressSpace() -> Int {
  lines("/proc/self/statm").first?.split(separator: " ").first.flatMap { Int($0) } ?? 0
}

/// The lines of a small file of /proc.
private func lines(_ path: String) -> [Substring] {
  let fd = unsafe open(path, O_RDONLY)
  defer { close(fd) }
  var text: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 65_536)
  while true {
    let count = unsafe chunk.withUnsafeMutableBytes { unsafe read(fd, $0.baseAddress, $0.count) }
    guard count > 0 else { break }
    text += chunk.prefix(count)
  }
  return String(decoding: text, as: UTF8.self).split(separator: "\n")
}

/// How many of the first descriptors are open.
private func openFiles() -> Int {
  (0..<256).count { fcntl($0, F_GETFD) >= 0 }
}
