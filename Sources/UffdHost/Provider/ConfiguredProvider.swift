// SPDX-License-Identifier: Apache-2.0
// From a loaded library and a user's parameters to an instance of the provider: configure,
// config_complete, the traits and their check, close.
import Glibc
import Synchronization
import UffdPluginABI

/// The provider's side of an `Instance`: its pointer, what it declared, the strings and services lent to
/// it.
@safe final class ConfiguredProvider: @unchecked Sendable {
  let provider: Provider
  let traits: Traits
  private let handle: OpaquePointer
  private let service: UInt64
  private let hostTable: UnsafeMutablePointer<uffd_host>
  private let strings: [UnsafeMutablePointer<CChar>]
  private let declared: DeclaredFile?
  private let receiver: Receiver

  /// Services outlive the failure of a half-made instance, so they have an object of their own.
  private final class Receiver: ServiceReceiver, @unchecked Sendable {
    let name: String
    let arena: StagingArena
    let sink: LogSink
    let wake: @Sendable (UInt64) -> Void
    let errorText = Mutex<String?>(nil)

    init(
      _ name: String, _ arena: StagingArena, _ sink: @escaping LogSink,
      _ wake: @escaping @Sendable (UInt64) -> Void
    ) {
      self.name = name
      self.arena = arena
      self.sink = sink
      self.wake = wake
    }
    func log(_ level: LogLevel, _ text: String) { sink(level, "\(name): \(text)") }
    func reportError(_ text: String) { errorText.withLock { $0 = text } }
    func allocateStaging(_ length: UInt64) -> (
      status: uffd_status, memory: UnsafeMutableRawPointer?
    ) {
      guard length > 0, length % 4096 == 0 else { return (.outOfRange, nil) }
      guard let memory = unsafe arena.allocate(length) else { return (.noMemory, nil) }
      return unsafe (.ok, memory)
    }
    func freeStaging(_ memory: UnsafeMutableRawPointer) {
      if unsafe !arena.free(memory) {
        sink(.error, "\(name): staging_free was given memory that is no staging of this instance")
      }
    }
    func kick(_ ticket: UInt64) { wake(ticket) }
  }

  init(
    _ provider: Provider, _ parameters: [Parameter], _ arena: StagingArena, log: @escaping LogSink,
    kick: @escaping @Sendable (UInt64) -> Void
  ) throws(HostError) {
    self.provider = provider
    let receiver = Receiver(provider.name, arena, log, kick)
    let service = ServiceRegistry.add(receiver)
    let hostTable = UnsafeMutablePointer<uffd_host>.allocate(capacity: 1)
    unsafe hostTable.initialize(to: ServiceRegistry.table(service))
    var strings: [UnsafeMutablePointer<CChar>] = unsafe []
    var pairs: [uffd_parameter] = unsafe []
    for parameter in parameters {
      let key = unsafe strdup(parameter.key)!
      let value = unsafe strdup(parameter.value)!
      unsafe strings += [key, value]
      unsafe pairs.append(uffd_parameter(key: key, value: value))
    }
    func undo() {
      ServiceRegistry.remove(service)
      for index in unsafe strings.indices { unsafe free(strings[index]) }
      unsafe hostTable.deallocate()
    }
    let raw = unsafe provider.table.raw
    let call = unsafe ConfigureCall(raw, hostTable, pairs)
    let (status, handle) = provider.onItsThread { call.configure() }
    guard status == .ok, let handle else {
      undo()
      throw ConfiguredProvider.refusal(provider, "configure", status, receiver.errorText)
    }
    let (completion, answer) = provider.onItsThread { call.complete(handle) }
    func fail(_ error: HostError) -> HostError {
      provider.onItsThread { unsafe provider.table.raw.close!(handle.pointer) }
      undo()
      return error
    }
    if completion != .ok {
      throw fail(
        ConfiguredProvider.refusal(provider, "config_complete", completion, receiver.errorText))
    }
    do {
      traits = unsafe try Traits(answer.traits, provider)
      declared = unsafe try DeclaredFile(answer.traits, traits, parameters)
    } catch {
      throw fail(error)
    }
    unsafe self.handle = unsafe handle.pointer
    self.service = service
    unsafe self.hostTable = unsafe hostTable
    unsafe self.strings = unsafe strings
    self.receiver = receiver
  }

  /// The sentence for a configuration that failed.
  private static func refusal(
    _ provider: Provider, _ hook: String, _ status: uffd_status, _ text: borrowing Mutex<String?>
  ) -> HostError {
    let reason = text.withLock { $0 }
    switch status {
    case .absent, .outOfRange, .ioError:
      return HostError(
        .usage,
        "the provider '\(provider.name)' does not accept its configuration: "
          + (reason ?? "\(hook) answered \(status.name) and gave no reason"))
    case .noMemory, .gone:
      return HostError(
        .system,
        "the provider '\(provider.name)' cannot be configured: "
          + (reason ?? "\(hook) answered \(status.name) and gave no reason"))
    case .ok:
      return HostError(
        .refused,
        "the provider '\(provider.name)' broke the contract: \(hook) answered OK without an instance"
      )
    default:
      return HostError(
        .refused,
        "the provider '\(provider.name)' broke the contract: \(hook) returned \(status.name)")
    }
  }

  /// close, on the thread that the model asks for; then everything that was lent to the provider goes.
  func close() {
    let handle = unsafe SendableHandle(pointer: handle)
    provider.onItsThread { [provider] in unsafe provider.table.raw.close!(handle.pointer) }
    ServiceRegistry.remove(service)
    for index in unsafe strings.indices { unsafe free(strings[index]) }
    unsafe hostTable.deallocate()
  }

  func makeBacking(_ count: UInt64, _ publisher: Userfaultfd) throws(HostError) -> Backing? {
    if let declared, let file = declared.backing {
      return try Backing(
        file: file, size: declared.length, granule: traits.granule, count: count,
        publisher: publisher)
    }
    guard traits.hasHostBacking else { return nil }
    return try Backing(
      kind: traits.memoryKind, granule: traits.granule, count: count, publisher: publisher)
  }

  func makeRecord(
    count: UInt64, isInline: Bool, workers: Int, executor: Executor, arena: StagingArena,
    owner: Instance,
    warm: UnsafeMutablePointer<UInt64>
  ) -> InstanceRecord {
    let raw = unsafe provider.table.raw
    let content = declared?.isContent == true ? declared : nil
    return unsafe InstanceRecord(
      handle: handle, contentHandle: content?.handle ?? handle,
      alloc: content != nil ? DeclaredFile.alloc : raw.alloc_folio,
      put: content != nil ? DeclaredFile.put : raw.put_folio,
      lookup: raw.get_folio_noalloc, filemapAdd: raw.filemap_add,
      filemapRemove: raw.filemap_remove, discard: raw.discard, cancel: raw.cancel,
      willNeed: content != nil ? DeclaredFile.willNeed : raw.will_need,
      granule: traits.granule,
      granuleShift: UInt64(traits.granule.trailingZeroBitCount), count: count, isInline: isInline,
      isDirect: traits.threadModel == .parallel,
      lends: content != nil || raw.operations.contains(.lend),
      holeIsZero: traits.holeIsZero, workers: UInt64(workers),
      executor: Unmanaged.passUnretained(executor),
      arena: Unmanaged.passUnretained(arena), owner: owner, warm: warm)
  }

  /// can_userfault: nil, or why the region may not attach. The caller is where the thread model allows it.
  func objection(_ query: uffd_region_query) -> HostError? {
    guard let predicate = unsafe provider.table.raw.can_userfault else { return nil }
    var query = query
    var reason: UnsafePointer<CChar>?
    switch unsafe predicate(handle, &query, &reason) {
    case 1: return nil
    case 0:
      let text = unsafe stringCarefully(reason) ?? "it gives no reason"
      return HostError(
        .usage, "the provider '\(provider.name)' does not serve this region: \(text)")
    case let other:
      return HostError(
        .refused,
        "the provider '\(provider.name)' broke the contract: can_userfault returned \(other)")
    }
  }

  func takeErrorText() -> String? {
    receiver.errorText.withLock { text in
      defer { text = nil }
      return text
    }
  }
}

/// A provider's pointer on its way to the thread that may use it.
@safe struct SendableHandle: @unchecked Sendable {
  let pointer: OpaquePointer
}

/// The arguments of configure and config_complete, for whichever thread may call them.
@safe private struct ConfigureCall: @unchecked Sendable {
  private let table: uffd_provider
  private let host: UnsafeMutablePointer<uffd_host>
  private let pairs: [uffd_parameter]

  init(
    _ table: uffd_provider, _ host: UnsafeMutablePointer<uffd_host>, _ pairs: [uffd_parameter]
  ) {
    unsafe self.table = unsafe table
    unsafe self.host = unsafe host
    unsafe self.pairs = unsafe pairs
  }

  func configure() -> (uffd_status, SendableHandle?) {
    var instance: OpaquePointer?
    let status = unsafe pairs.withUnsafeBufferPointer { pairs in
      unsafe table.configure!(host, pairs.baseAddress, UInt64(pairs.count), &instance)
    }
    return unsafe (status, instance.map { unsafe SendableHandle(pointer: $0) })
  }

  func complete(_ handle: SendableHandle) -> (uffd_status, RawTraits) {
    var traits = unsafe uffd_traits()
    unsafe traits.size = unsafe UInt32(MemoryLayout<uffd_traits>.size)
    let status = unsafe table.config_complete!(handle.pointer, &traits)
    return unsafe (status, RawTraits(traits: traits))
  }
}

/// `uffd_traits` on its way between threads.
@safe struct RawTraits: @unchecked Sendable {
  let traits: uffd_traits
}

extension Provider {
  /// Runs `body` where a hook of this library may run: on its one thread, if it is SERIAL. That thread is
  /// never closed, so there is always a result.
  func onItsThread<Result: Sendable>(_ body: @escaping @Sendable () -> Result) -> Result {
    guard let serialExecutor else { return body() }
    return serialExecutor.run(nanoseconds: nil, body)!
  }
}
