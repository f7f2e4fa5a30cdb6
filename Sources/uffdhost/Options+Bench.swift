// SPDX-License-Identifier: Apache-2.0
// The words of `uffdhost bench` become its options. Pure; a part of Options.swift.

import UffdBench
import UffdHost
import UffdReport

extension Command {
  /// Options that nothing else has.
  static let benchOptions: [OptionName] = [
    .quick, .case, .rounds, .placement, .wait, .save, .compare, .threshold, .recorded,
  ]

  static func bench(_ words: Words) throws(HostError) -> BenchCommandOptions {
    try accept([.provider, .json, .size, .seed] + benchOptions, of: "bench", in: words)
    var options = BenchCommandOptions()
    var operands = words.operands.dropFirst()
    options.bench.library = words.value(of: .provider)
    if options.bench.library == nil, let word = operands.first, !word.contains("=") {
      options.bench.library = operands.removeFirst()
    }
    for word in operands { options.bench.parameters.append(try parameter(word)) }
    if options.bench.library == nil, let first = options.bench.parameters.first {
      throw .usage(
        "'\(first.key)=' belongs to a provider: name it, as in 'uffdhost bench LIB \(first.key)=...'"
      )
    }
    for option in words.options { try options.apply(option) }
    return options
  }
}

extension BenchCommandOptions {
  fileprivate mutating func apply(_ option: Words.Option) throws(HostError) {
    let value = OptionValue(option)
    switch option.name {
    case .quick: bench.isQuick = true
    case .case: bench.cases.append(option.value)
    case .rounds: bench.rounds = try value.number(1...Command.Limit.rounds)
    case .placement: bench.placement = try value.oneOf(Placement.allCases)
    case .wait: bench.waiting = try value.oneOf(Waiting.allCases)
    case .size: bench.size = try value.size()
    case .seed: bench.seed = try value.seed()
    case .save: save = option.value
    case .compare: compare = option.value
    case .recorded: recorded = option.value
    case .threshold:
      threshold = Double(try value.number(0...Command.Limit.thresholdPercent))
    case .json: json = true
    default: break
    }
  }
}
