// SPDX-License-Identifier: Apache-2.0

// Where an image has data and where it has holes, as its filesystem says it (SEEK_DATA, SEEK_HOLE);
// nothing is read to find out. Scanned once while an instance is made, then constant: any thread.

internal import Glibc

/// The runs of data of a file, in order, as byte ranges. What lies between them is zero.
@safe
struct DataRuns {
  struct Run {
    let start: UInt64
    let end: UInt64
  }

  /// More runs than this are not kept apart: what follows counts as data. It bounds the scan of a file
  /// with very many holes, and costs only that some zeroes are copied.
  static let limit = 65_536

  // SEEK_DATA and SEEK_HOLE, which Swift's Glibc lacks.
  private static let seekData: Int32 = 3
  private static let seekHole: Int32 = 4

  // SAFETY: written in init, freed by `free`, which the owner calls once and last.
  private let runs: UnsafeMutableBufferPointer<Run>

  /// Scans the first `end` bytes of an open file. A filesystem that cannot tell has one run.
  init(fd: Int32, end: UInt64) {
    var found: [Run] = []
    var position: UInt64 = 0
    while position < end {
      guard found.count < DataRuns.limit - 1 else {
        found.append(Run(start: position, end: end))
        break
      }
      let data = lseek(fd, off_t(position), DataRuns.seekData)
      if data < 0 {
        // ENXIO: no data from here on. Anything else: the filesystem cannot tell.
        if errno != ENXIO { found.append(Run(start: position, end: end)) }
        break
      }
      guard UInt64(data) < end else { break }
      let hole = lseek(fd, data, DataRuns.seekHole)
      let runEnd = hole < 0 ? end : min(UInt64(hole), end)
      // A file that changes under the scan could answer a hole that is not beyond its data.
      guard runEnd > UInt64(data) else {
        found.append(Run(start: UInt64(data), end: end))
        break
      }
      found.append(Run(start: UInt64(data), end: runEnd))
      position = runEnd
    }
    unsafe runs = UnsafeMutableBufferPointer<Run>.allocate(capacity: found.count)
    _ = unsafe runs.initialize(fromContentsOf: found)
  }

  private var count: Int { unsafe runs.count }

  func free() {
    unsafe runs.deallocate()
  }

  /// The granules from `first` on, before `limit`, that are of one kind: how many, and whether all of
  /// them are zero. A granule with any data in it is data. `first` is below `limit`.
  @inline(__always)
  func granules(from first: UInt64, before limit: UInt64, shift: UInt64) -> (
    count: UInt64, isZero: Bool
  ) {
    var index = indexOfRun(endingAfter: first << shift)
    guard index < count else { return (limit - first, true) }
    let dataStart = unsafe runs[index].start >> shift
    if dataStart > first { return (min(dataStart, limit) - first, true) }
    // Data: go on as long as the next run begins in the granule where this one ends, or right after.
    var end = first
    while index < count, end < limit {
      let run = unsafe runs[index]
      guard run.start >> shift <= end else { break }
      end = ((run.end - 1) >> shift) + 1
      index += 1
    }
    return (min(end, limit) - first, false)
  }

  /// The first run that ends beyond `offset`.
  private func indexOfRun(endingAfter offset: UInt64) -> Int {
    var low = 0
    var high = count
    while low < high {
      let middle = (low &+ high) / 2
      if unsafe runs[middle].end > offset { high = middle } else { low = middle &+ 1 }
    }
    return low
  }
}
