// SPDX-License-Identifier: Apache-2.0
// Which tables the host loads, and what it says about the others.

import Testing
import UffdPluginABI

@testable import UffdHost

// Hooks that are never called.
private let configure:
  @convention(c) (
    UnsafePointer<uffd_host>, UnsafePointer<uffd_parameter>?, UInt64,
    UnsafeMutablePointer<OpaquePointer?>
  ) -> uffd_status = { _, _, _, _ in .ok }
private let complete:
  @convention(c) (OpaquePointer, UnsafeMutablePointer<uffd_traits>) -> uffd_status = { _, _ in .ok }
private let alloc:
  @convention(c) (
    OpaquePointer, UnsafePointer<uffd_folio_request>, UnsafeMutablePointer<uffd_folio>
  ) -> uffd_status = { _, _, _ in .ok }
private let put: @convention(c) (OpaquePointer, UnsafePointer<uffd_folio>, UInt64) -> Void = {
  _, _, _ in
}
private let lookUp: @convention(c) (OpaquePointer, UInt64, UInt64) -> uffd_status = { _, _, _ in
  .ok
}
private let range: @convention(c) (OpaquePointer, UInt64, UInt64) -> Void = { _, _, _ in }
private let cancel: @convention(c) (OpaquePointer, UInt64) -> Void = { _, _ in }
private let flush: @convention(c) (OpaquePointer) -> uffd_status = { _ in .ok }
private let close: @convention(c) (OpaquePointer) -> Void = { _ in }

/// Static text, as a provider would have it.
private func text(_ string: StaticString) -> UnsafePointer<CChar> {
  unsafe UnsafeRawPointer(string.utf8Start).assumingMemoryBound(to: CChar.self)
}

/// The least table that loads: alloc_folio for missing faults.
private func sound() -> uffd_provider {
  var table = unsafe uffd_provider()
  unsafe table.size = unsafe UInt32(MemoryLayout<uffd_provider>.size)
  unsafe table.abi = UFFD_ABI
  unsafe table.thread_model = .parallel
  unsafe table.operations = .alloc
  unsafe table.modes = .missing
  unsafe table.memory_kinds = .anon
  unsafe table.granules = 0x1000
  unsafe table.name = text("sound")
  unsafe table.version = text("1")
  unsafe table.summary = text("loads")
  unsafe table.configure = configure
  unsafe table.config_complete = complete
  unsafe table.alloc_folio = alloc
  unsafe table.close = close
  return unsafe table
}

/// A table that a test changes.
@safe private struct Draft {
  var raw: uffd_provider
}

/// What the host says about the sound table after a change; nil: it loads.
private func flaw(_ change: (inout Draft) -> Void) -> String? {
  var table = unsafe Draft(raw: sound())
  change(&table)
  do throws(ProviderTable.Flaw) {
    _ = unsafe try ProviderTable(copying: &table.raw)
    return nil
  } catch {
    return error.text
  }
}

@Suite("A provider's table")
struct ProviderTableTests {
  @Test("the least table loads, a table of a newer minor and one that is longer do, too")
  func loads() throws {
    #expect(flaw { _ in } == nil)
    #expect(flaw { unsafe $0.raw.size += 64 } == nil)
    #expect(flaw { unsafe $0.raw.abi += 9 } == nil)
    var table = unsafe sound()
    unsafe table.size += 8
    let read = unsafe try ProviderTable(copying: &table)
    #expect(read.name == "sound" && read.version == "1" && read.summary == "loads")
    #expect(read.abiMajor == 1 && read.abiMinor == 0)
    #expect(read.declaredSize == 232)
  }

  @Test("versions")
  func versions() {
    #expect(
      flaw { unsafe $0.raw.abi = 2 << 16 } == "it was made for ABI 2.0, this host speaks 1.x")
    #expect(flaw { unsafe $0.raw.abi = 0 } == "it was made for ABI 0.0, this host speaks 1.x")
    #expect(flaw { unsafe $0.raw.requires_minor = 1 } == "it needs ABI 1.1, this host has 1.0")
    #expect(
      flaw { unsafe $0.raw.size -= 1 } == "its table is 223 bytes, ABI 1.0 needs at least 224")
    #expect(flaw { unsafe $0.raw.size = 0 } == "its table is 0 bytes, ABI 1.0 needs at least 224")
  }

  @Test("a pointer that cannot be read")
  func wild() {
    #expect(throws: ProviderTable.Flaw.self) {
      unsafe try ProviderTable(
        copying: UnsafePointer<uffd_provider>(bitPattern: 0x1000)!)
    }
  }

  @Test("unknown bits are refused, unless the provider is newer than the host")
  func unknownBits() {
    let bit = "its operations have the bit 0x8000, which is unknown"
    #expect(flaw { unsafe $0.raw.operations.formUnion(.init(rawValue: 0x8000)) } == bit)
    #expect(flaw { unsafe $0.raw.modes.formUnion(.init(rawValue: 8)) } != nil)
    #expect(flaw { unsafe $0.raw.memory_kinds.formUnion(.init(rawValue: 1)) } != nil)
    #expect(flaw { unsafe $0.raw.memory_kinds.formUnion(.init(rawValue: 16)) } != nil)
    #expect(flaw { unsafe $0.raw.behaviours.formUnion(.init(rawValue: 8)) } != nil)
    #expect(flaw { unsafe $0.raw.granules |= 0x10000 } != nil)
    #expect(flaw { unsafe $0.raw.thread_model = .unchanged } == "its thread model 0 is unknown")
    #expect(flaw { unsafe $0.raw.thread_model = uffd_thread_model(rawValue: 1)! } != nil)
    #expect(
      flaw { table in
        unsafe table.raw.abi += 1
        unsafe table.raw.operations.formUnion(.init(rawValue: 0x8000))
        unsafe table.raw.granules |= 0x10000
        unsafe table.raw.behaviours.formUnion(.init(rawValue: 8))
      } == nil)
    // What it can do with an old host must be something.
    #expect(
      flaw { table in
        unsafe table.raw.abi += 1
        unsafe table.raw.granules = 0x10000
      } != nil)
  }

  @Test("nothing to serve")
  func nothing() {
    #expect(flaw { unsafe $0.raw.modes = [] } == "it serves no kind of fault")
    #expect(flaw { unsafe $0.raw.memory_kinds = [] } == "it serves no kind of memory")
    #expect(flaw { unsafe $0.raw.granules = 0 } != nil)
  }

  @Test("a required hook that is missing")
  func required() {
    #expect(flaw { unsafe $0.raw.configure = nil } == "the required hook 'configure' is missing")
    #expect(
      flaw { unsafe $0.raw.config_complete = nil }
        == "the required hook 'config_complete' is missing")
    #expect(flaw { unsafe $0.raw.close = nil } == "the required hook 'close' is missing")
  }

  @Test("every capability without its hooks, and every hook without its capability")
  func capabilities() {
    for capability in Capability.list where capability.name != "alloc" {
      let sentence = flaw { unsafe $0.raw.operations.formUnion(.init(rawValue: capability.bit)) }
      #expect(
        sentence
          == "it declares the capability '\(capability.name)' without the hook '\(capability.hooks[0])'"
      )
    }
    #expect(
      flaw { unsafe $0.raw.alloc_folio = nil }
        == "it declares the capability 'alloc' without the hook 'alloc_folio'")
    func without(_ capability: String, _ hook: String) -> String {
      "it has the hook '\(hook)' without declaring the capability '\(capability)'"
    }
    #expect(flaw { unsafe $0.raw.put_folio = put } == without("lend", "put_folio"))
    #expect(
      flaw { unsafe $0.raw.get_folio_noalloc = lookUp } == without("lookup", "get_folio_noalloc"))
    #expect(flaw { unsafe $0.raw.filemap_remove = range } == without("filemap", "filemap_remove"))
    #expect(flaw { unsafe $0.raw.discard = range } == without("discard", "discard"))
    #expect(flaw { unsafe $0.raw.will_need = range } == without("will-need", "will_need"))
    #expect(flaw { unsafe $0.raw.flush = flush } == without("flush", "flush"))
    #expect(flaw { unsafe $0.raw.cancel = cancel } == without("cancel", "cancel"))
    #expect(
      flaw { table in
        unsafe table.raw.operations = []
      } == without("alloc", "alloc_folio"))
  }

  @Test("half of a pair, and capabilities that need another")
  func pairs() {
    #expect(
      flaw { table in
        unsafe table.raw.operations.insert(.filemap)
        unsafe table.raw.filemap_remove = range
      } == "it declares the capability 'filemap' without the hook 'filemap_add'")
    #expect(
      flaw { table in
        unsafe table.raw.operations.insert(.flush)
        unsafe table.raw.flush = flush
      } == "the capabilities 'writeback' and 'flush' go together")
    func withoutAlloc(_ change: @escaping (inout Draft) -> Void) -> String? {
      flaw { table in
        unsafe table.raw.operations = []
        unsafe table.raw.alloc_folio = nil
        change(&table)
      }
    }
    #expect(
      withoutAlloc { _ in } == "it declares the mode 'missing' without the capability 'alloc'")
    #expect(withoutAlloc { unsafe $0.raw.behaviours.insert(.declarative) } == nil)
    #expect(
      withoutAlloc { table in
        unsafe table.raw.behaviours.insert(.declarative)
        unsafe table.raw.operations.insert(.lend)
        unsafe table.raw.put_folio = put
      } == "the capability 'lend' needs 'alloc'")
    #expect(
      withoutAlloc { table in
        unsafe table.raw.behaviours.insert(.declarative)
        unsafe table.raw.operations.insert(.cancel)
        unsafe table.raw.cancel = cancel
      } == "the capability 'cancel' needs 'alloc'")
    // get_folio_noalloc alone, over a backing that arrives filled, is legal.
    #expect(
      withoutAlloc { table in
        unsafe table.raw.modes = .minor
        unsafe table.raw.operations.insert(.lookup)
        unsafe table.raw.get_folio_noalloc = lookUp
      } == nil)
    #expect(
      flaw { unsafe $0.raw.modes.insert(.minor) }
        == "it declares the mode 'minor' without the capability 'lookup'")
  }

  @Test("texts: a name of the right form, a version, a summary")
  func texts() {
    let bad = "its name is missing or is not of the form [a-z][a-z0-9-]*"
    #expect(flaw { unsafe $0.raw.name = nil } == bad)
    #expect(flaw { unsafe $0.raw.name = unsafe UnsafePointer(bitPattern: 0x1000) } == bad)
    for name in ["", "Sound", "9a", "a b", "-a", "a/b", "ä", "a\n"] as [StaticString] {
      #expect(flaw { unsafe $0.raw.name = text(name) } == bad, "\(name)")
    }
    for name in ["a", "a-9", "nbd2"] as [StaticString] {
      #expect(flaw { unsafe $0.raw.name = text(name) } == nil)
    }
    #expect(flaw { unsafe $0.raw.version = nil } == "its version text is missing or unreadable")
    #expect(
      flaw { unsafe $0.raw.summary = unsafe UnsafePointer(bitPattern: 0x1000) }
        == "its summary text is missing or unreadable")
  }
}
