// SPDX-License-Identifier: Apache-2.0
// The command of `--run`: started once the socket listens, and waited for.
import CLinux
import Glibc
import UffdHost

/// A process of ours, run by the shell.
final class ChildCommand {
  private let pid: pid_t
  private let pidfd: Descriptor
  private var isReaped = false
  /// Readable when it has ended.
  var fd: Int32 { pidfd.fd }

  /// Starts `/bin/sh -c command` with these variables beside our own, less those that are for us
  /// alone.
  init(_ command: String, environment: [String: String]) throws(HostError) {
    var variables = Self.ownEnvironment().filter {
      !ServiceManager.ownVariables.contains($0.key)
    }
    variables.merge(environment) { $1 }
    var pid: pid_t = 0
    let error = Self.spawn(
      ["/bin/sh", "-c", command], variables.map { "\($0.key)=\($0.value)" }, &pid)
    guard error == 0 else {
      throw HostError(
        .system, "the command of '--run' cannot be started (\(Errno(error).name))")
    }
    self.pid = pid
    let number = clinux_pidfd_open(pid)
    guard number >= 0 else {
      kill(pid, SIGKILL)
      waitpid(pid, nil, 0)
      throw HostError(
        .system, "the command of '--run' cannot be watched (\(Errno(-number).name))")
    }
    pidfd = Descriptor(owning: number)
  }

  /// Blocked signals and SIGPIPE are ours; a command starts with none of that.
  private static func spawn(
    _ words: [String], _ settings: [String], _ pid: inout pid_t
  ) -> Int32 {
    var attributes = posix_spawnattr_t()
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    var pipe = sigset_t()
    unsafe sigemptyset(&none)
    unsafe sigemptyset(&pipe)
    unsafe sigaddset(&pipe, SIGPIPE)
    unsafe posix_spawnattr_setsigmask(&attributes, &none)
    unsafe posix_spawnattr_setsigdefault(&attributes, &pipe)
    unsafe posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
    var arguments = unsafe words.map { unsafe strdup($0) } + [nil]
    var variables = unsafe settings.map { unsafe strdup($0) } + [nil]
    defer {
      for index in unsafe arguments.indices { unsafe free(arguments[index]) }
      for index in unsafe variables.indices { unsafe free(variables[index]) }
    }
    return unsafe posix_spawn(&pid, words[0], nil, &attributes, &arguments, &variables)
  }

  private static func ownEnvironment() -> [String: String] {
    var variables: [String: String] = [:]
    var entry = unsafe environ
    while let text = unsafe entry.pointee {
      let words = unsafe String(cString: text).split(
        separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      if words.count == 2 { variables[String(words[0])] = String(words[1]) }
      unsafe entry += 1
    }
    return variables
  }

  /// A command that outlives the server leaves no zombie to a process that goes on.
  deinit {
    if isReaped { return }
    _ = try? KernelThread("uffd-reaper") { [pid] in waitpid(pid, nil, 0) }
  }

  func send(_ signal: Int32) { _ = clinux_pidfd_kill(pidfd.fd, signal) }

  /// Its exit code, 128 and the signal's number if one ended it; nil: it runs.
  func exitCode() -> Int32? {
    var status: Int32 = 0
    guard unsafe waitpid(pid, &status, WNOHANG) == pid else { return nil }
    isReaped = true
    return status & 0x7f == 0 ? status >> 8 & 0xff : 128 + (status & 0x7f)
  }
}

/// The process that started this one.
enum ParentProcess {
  /// A pidfd of `parent`, which was the parent a moment ago, readable when it has ended. PR_SET_PDEATHSIG would
  /// follow the thread that forked and not its process. Nil: it has ended already.
  static func watch(_ parent: pid_t) throws(HostError) -> Descriptor? {
    guard parent > 0 else {
      throw HostError(
        .system,
        "'--exit-with-parent' cannot see the parent, which is in another pid namespace; leave it out"
      )
    }
    let number = clinux_pidfd_open(parent)
    guard number >= 0 else { return nil }
    let pidfd = Descriptor(owning: number)
    return getppid() == parent ? pidfd : nil
  }
}
