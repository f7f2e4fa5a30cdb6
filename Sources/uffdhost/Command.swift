// SPDX-License-Identifier: Apache-2.0
// What a command line asks for, as values. Options.swift makes them from argv, Main carries them
// out.

import UffdBench
import UffdHost

enum Command: Sendable, Equatable {
  case run(RunOptions)
  case inspect(library: String, json: Bool)
  case check(CheckOptions)
  case bench(BenchCommandOptions)
  case serve(ServeOptions)
  case status(socket: String, json: Bool)
  case workingSet(file: String, json: Bool)
  case doctor(deep: Bool, json: Bool)
  case help(HelpTopic)
  case version
}

enum HelpTopic: Sendable, Equatable {
  case program
  /// A path or short name: its summary and parameters.
  case provider(String)
}

/// `uffdhost check LIB [key=value ...]`.
struct CheckOptions: Sendable, Equatable {
  enum Format: Sendable { case text, tap, json }
  var library: String
  var parameters: [Parameter] = []
  var format = Format.text
  /// Nil: a new one each time, which is printed.
  var seed: UInt64?
  /// Length of the random run.
  var seconds = 5
  /// Ids of checks or names of families; empty: all.
  var only: [String] = []
}

/// `uffdhost bench [LIB] [key=value ...]`.
struct BenchCommandOptions: Sendable, Equatable {
  var bench = BenchOptions()
  var json = false
  /// Files: where the report goes, and an earlier one.
  var save: String?
  var compare: String?
  /// A file with a working set, whose order is replayed.
  var recorded: String?
  /// Percent by which a ratio may grow.
  var threshold = 5.0
}

/// Which faults the touches shall meet.
enum TouchMode: String, Sendable, CaseIterable {
  /// Nothing is filled before the touch: every first touch is a missing fault.
  case missing
  /// Every granule is published into the backing before the touch: every first touch is a minor
  /// fault.
  case minor
  /// Every second granule is published before.
  case both
}

/// Where the truth comes from that the touched bytes are compared with.
enum Oracle: Sendable, Equatable {
  /// The one that `image=` or `pattern=` implies, if one of them is given.
  case implied
  case file(String)
  case pattern(seed: UInt64)
  /// A second instance of the provider, asked directly.
  case provider
  case none
}

/// `uffdhost --provider LIB [key=value ...]`. The defaults here are the ones the help page names.
struct RunOptions: Sendable, Equatable {
  var provider: String
  var parameters: [Parameter] = []
  var threads = 1
  var access = AccessPattern.sequential
  var mode = TouchMode.missing
  var passes = 1
  var regions = 1
  var sharing = Sharing.shared
  var fill = FillTarget.backing
  var readers = 1
  /// Bytes of the object that are mapped and touched; nil is all of it.
  var size: UInt64?
  var verify = Oracle.implied
  var onError = FailurePolicy.poison
  var faultAround = FaultAround.adaptive
  var deadlineNanoseconds: UInt64 = 10_000_000_000
  var seed: UInt64 = 1
  /// Where the working set is written to, and which one is filled before it is touched.
  var record: String?
  var replay: String?
  /// Everything else is filled in the background, too.
  var fillsInBackground = false
  /// Bytes a second that are filled in the background; 0: no limit.
  var fillRate: UInt64 = 0
  var json = false

  init(provider: String) { self.provider = provider }
}
