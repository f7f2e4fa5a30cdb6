// SPDX-License-Identifier: Apache-2.0
// Our own copy of a provider's table, and what may be wrong with it. Pure, but for the careful reads of
// what the library's pointers point to.
import UffdPluginABI

/// A checked copy of a library's `uffd_provider`. The library's own table is never read again.
@safe struct ProviderTable: @unchecked Sendable {
  let raw: uffd_provider
  /// What the library says its table measures; larger than ours for a newer provider.
  let declaredSize: Int
  let name: String
  let version: String
  let summary: String
  let parameters: [ParameterInfo]

  var abiMajor: Int { unsafe Int(raw.abi >> 16) }
  var abiMinor: Int { unsafe Int(raw.abi & 0xffff) }

  /// Copies the table at `pointer` and checks it. Throws one sentence: what it has, what it needs.
  init(copying pointer: UnsafePointer<uffd_provider>) throws(Flaw) {
    var size: UInt32 = 0
    var copy = unsafe uffd_provider()
    let ownSize = unsafe MemoryLayout<uffd_provider>.size
    let source = unsafe UnsafeRawPointer(pointer)
    let readableSize = unsafe withUnsafeMutableBytes(of: &size) { room in
      unsafe readCarefully(source, into: room.baseAddress!, length: room.count)
    }
    guard readableSize else {
      throw Flaw("its entry function returned a pointer that cannot be read")
    }
    guard Int(size) >= ownSize else {
      throw Flaw("its table is \(size) bytes, ABI 1.0 needs at least \(ownSize)")
    }
    let readable = unsafe withUnsafeMutableBytes(of: &copy) { room in
      unsafe readCarefully(source, into: room.baseAddress!, length: ownSize)
    }
    guard readable else { throw Flaw("its table is shorter than the \(size) bytes it declares") }
    unsafe raw = copy
    declaredSize = Int(size)
    try unsafe ProviderTable.checkVersion(copy)
    try unsafe ProviderTable.checkValues(copy)
    try unsafe ProviderTable.checkHooks(copy)
    guard let name = unsafe stringCarefully(copy.name), ProviderTable.isName(name) else {
      throw Flaw("its name is missing or is not of the form [a-z][a-z0-9-]*")
    }
    guard let version = unsafe stringCarefully(copy.version) else {
      throw Flaw("its version text is missing or unreadable")
    }
    guard let summary = unsafe stringCarefully(copy.summary) else {
      throw Flaw("its summary text is missing or unreadable")
    }
    self.name = name
    self.version = version
    self.summary = summary
    parameters = try unsafe ParameterInfo.read(copy)
  }

  /// What is wrong with a table; completes the sentence "PATH is not a provider this host can load: ...".
  struct Flaw: Error {
    let text: String
    init(_ text: String) { self.text = text }
  }

  private static func checkVersion(_ table: uffd_provider) throws(Flaw) {
    let (major, minor) = unsafe (table.abi >> 16, table.abi & 0xffff)
    guard major == UFFD_ABI_MAJOR else {
      throw Flaw("it was made for ABI \(major).\(minor), this host speaks \(UFFD_ABI_MAJOR).x")
    }
    guard unsafe table.requires_minor <= UFFD_ABI_MINOR else {
      throw unsafe Flaw(
        "it needs ABI \(major).\(table.requires_minor), this host has \(major).\(UFFD_ABI_MINOR)")
    }
  }

  private static func checkValues(_ table: uffd_provider) throws(Flaw) {
    switch unsafe table.thread_model {
    case .serial, .perInstance, .parallel: break
    default: throw unsafe Flaw("its thread model \(table.thread_model.rawValue) is unknown")
    }
    let isNewer = unsafe table.abi & 0xffff > UFFD_ABI_MINOR
    let masks: [(String, UInt64, UInt64)] = unsafe [
      ("operations", table.operations.rawValue, Capability.all),
      ("modes", table.modes.rawValue, 7), ("memory_kinds", table.memory_kinds.rawValue, 14),
      ("behaviours", table.behaviours.rawValue, 7),
    ]
    for (field, value, known) in masks where value & ~known != 0 && !isNewer {
      throw Flaw(
        "its \(field) have the bit 0x\(String(value & ~known, radix: 16)), which is unknown")
    }
    guard unsafe table.modes.rawValue & 7 != 0 else { throw Flaw("it serves no kind of fault") }
    guard unsafe table.memory_kinds.rawValue & 14 != 0 else {
      throw Flaw("it serves no kind of memory")
    }
    let granules = UInt64(UFFD_GRANULE_4K | UFFD_GRANULE_2M | UFFD_GRANULE_1G)
    guard unsafe table.granules & granules != 0, unsafe table.granules & ~granules == 0 || isNewer
    else {
      throw unsafe Flaw(
        "its granules are 0x\(String(table.granules, radix: 16)), which is no sum of 4K, 2M and 1G")
    }
  }

  private static func checkHooks(_ table: uffd_provider) throws(Flaw) {
    let present = Set(unsafe table.hookNames)
    for hook in ["configure", "config_complete", "close"] where !present.contains(hook) {
      throw Flaw("the required hook '\(hook)' is missing")
    }
    for capability in Capability.list {
      let declared = unsafe table.operations.rawValue & capability.bit != 0
      for hook in capability.hooks {
        if declared && !present.contains(hook) {
          throw Flaw("it declares the capability '\(capability.name)' without the hook '\(hook)'")
        }
        if !declared && present.contains(hook) {
          throw Flaw(
            "it has the hook '\(hook)' without declaring the capability '\(capability.name)'")
        }
      }
    }
    func has(_ operation: uffd_operations) -> Bool {
      unsafe table.operations.contains(operation)
    }
    let declarative = unsafe table.behaviours.contains(.declarative)
    if unsafe table.modes.contains(.missing), !has(.alloc), !declarative {
      throw Flaw("it declares the mode 'missing' without the capability 'alloc'")
    }
    if unsafe table.modes.contains(.minor), !has(.lookup), !declarative {
      throw Flaw("it declares the mode 'minor' without the capability 'lookup'")
    }
    if has(.lend), !has(.alloc) { throw Flaw("the capability 'lend' needs 'alloc'") }
    if has(.cancel), !has(.alloc) { throw Flaw("the capability 'cancel' needs 'alloc'") }
    if has(.writeback) != has(.flush) {
      throw Flaw("the capabilities 'writeback' and 'flush' go together")
    }
  }

  private static func isName(_ text: String) -> Bool {
    guard let first = text.utf8.first, (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(first)
    else {
      return false
    }
    return text.utf8.allSatisfy { byte in
      (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
        || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "-")
    } && text.utf8.count <= 64
  }
}
