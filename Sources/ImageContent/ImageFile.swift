// SPDX-License-Identifier: Apache-2.0

// The open file behind a MappedImage, and the sentence for each way in which it can be unusable. Lives
// only while an instance is made; control thread; may block.

internal import Glibc
internal import UffdPattern
internal import UffdPluginABI
internal import UffdProviderKit

/// A regular file or block device, open for reading.
struct ImageFile {
  let path: String
  let fd: Int32
  /// Bytes, at least 1.
  let length: UInt64
  private let status: stat

  init(path: String) throws(ProviderError) {
    // O_NONBLOCK: a pipe without a writer must be an error, not a hang.
    let fd = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard fd >= 0 else { throw ImageFile.cannotOpen(path, errno) }
    do throws(ProviderError) {
      (status, length) = try ImageFile.inspect(fd, path)
    } catch {
      Glibc.close(fd)
      throw error
    }
    self.path = path
    self.fd = fd
  }

  func close() {
    Glibc.close(fd)
  }

  private static func inspect(
    _ fd: Int32, _ path: String
  ) throws(ProviderError) -> (stat, UInt64) {
    var status = stat()
    guard unsafe fstat(fd, &status) == 0 else { throw cannotOpen(path, errno) }
    switch status.st_mode & S_IFMT {
    case S_IFREG, S_IFBLK: break
    case S_IFDIR:
      throw .badValue("image \(path) is a directory: name a file")
    default:
      throw .badValue(
        "image \(path) is neither a regular file nor a block device, so its pages cannot be mapped: "
          + "name one of these")
    }
    let end = lseek(fd, 0, SEEK_END)
    guard end >= 0 else { throw cannotOpen(path, errno) }
    guard end > 0 else {
      throw .badValue(
        "image \(path) is empty, and an object has at least 1 byte: name another file")
    }
    return (status, UInt64(end))
  }

  private static func cannotOpen(_ path: String, _ error: Int32) -> ProviderError {
    let advice =
      switch error {
      case ENOENT, ENOTDIR: ": check the path"
      case EACCES, EPERM: ": the user that runs this needs the right to read it"
      default: ""
      }
    let sentence =
      "image \(path) cannot be opened: \(ProviderError.describe(errno: error))\(advice)"
    return ProviderError(.ioError, sentence)
  }

  /// A name of the content: the file's identity and the time of its last change, and `seed`. Equal
  /// files under two names have two ids; a promise that is not given is never wrong.
  func contentID(seed: UInt64) -> (high: UInt64, low: UInt64) {
    guard status.st_mode & S_IFMT == S_IFREG else { return (0, 0) }
    return ContentID.hash([
      UInt64(status.st_dev), UInt64(status.st_ino), length,
      UInt64(bitPattern: Int64(status.st_mtim.tv_sec)), UInt64(status.st_mtim.tv_nsec), seed,
    ])
  }

  /// Maps the first `length` bytes. Private, because more filesystems can do it.
  func map(length: UInt64) throws(ProviderError) -> UnsafeMutableRawPointer {
    let memory = unsafe mmap(
      nil, Int(length), PROT_READ, MAP_PRIVATE | MAP_NORESERVE, fd, 0)
    guard let memory = unsafe memory, unsafe memory != MAP_FAILED else {
      throw ProviderError(
        .ioError, "image \(path) cannot be mapped: \(ProviderError.describe(errno: errno))")
    }
    return unsafe memory
  }

  /// Reads the bytes from `start` to `end` into memory of its own, which has `length` bytes.
  func readTail(
    from start: UInt64, to end: UInt64, length: UInt64
  ) throws(ProviderError) -> UnsafeMutableRawPointer {
    guard length > 0 else { return unsafe UnsafeMutableRawPointer(bitPattern: 4096)! }
    let memory = try unsafe PrivateMemory.map(length)
    var done = start
    while done < end {
      let count = unsafe pread(fd, memory + Int(done - start), Int(end - done), off_t(done))
      if count < 0, errno == EINTR { continue }
      guard count > 0 else {
        let reason = count < 0 ? ProviderError.describe(errno: errno) : "it has become shorter"
        unsafe PrivateMemory.unmap(memory, length)
        throw ProviderError(.ioError, "image \(path) cannot be read at byte \(done): \(reason)")
      }
      done += UInt64(count)
    }
    return unsafe memory
  }
}

/// Names of contents: see `uffd_traits.content_id_high`.
enum ContentID {
  /// Two independent chains over the words, each step the pattern's bijection of the next word.
  static func hash(_ words: [UInt64]) -> (high: UInt64, low: UInt64) {
    var high: UInt64 = 0x7566_6664_696d_6167
    var low: UInt64 = 0x636f_6e74_656e_7401
    for word in words {
      high = Pattern(seed: high).word(word)
      low = Pattern(seed: ~low).word(word)
    }
    return (high, low)
  }
}
