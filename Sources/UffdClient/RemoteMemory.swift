// SPDX-License-Identifier: Apache-2.0
// Memory of this process that a uffdhost server fills, for Swift programs: a safe hand on uffd_client.h.
import CUffdClient
import Glibc
import Synchronization

/// Memory whose content a uffdhost server has, and brings page by page when it is first touched.
///
///     let disk = try RemoteMemory(socket: "/run/uffdhost.sock")
///     print(disk[4096])          // the server is asked for this page, and for no other
///     try disk.drain()           // everything is here now, and the server is not needed any more
///
/// The methods may be called from any thread. So may the memory be read, and be written as any other memory
/// is.
///
/// What a program has to know:
/// - A page that the server cannot provide is poisoned: touching it is SIGBUS.
/// - If the server dies, touching a page that is not here yet takes for ever. It never reads zeroes.
/// - Where the process is not allowed to watch the kernel's accesses (``watchesSystemCalls``), a system call
///   given a page that is not here yet fails with `EFAULT`. Touch it first.
/// - A child of fork(2) has no such memory.
public final class RemoteMemory: Sendable {
  /// What the memory is made of.
  public enum Kind: Sendable {
    /// Anonymous memory of this process.
    case anonymous
    /// A memfd that others can map too (``fileDescriptor``). Writes are seen by all of them.
    case shared
    /// A memfd of which this process has a private view: writes are copied and stay here.
    case privateView
  }

  /// C's struct, and what this class adds to it.
  @safe private struct State: ~Copyable {
    var client = unsafe uffd_client()
    var isDetached = false
  }

  /// Byte `offset` of the server's object is the first byte of the memory.
  public let offset: UInt64
  /// Bytes of memory: what was asked for, rounded up to pages.
  public let count: Int
  /// Bytes of the server's object, from its byte 0 on; nil: the server is older than this question.
  public let objectSize: UInt64?
  /// The memfd behind the memory, which belongs to this object; nil: anonymous memory.
  public let fileDescriptor: Int32?
  /// How the server names this client in its log and its status.
  public let session: UInt64
  /// System calls wait for missing pages, as the program's own accesses do.
  public let watchesSystemCalls: Bool
  private let start: UInt
  private let state: Mutex<State>

  /// Connects to the server at `socket`, makes memory that shows `count` bytes of its object from `offset`
  /// on (nil: all that there are), and hands it over.
  ///
  /// `pageSize` is 4096 or a size of huge pages; `offset` is a multiple of it.
  public init(
    socket: String, count: Int? = nil, offset: UInt64 = 0, kind: Kind = .anonymous,
    pageSize: Int = 4096
  ) throws(RemoteMemoryError) {
    guard count ?? 1 > 0, pageSize > 0 else {
      throw RemoteMemoryError(
        .usage, "remote memory of \(count ?? 0) bytes in pages of \(pageSize) is none")
    }
    var state = State()
    var mapping = unsafe uffd_client_mapping()
    // Nothing to close until there is one.
    unsafe mapping.backing = -1
    let memory =
      switch kind {
      case .anonymous: UFFD_CLIENT_ANONYMOUS
      case .shared: UFFD_CLIENT_MEMFD_SHARED
      case .privateView: UFFD_CLIENT_MEMFD_PRIVATE
      }
    var result = unsafe uffd_client_connect(&state.client, socket)
    var length = UInt64(count ?? 0)
    if result == 0, count == nil {
      do { length = try unsafe Self.rest(of: state.client.object_size, from: offset) } catch {
        unsafe uffd_client_close(&state.client)
        throw error
      }
    }
    if result == 0 {
      result = unsafe uffd_client_open_uffd(
        &state.client, UInt64(UFFD_CLIENT_FEATURES.rawValue), UFFD_CLIENT_USER_MODE_ALLOWED.rawValue
      )
    }
    if result == 0 {
      result = unsafe uffd_client_map(
        &state.client, memory, UInt64(pageSize), length, offset, &mapping)
    }
    if result == 0 {
      result = unsafe uffd_client_attach(
        &state.client, &mapping.region, 1, &mapping.backing, mapping.backing < 0 ? 0 : 1)
    }
    guard result == 0 else {
      let error = unsafe RemoteMemoryError(result, state.client)
      unsafe Self.abandon(&state.client, mapping, mayBeServed: error.kind == .timeout)
      throw error
    }
    self.offset = offset
    self.count = unsafe Int(mapping.length)
    objectSize = unsafe state.client.object_size == 0 ? nil : state.client.object_size
    fileDescriptor = unsafe mapping.backing < 0 ? nil : mapping.backing
    session = unsafe state.client.session
    watchesSystemCalls = unsafe state.client.is_user_mode_only == 0
    start = unsafe UInt(bitPattern: mapping.memory)
    self.state = Mutex(state)
  }

  /// How much of an object there is; 0: the server has not said.
  private static func rest(
    of size: UInt64, from offset: UInt64
  ) throws(RemoteMemoryError) -> UInt64 {
    guard size > 0 else {
      throw RemoteMemoryError(
        .usage, "the server does not say how long its object is; ask for a number of bytes")
    }
    guard offset < size, size - offset <= UInt64(Int.max) else {
      throw RemoteMemoryError(
        .usage, "nothing of an object of \(size) bytes can be shown from byte \(offset) on")
    }
    return size - offset
  }

  /// Nobody has seen the memory yet, so that the uffd may go; and the memory too, unless somebody may hold
  /// the uffd who does not read of its end.
  private static func abandon(
    _ client: inout uffd_client, _ mapping: uffd_client_mapping, mayBeServed: Bool
  ) {
    unsafe uffd_client_close(&client)
    if unsafe client.uffd >= 0 { unsafe close(client.uffd) }
    if unsafe mapping.backing >= 0 { unsafe close(mapping.backing) }
    guard let memory = unsafe mapping.memory, !mayBeServed else { return }
    unsafe munmap(memory, Int(mapping.length))
  }

  // MARK: The memory

  /// The memory itself, valid as long as this object lives. Reading a byte for the first time waits for its
  /// page.
  @unsafe public var buffer: UnsafeMutableRawBufferPointer {
    unsafe UnsafeMutableRawBufferPointer(
      start: UnsafeMutableRawPointer(bitPattern: start), count: count)
  }

  /// One byte.
  public subscript(index: Int) -> UInt8 {
    get {
      precondition(index >= 0 && index < count, "byte \(index) of remote memory of \(count) bytes")
      return unsafe buffer[index]
    }
    set {
      precondition(index >= 0 && index < count, "byte \(index) of remote memory of \(count) bytes")
      unsafe buffer[index] = newValue
    }
  }

  /// Calls `body` with all of the memory, to read from.
  public func withBytes<Result, Failure: Error>(
    _ body: (RawSpan) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try unsafe body(buffer.bytes)
  }

  /// Calls `body` with all of the memory, to write to. Two threads must not write to the same bytes.
  public func withMutableBytes<Result, Failure: Error>(
    _ body: (inout MutableRawSpan) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    var span = unsafe buffer.mutableBytes
    return try body(&span)
  }

  // MARK: The server

  /// How far the server is.
  public func progress() throws(RemoteMemoryError) -> Progress {
    try locked { state throws(RemoteMemoryError) in
      var progress = uffd_client_progress()
      let result = unsafe uffd_client_progress(&state.client, &progress)
      guard result == 0 else { throw unsafe RemoteMemoryError(result, state.client) }
      return Progress(progress)
    }
  }

  /// Has the server fill everything and let go: it is ordinary memory then, but for poisoned pages
  /// (``Progress/poisoned``).
  ///
  /// Throws `.timeout` if that takes longer; the server goes on, and `drain` may be called again to wait
  /// on.
  public func drain(timeout: Duration? = nil) throws(RemoteMemoryError) {
    let begin = ContinuousClock.now
    while true {
      let left = timeout.map { $0 - (ContinuousClock.now - begin) }
      let isLast = (left ?? .seconds(1)) <= Self.turn
      let wait = isLast ? max(left ?? .zero, .zero) : Self.turn
      let isDone = try locked { state throws(RemoteMemoryError) in
        let milliseconds = Int32(wait / .milliseconds(1))
        let result = unsafe uffd_client_drain(&state.client, milliseconds)
        if result == 0 { return true }
        let error = unsafe RemoteMemoryError(result, state.client)
        if error.kind == .timeout && !isLast { return false }
        throw error
      }
      if isDone { return }
    }
  }

  /// How long `drain` keeps others from asking for the progress.
  private static let turn = Duration.milliseconds(50)

  /// Has the server stop at once. What is here stays; touching what is not takes for ever.
  public func detach() throws(RemoteMemoryError) {
    try locked { state throws(RemoteMemoryError) in
      let result = unsafe uffd_client_detach(&state.client)
      guard result == 0 else { throw unsafe RemoteMemoryError(result, state.client) }
      state.isDetached = true
    }
  }

  private func locked<Result: Sendable>(
    _ body: (inout sending State) throws(RemoteMemoryError) -> sending Result
  ) throws(RemoteMemoryError) -> Result {
    try state.withLock(body)
  }

  /// Gives the memory back. Where nobody reads of its end any more (the server is gone, or the memory is
  /// detached), unmapping would wait for ever, and the addresses stay reserved until the process ends.
  deinit {
    let memory = unsafe buffer
    state.withLock { state in
      let isWatched = unsafe state.client.is_drained == 0
      let isServed = unsafe !state.isDetached && uffd_client_is_connected(&state.client) != 0
      if !isWatched || isServed { unsafe munmap(memory.baseAddress, memory.count) }
      unsafe uffd_client_close(&state.client)
      // Nothing is mapped any more that it could let read zero.
      if unsafe isServed && state.client.uffd >= 0 { unsafe close(state.client.uffd) }
    }
    if let fileDescriptor { close(fileDescriptor) }
  }
}
