// SPDX-License-Identifier: Apache-2.0

// Headers/1.0/uffd_plugin.h is frozen: it is never edited. Today's header must keep every offset, width
// and value that the frozen one has, and may only add at the end.

import ProviderWorkshop
import Testing

private enum Header {
  static let frozenFolder = "\(Workshop.root)/Tests/ABIStabilityTests/Headers/1.0"
  static func frozen() throws -> String { try File.text("\(frozenFolder)/uffd_plugin.h") }
  static func today() throws -> String { try File.text("\(Workshop.include)/uffd_plugin.h") }
}

/// A change of the header that must be noticed: what is replaced by what, and what is said of it.
private struct Change: Sendable, CustomTestStringConvertible {
  let name: String
  let old: String
  let new: String
  let complaint: String?
  var testDescription: String { name }

  static let all = [
    Change(
      name: "a field moves", old: "  uint64_t pgoff;\n  uint64_t count;\n  uint32_t is_zero;",
      new: "  uint64_t count;\n  uint64_t pgoff;\n  uint32_t is_zero;",
      complaint: "offset:uffd_extent.count was 8 and is 0"),
    Change(
      name: "a field goes", old: "  uint64_t cookie;  ", new: "  // ",
      complaint: "offset:uffd_folio.cookie is gone"),
    Change(
      name: "a field becomes narrower", old: "uint64_t granules;", new: "uint32_t granules;",
      complaint: "width:uffd_provider.granules was 8 and is 4"),
    Change(
      name: "a field is put between", old: "  uint64_t parameter_stride;",
      new: "  uint64_t surprise;\n  uint64_t parameter_stride;",
      complaint: "uffd_provider.surprise is new and not at the end of uffd_provider"),
    Change(
      name: "a value changes", old: "UFFD_STATUS_GONE UFFD_SWIFT_NAME(gone) = 6",
      new: "UFFD_STATUS_GONE UFFD_SWIFT_NAME(gone) = 7",
      complaint: "value:UFFD_STATUS_GONE was 6 and is 7"),
    Change(
      name: "a number changes", old: "UFFD_GRANULE_2M 0x200000u", new: "UFFD_GRANULE_2M 0x400000u",
      complaint: "value:UFFD_GRANULE_2M was 2097152 and is 4194304"),
    Change(
      name: "another major", old: "UFFD_ABI 0x00010000u", new: "UFFD_ABI 0x00020000u",
      complaint: "value:UFFD_ABI was 65536 and is 131072"),
    Change(
      name: "a macro goes", old: "#define UFFD_HAS(", new: "#define UFFD_HAD(",
      complaint: "macro:UFFD_HAS is gone"),
    Change(
      name: "a newer minor", old: "UFFD_ABI 0x00010000u", new: "UFFD_ABI 0x00010001u",
      complaint: nil),
    Change(
      name: "a field at the end", old: "} uffd_extent;", new: "  uint64_t later;\n} uffd_extent;",
      complaint: nil),
    Change(
      name: "another value", old: "UFFD_STATUS_GONE UFFD_SWIFT_NAME(gone) = 6",
      new: "UFFD_STATUS_GONE UFFD_SWIFT_NAME(gone) = 6, UFFD_STATUS_NEW UFFD_SWIFT_NAME(new) = 7",
      complaint: nil),
  ]
}

@Suite(.enabled(if: Shell.has("cc"), "there is no C compiler"))
struct LayoutTests {
  @Test
  func todaysHeaderKeepsWhatTheFrozenOnePromises() throws {
    let frozen = try Layout(of: Header.frozen())
    let today = try Layout(of: Header.today())
    #expect(frozen.breaks(in: today) == [])
  }

  /// What is not seen is not compared: the numbers are those of the frozen header.
  @Test
  func everythingThatTheFrozenHeaderDeclaresIsSeen() throws {
    let text = try Header.frozen()
    let seen = HeaderText(text)
    #expect(seen.structs.count == text.matches(of: /typedef struct \w+ \{/).count)
    #expect(seen.structs.count == 9)
    #expect(seen.structs.map(\.fields.count) == [6, 2, 8, 13, 7, 9, 8, 4, 30])
    let named = text.matches(of: /UFFD_SWIFT_NAME\(\w+\) =/).count
    #expect(seen.enumerators.count == named && named > 60)
    #expect(
      seen.numbers == [
        "UFFD_ABI_MAJOR", "UFFD_ABI_MINOR", "UFFD_ABI", "UFFD_GRANULE_4K", "UFFD_GRANULE_2M",
        "UFFD_GRANULE_1G",
      ])
    #expect(seen.functions == ["UFFD_HAS", "UFFD_REGISTER_PROVIDER"])
    let layout = try Layout(of: text)
    #expect(layout.values["size:uffd_provider"] == 224)
    #expect(layout.values["offset:uffd_provider.alloc_folio"] == 128)
    #expect(layout.values["value:UFFD_THREADS_PARALLEL"] == 3000)
  }

  @Test(arguments: Change.all)
  fileprivate func aChangeIsJudged(_ change: Change) throws {
    let text = try Header.frozen()
    let changed = text.replacing(change.old, with: change.new, maxReplacements: 1)
    try #require(changed != text, "the frozen header has no such line")
    let breaks = try Layout(of: text).breaks(in: Layout(of: changed))
    if let complaint = change.complaint {
      #expect(breaks.contains(complaint), "\(breaks)")
    } else {
      #expect(breaks == [])
    }
  }
}
