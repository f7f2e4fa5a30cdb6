// SPDX-License-Identifier: Apache-2.0
// The oracle of a run: what each granule must hold. Knows nothing of how it was served.
import Glibc
import UffdHost
import UffdPattern
import UffdReport

/// The truth about the object's bytes.
@safe final class Expectation: @unchecked Sendable {
  @safe private enum Source {
    case file(UnsafeRawPointer, UInt64)
    case pattern(Pattern)
    case provider(Instance)
  }
  private let source: Source
  /// The oracle's name, for the report.
  let name: String
  private let zeroes: UnsafeRawPointer
  private let granule: UInt64
  /// Bytes of the object; beyond them every byte is zero, whatever the source says.
  private let objectSize: UInt64

  /// Nil: there is no oracle, or the user wants none.
  init?(
    _ oracle: Oracle, _ parameters: [Parameter], _ instance: Instance, _ host: Host
  ) throws(HostError) {
    var oracle = oracle
    var implied = ""
    if oracle == .implied {
      oracle = .none
      if let image = parameters.first(where: { $0.key == "image" }) {
        oracle = .file(image.value)
        implied = "image="
      } else if let text = parameters.first(where: { $0.key == "pattern" })?.value,
        let seed = Expectation.seed(text)
      {
        oracle = .pattern(seed: seed)
      }
    }
    switch oracle {
    case .none, .implied: return nil
    case .file(let path):
      source = try Expectation.open(path)
      name = implied.isEmpty ? "file \(path)" : implied + path
    case .pattern(let seed):
      source = .pattern(Pattern(seed: seed))
      name = "pattern:\(seed)"
    case .provider:
      source = .provider(try host.open(instance.provider, parameters: parameters))
      name = "provider (a second instance, asked directly)"
    }
    granule = instance.granule
    objectSize = instance.objectSize
    // Shared by all threads, read only, one page table entry: the kernel's zero page.
    guard
      let memory = unsafe mmap(
        nil, Int(granule), PROT_READ, MAP_PRIVATE | Int32(MAP_ANONYMOUS) | MAP_NORESERVE, -1, 0),
      unsafe memory != MAP_FAILED
    else {
      throw HostError(.system, "there is no memory for the verification; free some")
    }
    unsafe zeroes = UnsafeRawPointer(memory)
  }

  private static func seed(_ text: String) -> UInt64? {
    text.hasPrefix("0x") || text.hasPrefix("0X")
      ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
  }

  private static func open(_ path: String) throws(HostError) -> Source {
    let fd = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else {
      throw HostError(
        .usage, "the oracle \(path.quoted) cannot be opened (\(Errno(errno).name)); give another")
    }
    defer { close(fd) }
    let length = lseek(fd, 0, SEEK_END)
    guard length > 0 else {
      throw HostError(.usage, "the oracle \(path.quoted) is empty or no file; give another")
    }
    let memory = unsafe mmap(nil, length, PROT_READ, MAP_SHARED, fd, 0)
    guard let memory = unsafe memory, unsafe memory != MAP_FAILED else {
      throw HostError(.system, "the oracle \(path.quoted) cannot be mapped (\(Errno(errno).name))")
    }
    return unsafe .file(UnsafeRawPointer(memory), UInt64(length))
  }

  /// Compares one granule of served memory. `scratch` is a buffer of a granule, of the calling thread.
  func compare(
    _ memory: UnsafeRawPointer, granule index: UInt64, _ scratch: UnsafeMutableRawBufferPointer
  ) -> GuardedAccess.Comparison {
    let start = index * granule
    let inObject = min(granule, objectSize - min(objectSize, start))
    let head: GuardedAccess.Comparison
    var compared = inObject
    switch source {
    case .file(let bytes, let length):
      compared = min(inObject, length - min(length, start))
      head =
        compared == 0
        ? .equal
        : unsafe GuardedAccess.compare(memory, bytes + Int(start), length: Int(compared))
    case .pattern(let pattern):
      unsafe pattern.fill(
        UnsafeMutableRawBufferPointer(rebasing: scratch[..<Int(inObject)]), at: start)
      head = unsafe GuardedAccess.compare(memory, scratch.baseAddress!, length: Int(inObject))
    case .provider(let instance):
      do {
        try unsafe instance.readContent(firstGranule: index, into: scratch)
      } catch {
        return .differs(at: 0)
      }
      head = unsafe GuardedAccess.compare(memory, scratch.baseAddress!, length: Int(inObject))
    }
    if head != .equal || compared == granule { return head }
    let tail = unsafe GuardedAccess.compare(
      memory + Int(compared), zeroes, length: Int(granule - compared))
    if case .differs(let offset) = tail { return .differs(at: compared + offset) }
    return tail
  }
}
