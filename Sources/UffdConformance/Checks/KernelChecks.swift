// SPDX-License-Identifier: Apache-2.0
// End to end: the provider behind the real host on the real
// userfaultfd, every byte compared. A machine without permission or huge pages skips these with the reason.
import CLinux
import Glibc
import UffdHost
import UffdPluginABI

let kernelChecks: [Check] = [
  Check("kernel.missing", "missing faults read the content", Sentence.content) { context in
    try serving(context) { kernel in try kernel.map { try kernel.verify($0) } }
  },
  Check("kernel.private", "missing faults of a private mapping read the content", Sentence.content)
  {
    context in
    try serving(context) { kernel in
      var options = Region.Options()
      options.sharing = .private
      options.fill = .mapping
      try kernel.map(options) { try kernel.verify($0) }
    }
  },
  Check(
    "kernel.minor", "minor faults of published content read it",
    "a fault on a page that the backing holds and the client has not mapped"
  ) { context in
    try serving(context) { kernel in
      try kernel.requireBacking()
      for window in kernel.windows {
        try kernel.instance.publish(
          firstGranule: window.lowerBound, count: UInt64(window.count))
      }
      try kernel.map { try kernel.verify($0) }
      if kernel.host.statistics.faults.minor == 0 {
        throw Failure("no minor fault was served", expected: "minor faults on published pages")
      }
    }
  },
  Check(
    "kernel.threads", "eight threads that fault in random order read the content", Sentence.same
  ) {
    context in
    try serving(context) { kernel in
      try kernel.map { region in
        let seed = context.seed
        try onThreads(8) { index in
          try kernel.verify(region, shuffledBy: seed &+ UInt64(index))
        }
      }
    }
  },
  Check(
    "kernel.two-regions", "two regions show the same content, and keep private writes apart",
    "a window of client memory onto the object; many regions may map one backing"
  ) { context in
    try serving(context) { kernel in
      try kernel.map { first in
        try kernel.verify(first)
        var options = Region.Options()
        options.sharing = .private
        try kernel.map(options) { second in
          let pgoff = kernel.windows[0].lowerBound
          let place = Int(pgoff * second.granule)
          _ = unsafe GuardedAccess.touch(second.memory.baseAddress! + place, write: true)
          unsafe second.memory.storeBytes(of: 0x77, toByteOffset: place, as: UInt8.self)
          try kernel.verify(first)
        }
      }
    }
  },
  Check(
    "kernel.discard", "what a client gives back reads zero, or its content where it is shared",
    Sentence.discard
  ) { context in
    try serving(context) { kernel in
      try kernel.map { region in
        try kernel.verify(region)
        let length = UInt64(kernel.windows[0].count) * region.granule
        unsafe giveBack(region.memory.baseAddress!, length)
        // Shared memory still has it in the backing; private memory reads zero.
        let isShared = region.sharing == .shared
        for pgoff in kernel.windows[0] {
          try kernel.compare(
            region, pgoff,
            isShared
              ? try kernel.expected(pgoff) : Bytes(zeroes: Int(region.granule)),
            "after madvise(MADV_DONTNEED)")
        }
      }
    }
  },
  Check(
    "kernel.granules", "the other granules that the provider can be configured for are served",
    Sentence.content
  ) { context in
    let provider = context.library.provider
    guard provider.parameters.contains(where: { $0.key == "granule" && $0.kind == .size }) else {
      throw NotApplicable("no parameter granule= chooses another")
    }
    var served = 0
    try serving(context) { kernel in
      for granule in provider.granules where granule != kernel.instance.granule {
        let others = context.parameters.filter { $0.key != "granule" }
        try serving(context, others + [Parameter("granule", "\(granule)")]) { other in
          try other.map { try other.verify($0) }
          served += 1
        }
      }
    }
    if served == 0 { throw NotApplicable("the provider has one granule") }
  },
]

/// A limit of the provider that is lower than what is touched is no failure of anybody. Asked through
/// the table, which a SERIAL library does not allow beside the host's thread.
private func requireRoom(_ context: Context, _ parameters: [Parameter]) throws {
  guard context.library.has(.filemap), context.library.provider.threadModel != .serial else {
    return
  }
  let instance = try context.open(parameters)
  defer { instance.close() }
  var model = FilemapModel(instance)
  for window in context.windows(instance) { try model.add(window) }
}

private func giveBack(_ start: UnsafeMutableRawPointer, _ length: UInt64) {
  unsafe clinux_madvise(start, length, MADV_DONTNEED)
}

/// Runs `body` with the provider behind the real host, and looks how the host found it afterwards.
private func serving(
  _ context: Context, _ parameters: [Parameter]? = nil, _ body: (KernelBench) throws -> Void
) throws {
  try requireRoom(context, parameters ?? context.parameters)
  GuardedAccess.install()
  let bench = try KernelBench(context, parameters ?? context.parameters)
  try body(bench)
  try bench.close()
}
