// SPDX-License-Identifier: Apache-2.0
// `uffdhost serve --provider LIB [key=value ...] --listen SOCKET`: puts a host, an instance and a
// server together.
import Glibc
import UffdHost
import UffdReport
import UffdServer
import UffdWorkingSet

struct ServeCommand {
  private let options: ServeOptions

  init(_ options: ServeOptions) { self.options = options }

  func run() throws(HostError) -> Int32 {
    // Before any thread: they inherit that signals are blocked.
    let signals = try Signals()
    let manager = try ServiceManager()
    var serverOptions = options.server
    let owner = try options.socketOwner.map { (owner) throws(HostError) in try Accounts.owner(owner)
    }
    for text in options.allowedUsers { serverOptions.allowedUsers.append(try Accounts.users(text)) }
    // Whoever owns the socket is meant to use it.
    if let uid = owner?.uid { serverOptions.allowedUsers.append(uid...uid) }
    let passed = try manager.passedSocket.map { (fd) throws(HostError) in
      try Listener(passed: fd, expected: options.listen)
    }
    if passed == nil, options.listen == nil {
      throw .usage("'serve' needs a socket: 'uffdhost serve --provider LIB --listen SOCKET'")
    }
    let log = ServerLog(options.log, level: options.logLevel) { Output.write($0 + "\n", to: 2) }
    let provider = try Provider.load(options.provider)
    let host = try makeHost(log)
    let instance = try host.openForClients(provider, parameters: options.parameters)
    let sets = try WorkingSetEnds(
      record: options.record, replay: options.replay, instance, options.parameters)
    let listener: Listener
    if let passed {
      listener = passed
    } else {
      listener = try Listener(path: options.listen ?? "", mode: options.socketMode, owner: owner)
    }
    let service = InstanceService(
      host, instance, recording: sets.recording, prefetch: sets.input?.set.runs() ?? [],
      fillsInBackground: options.fillsInBackground)
    var code = try Server(
      serverOptions, listener, Dialects.all, service, signals, manager, log
    ).run()
    do throws(HostError) {
      if let (file, set) = try sets.store() {
        log.sink(.info, "\(set.entries.count) granules were recorded into \(file.quoted)")
      }
    } catch {
      log.sink(.error, error.message)
      if code == 0 { code = 1 }
    }
    close(instance, log)
    return code
  }

  /// The last thing that a provider hears. A reader may hold a client for a moment after it has said that
  /// it ended; clients that asked to be left alone keep the instance in use for ever.
  private func close(_ instance: Instance, _ log: ServerLog) {
    let limit = monotonicNanoseconds() + 1_000_000_000
    while true {
      do {
        return try instance.close()
      } catch {
        guard monotonicNanoseconds() < limit else { return log.sink(.debug, error.message) }
        usleep(1000)
      }
    }
  }

  private func makeHost(_ log: ServerLog) throws(HostError) -> Host {
    var hostOptions = Host.Options()
    hostOptions.readers = options.readers
    hostOptions.faultAround = options.faultAround
    hostOptions.fillRate = options.fillRate
    hostOptions.onError = options.onError
    hostOptions.faultDeadlineNanoseconds = options.deadlineNanoseconds
    hostOptions.stagingCap = options.mostMemory
    hostOptions.mostOfFamily = options.server.mostOfFamily
    hostOptions.log = log.sink
    return try Host(hostOptions)
  }
}
