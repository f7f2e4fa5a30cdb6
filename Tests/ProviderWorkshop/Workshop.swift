// SPDX-License-Identifier: Apache-2.0

// Where the built command and the header are, and how a library is served and judged.

import Glibc

public enum Workshop {
  /// The checkout.
  public static let root: String = {
    let file = #filePath
    return String(file[..<file.range(of: "/Tests/ProviderWorkshop/")])
  }()

  /// The folder of the built command and providers, which is also that of this test.
  public static let binaries: String = {
    var buffer = [CChar](repeating: 0, count: 4096)
    let length = unsafe readlink("/proc/self/exe", &buffer, buffer.count)
    let path = String(decoding: buffer.prefix(length).map(UInt8.init(bitPattern:)), as: UTF8.self)
    return String(path[..<(path.lastIndex(of: "/") ?? path.endIndex)])
  }()

  public static let uffdhost = Shell.quoted("\(binaries)/uffdhost")
  public static let include = "\(root)/Sources/UffdPluginABI/include"

  /// Whether faults can be served here at all; false where the kernel or its settings forbid it.
  public static let canServe = host("--provider anon pattern=1 size=4K").status == 0

  /// Whether this uffdhost has the conformance suite.
  public static let hasCheck = host("help").output.contains("uffdhost check")

  /// Runs the built command.
  public static func host(
    _ arguments: String, in folder: String = "/", seconds: Int = 120
  ) -> Outcome {
    Shell.run("\(uffdhost) \(arguments)", in: folder, seconds: seconds)
  }

  /// Compiles a C provider against `include` with every warning an error; throws what the compiler says.
  public static func compile(
    _ source: String, to library: String, in folder: String, include: String = include,
    flags: String = ""
  ) throws {
    let result = Shell.run(
      "cc -std=c11 -Wall -Wextra -pedantic -Werror -fPIC -shared -fvisibility=hidden -pthread "
        + "\(flags) -I\(Shell.quoted(include)) -o \(Shell.quoted(library)) \(Shell.quoted(source))",
      in: folder)
    guard result.status == 0 else { throw Failure("\(source): \(result.output)") }
  }

  /// Serves a library to its end and compares every byte; nil, or what went wrong.
  public static func serve(
    _ library: String, _ arguments: String, in folder: String, seconds: Int = 120
  ) -> String? {
    let path = library.hasPrefix("/") ? library : "./\(library)"
    let run = host(
      "--provider \(Shell.quoted(path)) \(arguments) --json", in: folder, seconds: seconds)
    let isVerified = run.output.contains("\"verified\": true")
    return run.status == 0 && isVerified
      ? nil : "uffdhost \(arguments) exited with \(run.status): \(run.output)"
  }

  /// The conformance suite over a library, where this uffdhost has one; nil, or what it found.
  public static func check(_ library: String, _ arguments: String, in folder: String) -> String? {
    guard hasCheck else { return nil }
    let path = library.hasPrefix("/") ? library : "./\(library)"
    let run = host("check \(Shell.quoted(path)) \(arguments) --seconds 1", in: folder, seconds: 120)
    return run.status == 0
      ? nil : "uffdhost check \(arguments) exited with \(run.status): \(run.output)"
  }
}

extension String {
  /// Where `part` begins for the last time.
  fileprivate func range(of part: String) -> String.Index {
    var index = endIndex
    while index > startIndex {
      index = self.index(before: index)
      if self[index...].hasPrefix(part) { return index }
    }
    preconditionFailure("\(part) is not in \(self)")
  }
}
