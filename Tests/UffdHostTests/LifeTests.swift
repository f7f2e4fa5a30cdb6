// SPDX-License-Identifier: Apache-2.0
// Attaching, detaching and closing: in what order it is allowed, and that nothing is left behind.

import FaultInjection
import Glibc
import Testing

@testable import UffdHost

@Suite(
  "Life of instances and regions",
  .enabled(if: Machine.hasUserfaultfd, "no userfaultfd can be opened"),
  .enabled(if: Compiler.isThere, "there is no cc to compile the tests' provider"))
struct LifeTests {
  @Test("a thread that sleeps in a fault gets SIGSEGV when the region is detached, never zeroes")
  func detachUnderSleepers() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene(.blocking)
      GuardedAccess.install()
      for kind in [MemoryKind.anon, .shmem] {
        scene.state[\.gate_open] = 0
        scene.state[\.gate_pgoff] = .max
        let instance = try scene.open(kind, granules: 8)
        let region = try instance.map()
        let before = scene.state[\.gate_reached]
        let results = try Mapping.scratch(4096)
        var sleepers: [KernelThread] = []
        for index in 0..<4 {
          sleepers.append(
            try inBackground {
              let signal = region.signal(UInt64(index))
              unsafe results.base.storeBytes(
                of: signal, toByteOffset: index * 4, as: Int32.self)
            })
        }
        #expect(scene.state.wait(for: \.gate_reached, atLeast: before + 1))
        region.detach()
        for sleeper in sleepers { sleeper.join() }
        for index in 0..<4 {
          #expect(
            unsafe results.base.load(fromByteOffset: index * 4, as: Int32.self) == SIGSEGV)
        }
        #expect(region.signal(7) == SIGSEGV)
        scene.state[\.gate_open] = 1
        try instance.close()
        #expect(scene.state[\.adds] == scene.state[\.removes], "\(kind)")
      }
      #expect(scene.state[\.lends] == scene.state[\.puts])
    }
  }

  @Test(
    "close is refused while a region is attached; afterwards nothing can be had from the instance")
  func closing() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene()
      let instance = try scene.open(.shmem, granules: 8)
      let region = try instance.map()
      let refusal = #expect(throws: HostError.self) { try instance.close() }
      #expect(refusal?.kind == .usage)
      #expect(refusal?.message.contains("used by 1 regions") == true)
      #expect(region.difference() == -1)
      region.detach()
      region.detach()
      try instance.close()
      try instance.close()
      #expect(scene.state[\.closes] == 1)
      let allocs = scene.state[\.allocs]
      let error = #expect(throws: HostError.self) { try instance.map() }
      #expect(error?.kind == .usage && error?.message.contains("is closed") == true)
      let page = try Mapping.scratch(4096)
      #expect(throws: HostError.self, "a closed instance was asked for content") {
        unsafe try instance.readContent(
          firstGranule: 0,
          into: UnsafeMutableRawBufferPointer(start: page.base, count: 4096))
      }
      #expect(throws: HostError.self, "a closed instance was published") {
        try instance.publish()
      }
      #expect(scene.state[\.allocs] == allocs, "a hook was called after close")
    }
  }

  @Test("a region may say no, with the provider's reason")
  func predicate() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene()
      let instance = try scene.open(.anon, granules: 8)
      scene.state[\.attach_no] = 1
      let error = #expect(throws: HostError.self) { try instance.map() }
      #expect(error?.message.hasSuffix("does not serve this region: the knob says no") == true)
      scene.state[\.attach_no] = 0
      #expect(try instance.map().difference() == -1)
      try instance.close()
    }
  }

  @Test(
    "no hook of a PER_INSTANCE provider overlaps another, also when a region attaches meanwhile")
  func overlaps() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene(.perInstance)
      let instance = try scene.open(.anon, granules: 64)
      let region = try instance.map()
      scene.state[\.delay_us] = 2000
      let client = try inBackground {
        if unsafe client_verify(region.start, 0, region.length, 1, 4096, 4) != 0 { abort() }
      }
      for _ in 0..<20 { try instance.map().detach() }
      client.join()
      #expect(scene.state[\.most_running] == 1)
    }
  }

  @Test("a SERIAL library that is loaded twice still has one thread")
  func serialTwice() async {
    await #expect(processExitsWith: .success) {
      let scene = try Scene(.serial)
      let again = try Provider.load(scene.provider.path)
      let first = try scene.open(.anon, granules: 32).map()
      let second = try scene.host.open(again).map()
      #expect(first.difference() == -1)
      #expect(second.difference() == -1)
      #expect(scene.state[\.other_threads] == 0)
      #expect(scene.state[\.most_running] == 1)
    }
  }

  @Test("readContent and the region agree, whatever the way to answer; a bad buffer is refused")
  func direct() async {
    await #expect(processExitsWith: .success) {
      for table in [TestTable.parallel, .blocking, .serial] {
        let scene = try Scene(table)
        let instance = try scene.open(.shmem, granules: 16, ("lend", "1"))
        let room = try Mapping.scratch(8 * 4096)
        for answer in 0..<5 as Range<UInt64> {
          scene.state[\.answer] = answer
          unsafe try instance.readContent(
            firstGranule: 3,
            into: UnsafeMutableRawBufferPointer(start: room.base, count: 5 * 4096))
          if answer == 3 {
            #expect(unsafe client_first_nonzero(room.base, 5 * 4096) == -1)
          } else {
            #expect(unsafe client_first_difference(room.base, 3 * 4096, 5 * 4096, 1) == -1)
          }
        }
        #expect(scene.state[\.lends] == scene.state[\.puts])
        for (first, count) in [(0, 0), (0, 100), (14, 3 * 4096), (16, 4096)] as [(UInt64, Int)] {
          #expect(throws: HostError.self) {
            unsafe try instance.readContent(
              firstGranule: first,
              into: UnsafeMutableRawBufferPointer(start: room.base, count: count))
          }
        }
        // Reading content serves nobody and publishes nothing.
        #expect(scene.host.statistics.publishedBytes == 0 && scene.state[\.adds] == 0)
      }
    }
  }

  @Test(
    "50 hosts come and go and leave no mapping, no descriptor and no thread",
    arguments: [TestTable.parallel, .blocking, .perInstance, .serial])
  func leaks(_ table: TestTable) async {
    await #expect(processExitsWith: .success) { [table] in
      alarm(60)
      let path = try Compiler.library(
        "test_provider", variant: table.rawValue, flags: table.flags)
      func once() throws {
        let host = try Host(.with { $0.readers = 2 })
        let provider = try Provider.load(path)
        for kind in ["anon", "shmem"] {
          let instance = try host.open(provider, parameters: [Parameter("memory", kind)])
          let region = try instance.map(.with { $0.granules = 40 })
          let second = try instance.map(.with { $0.sharing = .private })
          if region.difference() != -1 || second.load(99) != contentWord(99) { abort() }
          if kind == "shmem" { try instance.publish(firstGranule: 100, count: 50) }
          try second.drain()
          if kind == "anon" {
            region.detach()
            second.detach()
            try instance.close()
          }
        }
      }
      // What the allocator and the runtime keep is kept after a few rounds.
      for _ in 0..<5 { try once() }
      let before = Belongings()
      for _ in 0..<50 { try once() }
      // A thread that was joined may still be on its way out of the kernel, and idle threads of the runtime
      // may have ended meanwhile.
      var after = Belongings()
      _ = eventually(seconds: 10) {
        after = Belongings()
        return after.threads <= before.threads
      }
      #expect(after.descriptors == before.descriptors, "\(before) before, \(after) after")
      #expect(after.threads <= before.threads, "\(before) before, \(after) after")
      // The allocator may have grown by an arena or two.
      #expect(after.mappings <= before.mappings + 4, "\(before) before, \(after) after")
    }
  }
}
