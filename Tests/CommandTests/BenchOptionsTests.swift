// SPDX-License-Identifier: Apache-2.0
// `uffdhost bench`: its words, and that its options belong to nothing else.
import Testing
import UffdBench
import UffdHost

@testable import uffdhost

private func refusal(_ words: String...) -> String {
  do {
    _ = try Command.parse(words)
    return ""
  } catch { return error.message }
}

@Test func `bench takes a library or none, parameters and its options`() throws {
  #expect(try Command.parse(["bench"]) == .bench(BenchCommandOptions()))
  var wanted = BenchCommandOptions()
  wanted.bench.library = "./x.so"
  wanted.bench.parameters = [Parameter("size", "1M")]
  wanted.bench.cases = ["anon-copy", "start"]
  wanted.bench.isQuick = true
  wanted.bench.rounds = 9
  wanted.bench.size = 1 << 20
  wanted.bench.placement = .unpinned
  wanted.bench.waiting = .poll
  wanted.bench.seed = 7
  wanted.json = true
  wanted.save = "a"
  wanted.compare = "b"
  wanted.threshold = 3
  wanted.recorded = "c"
  let words = [
    "bench", "./x.so", "size=1M", "--case", "anon-copy", "--case=start", "--quick", "--rounds", "9",
    "--size", "1M", "--placement", "unpinned", "--wait", "poll", "--seed=7", "--json", "--save",
    "a", "--compare=b", "--threshold", "3", "--recorded", "c",
  ]
  #expect(try Command.parse(words) == .bench(wanted))
}

@Test func `bench refuses what it cannot mean`() {
  #expect(refusal("bench", "size=1M").contains("name it"))
  #expect(refusal("bench", "anon", "size").contains("key=value"))
  #expect(refusal("bench", "--threads", "2").contains("no meaning for 'bench'"))
  #expect(refusal("bench", "--placement", "pined").contains("did you mean 'pinned'"))
  #expect(refusal("bench", "--rounds", "0").contains("1 to 1000"))
  for option in [
    "--quick", "--case=x", "--rounds=2", "--save=x", "--threshold=2", "--wait=poll", "--recorded=x",
  ] {
    #expect(refusal("--provider", "x", option).contains("belongs to 'bench'"))
    #expect(refusal("check", "x", option).contains("no meaning for 'check'"))
  }
}
