// SPDX-License-Identifier: Apache-2.0
// A socket that is passed on, and what a service manager is told.
import CLinux
import Glibc
import TestSupport
import Testing
import UffdHost

@testable import UffdServer

@Suite struct ServiceManagerTests {
  private func manager(_ variables: [String: String]) throws(HostError) -> ServiceManager {
    try ServiceManager(environment: { variables[$0] }, pid: 77)
  }

  @Test func `a socket is passed to this process, or none is`() throws {
    #expect(try manager([:]).passedSocket == nil)
    #expect(try manager(["LISTEN_PID": "77", "LISTEN_FDS": "1"]).passedSocket == 3)
    #expect(try manager(["LISTEN_PID": "78", "LISTEN_FDS": "1"]).passedSocket == nil)
    #expect(try manager(["LISTEN_FDS": "1"]).passedSocket == nil)
    #expect(try manager(["LISTEN_PID": "77", "LISTEN_FDS": "0"]).passedSocket == nil)
    #expect(throws: HostError.self) { try manager(["LISTEN_PID": "77", "LISTEN_FDS": "2"]) }
  }

  @Test func `a passed socket must listen, and belongs to whoever passed it`() throws {
    let scratch = try Scratch()
    let path = scratch.path + "/s"
    let original = try UnixSocket()
    _ = try checked(unsafe clinux_unix_bind(original.fd, path))
    func passed(_ expected: String? = nil) throws(HostError) -> Listener {
      try Listener(passed: dup(original.fd), expected: expected)
    }
    #expect(throws: HostError.self) { try passed() }
    _ = try checked(clinux_listen(original.fd, 8))
    do {
      let listener = try passed(path)
      #expect(listener.path == path && !listener.isOurs)
      try UnixSocket().connect(path)
      #expect(try listener.socket.accept() != nil)
      listener.refuseConnections()
    }
    // The manager's socket goes on listening.
    try UnixSocket().connect(path)
    #expect(throws: HostError.self) { try passed("/another") }
    let file = unsafe open("/dev/null", O_RDONLY)
    #expect(throws: HostError.self) { try Listener(passed: file, expected: nil) }
  }

  @Test(arguments: [false, true]) func `a manager is told by datagrams`(isAbstract: Bool) throws {
    let scratch = try Scratch()
    let name = (isAbstract ? "@" : "") + scratch.path + "/notify"
    let fd = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    let receiver = Descriptor(owning: fd)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { bytes in
      for (index, byte) in name.utf8.enumerated() { unsafe bytes[index] = byte }
      if isAbstract { unsafe bytes[0] = 0 }
    }
    let length = socklen_t(2 + name.utf8.count + (isAbstract ? 0 : 1))
    let bound = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe bind(receiver.fd, $0, length)
      }
    }
    #expect(bound == 0)
    let manager = try manager(["NOTIFY_SOCKET": name])
    manager.tellReady("good")
    manager.askForTime(seconds: 2, "wait")
    manager.tellStopping("end")
    for wanted in [
      "READY=1\nSTATUS=good\n", "EXTEND_TIMEOUT_USEC=2000000\nSTATUS=wait\n",
      "STOPPING=1\nSTATUS=end\n",
    ] {
      var buffer = [UInt8](repeating: 0, count: 256)
      let count = unsafe recv(receiver.fd, &buffer, buffer.count, Int32(MSG_DONTWAIT))
      #expect(String(decoding: buffer[..<max(0, count)], as: UTF8.self) == wanted)
    }
  }

  @Test func `a manager that is not there is no trouble`() throws {
    try manager(["NOTIFY_SOCKET": "/nowhere"]).tellReady("good")
    try manager([:]).tellReady("good")
  }
}
