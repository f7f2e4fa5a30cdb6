// SPDX-License-Identifier: Apache-2.0
// Which answers of alloc_folio the host takes.

import Testing
import UffdPluginABI

@testable import UffdHost

@Suite("Checking an answer")
struct FolioCheckTests {
  private static let staging = UInt(0x10_0000)
  private static let ours = UInt(0x20_0000)
  private static let foreign = UInt(0x30_0000)

  private func check(
    _ kind: uffd_folio_kind, count: UInt64 = 1, memory: UInt? = nil, length: UInt64 = 0,
    asked: UInt64 = 4, granule: UInt64 = 4096, lends: Bool = true
  ) -> Violation? {
    var folio = unsafe emptyFolio()
    unsafe folio.kind = kind
    unsafe folio.count = count
    unsafe folio.memory = unsafe memory.map { unsafe UnsafeRawPointer(bitPattern: $0)! }
    unsafe folio.length = length
    return unsafe checkFolio(
      folio, count: asked, granule: granule, staging: UnsafeRawPointer(bitPattern: Self.staging)!,
      lends: lends,
      stagingSize: { memory in UInt(bitPattern: memory) == Self.ours ? 8192 : nil })
  }

  @Test("counts: 1 to what was asked")
  func counts() {
    for kind in [uffd_folio_kind.staged, .zero] {
      #expect(check(kind, count: 0) == .noGranules)
      #expect(check(kind, count: 1) == nil)
      #expect(check(kind, count: 4) == nil)
      #expect(check(kind, count: 5) == .tooManyGranules)
      #expect(check(kind, count: .max) == .tooManyGranules)
    }
  }

  @Test("lent memory: with the capability, not NULL, long enough")
  func lent() {
    #expect(check(.lent, memory: 0x1001, length: 4096) == nil)
    #expect(check(.lent, memory: 0x1001, length: 4096, lends: false) == .lentWithoutCapability)
    #expect(check(.lent, memory: nil, length: 4096) == .lentNothing)
    #expect(check(.lent, memory: 0x1001, length: 4095) == .lentShort)
    #expect(check(.lent, count: 2, memory: 0x1001, length: 8191) == .lentShort)
    #expect(check(.lent, count: 2, memory: 0x1001, length: 8192) == nil)
    #expect(check(.lent, memory: 0x1001, length: 2 << 20, granule: 2 << 20) == nil)
    #expect(check(.lent, memory: 0x1001, length: 4096, granule: 2 << 20) == .lentShort)
  }

  @Test("staged: in the request's buffer, or in one of the host's that is large enough")
  func staged() {
    #expect(check(.staged, count: 4, memory: nil) == nil)
    #expect(check(.staged, count: 4, memory: Self.staging) == nil)
    #expect(check(.staged, count: 2, memory: Self.ours) == nil)
    #expect(check(.staged, count: 3, memory: Self.ours) == .foreignStaging)
    #expect(check(.staged, count: 1, memory: Self.foreign) == .foreignStaging)
    #expect(check(.staged, count: 1, memory: Self.ours + 4096) == .foreignStaging)
    // A provider may stage without the capability to lend.
    #expect(check(.staged, memory: Self.ours, lends: false) == nil)
  }

  @Test("zero comes without memory; other kinds do not exist")
  func others() {
    #expect(check(.zero, count: 4) == nil)
    #expect(check(.zero, memory: 0x1000) == .zeroWithMemory)
    for raw in [0, 4, 5, 99, UInt32.max] {
      #expect(check(uffd_folio_kind(rawValue: raw)!) == .unknownKind)
    }
  }

  @Test("every violation has a sentence of its own")
  func sentences() {
    let all: [Violation] = [
      .unknownStatus, .unknownLookupStatus, .unknownFilemapStatus, .unknownKind, .noGranules,
      .tooManyGranules, .lentNothing, .lentWithoutCapability, .lentShort, .lentServedMemory,
      .unreadable, .zeroWithMemory, .foreignStaging, .lostFolio, .absentBusyFilemap,
    ]
    #expect(Set(all.map(\.rawValue)).count == all.count)
  }
}
