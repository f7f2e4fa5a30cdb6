// SPDX-License-Identifier: Apache-2.0
// From a recording to a file to a replay, with a provider of ours, in exact numbers: in a process of its own, for
// whoever touches served memory sleeps in the kernel if anything is wrong.

import Glibc
import Testing
import UffdHost

@testable import UffdWorkingSet

/// Where the built products are: beside the test runner.
private let products: String = {
  var buffer = [CChar](repeating: 0, count: 4096)
  let length = unsafe readlink("/proc/self/exe", &buffer, buffer.count - 1)
  let path = String(
    decoding: buffer[..<max(0, length)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  return "/" + path.split(separator: "/").dropLast().joined(separator: "/")
}()

private let canServe = (try? Host()) != nil

extension Region {
  fileprivate func touch(_ granuleIndex: UInt64) -> UInt8 {
    unsafe memory[Int(granuleIndex * granule)]
  }
}

@Suite("Working set: replay", .enabled(if: canServe, "no userfaultfd can be opened"))
struct ReplayTests {
  @Test("a replay of what was recorded leaves no fault", arguments: ["Anon", "Shmem"])
  func exact(_ name: String) async {
    await #expect(processExitsWith: .success) { [name] in
      alarm(60)
      let provider = try Provider.load("\(products)/lib\(name)Provider.so")
      let parameters = [Parameter("pattern", "3"), Parameter("size", "40M")]
      var places: [UInt64] = []
      var state: UInt64 = 7
      while places.count < 1500 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let place = state >> 33 % 10_240
        if !places.contains(place) { places.append(place) }
      }
      let path = "/tmp/uffdhost-test-\(getpid()).ws"
      defer { unsafe unlink(path) }

      let host = try Host()
      let instance = try host.open(provider, parameters: parameters)
      let recording = try Recording(instance)
      var options = Region.Options()
      options.recording = recording
      var region = try instance.map(options)
      for place in places { _ = region.touch(place) }
      region.detach()
      let set = WorkingSet(
        recording, identity: try ContentIdentity(of: instance, parameters))
      #expect(set.entries.map(\.pgoff) == places)
      try WorkingSetFile(path).store(set)
      try instance.close()

      // The next time: another host, another instance.
      let later = try Host()
      let again = try later.open(provider, parameters: parameters)
      let loaded = try WorkingSetFile(path).load()
      #expect(loaded == set)
      try loaded.check(again, parameters: parameters, name: path)
      region = try again.map()
      let prefetch = try region.replay(loaded)
      prefetch.wait()
      #expect(prefetch.progress.filled == 1500 && prefetch.progress.total == 1500)
      #expect(region.residentBytes == 1500 * 4096)
      for place in places.reversed() { _ = region.touch(place) }
      #expect(later.statistics.faults.total == 0)
      // One that was not touched is still missing.
      _ = region.touch((0..<10_240).first { !places.contains($0) }!)
      region.detach()
      #expect(later.statistics.faults.total == 1)
      try again.close()

      let other = [Parameter("pattern", "4"), Parameter("size", "40M")]
      let changed = try later.open(provider, parameters: other)
      let error = #expect(throws: HostError.self) {
        try loaded.check(changed, parameters: other, name: path)
      }
      #expect(error?.kind == .usage)
    }
  }
}
