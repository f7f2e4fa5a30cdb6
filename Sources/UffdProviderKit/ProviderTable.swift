// SPDX-License-Identifier: Apache-2.0

// Turns a description into the table that the entry function returns. Built once per library, never
// freed, never changed. Control thread.

public import UffdPluginABI

/// The table of a provider. Keep it in a global `let` of the plugin:
///
/// ```swift
/// private let table = ProviderTable(description, MyInstance.self)
///
/// @c @implementation
/// public func uffd_provider_entry_v1() -> UnsafePointer<uffd_provider>? { unsafe table.pointer }
/// ```
@safe
public struct ProviderTable: @unchecked Sendable {
  // SAFETY: written once in init, before anybody else has the pointer.
  public let pointer: UnsafePointer<uffd_provider>

  /// `type` is the class of the instances. One table per library: the kit is linked into each provider
  /// and knows one class.
  public init(_ description: ProviderDescription, _ type: ProviderInstance.Type) {
    unsafe registered = Registration(
      type: type, keys: description.parameters.map { "\($0.key)" })
    let table = UnsafeMutablePointer<uffd_provider>.allocate(capacity: 1)
    unsafe table.initialize(to: uffd_provider())
    unsafe table.pointee.size = UInt32(MemoryLayout<uffd_provider>.size)
    unsafe table.pointee.abi = UFFD_ABI
    unsafe table.pointee.thread_model = description.threadModel
    unsafe table.pointee.operations = description.operations
    unsafe table.pointee.modes = description.modes
    unsafe table.pointee.memory_kinds = description.memoryKinds
    unsafe table.pointee.granules = description.granules.rawValue
    unsafe table.pointee.behaviours = description.behaviours
    unsafe table.pointee.name = cString(description.name)
    unsafe table.pointee.version = cString(description.version)
    unsafe table.pointee.summary = cString(description.summary)
    unsafe table.pointee.parameters = parameterTable(description.parameters)
    unsafe table.pointee.parameter_count = UInt64(description.parameters.count)
    unsafe table.pointee.parameter_stride = UInt64(MemoryLayout<uffd_parameter_info>.stride)
    unsafe setHooks(&table.pointee, description.operations)
    unsafe pointer = unsafe UnsafePointer(table)
  }
}

/// What the thunks must know that no pointer tells them.
struct Registration {
  let type: ProviderInstance.Type
  let keys: [String]
}

// SAFETY: written by ProviderTable.init, which the entry function runs once; read by configure, which
// the host calls after the entry function has returned.
nonisolated(unsafe) var registered: Registration? = nil

/// A static string of the binary as C sees it.
func cString(_ text: StaticString) -> UnsafePointer<CChar> {
  precondition(text.hasPointerRepresentation, "a text of a description has more than one character")
  return unsafe UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
}

private func parameterTable(
  _ parameters: [ParameterDescription]
) -> UnsafePointer<uffd_parameter_info>? {
  guard !parameters.isEmpty else { return nil }
  let table = UnsafeMutablePointer<uffd_parameter_info>.allocate(capacity: parameters.count)
  for (index, parameter) in parameters.enumerated() {
    var info = unsafe uffd_parameter_info()
    unsafe info.key = unsafe cString(parameter.key)
    unsafe info.help = unsafe cString(parameter.help)
    unsafe info.default_value = unsafe parameter.defaultValue.map { unsafe cString($0) }
    unsafe info.kind = parameter.kind
    unsafe info.flags = parameter.flags
    unsafe (table + index).initialize(to: info)
  }
  return unsafe UnsafePointer(table)
}
