// SPDX-License-Identifier: Apache-2.0
// The command: parses its words, does one thing, says how it went, returns a code.
import Glibc
import UffdBench
import UffdConformance
import UffdDoctor
import UffdHost
import UffdReport

@main
enum Main {
  /// The version of the project; CHANGELOG.md tells what is in it.
  static let version = "0.1.0"

  static func main() {
    // A reader that closes its end is no reason to die in the middle of a line.
    signal(SIGPIPE, SIG_IGN)
    occupyStandardDescriptors()
    let words = Array(CommandLine.arguments.dropFirst())
    exit(ConformanceChild.run(words) ?? BenchChild.run(words) ?? run(words))
  }

  /// Where a standard descriptor is closed, the next file that is opened would get its number:
  /// messages would be written into a userfaultfd or a backing. A folder takes the number; it
  /// cannot be written to.
  private static func occupyStandardDescriptors() {
    for fd in Int32(0)...2 where fcntl(fd, F_GETFD) < 0 { _ = unsafe open("/", O_RDONLY) }
  }

  static func run(_ words: [String]) -> Int32 {
    do {
      switch try Command.parse(words) {
      case .run(let options): return try RunCommand(options).run()
      case .inspect(let library, let json): try Inspection.show(library, json: json)
      case .check(let options): return try CheckCommand(options).run()
      case .bench(let options): return try BenchCommand(options).run()
      case .serve(let options): return try ServeCommand(options).run()
      case .status(let socket, let json): try StatusCommand.show(socket, json: json)
      case .workingSet(let file, let json): try WorkingSetCommand.show(file, json: json)
      case .doctor(let deep, let json): return examine(deep: deep, json: json)
      case .help(.program): Output.write(Usage.program)
      case .help(.provider(let library)): try Inspection.help(library)
      case .version:
        Output.write("uffdhost \(version) (provider ABI \(Provider.hostABI))\n")
      }
      return 0
    } catch {
      Output.error("\(error.message)")
      return error.exitCode
    }
  }

  private static func examine(deep: Bool, json: Bool) -> Int32 {
    let report = Doctor.run(deep: deep)
    Output.write(json ? report.json() : report.text(color: Terminal.style(1).color))
    return report.exitCode
  }
}

extension HostError {
  /// The exit code of the command for an error of this kind.
  var exitCode: Int32 {
    switch kind {
    case .service: 1
    case .usage: 2
    case .refused: 3
    case .system: 4
    }
  }
}
