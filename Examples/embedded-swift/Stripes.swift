// SPDX-License-Identifier: Apache-2.0

// Memory in stripes, in Embedded Swift: page N holds runs of `stripe` bytes, in turn N % 251 and its
// complement. The library needs libc and no Swift runtime, so it loads wherever a C provider does.
//
// Embedded Swift has no existentials and no runtime metadata. What is left is enough: structs, generics,
// and functions that C calls.

/// One instance. Nothing writes to it after configure, so hooks may run in parallel.
struct Stripes {
  var size: UInt64 = 1 << 20
  var stripe: UInt64 = 64

  func byte(at index: UInt64, onPage pgoff: UInt64, _ granule: UInt64) -> UInt8 {
    // The bytes beyond the end of the object must be zero.
    guard pgoff * granule + index < size else { return 0 }
    let byte = UInt8(pgoff % 251)
    return index / stripe % 2 == 1 ? ~byte : byte
  }
}

/// The pointer that the host keeps for us, as what it is.
private func unwrap(_ instance: OpaquePointer) -> UnsafeMutablePointer<Stripes> {
  UnsafeMutablePointer(instance)
}

/// Digits, then nothing, K, M, G or T. The host has checked it; nil is for whoever else calls us.
private func parseSize(_ text: UnsafePointer<CChar>) -> UInt64? {
  var end: UnsafeMutablePointer<CChar>?
  let value = UInt64(strtoull(text, &end, 10))
  guard let end, end > UnsafeMutablePointer(mutating: text) else { return nil }
  switch UInt8(bitPattern: end.pointee) {
  case 0: return value
  case UInt8(ascii: "K"): return value << 10
  case UInt8(ascii: "M"): return value << 20
  case UInt8(ascii: "G"): return value << 30
  case UInt8(ascii: "T"): return value << 40
  default: return nil
  }
}

private func report(_ host: UnsafePointer<uffd_host>, _ text: StaticString) {
  text.utf8Start.withMemoryRebound(to: CChar.self, capacity: text.utf8CodeUnitCount) {
    host.pointee.report_error?(host.pointee.instance, $0, UInt64(text.utf8CodeUnitCount))
  }
}

private func configure(
  host: UnsafePointer<uffd_host>, parameters: UnsafePointer<uffd_parameter>?, count: UInt64,
  out: UnsafeMutablePointer<OpaquePointer?>
) -> uffd_status {
  var stripes = Stripes()
  for index in 0..<Int(count) {
    guard let pair = parameters?[index], let bytes = parseSize(pair.value),
      (1...1 << 62).contains(bytes)
    else {
      report(host, "size= and stripe= must be sizes of at least 1 byte and at most 4E")
      return .outOfRange
    }
    if strcmp(pair.key, "size") == 0 { stripes.size = bytes } else { stripes.stripe = bytes }
  }
  guard let memory = malloc(MemoryLayout<Stripes>.size) else { return .noMemory }
  memory.initializeMemory(as: Stripes.self, to: stripes)
  out.pointee = OpaquePointer(memory)
  return .ok
}

private func configComplete(
  instance: OpaquePointer, traits: UnsafeMutablePointer<uffd_traits>
) -> uffd_status {
  traits.pointee.object_size = unwrap(instance).pointee.size
  traits.pointee.granule = UInt64(UFFD_GRANULE_4K)
  traits.pointee.memory_kind = .anon
  return .ok
}

/// A client thread sleeps until this returns.
private func allocFolio(
  instance: OpaquePointer, request: UnsafePointer<uffd_folio_request>,
  folio: UnsafeMutablePointer<uffd_folio>
) -> uffd_status {
  let (stripes, request) = (unwrap(instance).pointee, request.pointee)
  guard request.pgoff <= (stripes.size - 1) / request.granule else { return .outOfRange }
  let out = request.staging.assumingMemoryBound(to: UInt8.self)
  let pages = (stripes.size - 1) / request.granule + 1
  guard request.pgoff < pages, request.count <= pages - request.pgoff else { return .outOfRange }
  for page in 0..<request.count {
    for index in 0..<request.granule {
      out[Int(page * request.granule + index)] =
        stripes.byte(at: index, onPage: request.pgoff + page, request.granule)
    }
  }
  folio.pointee.kind = .staged
  folio.pointee.count = request.count
  return .ok
}

private func close(instance: OpaquePointer) { free(unwrap(instance)) }

/// A static string as C sees it: string literals end with a NUL.
private func text(_ string: StaticString) -> UnsafePointer<CChar> {
  UnsafeRawPointer(string.utf8Start).assumingMemoryBound(to: CChar.self)
}

private func sizeParameter(
  _ key: StaticString, help: StaticString, _ defaultValue: StaticString
) -> uffd_parameter_info {
  var info = uffd_parameter_info()
  info.key = text(key)
  info.help = text(help)
  info.default_value = text(defaultValue)
  info.kind = .size
  return info
}

/// Made when it is first asked for, never freed, never changed.
private nonisolated(unsafe) let table: UnsafeMutablePointer<uffd_provider> = {
  let parameters = UnsafeMutablePointer<uffd_parameter_info>.allocate(capacity: 2)
  parameters.initialize(to: sizeParameter("size", help: "bytes", "1M"))
  (parameters + 1).initialize(to: sizeParameter("stripe", help: "bytes in a run", "64"))
  let table = UnsafeMutablePointer<uffd_provider>.allocate(capacity: 1)
  table.initialize(to: uffd_provider())
  table.pointee.size = UInt32(MemoryLayout<uffd_provider>.size)
  table.pointee.abi = UFFD_ABI
  table.pointee.thread_model = .parallel
  table.pointee.operations = .alloc
  table.pointee.modes = .missing
  table.pointee.memory_kinds = .anon
  table.pointee.granules = UInt64(UFFD_GRANULE_4K)
  table.pointee.name = text("stripes-embedded")
  table.pointee.version = text("1.0")
  table.pointee.summary = text("stripes whose bytes tell the page they are on")
  table.pointee.parameters = UnsafePointer(parameters)
  table.pointee.parameter_count = 2
  table.pointee.parameter_stride = UInt64(MemoryLayout<uffd_parameter_info>.stride)
  table.pointee.configure = configure
  table.pointee.config_complete = configComplete
  table.pointee.alloc_folio = allocFolio
  table.pointee.close = close
  return table
}()

// swift-format-ignore: AlwaysUseLowerCamelCase
@c @implementation
public func uffd_provider_entry_v1() -> UnsafePointer<uffd_provider>? { UnsafePointer(table) }
