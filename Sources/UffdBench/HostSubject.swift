// SPDX-License-Identifier: Apache-2.0
// uffdhost as the subject: its public API serves the memory that the client of CBench touches.
import CBench
import Glibc
import UffdHost

/// One repetition with a host in this process.
struct HostSubject {
  private let job: Job
  private let host: Host
  private let instance: Instance

  init(_ job: Job) throws(HostError) {
    var job = job
    var options = Host.Options()
    options.readers = job.work == .fill ? job.threads : job.readers
    if !job.hasFaultAround { options.faultAround = .off }
    if job.work == .language {
      unsafe options.tuning.calls = UffdCallTable(cbench_mock_table())
    }
    if job.work == .path { unsafe options.tuning.calls = UffdCallTable(cbench_spy_table()) }
    if job.operation == .poison {
      // Content of its own, for it is about to be cut off.
      job.image = cbench_make_image(nil, job.bytes, 0)
      if job.image < 0 { throw BenchChild.failure() }
      job.parameters = Self.parameters(image: job.image, bytes: job.bytes)
    }
    let provider = try Provider.load(job.library)
    host = try Host(options)
    instance = try host.open(provider, parameters: job.parameters)
    if job.operation == .poison { ftruncate(job.image, 0) }
    self.job = job
  }

  /// The first `bytes` of a file whose descriptor a process has inherited.
  static func parameters(image: Int32, bytes: UInt64) -> [Parameter] {
    [Parameter("image", "/proc/self/fd/\(image)"), Parameter("size", "\(bytes)")]
  }

  func run() throws(HostError) -> Sample {
    switch job.work {
    case .fill: try fill()
    case .language: try language()
    default: try demand()
    }
  }

  private var granules: UInt64 { job.bytes / instance.granule }

  // MARK: Faults one by one

  private func demand() throws(HostError) -> Sample {
    if job.operation == .continue { try instance.publish(count: granules) }
    let regions = try map(windows: job.regions)
    let sample = try touch(regions)
    let statistics = host.statistics
    if job.operation != .poison, statistics.givenUp > 0 {
      throw HostError(
        .service, "\(statistics.givenUp) faults were given up while '\(job.library)' was measured")
    }
    for region in regions { region.detach() }
    return sample
  }

  /// The object in so many regions, one behind the other.
  private func map(windows: Int) throws(HostError) -> [Region] {
    var regions: [Region] = []
    for index in 0..<UInt64(windows) {
      var options = Region.Options()
      options.granules = granules / UInt64(windows)
      options.firstGranule = index * (granules / UInt64(windows))
      regions.append(try instance.map(options))
    }
    return regions
  }

  private func touch(_ regions: [Region]) throws(HostError) -> Sample {
    var raw = job.raw
    var result = cbench_result()
    let areas = unsafe regions.map { unsafe $0.memory.baseAddress }
    var error = unsafe cbench_touch(&raw, areas, &result)
    let installed = host.statistics.installed
    if job.work == .path { unsafe cbench_spy_report(&result) }
    if error == 0 { error = unsafe cbench_verify(&raw, areas, 1, &result) }
    if error < 0 { throw BenchChild.failure() }
    var sample = Sample(result)
    sample.installed = installed.copied + installed.zeroed + installed.continued
    return sample
  }

  // MARK: Everything at once

  private func fill() throws(HostError) -> Sample {
    if job.operation == .continue { try instance.publish(count: granules) }
    var raw = job.raw
    var result = cbench_result()
    let region: Region
    let start: UInt64
    if instance.hasBacking, job.operation == .copy {
      start = cbench_now()
      try instance.publish(count: granules)
      result.elapsed = cbench_now() - start
      region = try map(windows: 1)[0]
    } else {
      region = try map(windows: 1)[0]
      start = cbench_now()
      // Published pages are mapped by a prefetch; a drain leaves them to the kernel's own faults.
      if job.operation == .continue { try region.prefetch([0..<granules]).wait() }
      try region.drain()
      result.elapsed = cbench_now() - start
    }
    let statistics = host.statistics
    result.touched = granules
    result.bytes = job.bytes
    result.mean = result.elapsed / granules
    result.p50 = result.mean
    let areas = unsafe [region.memory.baseAddress]
    let error = unsafe cbench_verify(&raw, areas, 0, &result)
    if error < 0 { throw BenchChild.failure() }
    region.detach()
    var sample = Sample(result)
    sample.installed =
      job.operation == .continue
      ? statistics.installed.continued : statistics.installed.copied + statistics.publishedBytes
    return sample
  }

  // MARK: The kernel replaced

  private func language() throws(HostError) -> Sample {
    if job.operation == .continue { try instance.publish(count: granules) }
    // Once over everything, so that no fault below is the first of its 2 MiB.
    let first = try map(windows: 1)[0]
    cbench_mock_swallow()
    try first.drain()
    var sample = Sample()
    for pass in 0...CBENCH_LANGUAGE_PASSES {
      var regions: [Region] = []
      for _ in 0..<job.regions { regions += try map(windows: 1) }
      var raw = job.raw
      let areas = unsafe regions.map { unsafe $0.memory.baseAddress }
      let error = unsafe cbench_mock_feed(&raw, areas)
      if error < 0 { throw BenchChild.failure() }
      // A real fault wakes the reader, which finds the others in front of it.
      _ = unsafe GuardedAccess.touch(areas[0]! + Int(job.bytes - job.page))
      // The first one brings code and tables into the caches.
      if pass > 0 {
        sample.touched += cbench_mock_messages()
        sample.elapsed += cbench_mock_nanoseconds()
      }
      for region in regions { region.detach() }
    }
    first.detach()
    sample.mean = sample.elapsed * 100 / max(1, sample.touched)
    sample.p50 = sample.mean
    return sample
  }

  // MARK: What the provider is

  /// Opens an instance; where there is an image to fill, it gets the content.
  static func describe(_ job: Job) throws(HostError) -> Description {
    let provider = try Provider.load(job.library)
    let host = try Host()
    let instance = try host.open(provider, parameters: job.parameters)
    if job.image >= 0 { try copyContent(of: instance, to: job.image, limit: job.bytes) }
    return Description(
      memory: instance.memoryKind, granule: instance.granule, objectSize: instance.objectSize,
      path: provider.path)
  }

  private static func copyContent(
    of instance: Instance, to fd: Int32, limit: UInt64
  ) throws(HostError) {
    let piece = max(instance.granule, 1 << 20)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(piece), alignment: 4096)
    defer { unsafe buffer.deallocate() }
    let granules = min(instance.granuleCount, limit / instance.granule)
    var next: UInt64 = 0
    while next < granules {
      let count = min(piece / instance.granule, granules - next)
      let length = Int(count * instance.granule)
      unsafe try instance.readContent(
        firstGranule: next, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<length]))
      guard unsafe pwrite(fd, buffer.baseAddress, length, Int(next * instance.granule)) == length
      else {
        throw HostError(
          .system, "the content cannot be copied for the handler in C; is there enough memory?")
      }
      next += count
    }
  }
}
