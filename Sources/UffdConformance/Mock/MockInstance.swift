// SPDX-License-Identifier: Apache-2.0
// One configured instance, driven through the C table the way the header says a host does, with every
// answer held against it. Hooks run on the thread that calls; the declared thread model is kept.
import CHookTrap
import CLinux
import Glibc
import UffdHost
import UffdPluginABI

@safe final class MockInstance: @unchecked Sendable {
  let library: Library
  let host = MockHost()
  let traits: uffd_traits
  let table: uffd_provider
  // SAFETY: the provider's, from configure to close; never looked behind.
  let pointer: OpaquePointer
  private let strings: [Fence]
  private var isOpen = true
  /// Held around every hook of a PER_INSTANCE instance but cancel.
  private let turn = Lock()
  let model: uffd_thread_model

  var granule: UInt64 { unsafe traits.granule }
  var objectSize: UInt64 { unsafe traits.object_size }
  /// Number of granules of the object.
  var granules: UInt64 { (objectSize - 1) / granule + 1 }
  var mayBlock: Bool {
    unsafe traits.may_block == 1 || table.behaviours.contains(.blocks)
  }
  var hasBacking: Bool { unsafe traits.backing != .none }

  /// configure, then config_complete. Throws Refusal for a failure that the contract allows.
  init(_ library: Library, _ parameters: [Parameter]) throws {
    self.library = library
    unsafe table = unsafe library.table.pointee
    let (host, strings) = (host, parameters.map { MockInstance.string(of: $0) })
    self.strings = strings
    func end() {
      host.end()
      for string in strings { string.expire(HOOK_TRAP_PAST_CLOSE) }
    }
    let (status, made) = unsafe MockInstance.configure(table, host, strings, parameters)
    do {
      try MockInstance.checkConfigured("configure", status)
      guard status == .ok, let made = unsafe made else {
        if status == .ok { throw Breach(Rule.status, "configure answered OK without an instance") }
        throw Refusal(hook: "configure", status: status, text: host.takeErrorText())
      }
      unsafe pointer = unsafe made
    } catch {
      end()
      throw error
    }
    Rule.seen.mark(Rule.status, Rule.keptPointer, Rule.afterClose, Rule.exits)
    let (completion, answer) = unsafe MockInstance.complete(table, pointer)
    unsafe traits = unsafe answer
    unsafe model = answer.thread_model == .unchanged ? table.thread_model : answer.thread_model
    do {
      try MockInstance.checkConfigured("config_complete", completion)
      if completion != .ok {
        throw Refusal(hook: "config_complete", status: completion, text: host.takeErrorText())
      }
      if let flaw = unsafe TraitsFlaw.find(answer, table) { throw flaw }
    } catch {
      MockInstance.run("close") { unsafe table.close!(pointer) }
      isOpen = false
      end()
      throw error
    }
  }

  deinit { if isOpen { close() } }

  /// Ends the instance. Nobody may be in a hook.
  func close() {
    guard isOpen else { return }
    isOpen = false
    call("close") { unsafe table.close!(pointer) }
    host.end()
    for string in strings { string.expire(HOOK_TRAP_PAST_CLOSE) }
  }

  /// Throws if a service call broke a rule.
  func rethrow() throws {
    try host.rethrow()
    try Switchboard.rethrow()
  }

  // MARK: How a hook is called

  /// Calls a hook of this instance.
  func call<Result>(_ hook: StaticString, _ body: () -> Result) -> Result {
    model == .perInstance
      ? turn.held { MockInstance.run(hook, body) } : MockInstance.run(hook, body)
  }

  /// Names the hook for the trap, and takes its time.
  static func run<Result>(_ hook: StaticString, _ body: () -> Result) -> Result {
    let before = clinux_now()
    unsafe hook_trap_enter(UnsafeRawPointer(hook.utf8Start).assumingMemoryBound(to: CChar.self))
    let result = body()
    hook_trap_leave()
    HookTimes.shared.record(hook, clinux_now() - before)
    return result
  }

  // MARK: Configuration

  /// Key and value of a parameter, NUL-terminated, one behind the other.
  private static func string(of parameter: Parameter) -> Fence {
    let bytes = Array(parameter.key.utf8) + [0] + Array(parameter.value.utf8) + [0]
    let fence = Fence(length: bytes.count, beyond: HOOK_TRAP_PAST_STRUCT, poison: 0)
    unsafe fence.content.copyMemory(from: bytes, byteCount: bytes.count)
    return fence
  }

  private static func configure(
    _ table: uffd_provider, _ host: MockHost, _ strings: [Fence], _ parameters: [Parameter]
  ) -> (Status, OpaquePointer?) {
    // The array lives until the hook returns, the strings until close.
    let length = unsafe strings.count * MemoryLayout<uffd_parameter>.stride
    let array = Fence(length: length, beyond: HOOK_TRAP_PAST_STRUCT, poison: 0)
    let pairs = unsafe array.content.assumingMemoryBound(to: uffd_parameter.self)
    for (index, string) in strings.enumerated() {
      let key = unsafe string.content.assumingMemoryBound(to: CChar.self)
      unsafe (pairs + index).initialize(
        to: uffd_parameter(key: key, value: key + parameters[index].key.utf8.count + 1))
    }
    let room = unsafe array.structs.assumingMemoryBound(to: OpaquePointer?.self)
    let status = run("configure") {
      unsafe table.configure!(
        host.services, strings.isEmpty ? nil : UnsafePointer(pairs), UInt64(strings.count), room)
    }
    let made = unsafe room.pointee
    array.expire(HOOK_TRAP_PAST_STRUCT)
    return unsafe (Status(status), made)
  }

  private static func complete(
    _ table: uffd_provider, _ pointer: OpaquePointer
  ) -> (Status, uffd_traits) {
    let room = Fence(length: 0, beyond: HOOK_TRAP_PAST_STRUCT, poison: 0)
    let traits = unsafe room.structs.assumingMemoryBound(to: uffd_traits.self)
    unsafe traits.initialize(to: uffd_traits())
    unsafe traits.pointee.size = UInt32(MemoryLayout<uffd_traits>.size)
    let status = run("config_complete") { unsafe table.config_complete!(pointer, traits) }
    let answer = unsafe traits.pointee
    room.expire(HOOK_TRAP_PAST_STRUCT)
    return unsafe (Status(status), answer)
  }

  private static func checkConfigured(_ hook: String, _ status: Status) throws {
    let allowed: [Status] = [.ok, .absent, .outOfRange, .noMemory, .ioError]
    if !allowed.contains(status) { throw Breach(Rule.status, "\(hook) answered \(status)") }
  }
}
