// SPDX-License-Identifier: Apache-2.0
// Does doing something again and again make the process grow?
import Glibc

enum Leak {
  /// Repeats `body`, and throws what grew with it. The first rounds may fill caches.
  static func find(rounds: Int, _ body: () throws -> Void) throws {
    for _ in 0..<max(8, rounds / 5) { try body() }
    usleep(20_000)
    let before = ProcessState.now()
    var growing = 0
    var widening = 0
    var last = before
    for _ in 0..<rounds {
      try body()
      let now = ProcessState.now()
      if now.malloced > last.malloced { growing += 1 }
      if now.addressSpace > last.addressSpace { widening += 1 }
      last = now
    }
    let after = ProcessState.settled(threads: before.threads)
    let descriptors = after.descriptors.count - before.descriptors.count
    if descriptors > 0 { throw Failure("\(descriptors) descriptors more after \(rounds) rounds") }
    if after.threads > before.threads {
      throw Failure("\(after.threads - before.threads) threads more after \(rounds) rounds")
    }
    let bytes = Int64(after.malloced) - Int64(before.malloced)
    // Of ordinary noise no round of many grows, and the rest shrinks what has grown.
    if bytes >= Int64(rounds * 16), growing >= rounds * 9 / 10 {
      throw Failure("\(bytes / Int64(rounds)) bytes of malloc(3) more after each round")
    }
    let pages = (Int64(after.addressSpace) - Int64(before.addressSpace)) / 4
    if pages >= Int64(rounds), widening >= rounds * 9 / 10 {
      throw Failure("\(pages) pages of address space more after \(rounds) rounds")
    }
  }
}
