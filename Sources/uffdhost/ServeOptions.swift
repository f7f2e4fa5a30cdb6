// SPDX-License-Identifier: Apache-2.0
// `uffdhost serve`: its words as values. Pure: names of users are looked up when it begins.
import UffdHost
import UffdServer

/// `uffdhost serve --provider LIB [key=value ...] --listen SOCKET`. The defaults here and in
/// `ServerOptions` are the ones the help page names.
struct ServeOptions: Sendable, Equatable {
  /// Names or numbers.
  struct Owner: Sendable, Equatable {
    var user: String?
    var group: String?
  }

  var provider: String
  var parameters: [Parameter] = []
  /// Nil: a service manager passes the socket.
  var listen: String?
  var socketMode: UInt32 = 0o600
  var socketOwner: Owner?
  /// Names, numbers, or ranges of numbers.
  var allowedUsers: [String] = []
  var server = ServerOptions()
  var readers = 1
  var faultAround = FaultAround.adaptive
  var onError = FailurePolicy.poison
  var deadlineNanoseconds: UInt64 = 10_000_000_000
  var mostMemory: UInt64 = 4 << 30
  /// Where the working set of all clients together is written to, and which one is filled in each.
  var record: String?
  var replay: String?
  /// Each client is filled in the background.
  var fillsInBackground = false
  /// Bytes a second that are filled in the background, in all clients together; 0: no limit.
  var fillRate: UInt64 = 0
  var log = ServerLog.Format.text
  var logLevel = LogLevel.info

  init(provider: String) { self.provider = provider }
}

extension ServeOptions {
  private static let accepted: [OptionName] =
    [
      .provider, .readers, .faultAround, .onError, .deadline, .record, .replay, .backgroundFill,
      .fillRate,
    ] + OptionName.allCases.filter { $0.owner == "serve" }

  /// Largest numbers that are accepted.
  private enum Limit {
    static let clients = 1_000_000
    static let regions = 65_536
    static let handshakes = 65_536
    static let seconds: UInt64 = 1_000_000_000
  }

  init(_ words: Words) throws(HostError) {
    try Command.accept(Self.accepted, of: "serve", in: words)
    guard let provider = words.value(of: .provider), !provider.isEmpty else {
      throw .usage("'serve' needs a provider: name one with '--provider LIB'")
    }
    self.init(provider: provider)
    for word in words.operands.dropFirst() {
      parameters.append(try Command.parameter(word))
    }
    for option in words.options {
      try apply(option)
    }
    server.killsRefused = onError == .kill
    try BackgroundOptions(self).check()
  }

  private mutating func apply(_ option: Words.Option) throws(HostError) {
    let value = OptionValue(option)
    switch option.name {
    case .readers: readers = try value.number(1...Command.Limit.readers)
    case .faultAround: faultAround = try value.faultAround()
    case .onError: onError = try value.oneOf(FailurePolicy.allCases)
    case .deadline: deadlineNanoseconds = try value.seconds(limit: Command.Limit.deadlineSeconds)
    case .record: record = try value.path()
    case .replay: replay = try value.path()
    case .backgroundFill: fillsInBackground = true
    case .fillRate: fillRate = try value.rate()
    case .listen: listen = option.value
    case .socketMode: socketMode = try value.mode()
    case .socketOwner: socketOwner = try value.owner()
    case .allowUID: allowedUsers.append(option.value)
    case .dialect: server.dialect = option.value == "auto" ? nil : option.value
    case .maxClients: server.mostClients = try value.number(1...Limit.clients)
    case .maxRegions: server.mostRegions = try value.number(1...Limit.regions)
    case .maxHandshakes: server.mostHandshakes = try value.number(1...Limit.handshakes)
    case .maxMemory: mostMemory = try value.size()
    case .handshakeTimeout:
      server.handshakeNanoseconds = try value.seconds(
        limit: Limit.seconds, tooShort: "a handshake needs some time")
    case .drainTimeout:
      server.drainNanoseconds = try value.seconds(
        limit: Limit.seconds, tooShort: "filling pages needs some time")
    case .run:
      guard !option.value.isEmpty else {
        throw .usage("option '--run' has an empty value; give a command for the shell")
      }
      server.command = option.value
    case .exitWithParent: server.exitsWithParent = true
    case .log: log = try value.oneOf(ServerLog.Format.allCases)
    case .logLevel: logLevel = try value.oneOf([LogLevel.error, .warning, .info, .debug])
    default: break
    }
  }
}
