// SPDX-License-Identifier: Apache-2.0
// The first half of reading argv: which options there are, and argv split into options and words.
// Knows how an option is written, not what it means; Options.swift gives the meaning. Pure.

import UffdHost
import UffdReport

/// The options of every subcommand. A name means the same thing wherever it is accepted.
enum OptionName: String, Sendable, CaseIterable {
  case provider, threads, access, mode, passes, regions, fill, readers, size, verify, deadline, seed
  case record, replay
  case backgroundFill = "background-fill"
  case fillRate = "fill-rate"
  case onError = "on-error"
  case faultAround = "fault-around"
  case `private`, json, tap, seconds, only, deep, help, version
  case quick, `case`, rounds, placement, wait, save, compare, threshold, recorded
  case listen, dialect, run, log, socket
  case socketMode = "socket-mode"
  case socketOwner = "socket-owner"
  case allowUID = "allow-uid"
  case maxClients = "max-clients"
  case maxRegions = "max-regions"
  case maxHandshakes = "max-handshakes"
  case maxMemory = "max-memory"
  case handshakeTimeout = "handshake-timeout"
  case drainTimeout = "drain-timeout"
  case exitWithParent = "exit-with-parent"
  case logLevel = "log-level"

  var takesValue: Bool {
    switch self {
    case .private, .json, .tap, .deep, .quick, .exitWithParent, .backgroundFill, .help, .version:
      false
    default: true
    }
  }

  /// The one subcommand that it is for; nil: it has a meaning for several, or for a run.
  var owner: String? {
    switch self {
    case .deep: "doctor"
    case .tap, .seconds, .only: "check"
    case .socket: "status"
    case .quick, .case, .rounds, .placement, .wait, .save, .compare, .threshold, .recorded:
      "bench"
    case .listen, .dialect, .run, .log, .socketMode, .socketOwner, .allowUID, .maxClients,
      .maxRegions, .maxHandshakes, .maxMemory, .handshakeTimeout, .drainTimeout, .exitWithParent,
      .logLevel:
      "serve"
    default: nil
    }
  }

  /// As it is written, for sentences.
  var spelled: String { "--" + rawValue }

  static func short(_ letter: Substring) -> OptionName? {
    switch letter {
    case "h": .help
    case "V": .version
    default: nil
    }
  }
}

/// argv, split. Never fails as a whole: a request for help is honoured on a broken line too.
struct Words {
  struct Option: Equatable {
    let name: OptionName
    /// Empty for an option without a value.
    let value: String
  }

  /// In the order of argv.
  private(set) var options: [Option] = []
  /// What is neither an option nor the value of one.
  private(set) var operands: [String] = []
  /// The first thing that is wrong.
  private(set) var failure: HostError?

  /// `arguments` is argv without the program's name.
  init(_ arguments: [String]) {
    var index = 0
    while index < arguments.count {
      let argument = arguments[index]
      index += 1
      if argument == "--" {
        operands += arguments[index...]
        return
      }
      guard argument.utf8.count > 1, argument.utf8.first == UInt8(ascii: "-") else {
        operands.append(argument)
        continue
      }
      do throws(HostError) {
        let (name, inline) = try Self.recognise(argument)
        guard name.takesValue else {
          options.append(Option(name: name, value: ""))
          continue
        }
        if let inline {
          options.append(Option(name: name, value: inline))
        } else if index < arguments.count, Self.canBeValue(arguments[index]) {
          options.append(Option(name: name, value: arguments[index]))
          index += 1
        } else {
          throw HostError.usage("option '\(name.spelled)' needs a value: '\(name.spelled)=VALUE'")
        }
      } catch {
        failure = failure ?? error
      }
    }
  }

  func contains(_ name: OptionName) -> Bool { options.contains { $0.name == name } }

  /// Of several, the last one counts.
  func value(of name: OptionName) -> String? { options.last { $0.name == name }?.value }

  /// What looks like an option is one that lost its value's place; `--name=-x` says otherwise.
  private static func canBeValue(_ argument: String) -> Bool {
    argument == "-" || argument.utf8.first != UInt8(ascii: "-")
  }

  private static func recognise(
    _ argument: String
  ) throws(HostError) -> (name: OptionName, inline: String?) {
    guard argument.utf8.starts(with: "--".utf8) else {
      if let name = OptionName.short(argument.dropFirst()) { return (name, nil) }
      throw unknown(argument)
    }
    let text = Substring(argument.unicodeScalars.dropFirst(2))
    let equals = text.unicodeScalars.firstIndex(of: "=")
    guard let name = OptionName(rawValue: String(text[..<(equals ?? text.endIndex)])) else {
      throw unknown(equals.map { "--" + text[..<$0] } ?? argument)
    }
    let inline = equals.map { String(text.unicodeScalars[$0...].dropFirst()) }
    if inline != nil && !name.takesValue {
      throw .usage("option '\(name.spelled)' takes no value")
    }
    return (name, inline)
  }

  private static func unknown(_ option: String) -> HostError {
    let known = OptionName.allCases.map(\.spelled)
    return .usage("unknown option \(option.quoted)" + Suggestion.clause(for: option, among: known))
  }
}

extension HostError {
  /// An error of the command line, ending with the way to the help page.
  static func usage(_ message: String) -> HostError {
    HostError(.usage, message + "; see 'uffdhost --help'")
  }
}
