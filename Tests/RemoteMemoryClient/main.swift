// SPDX-License-Identifier: Apache-2.0
// A program with remote memory, for the tests: it may sleep for ever, so that it is a process with an alarm.
// It prints what it has come to, and ends with 1 and a sentence where that is not what it should be.
import Glibc
import Synchronization
import UffdClient

let arguments = CommandLine.arguments
guard arguments.count == 5, let pageSize = Int(arguments[4]) else { fatalError("arguments") }
let (scenario, socket, file) = (arguments[1], arguments[2], arguments[3])
alarm(40)

func fail(_ text: String) -> Never {
  print("failed: \(text)")
  exit(1)
}

func content() -> [UInt8] {
  let fd = unsafe open(file, O_RDONLY | O_CLOEXEC)
  var bytes = [UInt8](repeating: 0, count: Int(lseek(fd, 0, SEEK_END)))
  guard unsafe pread(fd, &bytes, bytes.count, 0) == bytes.count else { fail("reading \(file)") }
  close(fd)
  return bytes
}

/// Open descriptors and mappings of this process.
func belongings() -> (descriptors: Int, mappings: Int) {
  // No file of ours has a number beyond.
  let descriptors = (0..<1024).count { fcntl(Int32($0), F_GETFD) >= 0 }
  let fd = unsafe open("/proc/self/maps", O_RDONLY | O_CLOEXEC)
  defer { close(fd) }
  var (mappings, chunk) = (0, [UInt8](repeating: 0, count: 4096))
  while true {
    let count = unsafe read(fd, &chunk, chunk.count)
    if count <= 0 { return (descriptors, mappings) }
    mappings += chunk[..<count].count { $0 == UInt8(ascii: "\n") }
  }
}

func whole(_ kind: RemoteMemory.Kind) throws(RemoteMemoryError) {
  let expected = content()
  let memory = try RemoteMemory(
    socket: socket, count: kind == .anonymous ? nil : expected.count, kind: kind,
    pageSize: pageSize)
  if memory.count != expected.count || memory.objectSize != UInt64(expected.count) {
    fail("\(memory.count) bytes of \(memory.objectSize ?? 0)")
  }
  for index in stride(from: 17, to: expected.count, by: 5 * pageSize + 1) {
    if memory[index] != expected[index] { fail("byte \(index) is \(memory[index])") }
  }
  let before = try memory.progress()
  if before.phase != .serving || before.missing == 0 || before.resident == 0 {
    fail("early: \(before)")
  }
  memory[17] ^= 0xff
  try memory.drain(timeout: .seconds(20))
  let after = try memory.progress()
  if after.phase != .drained || after.missing != 0 || after.poisoned != 0 { fail("late: \(after)") }
  let differing = memory.withBytes { bytes in
    expected.indices.filter {
      unsafe bytes.unsafeLoad(fromByteOffset: $0, as: UInt8.self) != expected[$0]
    }
  }
  if differing != [17] {
    fail("\(differing.count) bytes differ, the first at \(differing.first ?? 0)")
  }
  memory.withMutableBytes { bytes in
    bytes.storeBytes(of: 7, toByteOffset: 0, as: UInt8.self)
  }
  if let fd = memory.fileDescriptor {
    var bytes = [UInt8](repeating: 0, count: 18)
    guard unsafe pread(fd, &bytes, 18, 0) == 18 else { fail("pread") }
    let isShared = kind == .shared
    if (bytes[0] == 7) != isShared { fail("byte 0 of the memfd is \(bytes[0])") }
    if (bytes[17] == expected[17]) == isShared { fail("byte 17 of the memfd is \(bytes[17])") }
  }
  print("whole: session \(memory.session) faults \(before.missingFaults + before.minorFaults > 0)")
}

/// Memory that is let go without a drain takes its descriptors and its mapping along.
func ends() throws(RemoteMemoryError) {
  let before = belongings()
  for _ in 0..<20 {
    let memory = try RemoteMemory(socket: socket, count: pageSize * 16, pageSize: pageSize)
    _ = memory[pageSize]
  }
  for _ in 0..<20 {
    let memory = try RemoteMemory(socket: socket, count: pageSize * 16, pageSize: pageSize)
    try memory.drain()
  }
  let after = belongings()
  if after.descriptors != before.descriptors { fail("descriptors \(before), then \(after)") }
  if after.mappings > before.mappings + 4 { fail("mappings \(before), then \(after)") }
  print("ended")
}

func refused() {
  let before = belongings()
  do throws(RemoteMemoryError) {
    _ = try RemoteMemory(socket: socket, count: 1 << 40, pageSize: pageSize)
    fail("a terabyte of a small object")
  } catch {
    if error.kind != .refused || error.message.isEmpty { fail("\(error.kind): \(error)") }
    print("refused: \(error)")
  }
  do throws(RemoteMemoryError) {
    _ = try RemoteMemory(socket: socket + ".not", count: 4096)
    fail("no server")
  } catch {
    if error.kind != .system { fail("\(error.kind): \(error)") }
    print("system: \(error)")
  }
  do throws(RemoteMemoryError) {
    _ = try RemoteMemory(socket: socket, count: 4096, offset: 1)
    fail("an offset of 1")
  } catch {
    if error.kind != .usage { fail("\(error.kind): \(error)") }
  }
  let after = belongings()
  if after.descriptors != before.descriptors { fail("descriptors \(before), then \(after)") }
}

/// The test kills the server when it reads "ready".
func dead() throws(RemoteMemoryError) {
  let memory = try RemoteMemory(socket: socket, count: pageSize * 16, pageSize: pageSize)
  var other: RemoteMemory? = try RemoteMemory(
    socket: socket, count: pageSize * 16, pageSize: pageSize)
  _ = memory[0]
  _ = other?[0]
  print("ready")
  fflush(nil)
  var kind: RemoteMemoryError.Kind?
  while kind == nil {
    do throws(RemoteMemoryError) { _ = try memory.progress() } catch { kind = error.kind }
    usleep(1000)
  }
  if kind != .gone { fail("\(kind!)") }
  // What is here stays, and letting memory go does not wait for anybody.
  _ = memory[1]
  other = nil
  let isThrough = Shared()
  let shared = (memory, isThrough)
  startThread {
    _ = shared.0[pageSize * 3]
    shared.1.value.store(true, ordering: .releasing)
  }
  usleep(400_000)
  if isThrough.value.load(ordering: .acquiring) {
    fail("a missing page was read: \(memory[pageSize * 3])")
  }
  print("stalled")
  fflush(nil)
  // The thread sleeps in the kernel, and the memory must not be let go under it.
  _exit(0)
}

func detached() throws(RemoteMemoryError) {
  let memory = try RemoteMemory(socket: socket, count: pageSize * 16, pageSize: pageSize)
  _ = memory[0]
  try memory.detach()
  let progress = try memory.progress()
  if progress.phase != .detached { fail("\(progress)") }
  do throws(RemoteMemoryError) {
    try memory.drain(timeout: .seconds(5))
    fail("drained after it was detached")
  } catch {
    if error.kind != .refused { fail("\(error.kind): \(error)") }
  }
  print("detached")
}

final class Shared: Sendable { let value = Atomic(false) }

func startThread(_ body: @escaping @Sendable () -> Void) {
  final class Work: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
  var thread = pthread_t()
  let work = unsafe Unmanaged.passRetained(Work(body)).toOpaque()
  let result = unsafe pthread_create(
    &thread, nil,
    { argument in
      unsafe Unmanaged<Work>.fromOpaque(argument!).takeRetainedValue().body()
      return nil
    }, work)
  if result != 0 { fail("pthread_create") }
}

do throws(RemoteMemoryError) {
  switch scenario {
  case "anonymous": try whole(.anonymous)
  case "shared": try whole(.shared)
  case "private": try whole(.privateView)
  case "ends": try ends()
  case "refused": refused()
  case "dead": try dead()
  case "detached": try detached()
  default: fail("no scenario \(scenario)")
  }
} catch {
  fail("\(error.kind): \(error)")
}
