// SPDX-License-Identifier: Apache-2.0
// `uffdhost check`: its words, and that its options belong to nothing else.
import Testing
import UffdHost

@testable import uffdhost

private func refusal(_ words: String...) -> String {
  do {
    _ = try Command.parse(words)
    return ""
  } catch { return error.message }
}

@Test func `check takes a library, parameters and its options`() throws {
  var wanted = CheckOptions(library: "./x.so")
  #expect(try Command.parse(["check", "./x.so"]) == .check(wanted))
  wanted.parameters = [Parameter("size", "1M"), Parameter("label", "a=b")]
  wanted.seed = 7
  wanted.seconds = 60
  wanted.only = ["alloc", "lend.order"]
  wanted.format = .tap
  let words = [
    "check", "./x.so", "size=1M", "--seed", "7", "--tap", "label=a=b", "--only", "alloc",
    "--seconds=60", "--only=lend.order",
  ]
  #expect(try Command.parse(words) == .check(wanted))
}

@Test func `check refuses what it cannot mean`() {
  #expect(refusal("check").contains("needs a library"))
  #expect(refusal("check", "./x.so", "size").contains("key=value"))
  #expect(refusal("check", "./x.so", "--tap", "--json").contains("choose one"))
  #expect(refusal("check", "./x.so", "--threads", "2").contains("no meaning for 'check'"))
  #expect(refusal("check", "./x.so", "--seconds", "0").contains("1 to 86400"))
  for option in ["--tap", "--seconds=2", "--only=alloc"] {
    #expect(refusal("--provider", "x", option).contains("belongs to 'check'"))
    #expect(refusal("inspect", "x", option).contains("no meaning for 'inspect'"))
  }
}
