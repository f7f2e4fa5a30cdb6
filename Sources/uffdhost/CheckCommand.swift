// SPDX-License-Identifier: Apache-2.0
// `uffdhost check LIB [key=value ...]`: the conformance suite, and its results in one of three forms.
import Glibc
import UffdConformance
import UffdHost
import UffdReport

struct CheckCommand {
  private let options: CheckOptions

  init(_ options: CheckOptions) { self.options = options }

  func run() throws(HostError) -> Int32 {
    var suite = Suite.Options(
      options.library, options.parameters, seed: options.seed ?? monotonicNanoseconds() % 1_000_000)
    suite.seconds = options.seconds
    suite.only = options.only
    var number = 0
    if options.format == .tap { Output.write("TAP version 13\n") }
    let report = try Suite(suite).run { result in
      number += 1
      switch options.format {
      case .text: Output.write(result.text)
      case .tap: Output.write(result.tap(number))
      case .json: break
      }
    }
    switch options.format {
    case .text: Output.write(report.summary + "\n")
    case .tap: Output.write("1..\(number)\n# \(report.summary)\n")
    case .json: Output.write(report.json() + "\n")
    }
    return report.exitCode
  }
}
