// SPDX-License-Identifier: Apache-2.0

// Providers in C, compiled with the frozen header, loaded and served by today's host: as they were
// written, and with the tables that older and newer headers would have given them.

import ProviderWorkshop
import Testing

private let frozenFolder = "\(Workshop.root)/Tests/ABIStabilityTests/Headers/1.0"
private let providers = "\(Workshop.root)/Tests/ABIStabilityTests/Providers"

/// A table of another time: the macros that make it, and what today's host says.
private struct TableCase: Sendable, CustomTestStringConvertible {
  let name: String
  var flags = ""
  /// Nil: it is accepted and serves.
  let refusal: String?
  var testDescription: String { name }

  /// A minor version that no host will have for a while.
  private static let futureMinor = "-DTABLE_ABI=0x00017fffu"
  private static let unknownBits = "-DUNKNOWN_BITS=0x4000000000000000u"

  static let all = [
    TableCase(name: "of 1.0", flags: "-DSIZE=224", refusal: nil),
    TableCase(name: "long, with fields that nobody here knows", refusal: nil),
    TableCase(
      name: "short by a field", flags: "-DSIZE=216",
      refusal: "its table is 216 bytes, ABI 1.0 needs at least 224"),
    TableCase(
      name: "of size nothing", flags: "-DSIZE=0",
      refusal: "its table is 0 bytes, ABI 1.0 needs at least 224"),
    TableCase(name: "of a future minor", flags: futureMinor, refusal: nil),
    TableCase(
      name: "of a future minor, with bits that nobody here knows",
      flags: "\(futureMinor) \(unknownBits)", refusal: nil),
    TableCase(
      name: "of this minor, with bits that nobody here knows", flags: unknownBits,
      refusal: "its operations have the bit 0x4000000000000000, which is unknown"),
    TableCase(
      name: "of a future minor that it cannot do without",
      flags: "\(futureMinor) -DREQUIRES=0x7fff",
      refusal: "it needs ABI 1.32767, this host has 1."),
    TableCase(
      name: "of a future major, under its own symbol",
      flags: "-DTABLE_ABI=0x00020000u -DENTRY=uffd_provider_entry_v2",
      refusal: "it has no symbol uffd_provider_entry_v1; was it built for another ABI major?"),
    TableCase(
      name: "of a future major, under the symbol of this one", flags: "-DTABLE_ABI=0x00020000u",
      refusal: "it was made for ABI 2.0, this host speaks 1.x"),
    TableCase(
      name: "that is none", flags: "-DANSWER=NULL",
      refusal: "declined to load: its entry function returned NULL"),
    TableCase(
      name: "at an address that is none", flags: "'-DANSWER=(const uffd_provider *)8'",
      refusal: "its entry function returned a pointer that cannot be read"),
  ]
}

@Suite(.enabled(if: Shell.has("cc"), "there is no C compiler"))
struct FrozenProviderTests {
  @Test(
    .enabled(if: Workshop.canServe, "userfaultfd cannot be used here; 'uffdhost doctor' says why"),
    arguments: [frozenFolder, Workshop.include])
  func everyHookOf1_0IsServed(headers: String) throws {
    let folder = try TemporaryFolder()
    try Workshop.compile(
      "\(providers)/full.c", to: "full.so", in: folder.path, include: headers)
    let pages = (1...64).flatMap { [UInt8](repeating: $0, count: 4096) }
    let expected = try folder.write("expected", pages)
    for arguments in ["--regions 2 --threads 2", "--mode both", "--private", "--fill mapping"] {
      #expect(
        Workshop.serve("full.so", "word=x \(arguments) --verify \(expected)", in: folder.path)
          == nil)
    }
    let inspection = Workshop.host("inspect ./full.so --json", in: folder.path)
    #expect(inspection.output.contains("\"abi\": \"1."), "\(inspection.output)")
    #expect(inspection.output.contains("\"writeback\""), "\(inspection.output)")
  }

  @Test(
    .enabled(if: Workshop.canServe, "userfaultfd cannot be used here; 'uffdhost doctor' says why"),
    arguments: TableCase.all)
  fileprivate func aTable(_ table: TableCase) throws {
    let folder = try TemporaryFolder()
    try Workshop.compile(
      "\(providers)/tables.c", to: "tables.so", in: folder.path, include: frozenFolder,
      flags: table.flags)
    if let refusal = table.refusal {
      let inspection = Workshop.host("inspect ./tables.so", in: folder.path)
      #expect(inspection.status == 3)
      #expect(inspection.output.contains(refusal), "\(inspection.output)")
      #expect(inspection.output.hasPrefix("uffdhost: './tables.so' "), "\(inspection.output)")
      return
    }
    let pages = (1...16).flatMap { [UInt8](repeating: $0, count: 4096) }
    let expected = try folder.write("expected", pages)
    #expect(
      Workshop.serve("tables.so", "first=1 second=2K --verify \(expected)", in: folder.path)
        == nil)
    // The second key is found only by the stride that the library declares.
    let help = Workshop.host("help ./tables.so", in: folder.path)
    #expect(help.output.contains("second=SIZE"), "\(help.output)")
    let inspection = Workshop.host("inspect ./tables.so", in: folder.path)
    #expect(inspection.output.contains("operations  alloc\n"), "\(inspection.output)")
  }
}
