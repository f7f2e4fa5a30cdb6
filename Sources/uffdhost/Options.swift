// SPDX-License-Identifier: Apache-2.0
// The second half of reading argv: options and words become a Command, or one sentence that says
// what is wrong. Pure: no exit, no output, no look at the file system. Called once, by Main.

import UffdHost
import UffdReport

extension Command {
  /// The largest numbers that are accepted: beyond them a typing error is more likely than a wish.
  enum Limit {
    static let threads = 1024
    static let readers = 64
    static let regions = 4096
    static let passes = 1_000_000
    static let deadlineSeconds: UInt64 = 1_000_000_000
    static let checkSeconds = 86_400
    static let rounds = 1000
    static let thresholdPercent = 1000
  }

  static let names = [
    "serve", "status", "inspect", "check", "bench", "workingset", "doctor", "help",
  ]

  /// `arguments` is argv without the program's name.
  static func parse(_ arguments: [String]) throws(HostError) -> Command {
    let words = Words(arguments)
    let first = words.operands.first
    if words.contains(.help) || first == "help" { return .help(helpTopic(words)) }
    if let failure = words.failure { throw failure }
    if words.contains(.version) { return .version }
    switch first {
    case "serve": return try .serve(ServeOptions(words))
    case "status": return try status(words)
    case "inspect": return try inspect(words)
    case "check": return try .check(check(words))
    case "bench": return try .bench(bench(words))
    case "workingset": return try workingSet(words)
    case "doctor": return try doctor(words)
    default: return try .run(run(words))
    }
  }

  // MARK: Subcommands

  private static func helpTopic(_ words: Words) -> HelpTopic {
    if let provider = words.value(of: .provider), !provider.isEmpty { return .provider(provider) }
    var operands = words.operands[...]
    if operands.first == "help" { operands.removeFirst() }
    guard let word = operands.first, !word.isEmpty, !names.contains(word), !word.contains("=")
    else {
      return .program
    }
    return .provider(word)
  }

  private static func inspect(_ words: Words) throws(HostError) -> Command {
    try accept([.provider, .json], of: "inspect", in: words)
    var libraries = Array(words.operands.dropFirst())
    if let provider = words.value(of: .provider) { libraries.insert(provider, at: 0) }
    guard let library = libraries.first, !library.isEmpty else {
      throw .usage("'inspect' needs a library: 'uffdhost inspect LIB'")
    }
    guard libraries.count == 1 else {
      throw .usage("unexpected argument \(libraries[1].quoted): 'inspect' takes one library")
    }
    return .inspect(library: library, json: words.contains(.json))
  }

  private static func check(_ words: Words) throws(HostError) -> CheckOptions {
    try accept([.provider, .json, .tap, .seed, .seconds, .only], of: "check", in: words)
    var operands = words.operands.dropFirst()
    guard let library = words.value(of: .provider) ?? operands.popFirst(), !library.isEmpty else {
      throw .usage("'check' needs a library: 'uffdhost check LIB'")
    }
    var check = CheckOptions(library: library)
    for word in operands { check.parameters.append(try parameter(word)) }
    for option in words.options {
      let value = OptionValue(option)
      switch option.name {
      case .seed: check.seed = try value.seed()
      case .seconds: check.seconds = try value.number(1...Limit.checkSeconds)
      case .only: check.only.append(option.value)
      case .tap: check.format = .tap
      case .json: check.format = .json
      default: break
      }
    }
    if words.contains(.tap), words.contains(.json) {
      throw .usage("'--tap' and '--json' are two forms of one output; choose one")
    }
    return check
  }

  private static func doctor(_ words: Words) throws(HostError) -> Command {
    try accept([.deep, .json], of: "doctor", in: words)
    guard words.operands.count == 1 else {
      throw .usage("unexpected argument \(words.operands[1].quoted): 'doctor' takes none")
    }
    return .doctor(deep: words.contains(.deep), json: words.contains(.json))
  }

  private static func workingSet(_ words: Words) throws(HostError) -> Command {
    for name in [OptionName.record, .replay] where words.contains(name) {
      throw .usage(
        "'\(name.spelled)' belongs to a run or to 'serve': 'uffdhost --provider LIB "
          + "\(name.spelled) FILE'; 'workingset' shows a file")
    }
    try accept([.json], of: "workingset", in: words)
    guard words.operands.count > 1 else {
      throw .usage("'workingset' needs to know what to do: 'uffdhost workingset show FILE'")
    }
    guard words.operands[1] == "show" else {
      throw .usage(
        "'workingset' cannot \(words.operands[1].quoted): it can show a file; recording and replaying are "
          + "the options '--record' and '--replay' of a run and of 'serve'")
    }
    guard words.operands.count > 2, !words.operands[2].isEmpty else {
      throw .usage("'workingset show' needs a file: 'uffdhost workingset show FILE'")
    }
    guard words.operands.count == 3 else {
      throw .usage(
        "unexpected argument \(words.operands[3].quoted): 'workingset show' takes one file")
    }
    return .workingSet(file: words.operands[2], json: words.contains(.json))
  }

  private static func status(_ words: Words) throws(HostError) -> Command {
    try accept([.socket, .json], of: "status", in: words)
    guard words.operands.count == 1 else {
      throw .usage(
        "unexpected argument \(words.operands[1].quoted): 'status' takes '--socket SOCKET'")
    }
    guard let socket = words.value(of: .socket), !socket.isEmpty else {
      throw .usage("'status' needs the server's socket: 'uffdhost status --socket SOCKET'")
    }
    return .status(socket: socket, json: words.contains(.json))
  }

  private static func run(_ words: Words) throws(HostError) -> RunOptions {
    guard let provider = words.value(of: .provider) else { throw noProvider(words) }
    guard !provider.isEmpty else {
      throw .usage("option '--provider' has an empty value; give a path or a short name")
    }
    for option in words.options {
      guard let owner = option.name.owner else { continue }
      throw .usage("option '\(option.name.spelled)' belongs to '\(owner)'; leave it out of a run")
    }
    var run = RunOptions(provider: provider)
    for word in words.operands { run.parameters.append(try parameter(word)) }
    for option in words.options { try run.apply(option) }
    try BackgroundOptions(run).check()
    return run
  }

  private static func noProvider(_ words: Words) -> HostError {
    guard let word = words.operands.first(where: { !$0.contains("=") }) else {
      let lack = words.operands.isEmpty && words.options.isEmpty ? "nothing to do" : "no provider"
      return .usage("\(lack): name one with '--provider LIB'")
    }
    if word.contains("/") || word.hasSuffix(".so") {
      return .usage("unexpected argument \(word.quoted): a library is named with '--provider LIB'")
    }
    return .usage("unknown command \(word.quoted)" + Suggestion.clause(for: word, among: names))
  }

  static func accept(
    _ accepted: [OptionName], of command: String, in words: Words
  ) throws(HostError) {
    for option in words.options where !accepted.contains(option.name) {
      throw .usage("option '\(option.name.spelled)' has no meaning for '\(command)'; leave it out")
    }
  }

  // MARK: Parameters of a provider

  /// `key=value`, the key a letter and then letters, digits, dots, underscores and hyphens.
  static func parameter(_ word: String) throws(HostError) -> Parameter {
    let scalars = word.unicodeScalars
    guard let equals = scalars.firstIndex(of: "=") else {
      throw .usage(
        "unexpected argument \(word.quoted): parameters of the provider are written 'key=value'")
    }
    let key = scalars[..<equals]
    let isLetter = { (scalar: Unicode.Scalar) in
      ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar)
    }
    guard let first = key.first, isLetter(first),
      key.allSatisfy({
        isLetter($0) || ("0"..."9").contains($0) || "._-".unicodeScalars.contains($0)
      })
    else {
      throw .usage(
        "\(String(key).quoted) is not a parameter's name: a letter, then letters, digits, '.', '_', '-'"
      )
    }
    return Parameter(String(key), String(scalars[equals...].dropFirst()))
  }
}

extension RunOptions {
  fileprivate mutating func apply(_ option: Words.Option) throws(HostError) {
    let value = OptionValue(option)
    switch option.name {
    case .threads: threads = try value.number(1...Command.Limit.threads)
    case .readers: readers = try value.number(1...Command.Limit.readers)
    case .regions: regions = try value.number(1...Command.Limit.regions)
    case .passes: passes = try value.number(1...Command.Limit.passes)
    case .access: access = try value.oneOf(AccessPattern.allCases)
    case .mode: mode = try value.oneOf(TouchMode.allCases)
    case .fill: fill = try value.oneOf([FillTarget.backing, .mapping])
    case .onError: onError = try value.oneOf(FailurePolicy.allCases)
    case .faultAround: faultAround = try value.faultAround()
    case .size: size = try value.size()
    case .verify: verify = try value.oracle()
    case .deadline: deadlineNanoseconds = try value.seconds(limit: Command.Limit.deadlineSeconds)
    case .seed: seed = try value.seed()
    case .private: sharing = .private
    case .json: json = true
    case .record: record = try value.path()
    case .replay: replay = try value.path()
    case .backgroundFill: fillsInBackground = true
    case .fillRate: fillRate = try value.rate()
    // Those that belong to a subcommand do not come here.
    default: break
    }
  }
}
