// SPDX-License-Identifier: Apache-2.0
// A working set on disk: read whole, written whole. Who reads the file
// while it is written sees the old one or the new one.
import Glibc
public import UffdHost
import UffdReport

/// A file that holds a working set, or shall hold one.
public struct WorkingSetFile: Sendable {
  public let path: String

  public init(_ path: String) { self.path = path }

  /// Larger than any that a machine of today can have recorded.
  private static let largest = 4 << 30

  /// Throws `.usage` where there is no file that holds one, with what is wrong.
  public func load() throws(HostError) -> WorkingSet {
    let fd = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard fd >= 0 else { throw cannot("be opened", errno) }
    defer { close(fd) }
    var status = stat()
    guard unsafe fstat(fd, &status) == 0 else { throw cannot("be read", errno) }
    guard status.st_mode & S_IFMT == S_IFREG, status.st_size <= Self.largest else {
      throw unusable(.noWorkingSet)
    }
    var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
    var done = 0
    while done < bytes.count {
      let count = unsafe bytes.withUnsafeMutableBytes { room in
        unsafe read(fd, room.baseAddress! + done, room.count - done)
      }
      if count < 0, errno == EINTR { continue }
      if count < 0 { throw cannot("be read", errno) }
      // It became shorter.
      if count == 0 { break }
      done += count
    }
    do throws(WorkingSet.Flaw) {
      return try WorkingSet(decoding: Array(bytes[..<done]))
    } catch {
      throw unusable(error)
    }
  }

  /// Writes beside the file, makes it durable, then puts it in the file's place.
  ///
  /// Throws `.usage` where that is not possible; what was there before is still there then.
  public func store(_ set: WorkingSet) throws(HostError) {
    let temporary = "\(path).\(getpid()).new"
    let fd = unsafe open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o666)
    guard fd >= 0 else { throw cannot("be written", errno) }
    let bytes = set.encoded()
    var done = 0
    var error: Int32 = 0
    while done < bytes.count, error == 0 {
      let count = unsafe bytes.withUnsafeBytes { bytes in
        unsafe write(fd, bytes.baseAddress! + done, bytes.count - done)
      }
      if count < 0, errno != EINTR { error = errno }
      done += max(0, count)
    }
    if error == 0, fsync(fd) != 0 { error = errno }
    if close(fd) != 0, error == 0 { error = errno }
    if error == 0, unsafe rename(temporary, path) != 0 { error = errno }
    if error != 0 {
      unsafe unlink(temporary)
      throw cannot("be written", error)
    }
    // The name is durable when its folder is. Where a folder cannot be opened, the system's own time has to
    // do.
    let folder = unsafe open(self.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if folder >= 0 {
      fsync(folder)
      close(folder)
    }
  }

  /// Finds out before a long recording whether it can be kept: makes a file and takes it away again.
  public func checkStorable() throws(HostError) {
    var status = stat()
    if unsafe stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
      throw HostError(
        .usage, "the working set \(path.quoted) cannot be written: it is no file; give another name"
      )
    }
    let temporary = "\(path).\(getpid()).new"
    let fd = unsafe open(temporary, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o666)
    guard fd >= 0 else { throw cannot("be written", errno) }
    close(fd)
    unsafe unlink(temporary)
  }

  var folder: String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  private func cannot(_ what: String, _ error: Int32) -> HostError {
    HostError(
      .usage,
      "the working set \(path.quoted) cannot \(what) (\(Errno(error).name)); is the path right?")
  }

  private func unusable(_ flaw: WorkingSet.Flaw) -> HostError {
    HostError(
      .usage, "the file \(path.quoted) \(flaw.clause); record a working set with '--record'")
  }
}
