// SPDX-License-Identifier: Apache-2.0
import Testing
import UffdHost

@testable import uffdhost

/// Words that a shell would split at spaces.
private func parse(_ line: String) throws(HostError) -> Command {
  try Command.parse(line.split(separator: " ").map(String.init))
}

private func run(_ change: (inout RunOptions) -> Void) -> Command {
  var options = RunOptions(provider: "shmem")
  change(&options)
  return .run(options)
}

private let accepted: [(String, Command)] = [
  ("--provider shmem", run { _ in }),
  ("--provider=shmem", run { _ in }),
  ("--provider anon --provider shmem", run { _ in }),
  ("--provider shmem --threads 8 --threads=4", run { $0.threads = 4 }),
  (
    "image=/a=b --provider shmem size=1G x.y_z-1=",
    run {
      $0.parameters = [
        Parameter("image", "/a=b"), Parameter("size", "1G"), Parameter("x.y_z-1", ""),
      ]
    }
  ),
  ("--provider shmem -- a=--json", run { $0.parameters = [Parameter("a", "--json")] }),
  ("--provider shmem --access random --seed 7", run { ($0.access, $0.seed) = (.random, 7) }),
  ("--provider shmem --access=zipf --seed=0xff", run { ($0.access, $0.seed) = (.zipf, 255) }),
  ("--provider shmem --access sequential", run { _ in }),
  ("--provider shmem --mode minor", run { $0.mode = .minor }),
  ("--provider shmem --mode both", run { $0.mode = .both }),
  ("--provider shmem --record a.ws", run { $0.record = "a.ws" }),
  ("--provider shmem --replay=a.ws", run { $0.replay = "a.ws" }),
  (
    "--provider shmem --background-fill --fill-rate 10M",
    run { ($0.fillsInBackground, $0.fillRate) = (true, 10 << 20) }
  ),
  (
    "--provider shmem --replay a --background-fill --fill-rate 0",
    run { ($0.replay, $0.fillsInBackground) = ("a", true) }
  ),
  ("workingset show a.ws", .workingSet(file: "a.ws", json: false)),
  ("--json workingset show -- --a", .workingSet(file: "--a", json: true)),
  ("--provider shmem --mode missing", run { _ in }),
  ("--provider shmem --passes 3 --regions 4", run { ($0.passes, $0.regions) = (3, 4) }),
  (
    "--provider shmem --private --fill mapping",
    run { ($0.sharing, $0.fill) = (.private, .mapping) }
  ),
  ("--provider shmem --fill backing --readers 2", run { $0.readers = 2 }),
  ("--provider shmem --size 64K", run { $0.size = 65536 }),
  ("--provider shmem --verify none", run { $0.verify = .none }),
  ("--provider shmem --verify provider", run { $0.verify = .provider }),
  ("--provider shmem --verify pattern:12", run { $0.verify = .pattern(seed: 12) }),
  ("--provider shmem --verify ./pattern", run { $0.verify = .file("./pattern") }),
  ("--provider shmem --verify=-x", run { $0.verify = .file("-x") }),
  ("--provider shmem --on-error hold", run { $0.onError = .hold }),
  ("--provider shmem --on-error=kill", run { $0.onError = .kill }),
  ("--provider shmem --fault-around auto", run { _ in }),
  ("--provider shmem --fault-around off", run { $0.faultAround = .off }),
  ("--provider shmem --fault-around=16", run { $0.faultAround = .upTo(16) }),
  ("--provider shmem --deadline 0.5", run { $0.deadlineNanoseconds = 500_000_000 }),
  ("--provider shmem --deadline 2", run { $0.deadlineNanoseconds = 2_000_000_000 }),
  ("--provider shmem --deadline 1.000000001", run { $0.deadlineNanoseconds = 1_000_000_001 }),
  ("--provider shmem --json", run { $0.json = true }),
  ("inspect ./a.so", .inspect(library: "./a.so", json: false)),
  ("--json inspect shmem", .inspect(library: "shmem", json: true)),
  ("inspect --provider shmem --json", .inspect(library: "shmem", json: true)),
  ("--provider shmem inspect", .inspect(library: "shmem", json: false)),
  ("inspect -- -odd-.so", .inspect(library: "-odd-.so", json: false)),
  ("doctor", .doctor(deep: false, json: false)),
  ("doctor --deep --json", .doctor(deep: true, json: true)),
  ("--help", .help(.program)),
  ("-h", .help(.program)),
  ("help", .help(.program)),
  ("help inspect", .help(.program)),
  ("inspect --help", .help(.program)),
  ("--help shmem", .help(.provider("shmem"))),
  ("help shmem", .help(.provider("shmem"))),
  ("--help --provider shmem", .help(.provider("shmem"))),
  ("--provider=shmem image=x --threads 4 --help", .help(.provider("shmem"))),
  ("--threads 4 image=x --help", .help(.program)),
  ("--no-such-option --threads --help", .help(.program)),
  ("--version", .version),
  ("-V", .version),
  ("--version --help", .help(.program)),
]

@Test(arguments: accepted)
func `a good line becomes its command`(line: String, command: Command) throws {
  #expect(try parse(line) == command)
}

private let rangeOfThreads = "give a number from 1 to 1024"
private let seedForm = "give a whole number from 0 to 2^64 - 1, decimal or 0x and hexadecimal"

/// Without the ending that all have in common.
private let refused: [(String, String)] = [
  ("", "nothing to do: name one with '--provider LIB'"),
  ("--json", "no provider: name one with '--provider LIB'"),
  ("image=x", "no provider: name one with '--provider LIB'"),
  ("inspct a", "unknown command 'inspct' (did you mean 'inspect'?)"),
  ("dcotor", "unknown command 'dcotor' (did you mean 'doctor'?)"),
  ("frobnicate", "unknown command 'frobnicate'"),
  ("./liba.so", "unexpected argument './liba.so': a library is named with '--provider LIB'"),
  ("--provider", "option '--provider' needs a value: '--provider=VALUE'"),
  ("--provider --json", "option '--provider' needs a value: '--provider=VALUE'"),
  ("--provider=", "option '--provider' has an empty value; give a path or a short name"),
  ("--provider x --thread 4", "unknown option '--thread' (did you mean '--threads'?)"),
  ("--provider x --thraeds=4", "unknown option '--thraeds' (did you mean '--threads'?)"),
  ("--provider x --pass 4", "unknown option '--pass' (did you mean '--passes'?)"),
  ("--provider x --on_error=kill", "unknown option '--on_error' (did you mean '--on-error'?)"),
  ("--provider x --frobnicate", "unknown option '--frobnicate'"),
  ("--provider x -j", "unknown option '-j'"),
  ("--provider x --=3", "unknown option '--'"),
  ("--provider x --json=1", "option '--json' takes no value"),
  ("--provider x --deep", "option '--deep' belongs to 'doctor'; leave it out of a run"),
  ("--provider x --threads 0", "option '--threads' cannot be '0': \(rangeOfThreads)"),
  ("--provider x --threads=", "option '--threads' cannot be '': \(rangeOfThreads)"),
  ("--provider x --threads +4", "option '--threads' cannot be '+4': \(rangeOfThreads)"),
  ("--provider x --threads 1025", "option '--threads' cannot be '1025': \(rangeOfThreads)"),
  (
    "--provider x --threads 99999999999999999999",
    "option '--threads' cannot be '99999999999999999999': \(rangeOfThreads)"
  ),
  ("--provider x --threads -1", "option '--threads' needs a value: '--threads=VALUE'"),
  (
    "--provider x --access randon",
    "option '--access' cannot be 'randon': give sequential, random or zipf (did you mean 'random'?)"
  ),
  ("--provider x --mode wp", "option '--mode' cannot be 'wp': give missing, minor or both"),
  ("--provider x --fill zero", "option '--fill' cannot be 'zero': give backing or mapping"),
  (
    "--provider x --on-error zero",
    "option '--on-error' cannot be 'zero': give poison, kill or hold"
  ),
  (
    "--provider x --fault-around 0",
    "option '--fault-around' cannot be '0': give auto, off, or the most granules that a fault settles, at least 1"
  ),
  (
    "--provider x --fault-around on",
    "option '--fault-around' cannot be 'on': give auto, off, or the most granules that a fault settles, at least 1"
  ),
  (
    "--provider x --size 12KB",
    "option '--size' cannot be '12KB': not a size; write bytes, or a number with K, M, G or T"
      + " as in 64K, 2M, 1GiB"
  ),
  ("--provider x --size 0", "option '--size' cannot be '0': give at least 1 byte"),
  (
    "--provider x --size 16777216T",
    "option '--size' cannot be '16777216T': larger than 2^64 - 1 bytes"
  ),
  (
    "--provider x --deadline 0.0",
    "option '--deadline' cannot be '0.0': a fault needs some time; give more than 0 seconds"
  ),
  (
    "--provider x --deadline 1.",
    "option '--deadline' cannot be '1.': give seconds such as 10 or 0.5, at most 1000000000"
  ),
  (
    "--provider x --deadline 1.0000000001",
    "option '--deadline' cannot be '1.0000000001': give seconds such as 10 or 0.5, at most 1000000000"
  ),
  (
    "--provider x --deadline 1e9",
    "option '--deadline' cannot be '1e9': give seconds such as 10 or 0.5, at most 1000000000"
  ),
  (
    "--provider x --deadline 1000000001",
    "option '--deadline' cannot be '1000000001': give seconds such as 10 or 0.5, at most 1000000000"
  ),
  ("--provider x --seed 0x", "option '--seed' cannot be '0x': \(seedForm)"),
  ("--provider x --seed 0x-1", "option '--seed' cannot be '0x-1': \(seedForm)"),
  (
    "--provider x --seed 18446744073709551616",
    "option '--seed' cannot be '18446744073709551616': \(seedForm)"
  ),
  (
    "--provider x --verify pattern:a",
    "option '--verify' cannot be 'pattern:a': after 'pattern:' \(seedForm)"
  ),
  (
    "--provider x --verify pattern",
    "option '--verify' cannot be 'pattern': give FILE, pattern:SEED, provider or none"
  ),
  (
    "--provider x image",
    "unexpected argument 'image': parameters of the provider are written 'key=value'"
  ),
  (
    "--provider x =1", "'' is not a parameter's name: a letter, then letters, digits, '.', '_', '-'"
  ),
  (
    "--provider x 1a=1",
    "'1a' is not a parameter's name: a letter, then letters, digits, '.', '_', '-'"
  ),
  (
    "--provider x ä=1",
    "'ä' is not a parameter's name: a letter, then letters, digits, '.', '_', '-'"
  ),
  ("inspect", "'inspect' needs a library: 'uffdhost inspect LIB'"),
  ("inspect a b", "unexpected argument 'b': 'inspect' takes one library"),
  ("inspect a --threads 3", "option '--threads' has no meaning for 'inspect'; leave it out"),
  ("doctor a", "unexpected argument 'a': 'doctor' takes none"),
  ("--provider x --record=", "option '--record' cannot be '': give the path of a file"),
  (
    "--provider x --record a --replay b",
    "'--record' sees only what faults, and '--replay' takes the faults away; use one of them"
  ),
  (
    "--provider x --record a --background-fill",
    "'--record' sees only what faults, and '--background-fill' takes the faults away; use one of them"
  ),
  (
    "--provider x --fill-rate 1M",
    "'--fill-rate' limits what is filled in the background, and nothing is; give '--background-fill' or "
      + "'--replay', too"
  ),
  (
    "--provider x --background-fill --fill-rate fast",
    "option '--fill-rate' cannot be 'fast': not a size; write bytes, or a number with K, M, G or T"
      + " as in 64K, 2M, 1GiB"
  ),
  ("workingset", "'workingset' needs to know what to do: 'uffdhost workingset show FILE'"),
  ("workingset show", "'workingset show' needs a file: 'uffdhost workingset show FILE'"),
  ("workingset show a b", "unexpected argument 'b': 'workingset show' takes one file"),
  (
    "workingset record a",
    "'workingset' cannot 'record': it can show a file; recording and replaying are the options "
      + "'--record' and '--replay' of a run and of 'serve'"
  ),
  (
    "workingset show a --record b",
    "'--record' belongs to a run or to 'serve': 'uffdhost --provider LIB --record FILE'; "
      + "'workingset' shows a file"
  ),
  ("inspect a --record b", "option '--record' has no meaning for 'inspect'; leave it out"),
  ("doctor --private", "option '--private' has no meaning for 'doctor'; leave it out"),
]

@Test(arguments: refused)
func `a bad line gets its sentence`(line: String, sentence: String) {
  let error = #expect(throws: HostError.self) { try parse(line) }
  #expect(error?.kind == .usage)
  #expect(error?.message == sentence + "; see 'uffdhost --help'")
}

@Test func `control characters and long arguments do not spoil the sentence`() {
  for argument in ["--\u{1b}[2Ja\nb", "--" + String(repeating: "y", count: 100_000)] {
    let error = #expect(throws: HostError.self) { try Command.parse([argument]) }
    let message = error?.message ?? ""
    #expect(message.hasPrefix("unknown option '--"))
    #expect(message.utf8.count < 200)
    #expect(message.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7f })
  }
}
