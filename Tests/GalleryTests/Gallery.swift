// SPDX-License-Identifier: Apache-2.0
// How a piece of the gallery is compiled, run and judged. Used by every suite of this target.
import Foundation
import TestSupport
import Testing

/// One lie of a provider, and what the host must make of it.
struct Lie: Sendable, CustomTestStringConvertible {
  /// C that goes into the piece, by the name of the macro.
  let define: [String: String]
  /// A fragment of the sentence that the user must see.
  let says: String
  var code: Int32 = 3

  init(_ text: String, _ says: String, code: Int32 = 3) {
    self.init(["LIE": text], says, code: code)
  }
  init(_ define: [String: String], _ says: String, code: Int32 = 3) {
    (self.define, self.says, self.code) = (define, says, code)
  }

  var testDescription: String {
    define.sorted { $0.key < $1.key }.map { "\($0): \($1)" }.joined(separator: ", ")
  }
}

/// Threads that call the hooks: the reader itself, or workers.
let placements = [["BLOCKS": "0"], ["BLOCKS": "1"]]

/// Compiles a piece and runs it.
func exhibit(
  _ piece: String, _ define: [String: String] = [:], _ arguments: [String] = [],
  isIdle: Bool = false
) async throws -> Outcome {
  let scratch = try Scratch()
  let library = try await Compiler.gallery(piece, define, in: scratch)
  var options = Child.Options()
  options.isIdle = isIdle
  return try await Child.run(
    [Checkout.uffdhost, "--provider", library, "--fault-around", "off"] + arguments, options)
}

/// The host ended by itself, with this code, and everything it said is a line of ours.
func expectEnd(
  _ outcome: Outcome, code: Int32, sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(outcome.code == code, "\(outcome.story)", sourceLocation: sourceLocation)
  #expect(!outcome.isTimedOut, "\(outcome.story)", sourceLocation: sourceLocation)
  for line in outcome.errorLines {
    #expect(line.hasPrefix("uffdhost: "), "\(outcome.story)", sourceLocation: sourceLocation)
  }
}

/// The run never began: one sentence, nothing on standard output.
func expectRefusal(
  _ outcome: Outcome, _ lie: Lie, also noted: Int = 0,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  expectEnd(outcome, code: lie.code, sourceLocation: sourceLocation)
  #expect(outcome.output.isEmpty, "\(outcome.story)", sourceLocation: sourceLocation)
  #expect(
    outcome.errorLines.count == 1 + noted, "\(outcome.story)", sourceLocation: sourceLocation)
  #expect(
    outcome.errorLines.last?.contains(lie.says) == true, "\(outcome.story)",
    sourceLocation: sourceLocation)
}

/// The line that a piece logs when it is closed: the one of the instance that served, which is closed first.
func closingWords(_ outcome: Outcome) -> String {
  let mark = "uffdhost: info: gallery: "
  return outcome.errorLines.first { $0.hasPrefix(mark) && $0.contains("=") }
    .map { String($0.dropFirst(mark.count)) } ?? "nothing"
}
