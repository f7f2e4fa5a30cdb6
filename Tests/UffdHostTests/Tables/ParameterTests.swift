// SPDX-License-Identifier: Apache-2.0
// Parameters: what a provider may declare, what a user may give, and the grammar of sizes and numbers.

import Testing
import UffdPluginABI

@testable import UffdHost

@Suite("Sizes and numbers")
struct ByteSizeTests {
  @Test(
    "sizes",
    arguments: [
      ("0", 0), ("1", 1), ("007", 7), ("4096", 4096), ("1K", 1024), ("3M", 3 << 20),
      ("2G", 2 << 30), ("1T", 1 << 40), ("18446744073709551615", UInt64.max),
      ("16777215T", 16_777_215 << 40), ("18014398509481983K", 18_014_398_509_481_983 << 10),
    ])
  func sizes(_ text: String, _ value: UInt64) {
    #expect(ByteSize.parse(text) == value)
  }

  @Test(
    "what is no size",
    arguments: [
      "", " ", "K", "M", "-1", "+1", "1 K", " 1", "1 ", "1KB", "1KiB", "1B", "1k", "1m", "2g", "3t",
      "0x10", "1.5M", "1e3",
      "1_000", "KK", "1KK", "K1", "١", "１", "1\u{301}", "1\0", "18446744073709551616",
      "16777216T", "18014398509481984K", "99999999999999999999999999", "M\u{301}", "∞", "🙂",
      "1M\u{200d}",
    ])
  func noSizes(_ text: String) {
    #expect(ByteSize.parse(text) == nil)
  }

  @Test(
    "numbers",
    arguments: [
      ("0", 0), ("10", 10), ("0x10", 16), ("0Xff", 255), ("0xDeadBeef", 0xdead_beef),
      ("18446744073709551615", UInt64.max), ("0xffffffffffffffff", UInt64.max), ("010", 10),
    ])
  func numbers(_ text: String, _ value: UInt64) {
    #expect(ByteSize.parseNumber(text) == value)
  }

  @Test(
    "what is no number",
    arguments: [
      "", "0x", "x", "-1", "+1", "0x-1", "0x+1", "0x1_0", "0xg", "1K", "ff", "18446744073709551616",
      "0x10000000000000000", "1.0", " 1", "0x ", "٣", "0x١",
    ])
  func noNumbers(_ text: String) {
    #expect(ByteSize.parseNumber(text) == nil)
  }

  @Test("garbage neither crashes nor passes for a size")
  func garbage() {
    var random = SystemRandomNumberGenerator()
    let alphabet = Array("0123456789KMGTkmgtxX-+. _é٣🙂\0\n")
    for _ in 0..<20_000 {
      let text = String(
        (0..<Int.random(in: 0...8, using: &random)).map { _ in
          alphabet.randomElement(using: &random)!
        })
      let isSize = text.wholeMatch(of: /[0-9]+[KMGT]?/) != nil
      #expect((ByteSize.parse(text) != nil) == isSize, "\(text)")
      let isNumber = text.wholeMatch(of: /[0-9]+/) != nil
      let isHex = text.wholeMatch(of: /0[xX][0-9a-fA-F]+/) != nil
      #expect((ByteSize.parseNumber(text) != nil) == (isNumber || isHex), "\(text)")
    }
  }
}

@Suite("What a user gave")
struct ParameterCheckTests {
  private let declared: [ParameterInfo] = [
    info("text", .string), info("disk", .file, required: true), info("size", .size),
    info("seed", .number), info("many", .string, repeatable: true),
  ]

  private static func info(
    _ key: String, _ kind: ParameterInfo.Kind, required: Bool = false, repeatable: Bool = false
  ) -> ParameterInfo {
    ParameterInfo(
      key: key, help: nil, defaultValue: nil, kind: kind, isRequired: required,
      isRepeatable: repeatable)
  }
  private func complaint(_ given: [(String, String)]) -> String? {
    do throws(HostError) {
      try ParameterInfo.check(
        given.map { Parameter($0.0, $0.1) }, against: declared, provider: "p")
      return nil
    } catch {
      #expect(error.kind == .usage)
      return error.message
    }
  }

  @Test("what is right passes")
  func right() {
    #expect(complaint([("disk", "/x")]) == nil)
    #expect(complaint([("many", ""), ("disk", "x"), ("many", "b"), ("text", "")]) == nil)
    #expect(complaint([("disk", "x"), ("size", "1M"), ("seed", "0x2a")]) == nil)
  }

  @Test("each mistake has its sentence")
  func wrong() {
    #expect(
      complaint([("disc", "x")])
        == "the provider 'p' knows no parameter 'disc'; it takes text, disk, size, seed, many")
    #expect(complaint([]) == "the provider 'p' needs the parameter 'disk'; give disk=...")
    #expect(
      complaint([("disk", "x"), ("disk", "y")])
        == "the parameter 'disk' is given twice; give it once")
    #expect(
      complaint([("disk", "")]) == "the parameter 'disk' is empty; give the path of a file")
    #expect(
      complaint([("disk", "a\0b")])
        == "the value of 'disk' contains a NUL byte; remove it")
    #expect(complaint([("disk", "x"), ("size", "1Q")])?.hasPrefix("'size=1Q' is no size") == true)
    #expect(
      complaint([("disk", "x"), ("seed", "ten")])?.hasPrefix("'seed=ten' is no number") == true)
    // Keys are compared as they are.
    #expect(complaint([("Disk", "x")]) != nil)
    #expect(complaint([("", "x")]) != nil)
  }

  @Test(
    "the form of a key",
    arguments: [
      ("a", true), ("Z9._-", true), ("a-b", true), ("", false), ("9a", false), ("_a", false),
      ("a b", false), ("ä", false), ("a=b", false), ("a\0", false),
    ])
  func keys(_ key: String, _ isKey: Bool) {
    #expect(ParameterInfo.isKey(key) == isKey)
  }
}

@Suite("What a provider declares")
struct ParameterDeclarationTests {
  private func text(_ string: StaticString) -> UnsafePointer<CChar> {
    unsafe UnsafeRawPointer(string.utf8Start).assumingMemoryBound(to: CChar.self)
  }

  private func read(
    _ infos: [uffd_parameter_info], stride: UInt64? = nil, count: UInt64? = nil
  ) throws(ProviderTable.Flaw) -> [ParameterInfo] {
    let room = UnsafeMutablePointer<uffd_parameter_info>.allocate(capacity: 8)
    defer { unsafe room.deallocate() }
    for index in unsafe infos.indices { unsafe (room + index).initialize(to: infos[index]) }
    var table = unsafe uffd_provider()
    unsafe table.parameters = unsafe UnsafePointer(room)
    unsafe table.parameter_count = unsafe count ?? UInt64(infos.count)
    unsafe table.parameter_stride =
      unsafe stride ?? UInt64(MemoryLayout<uffd_parameter_info>.stride)
    return unsafe try ParameterInfo.read(table)
  }

  private func info(
    _ key: StaticString, _ kind: uffd_parameter_kind = .string, _ flags: uffd_parameter_flags = []
  ) -> uffd_parameter_info {
    var info = unsafe uffd_parameter_info()
    unsafe info.key = text(key)
    unsafe info.kind = kind
    unsafe info.flags = flags
    return unsafe info
  }

  @Test("declarations are read as they are")
  func sound() throws {
    var first = unsafe info("a", .size, [.required])
    unsafe first.help = text("helps")
    unsafe first.default_value = text("4K")
    let read = unsafe try read([first, info("b", .file, .repeatable), info("c", .number)])
    #expect(
      read == [
        ParameterInfo(
          key: "a", help: "helps", defaultValue: "4K", kind: .size, isRequired: true,
          isRepeatable: false),
        ParameterInfo(
          key: "b", help: nil, defaultValue: nil, kind: .file, isRequired: false,
          isRepeatable: true),
        ParameterInfo(
          key: "c", help: nil, defaultValue: nil, kind: .number, isRequired: false,
          isRepeatable: false),
      ])
    #expect(unsafe try self.read([]) == [])
  }

  @Test("a stride of a newer provider is stepped over")
  func stride() throws {
    let size = unsafe UInt64(MemoryLayout<uffd_parameter_info>.stride)
    let read = unsafe try read([info("a"), info("skipped"), info("c")], stride: size * 2, count: 2)
    #expect(read.map(\.key) == ["a", "c"])
  }

  @Test("flaws")
  func flaws() {
    func flaw(_ body: () throws(ProviderTable.Flaw) -> [ParameterInfo]) -> String? {
      do throws(ProviderTable.Flaw) {
        _ = try body()
        return nil
      } catch { return error.text }
    }
    func reading(
      _ infos: [uffd_parameter_info], stride: UInt64? = nil, count: UInt64? = nil
    ) -> String? {
      flaw { () throws(ProviderTable.Flaw) in
        try unsafe read(infos, stride: stride, count: count)
      }
    }
    #expect(unsafe reading([info("a"), info("a")]) == "it declares the parameter 'a' twice")
    #expect(
      unsafe reading([info("a", uffd_parameter_kind(rawValue: 9)!)])
        == "its parameter 'a' has the unknown kind 9")
    let form = "has no key of the form [A-Za-z][A-Za-z0-9._-]*"
    #expect(unsafe reading([info("a b")]) == "its parameter 0 \(form)")
    #expect(unsafe reading([info("a"), uffd_parameter_info()]) == "its parameter 1 \(form)")
    #expect(
      unsafe reading([info("a")], stride: 8)
        == "its parameter_stride is 8, ABI 1.0 needs at least 40")
    #expect(unsafe reading([info("a")], stride: 1 << 32) != nil)
    #expect(unsafe reading([info("a")], count: 1025) != nil)
    #expect(unsafe reading([info("a")], count: .max) != nil)
    var table = unsafe uffd_provider()
    unsafe table.parameter_count = 1
    unsafe table.parameter_stride = 40
    let snapshot = unsafe table
    #expect(
      flaw { () throws(ProviderTable.Flaw) in unsafe try ParameterInfo.read(snapshot) } != nil)
  }
}
