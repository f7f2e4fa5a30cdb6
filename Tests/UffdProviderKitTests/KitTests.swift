// SPDX-License-Identifier: Apache-2.0

// The kit with a provider that lives in this test: hooks that none of the three providers has, the
// table, errors, and the services of the host.

import Testing
import UffdPluginABI
import UffdProviderKit

private let everyHook: uffd_operations = [
  .alloc, .lend, .lookup, .filemap, .discard, .extents, .willNeed, .writeback, .flush, .cancel,
  .predicate,
]

/// One table per library, so all tests here share this one.
private let table = ProviderTable(
  ProviderDescription(
    name: "diary", version: "1", summary: "writes down what it is asked",
    operations: everyHook, modes: .missing, memoryKinds: .anon, granules: .size4K,
    behaviours: .volatile, threadModel: .perInstance,
    parameters: [
      ParameterDescription("fail", .string, help: "when to fail"),
      ParameterDescription("layer", .file, help: "a layer", flags: [.required, .repeatable]),
    ]),
  Diary.self)

/// Logs each call. Serial, in a test: its methods need no locks.
private final class Diary: ProviderInstance {
  private let failsLate: Bool

  required init(host: HostServices, parameters: ParameterList) throws(ProviderError) {
    host.log(.info, "layers \(parameters.strings("layer").joined(separator: " "))")
    if parameters.string("fail") == "early" { throw ProviderError(.noMemory, "early failure") }
    failsLate = parameters.string("fail") == "late"
    super.init(host: host)
  }

  deinit { host.log(.debug, "closed") }

  override func configComplete() throws(ProviderError) -> ProviderTraits {
    if failsLate { throw ProviderError(.gone, "late failure") }
    var traits = ProviderTraits(
      objectSize: 8192, granule: 4096, memoryKind: .shmem, backing: .file)
    traits.threadModel = .serial
    traits.mayBlock = true
    traits.fileRole = .backing
    traits.fileKey = "layer"
    traits.hole = .zero
    traits.contentID = (1, 2)
    return traits
  }

  override func canUserfault(_ query: RegionQuery) -> AttachDecision {
    query.pgoff == 0 ? .yes : .no("it is Sunday")
  }

  override func allocFolio(
    _ request: borrowing FolioRequest, _ answer: inout FolioAnswer
  ) -> uffd_status {
    host.kick(ticket: request.ticket)
    let (status, memory) = unsafe host.allocateStaging(length: request.count * request.granule)
    guard status == .ok, let memory = unsafe memory else { return status }
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 7, count: 4096)
    unsafe answer.handBack(memory, granules: 1)
    return .ok
  }

  override func putFolio(_ folio: borrowing LentFolio, pgoff: UInt64) {
    host.log(.debug, "put \(folio.count) at \(pgoff), cookie \(folio.cookie)")
  }

  override func willNeed(pgoff: UInt64, count: UInt64) {
    host.log(.debug, "will need \(pgoff) \(count)")
  }

  override func writeback(
    pgoff: UInt64, count: UInt64, _ bytes: UnsafeRawBufferPointer
  ) -> uffd_status {
    host.log(.debug, "write \(pgoff) \(count) \(bytes.count) \(unsafe bytes[1])")
    return .noMemory
  }

  override func flush() -> uffd_status { .ioError }

  override func cancel(ticket: UInt64) { host.log(.debug, "cancel \(ticket)") }
}

@Suite(.serialized) struct KitTests {
  private var library: ProviderLibrary { unsafe ProviderLibrary(table: table.pointer) }

  @Test func everyBitHasItsHookAndNoOther() {
    let t = unsafe table.pointer.pointee
    #expect(unsafe t.size == MemoryLayout<uffd_provider>.size)
    #expect(unsafe t.abi == UFFD_ABI)
    #expect(unsafe t.operations == everyHook)
    #expect(unsafe t.behaviours == .volatile)
    #expect(unsafe t.thread_model == .perInstance)
    #expect(unsafe hooks(t) == Array(repeating: true, count: 12))
    #expect(unsafe t.parameters![1].flags == [.required, .repeatable])
    #expect(unsafe t.parameters![1].default_value == nil)
  }

  @Test(arguments: ProviderLibrary.names) func theProvidersHaveNoHookTooMany(name: String) throws {
    let backing = name != "AnonProvider"
    let expected = [true, true, backing, backing, backing, backing, true, true] + [true]
    #expect(
      unsafe try hooks(ProviderLibrary(name).table.pointee)
        == expected + [false, false, false])
  }

  /// Which optional hooks are there, in the order of the operations' bits.
  private func hooks(_ t: uffd_provider) -> [Bool] {
    unsafe [
      t.alloc_folio != nil, t.put_folio != nil, t.get_folio_noalloc != nil,
      t.filemap_add != nil, t.filemap_remove != nil, t.discard != nil, t.extents != nil,
      t.will_need != nil, t.can_userfault != nil, t.writeback != nil, t.flush != nil,
      t.cancel != nil,
    ]
  }

  @Test func traitsArriveWhole() throws {
    let traits = unsafe try MockInstance(library, [("layer", "a")]).traits
    #expect(unsafe traits.memory_kind == .shmem)
    #expect(unsafe traits.backing == .file)
    #expect(unsafe traits.thread_model == .serial)
    #expect(unsafe traits.may_block == 1)
    #expect(unsafe traits.file_role == .backing)
    #expect(unsafe String(cString: traits.file_key!) == "layer")
    #expect(unsafe traits.hole == .zero)
    #expect(unsafe [traits.content_id_high, traits.content_id_low] == [1, 2])
  }

  @Test func failuresBringTheirSentence() {
    for (when, status) in [("early", .noMemory), ("late", .gone)] as [(String, uffd_status)] {
      let refusal = #expect(throws: Refusal.self) {
        _ = try MockInstance(library, [("fail", when)])
      }
      #expect(refusal?.status == status)
      #expect(refusal?.sentence == "\(when) failure")
    }
  }

  @Test func questionsAndServicesGoThrough() throws {
    let instance = try MockInstance(library, [("layer", "a"), ("layer", "b")])
    let pointer = unsafe instance.pointer
    var folio = unsafe uffd_folio()
    var request = unsafe uffd_folio_request(
      size: UInt32(MemoryLayout<uffd_folio_request>.size), reserved: 0, pgoff: 1, count: 1,
      granule: 4096, access: .write, ticket: 77,
      staging: UnsafeMutableRawPointer(bitPattern: 4096)!, staging_length: 4096)
    #expect(unsafe instance.table.pointee.alloc_folio!(pointer, &request, &folio) == .ok)
    #expect(unsafe folio.kind == .staged && folio.count == 1)
    let address = unsafe UInt(bitPattern: folio.memory)
    #expect(instance.host.heard.staging[address] == 4096)
    #expect(instance.host.heard.kicks == [77])
    unsafe instance.host.services.pointee.staging_free!(
      instance.host.services.pointee.instance, UnsafeMutableRawPointer(mutating: folio.memory!))

    unsafe folio.cookie = 9
    unsafe instance.table.pointee.put_folio!(pointer, &folio, 1)
    unsafe instance.table.pointee.will_need!(pointer, 3, 4)
    let bytes: [UInt8] = [5, 6]
    #expect(unsafe instance.table.pointee.writeback!(pointer, 8, 1, bytes, 2) == .noMemory)
    #expect(unsafe instance.table.pointee.flush!(pointer) == .ioError)
    unsafe instance.table.pointee.cancel!(pointer, 12)
    instance.close()
    #expect(
      instance.host.heard.log.map(\.line) == [
        "layers a b", "put 1 at 1, cookie 9", "will need 3 4", "write 8 1 2 6", "cancel 12",
        "closed",
      ])
  }

  @Test func theReasonOfARefusalArrives() throws {
    let instance = try MockInstance(library, [])
    #expect(instance.refusal(.anon) == nil)
    #expect(instance.refusal(.anon, pgoff: 1) == "it is Sunday")
  }
}
