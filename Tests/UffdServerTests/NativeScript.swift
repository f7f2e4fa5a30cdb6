// SPDX-License-Identifier: Apache-2.0
// A server that says what a test has it say, for the client in C.
import CUffdClient
import Foundation
import Glibc
import UffdHost

@testable import UffdServer

/// The server's end of a connection, in its script.
final class NativePeer: Sendable {
  private let socket: Descriptor
  init(_ socket: Descriptor) { self.socket = socket }

  /// Descriptors are dropped by the kernel, for there is no room for them.
  func read(_ count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
      var chunk = [UInt8](repeating: 0, count: count - bytes.count)
      let got = unsafe Glibc.read(socket.fd, &chunk, chunk.count)
      guard got > 0 else { return bytes }
      bytes += chunk[..<got]
    }
    return bytes
  }

  /// The next frame, or what there is of it.
  func frame() -> [UInt8] {
    let header = read(NativeWire.headerBytes)
    guard let length = NativeHeader(header)?.length else { return header }
    return header + read(Int(length) - NativeWire.headerBytes)
  }

  func write(_ bytes: some Collection<UInt8>) {
    let all = Array(bytes)
    let count = unsafe Glibc.send(socket.fd, all, all.count, Int32(MSG_NOSIGNAL))
    precondition(count == all.count || count < 0, "the socket's buffer is too small for a test")
  }

  func hangUp() { shutdown(socket.fd, Int32(SHUT_RDWR)) }

  /// The client's first words, and the server's.
  func open(mostDescriptors: Int = NativeWire.mostDescriptors) -> [UInt8] {
    let opening = read(NativeWire.magic.count) + frame()
    write(NativeHello.greeting(NativeRecords.object, mostDescriptors))
    return opening
  }
}

/// What a call of the client came to.
struct NativeResult: Equatable, CustomStringConvertible {
  let result: Int32
  let text: String
  init(_ result: uffd_client_result, _ text: String = "") {
    self.result = result.rawValue
    self.text = text
  }
  init(_ result: Int32, _ text: String) {
    self.result = result
    self.text = result == 0 ? "" : text
  }
  var description: String { "\(result) '\(text)'" }
}

/// The client in C, as one that a test can talk about.
@safe final class NativeCClient {
  private var client = unsafe uffd_client()
  let opened: NativeResult

  /// On a socket that is connected. Waits two seconds for an answer.
  init(_ socket: Int32) {
    var client = unsafe uffd_client()
    let result = unsafe uffd_client_adopt(&client, socket)
    unsafe client.timeout_ms = 2000
    unsafe self.client = client
    opened = unsafe NativeResult(result, Self.text(client))
  }

  deinit { unsafe uffd_client_close(&client) }

  private static func text(_ client: uffd_client) -> String {
    unsafe withUnsafeBytes(of: client.error) { bytes in
      unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
  }
  private func result(_ result: Int32) -> NativeResult {
    unsafe NativeResult(result, Self.text(client))
  }

  var version: UInt32 { unsafe client.version }
  var capabilities: UInt64 { unsafe client.capabilities }
  var objectSize: UInt64 { unsafe client.object_size }
  var pageSize: UInt64 { unsafe client.page_size }
  var mostDescriptors: UInt32 { unsafe client.max_descriptors }
  var session: UInt64 { unsafe client.session }
  var code: Int32 { unsafe client.code }
  var isDrained: Bool { unsafe client.is_drained != 0 }
  var isConnected: Bool { unsafe uffd_client_is_connected(&client) != 0 }
  func wait(milliseconds: Int32) { unsafe client.timeout_ms = milliseconds }
  func use(uffd: Int32) { unsafe client.uffd = uffd }

  func attach(_ regions: [uffd_client_region], _ backings: [Int32]) -> NativeResult {
    result(
      unsafe uffd_client_attach(
        &client, regions, UInt32(regions.count), backings, UInt32(backings.count)))
  }
  func add(_ regions: [uffd_client_region], _ backings: [Int32] = []) -> NativeResult {
    result(
      unsafe uffd_client_add(
        &client, regions, UInt32(regions.count), backings, UInt32(backings.count)))
  }
  func remove(_ start: UInt, _ length: UInt64, _ milliseconds: Int32) -> NativeResult {
    let start = unsafe UnsafeRawPointer(bitPattern: start)
    return result(unsafe uffd_client_remove(&client, start, length, milliseconds))
  }
  /// Into `progress`, which keeps what is not written.
  func progress(_ progress: inout uffd_client_progress) -> NativeResult {
    result(unsafe uffd_client_progress(&client, &progress))
  }
  func drain(_ milliseconds: Int32) -> NativeResult {
    result(unsafe uffd_client_drain(&client, milliseconds))
  }
  func detach() -> NativeResult { result(unsafe uffd_client_detach(&client)) }
  func status() -> String? {
    var json: UnsafeMutablePointer<CChar>?
    guard unsafe uffd_client_status(&client, &json) == 0, let text = unsafe json else { return nil }
    defer { unsafe free(text) }
    return unsafe String(cString: text)
  }
}

enum NativeScript {
  /// Runs `script` on a thread of its own and `body` here.
  static func run(
    _ script: @escaping @Sendable (NativePeer) -> Void, body: (NativeCClient) throws -> Void
  ) rethrows {
    var ends: [Int32] = [-1, -1]
    let paired = unsafe socketpair(
      AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends)
    precondition(paired == 0, "there is no pair of sockets")
    let peer = NativePeer(Descriptor(owning: ends[0]))
    let isDone = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
      script(peer)
      isDone.signal()
    }
    // The script ends when the client has hung up.
    defer { isDone.wait() }
    try body(NativeCClient(ends[1]))
  }
}

/// What a script has seen. It is read when the script has ended.
final class NativeBox<Value>: @unchecked Sendable {
  var value: Value
  init(_ value: Value) { self.value = value }
}
