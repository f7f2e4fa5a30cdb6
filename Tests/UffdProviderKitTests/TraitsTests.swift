// SPDX-License-Identifier: Apache-2.0

// What the providers declare: the tables, the traits, and which regions may attach.

import Testing
import UffdPluginABI

struct TraitsTests {
  private func instance(_ name: String, size: String = "100K") throws -> MockInstance {
    try MockInstance(ProviderLibrary(name), [("pattern", "1"), ("size", size)])
  }

  @Test func namesAndMemory() throws {
    let expected: [(String, String, uffd_memory_kind, UInt64, uffd_backing)] = [
      ("AnonProvider", "anon", .anon, 4096, .none),
      ("ShmemProvider", "shmem", .shmem, 4096, .host),
      ("HugetlbProvider", "hugetlb", .hugetlb, 1 << 21, .host),
    ]
    for (name, short, kind, granule, backing) in expected {
      let instance = try instance(name)
      #expect(unsafe String(cString: instance.table.pointee.name!) == short)
      let traits = unsafe instance.traits
      #expect(unsafe traits.memory_kind == kind)
      #expect(unsafe traits.granule == granule)
      #expect(unsafe traits.backing == backing)
      #expect(unsafe traits.object_size == 100 << 10)
      #expect(unsafe traits.may_block == 0)
      #expect(unsafe instance.table.pointee.thread_model == .parallel)
      #expect(unsafe instance.table.pointee.granules & granule != 0)
    }
  }

  @Test(arguments: ProviderLibrary.names) func everyParameterIsExplained(name: String) throws {
    let table = unsafe try ProviderLibrary(name).table
    #expect(unsafe table.pointee.parameter_stride == MemoryLayout<uffd_parameter_info>.stride)
    var keys: [String] = []
    for index in 0..<Int(unsafe table.pointee.parameter_count) {
      let info = unsafe table.pointee.parameters![index]
      keys.append(unsafe String(cString: info.key!))
      #expect(unsafe String(cString: info.help!).count > 10)
    }
    #expect(keys.starts(with: ["image", "pattern", "size"]))
    #expect(keys.contains("limit") == (name != "AnonProvider"))
    #expect(keys.contains("granule") == (name == "HugetlbProvider"))
  }

  @Test func contentIDsNameTheContent() throws {
    let library = try ProviderLibrary("AnonProvider")
    func id(_ parameters: [(String, String)]) throws -> [UInt64] {
      let traits = unsafe try MockInstance(library, parameters).traits
      return unsafe [traits.content_id_high, traits.content_id_low]
    }
    let image = try TemporaryFile(noise(5000))
    let ids = try [
      id([("pattern", "1"), ("size", "8K")]), id([("pattern", "2"), ("size", "8K")]),
      id([("pattern", "1"), ("size", "4K")]), id([("image", image.path)]),
      id([("image", image.path), ("size", "8K")]), id([("image", image.path), ("size", "4K")]),
    ]
    #expect(Set(ids).count == ids.count)
    #expect(try id([("image", image.path)]) == ids[3])
    #expect(!ids.contains([0, 0]))
    let copy = try TemporaryFile(noise(5000))
    #expect(try id([("image", copy.path)]) != ids[3])
  }

  @Test func anonymousMemoryOnlyForTheAnonProvider() throws {
    let anon = try instance("AnonProvider")
    #expect(anon.refusal(.anon) == nil)
    #expect(anon.refusal(.anon, flags: .foreign) == nil)
    #expect(anon.refusal(.anon, granule: 1 << 21) == nil)
    #expect(anon.refusal(.shmem) == "this provider fills anonymous memory only")
    #expect(
      anon.refusal(.anon, modes: [.missing, .minor])
        == "anonymous memory has no minor faults, as nothing backs it")
  }

  @Test func aBackingTakesRegionsOfItsKindAndGranule() throws {
    let shmem = try instance("ShmemProvider")
    let huge = try instance("HugetlbProvider")
    let both: uffd_modes = [.missing, .minor]
    #expect(shmem.refusal(.shmem, modes: both, flags: [.shared, .fillsBacking]) == nil)
    #expect(huge.refusal(.hugetlb, modes: both, flags: [.shared, .fillsBacking]) == nil)
    #expect(shmem.refusal(.shmem) == nil)
    #expect(shmem.refusal(.hugetlb) == "the backing is another kind of memory")
    #expect(shmem.refusal(.anon) == "the backing is another kind of memory")
    #expect(
      shmem.refusal(.shmem, granule: 1 << 21) == "its granule is not that of the backing")
    #expect(huge.refusal(.hugetlb, granule: 1 << 30) == "its granule is not that of the backing")
  }

  @Test(arguments: ["ShmemProvider", "HugetlbProvider"])
  func foreignMemoryGetsContentOnlyAndTheLogSaysSoOnce(name: String) throws {
    let instance = try instance(name)
    let own: uffd_memory_kind = name == "ShmemProvider" ? .shmem : .hugetlb
    #expect(instance.host.heard.log.isEmpty)
    #expect(instance.refusal(.anon, flags: .foreign) == nil)
    #expect(instance.refusal(own, flags: [.foreign, .shared]) == nil)
    #expect(instance.refusal(.anon, granule: 1 << 21, ) == "the backing is another kind of memory")
    let log = instance.host.heard.log
    #expect(
      log.map(\.line) == ["foreign memory gets content only; the filemap is not used for it"])
    #expect(log.first?.level == .info)
    let other: uffd_memory_kind = name == "ShmemProvider" ? .hugetlb : .shmem
    #expect(
      instance.refusal(other, flags: .foreign)
        == "foreign memory must be anonymous or of the provider's own kind")
    #expect(
      instance.refusal(own, modes: .minor, flags: .foreign)
        == "the provider's filemap does not know what foreign memory holds")
    #expect(
      instance.refusal(.anon, flags: .foreign, granule: 1 << 30)
        == "its granule is larger than any that this instance serves")
  }
}
