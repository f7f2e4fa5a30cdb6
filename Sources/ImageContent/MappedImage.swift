// SPDX-License-Identifier: Apache-2.0

// A file whose pages are lent. It is opened, mapped and scanned while an instance is made; after that
// no descriptor is open and nothing here makes a system call that waits. Our code never loads from the
// mapping: pages are read by the kernel's copy, for which a file that has shrunk is EFAULT, not SIGBUS.

internal import Glibc
internal import UffdPluginABI
internal import UffdProviderKit

/// An image file, mapped, with its holes known and its odd end set aside.
@safe
struct MappedImage {
  /// Bytes of content; the object reads zero from here on.
  let dataEnd: UInt64
  let runs: DataRuns
  /// Both 0 if the file has no time stamp that could tell one content from another.
  let contentID: (high: UInt64, low: UInt64)

  // SAFETY: both mappings live until `unmap`, which the owner calls once and last.
  private let mapping: UnsafeMutableRawPointer
  private let tail: UnsafeMutableRawPointer
  /// The tail holds the bytes from here to the end of the content, and zeroes after that.
  private let tailStart: UInt64
  private let tailLength: UInt64

  /// Opens `path`. `size` cuts the content off, `largestGranule` is the largest that will be asked for.
  init(path: String, size: UInt64?, largestGranule: UInt64) throws(ProviderError) {
    let file = try ImageFile(path: path)
    defer { file.close() }
    dataEnd = min(file.length, size ?? file.length)
    contentID = file.contentID(seed: dataEnd)
    tailStart = dataEnd & ~(largestGranule - 1)
    tailLength = dataEnd == tailStart ? 0 : largestGranule
    unsafe mapping = try unsafe file.map(length: dataEnd)
    do throws(ProviderError) {
      unsafe tail = try unsafe file.readTail(from: tailStart, to: dataEnd, length: tailLength)
    } catch {
      unsafe munmap(mapping, Int(dataEnd))
      throw error
    }
    runs = DataRuns(fd: file.fd, end: dataEnd)
  }

  func unmap() {
    unsafe munmap(mapping, Int(dataEnd))
    if tailLength > 0 { unsafe PrivateMemory.unmap(tail, tailLength) }
    runs.free()
  }

  /// Lends up to `count` granules of data from `pgoff`. Whole granules come straight from the mapping.
  /// The granule in which the content ends does not: beyond the end of the file a mapping has a few
  /// zeroes that others can write to, then nothing at all. Its bytes were read when the image was
  /// opened, because reading them here could wait for a disk.
  @inline(__always)
  func lend(pgoff: UInt64, count: UInt64, shift: UInt64, _ answer: inout FolioAnswer) {
    let offset = pgoff << shift
    let whole = dataEnd >> shift
    if pgoff < whole {
      let granules = min(count, whole &- pgoff)
      unsafe answer.lent(
        UnsafeRawPointer(mapping + Int(offset)), length: granules << shift, granules: granules,
        residence: .mayFault)
    } else {
      unsafe answer.lent(
        UnsafeRawPointer(tail + Int(offset &- tailStart)), length: 1 << shift, granules: 1,
        residence: .resident)
    }
  }

  /// Starts reading a range of bytes into the page cache.
  func willNeed(from start: UInt64, to end: UInt64) {
    let start = start & ~4095
    let end = min(end, dataEnd)
    guard start < end else { return }
    _ = unsafe madvise(mapping + Int(start), Int(end - start), MADV_WILLNEED)
  }
}
