// SPDX-License-Identifier: Apache-2.0
// The socket's file: its mode and owner, what is in its place already, and two servers that want it.
import CLinux
import Glibc
import Synchronization
import TestSupport
import Testing
import UffdHost

@testable import UffdServer

/// Made on one thread, ended on another.
private struct Kept: @unchecked Sendable { let listener: Listener }

@Suite struct ListenerTests {
  private let scratch: Scratch
  private let path: String

  init() throws {
    scratch = try Scratch()
    path = scratch.path + "/s"
  }

  private func refusal(_ path: String) -> String {
    do {
      _ = try Listener(path: path)
      return ""
    } catch { return error.message }
  }

  private func mode(_ path: String) -> UInt32? {
    var file = clinux_file()
    return unsafe clinux_identify(-1, path, &file) == 0 ? file.mode & 0o777 : nil
  }

  private func exists(_ path: String) -> Bool { mode(path) != nil }

  /// A socket at the path that is bound, and listens if wanted.
  private func stranger(listens: Bool) throws -> UnixSocket {
    let socket = try UnixSocket()
    _ = try checked(unsafe clinux_unix_bind(socket.fd, path))
    if listens { _ = try checked(clinux_listen(socket.fd, 1)) }
    return socket
  }

  @Test func `it is for its owner alone, goes away, and leaves nothing`() throws {
    do {
      let listener = try Listener(path: path)
      #expect(mode(path) == 0o600)
      #expect(listener.path == path && listener.isOurs)
      try UnixSocket().connect(path)
      #expect(exists(path + ".lock") && !exists(path + "~"))
      #expect(fcntl(listener.socket.fd, F_GETFD) & FD_CLOEXEC != 0)
      #expect(fcntl(listener.socket.fd, F_GETFL) & O_NONBLOCK != 0)
    }
    #expect(!exists(path) && !exists(path + ".lock"))
  }

  @Test(arguments: [UInt32(0o600), 0o660, 0o666, 0o640]) func `its mode is the one that is wanted`(
    wanted: UInt32
  ) throws {
    let listener = try Listener(path: path, mode: wanted)
    #expect(mode(path) == wanted)
    withExtendedLifetime(listener) {}
  }

  @Test(.enabled(if: geteuid() == 0, "only root gives files away"))
  func `its owner is the one that is wanted`() throws {
    let listener = try Listener(
      path: path, mode: 0o600, owner: SocketOwner(uid: 12345, gid: 54321))
    var info = stat()
    unsafe lstat(path, &info)
    #expect(info.st_uid == 12345 && info.st_gid == 54321 && info.st_mode & 0o777 == 0o600)
    let other = scratch.path + "/g"
    let second = try Listener(path: other, owner: SocketOwner(gid: 54321))
    unsafe lstat(other, &info)
    #expect(info.st_uid == geteuid() && info.st_gid == 54321)
    withExtendedLifetime((listener, second)) {}
  }

  @Test func `nobody finds it with another mode, or with nobody listening`() throws {
    let isDone = Atomic(false)
    let strange = Mutex<[String]>([])
    // Odd while a socket is on its way out: what is seen then counts for nothing.
    let turn = Atomic(0)
    let looks = Atomic(0)
    let path = path
    let watcher = try KernelThread("test-watcher") {
      while !isDone.load(ordering: .relaxed) {
        let before = turn.load(ordering: .acquiring)
        var found: [String] = []
        if let mode = self.mode(path + "~"), mode != 0o600, mode != 0o640 {
          found.append("new: \(String(mode, radix: 8))")
        }
        if let mode = self.mode(path) {
          if mode != 0o640 { found.append("mode: \(String(mode, radix: 8))") }
          do throws(Errno) {
            try UnixSocket().connect(path)
          } catch {
            found.append("connect: \(error.name)")
          }
        }
        if before % 2 == 0, turn.load(ordering: .acquiring) == before {
          looks.add(1, ordering: .relaxed)
          strange.withLock { $0 += found }
        }
      }
    }
    for _ in 0..<3000 {
      let listener = try Listener(path: path, mode: 0o640)
      turn.add(1, ordering: .releasing)
      listener.refuseConnections()
      turn.add(1, ordering: .releasing)
    }
    isDone.store(true, ordering: .relaxed)
    watcher.join()
    #expect(strange.withLock { $0 } == [])
    #expect(looks.load(ordering: .relaxed) > 300)
  }

  @Test func `what a dead server left is replaced`() throws {
    do { _ = try stranger(listens: true) }
    #expect(exists(path))
    // Also where it died a moment before its socket was ready.
    let new = try UnixSocket()
    _ = try checked(unsafe clinux_unix_bind(new.fd, path + "~"))
    _ = try scratch.file("s.lock", "")
    close(dup(new.fd))
    withExtendedLifetime(new) {}
    let listener = try Listener(path: path)
    try UnixSocket().connect(path)
    #expect(!exists(path + "~"))
    withExtendedLifetime(listener) {}
  }

  @Test func `what is not ours is left alone`() throws {
    let live = try stranger(listens: true)
    #expect(refusal(path).contains("another server listens"))
    try UnixSocket().connect(path)
    withExtendedLifetime(live) {}
    let file = try scratch.file("f", "kept")
    #expect(refusal(file).contains("is no socket"))
    #expect(exists(file) && !exists(file + ".lock"))
    let link = scratch.path + "/l"
    #expect(unsafe symlink(path, link) == 0)
    #expect(refusal(link).contains("is no socket"))
    #expect(exists(link))
    let folder = scratch.path + "/d"
    #expect(unsafe mkdir(folder, 0o700) == 0)
    #expect(refusal(folder).contains("is no socket"))
  }

  @Test func `a socket of another kind is left alone`() throws {
    let fd = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    let datagrams = Descriptor(owning: fd)
    _ = try checked(unsafe clinux_unix_bind(datagrams.fd, path))
    #expect(refusal(path).contains("may be using (EPROTOTYPE)"))
    #expect(exists(path))
  }

  @Test func `a path that cannot be is refused in a sentence`() {
    let long = scratch.path + "/" + String(repeating: "x", count: 107)
    #expect(refusal(long).contains("is too long for a socket"))
    #expect(refusal("").contains("needs a path"))
    #expect(refusal("@abstract").contains("'./@abstract'"))
    #expect(refusal(scratch.path + "/no/s").contains("is its folder there"))
    #expect(refusal("a\0b").contains("needs a path"))
  }

  @Test func `the longest path is not too long`() throws {
    let most = UnixSocket.mostPathBytes - 1
    let path =
      scratch.path + "/" + String(repeating: "x", count: most - scratch.path.utf8.count - 1)
    let listener = try Listener(path: path)
    try UnixSocket().connect(path)
    withExtendedLifetime(listener) {}
    #expect(refusal(path + "x").contains("at most \(most)"))
  }

  @Test func `of two servers one gets the path, and the other says why not`() throws {
    for _ in 0..<50 {
      let kept = Mutex<[Kept]>([])
      let refusals = Mutex<[String]>([])
      let path = path
      let threads = try (0..<8).map { _ in
        try KernelThread("test-server") {
          do throws(HostError) {
            let listener = Kept(listener: try Listener(path: path))
            kept.withLock { $0.append(listener) }
          } catch {
            refusals.withLock { $0.append(error.message) }
          }
        }
      }
      for thread in threads { thread.join() }
      #expect(kept.withLock { $0.count } == 1)
      #expect(refusals.withLock { $0.allSatisfy { $0.contains("another server serves at") } })
      try UnixSocket().connect(path)
      kept.withLock { $0.removeAll() }
      #expect(!exists(path) && !exists(path + ".lock"))
    }
  }

  @Test func `servers that come and go never take away each other's socket`() throws {
    let path = path
    let strange = Mutex<[String]>([])
    let turns = Atomic(0)
    let threads = try (0..<4).map { _ in
      try KernelThread("test-server") {
        for _ in 0..<2000 {
          do throws(HostError) {
            let listener = try Listener(path: path)
            turns.add(1, ordering: .relaxed)
            do throws(Errno) {
              try UnixSocket().connect(path)
            } catch {
              strange.withLock { $0.append(error.name) }
            }
            listener.refuseConnections()
          } catch {
            let isExpected = error.message.contains("another server serves at")
            if !isExpected { strange.withLock { $0.append(error.message) } }
          }
        }
      }
    }
    for thread in threads { thread.join() }
    #expect(strange.withLock { $0 } == [])
    #expect(turns.load(ordering: .relaxed) > 10)
  }

  @Test func `only its own file is removed at the end`() throws {
    let listener = try Listener(path: path)
    #expect(unsafe unlink(path) == 0)
    let other = try stranger(listens: true)
    listener.refuseConnections()
    #expect(exists(path))
    try UnixSocket().connect(path)
    withExtendedLifetime(other) {}
  }

  @Test func `whoever has connected can be accepted after the last call, and nobody else comes`()
    throws
  {
    let listener = try Listener(path: path)
    let early = try UnixSocket()
    try early.connect(path)
    let inode = scratch.path + "/kept"
    #expect(unsafe link(path, inode) == 0)
    listener.refuseConnections()
    #expect(throws: Errno.ECONNREFUSED) { try UnixSocket().connect(inode) }
    #expect(try listener.socket.accept() != nil)
    #expect(try listener.socket.accept() == nil)
  }
}
