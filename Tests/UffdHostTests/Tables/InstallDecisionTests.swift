// SPDX-License-Identifier: Apache-2.0
// What the answer of an install call means: every errno, call and context, against the playbook written out.

import Testing

@testable import UffdHost

@Suite("The errno playbook")
struct InstallDecisionTests {
  /// errno: the step after COPY, ZEROPAGE, CONTINUE, POISON. A letter stands for a pair of which the
  /// context decides.
  private static let table = """
    EEXIST  S           S           present     present
    ENOENT  N           N           N           N
    EFAULT  F           drop        C           drop
    EINVAL  I           copyZeroes  drop        cannotPoison
    ENOMEM  noMemory    noMemory    noMemory    noMemory
    ENOSPC  noMemory    noMemory    noMemory    noMemory
    ESRCH   clientGone  clientGone  clientGone  clientGone
    EIO     badMemory   badMemory   badMemory   badMemory
    EINTR   putOff      putOff      putOff      putOff
    """

  private static let steps: [String: [String]] = {
    var result: [String: [String]] = [:]
    for line in table.split(separator: "\n") {
      let words = line.split(separator: " ").map(String.init)
      result[words[0]] = Array(words[1...])
    }
    return result
  }()

  private static func expected(
    _ call: InstallCall, _ error: String, _ done: Int64, _ context: InstallContext
  ) -> String {
    if error == "EAGAIN" { return done > 0 ? "advance" : "putOff" }
    guard let row = steps[error] else { return "hostBug" }
    let word = row[InstallCall.allCases.firstIndex(of: call)!]
    switch word {
    case "S": return context.shared ? "mapCached" : "present"
    case "N": return context.singlePage ? "drop" : "split"
    case "F": return context.sourceIsForeign ? "badSource" : "drop"
    case "C": return context.afterExists && context.hugetlb ? "noMemory" : "notCached"
    case "I": return context.sourceIsForeign ? "badSource" : "hostBug"
    default: return word
    }
  }

  @Test("every errno, call, progress and context")
  func everything() {
    for number in 1...133 as ClosedRange<Int32> {
      let name = Errno(number).name
      for call in InstallCall.allCases {
        for done in [-Int64(number), 0, 4096, 1 << 40] {
          for bits in 0..<32 {
            let context = InstallContext(
              hugetlb: bits & 1 != 0, shared: bits & 2 != 0, singlePage: bits & 4 != 0,
              afterExists: bits & 8 != 0, sourceIsForeign: bits & 16 != 0)
            let step = nextStep(after: call, error: number, done: done, context)
            let wanted = Self.expected(call, name, done, context)
            if "\(step)" != wanted {
              Issue.record("\(call) \(name) \(done) \(context): \(step) and not \(wanted)")
            }
          }
        }
      }
    }
  }

  @Test("errors have their names, and a number nobody knows says so")
  func names() {
    #expect(Errno.EAGAIN.name == "EAGAIN")
    #expect(Errno.EOPNOTSUPP.name == "EOPNOTSUPP")
    #expect(Errno.ENOSPC.name == "ENOSPC")
    #expect(Errno(9999).name == "errno 9999")
  }
}
