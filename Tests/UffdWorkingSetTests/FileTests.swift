// SPDX-License-Identifier: Apache-2.0
// The file on disk: whole or not at all, and refused in words.

import Glibc
import Testing
import UffdHost

@testable import UffdWorkingSet

/// A folder of its own for a test.
private func withFolder(_ body: (String) throws -> Void) throws {
  var template = Array("/tmp/uffdhost-test-XXXXXX".utf8CString)
  guard unsafe mkdtemp(&template) != nil else { throw HostError(.system, "mkdtemp failed") }
  let path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  defer { _ = unsafe system("rm -rf '\(path)'") }
  try body(path)
}

private func names(in folder: String) -> [String] {
  guard let handle = unsafe opendir(folder) else { return [] }
  defer { unsafe closedir(handle) }
  var names: [String] = []
  while let entry = unsafe readdir(handle) {
    let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { tuple in
      unsafe String(cString: UnsafeRawPointer(tuple).assumingMemoryBound(to: CChar.self))
    }
    if name != ".", name != ".." { names.append(name) }
  }
  return names.sorted()
}

@Suite("Working set: file")
struct FileTests {
  @Test("stored, loaded, replaced; nothing is left beside it")
  func store() throws {
    try withFolder { folder in
      let file = WorkingSetFile(folder + "/a.ws")
      try file.checkStorable()
      #expect(names(in: folder) == [])
      try file.store(sample)
      #expect(try file.load() == sample)
      var other = sample
      other.entries.removeLast()
      try file.store(other)
      #expect(try file.load() == other)
      #expect(names(in: folder) == ["a.ws"])
      // A name without a slash is in the current folder.
      #expect(WorkingSetFile("a.ws").folder == ".")
      #expect(WorkingSetFile("/a.ws").folder == "/")
      #expect(file.folder == folder)
    }
  }

  @Test("what cannot be written is said, and what was there is still there")
  func unwritable() throws {
    try withFolder { folder in
      let file = WorkingSetFile(folder + "/a.ws")
      try file.store(sample)
      for path in [folder + "/no/such/a.ws", "/proc/a.ws", folder] {
        for attempt in [
          { try WorkingSetFile(path).checkStorable() }, { try WorkingSetFile(path).store(sample) },
        ] as [() throws -> Void] {
          let error = #expect(throws: HostError.self) { try attempt() }
          #expect(error?.kind == .usage)
          #expect(error?.message.contains("cannot be written") == true, "\(error?.message ?? "")")
        }
      }
      #expect(names(in: folder) == ["a.ws"])
      #expect(try file.load() == sample)
    }
  }

  @Test("what is no working set is refused in one sentence")
  func refused() throws {
    try withFolder { folder in
      let path = folder + "/a.ws"
      let bytes = sample.encoded()
      let cases: [([UInt8], String)] = [
        ([], "is no working set"), (Array("hello".utf8), "is no working set"),
        (Array(bytes[..<60]), "was cut off"), (Array(bytes.dropLast() + [0]), "is damaged"),
      ]
      for (bytes, says) in cases {
        let fd = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        let written = unsafe write(fd, bytes, bytes.count)
        #expect(written == bytes.count)
        close(fd)
        let error = #expect(throws: HostError.self) { try WorkingSetFile(path).load() }
        #expect(error?.kind == .usage)
        #expect(error?.message.contains(says) == true, "\(error?.message ?? "")")
      }
      for (path, says) in [
        (folder, "is no working set"), ("/dev/zero", "is no working set"), ("/no/such", "(ENOENT)"),
      ] {
        let error = #expect(throws: HostError.self) { try WorkingSetFile(path).load() }
        #expect(error?.kind == .usage)
        #expect(error?.message.contains(says) == true, "\(error?.message ?? "")")
      }
    }
  }
}
