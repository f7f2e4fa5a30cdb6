// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing
import UffdHost
import UffdReport

@testable import uffdhost

@Suite("Manual pages") struct ManPageTests {
  @Test func `uffdhost.1 has the options of the program and no others`() throws {
    let page = try Page("uffdhost.1")
    // Those of the sentence about options, and of pkg-config.
    let others: Set = ["--name", "--variable"]
    let written = Page.found(#/(--[a-z][a-z-]*)/#, in: page.text).subtracting(others)
    #expect(written == Set(OptionName.allCases.map(\.spelled)))
    let onHelpPage = Page.found(#/(--[a-z][a-z-]*)/#, in: Usage.program).subtracting(others)
    #expect(written == onHelpPage)
    // Explained, and not only used in passing.
    let explained = Page.found(
      #/\n\.TP\n\.[A-Z]+ (?:-[a-zA-Z] ", " )?(--[a-z][a-z-]*)/#, in: page.text)
    #expect(explained == written)
  }

  @Test func `uffdhost.1 has the commands, exit codes and variables of the program`() throws {
    let page = try Page("uffdhost.1")
    #expect(
      Page.found(#/\n\.B uffdhost ([a-z]+)\n/#, in: page.section("SYNOPSIS") + "\n")
        == Set(Command.names))
    let help = Usage.program
    let codes = try #require(help.firstRange(of: "Exit codes:"))
    let variables = try #require(help.firstRange(of: "Environment:"))
    #expect(
      Page.found(#/\n\.B ([0-9]+)(?:\n)/#, in: page.section("EXIT STATUS"))
        == Page.found(#/\n  ([0-9]+) /#, in: String(help[codes.upperBound..<variables.lowerBound])))
    #expect(
      Page.found(#/\n\.B ([A-Z_]+)/#, in: "\n" + page.section("ENVIRONMENT"))
        == Page.found(#/\n  ([A-Z_]+) /#, in: String(help[variables.upperBound...])))
  }

  @Test func `uffdhost.1 has the fields of a run's JSON and no others`() throws {
    let page = try Page("uffdhost.1")
    let part = try #require(
      page.section("OPTIONS").components(separatedBy: ".SS The report of a run as JSON").last)
    let written = part.matches(of: #/\n\.TP\n\.BR? ([a-z0-9_., "]+)/#).flatMap { match in
      String(match.output.1).components(separatedBy: CharacterSet(charactersIn: "\", "))
        .filter { !$0.isEmpty }
    }
    #expect(written.count == Set(written).count)
    #expect(Set(written) == (try Self.fieldsOfReports()))
  }

  /// Of reports that together have every field, `a.b` for a field of a field.
  private static func fieldsOfReports() throws -> Set<String> {
    var report = RunReport(
      provider: "p", providerVersion: "1", memory: .anon, granule: 4096, bytes: 4096)
    report.oracle = "o"
    report.recorded = RunReport.Recorded(file: "f", granules: 1, nanoseconds: 1)
    let fill = RunReport.Fill(granules: 1, filled: 1, present: 0, left: 0, nanoseconds: 1)
    report.replay = RunReport.Replay(file: "f", fill: fill)
    report.backgroundFill = fill
    var histogram = LatencyHistogram()
    histogram.record(5000)
    report.latency = histogram.summary
    let difference = RunReport.Difference(firstOffset: 0, granules: 1, comparedBytes: 1)
    var fields: Set<String> = []
    for verification in [
      .verified(bytes: 1), .notVerified(reason: "r"), .failed(difference),
    ] as [RunReport.Verification] {
      report.verification = verification
      collect(try JSONValue(parsing: report.json()), "", into: &fields)
    }
    return fields
  }

  private static func collect(_ value: JSONValue, _ name: String, into fields: inout Set<String>) {
    switch value {
    case .object(let members):
      for (key, member) in members {
        collect(member, name.isEmpty ? key : "\(name).\(key)", into: &fields)
      }
    case .list(let elements) where !elements.isEmpty:
      for element in elements { collect(element, name, into: &fields) }
    default: fields.insert(name)
    }
  }

  @Test func `uffdhost-provider.3 has the hooks, services and statuses of the header`() throws {
    let page = try Page("uffdhost-provider.3")
    let header = try String(contentsOfFile: Checkout.header + "/uffd_plugin.h", encoding: .utf8)
    let functions = Page.found(#/\(\*UFFD_NULLABLE ([a-z_]+)\)\(/#, in: header)
    #expect(functions.count > 15)
    #expect(Page.found(#/([a-z_]+)"? \(\)/#, in: page.section("DESCRIPTION")) == functions)
    let statuses = Page.found(#/(UFFD_STATUS_[A-Z_]+) UFFD_SWIFT_NAME/#, in: header)
    #expect(statuses.count == 7)
    #expect(Page.found(#/\.B (UFFD_STATUS_[A-Z_]+)/#, in: page.section("RETURN VALUE")) == statuses)
    let everything = Page.found(#/(UFFD_[A-Z0-9_]+)/#, in: header)
    #expect(Page.found(#/(UFFD_[A-Z0-9_]+)/#, in: page.text).subtracting(everything).isEmpty)
  }

  @Test(arguments: ["anon", "shmem", "hugetlb"])
  func `a provider's page has its parameters and no others`(provider: String) async throws {
    let page = try Page("uffdhost-\(provider).1")
    let outcome = try await Child.run([Checkout.uffdhost, "inspect", provider, "--json"])
    #expect(outcome.code == 0, "\(outcome.story)")
    let parameters = try #require(try JSONValue(parsing: outcome.output)["parameters"].list)
    let keys = Set(parameters.compactMap { $0["key"].text })
    #expect(keys.contains("image"))
    #expect(Page.found(#/\.BI ([A-Za-z0-9._-]+)= /#, in: page.section("OPTIONS")) == keys)
    let synopsis = page.section("SYNOPSIS")
    for key in keys { #expect(synopsis.contains("\(key)="), "\(key)") }
  }

  @Test(arguments: Page.all) func `a page has the sections of its kind`(name: String) throws {
    let page = try Page(name)
    let command = [
      "NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "FILES",
      "EXAMPLES", "SEE ALSO",
    ]
    let library = [
      "NAME", "SYNOPSIS", "DESCRIPTION", "RETURN VALUE", "FILES", "EXAMPLES", "SEE ALSO",
    ]
    #expect(page.headings == (name.hasSuffix(".1") ? command : library))
    #expect(page.text.hasPrefix(".\\\" SPDX-License-Identifier: Apache-2.0\n.TH "))
    // It leads to pages that there are.
    for other in Page.found(#/\.BR (uffdhost[a-z-]*) \(/#, in: page.text) {
      #expect(Page.all.contains { $0.hasPrefix(other + ".") }, "\(other)")
    }
    let version = try #require(page.text.firstMatch(of: #/"uffdhost ([0-9.]+)"/#))
    #expect(Page.versionOfTheProgram == version.output.1)
  }

  @Test func `every page of the folder is known to these tests`() throws {
    let files = try FileManager.default.contentsOfDirectory(atPath: Checkout.root + "/man")
    #expect(Set(files) == Set(Page.all))
  }

  @Test(
    .enabled(if: Checkout.find("mandoc") != nil, "there is no mandoc"), arguments: Page.all)
  func `mandoc has nothing to say`(name: String) async throws {
    let outcome = try await Child.run(
      [Checkout.find("mandoc")!, "-T", "lint", "-W", "warning", try Page(name).path])
    #expect(outcome.code == 0 && outcome.output.isEmpty, "\(outcome.story)")
  }

  @Test(.enabled(if: Checkout.find("groff") != nil, "there is no groff"), arguments: Page.all)
  func `groff has no warning`(name: String) async throws {
    let outcome = try await Child.run(
      [Checkout.find("groff")!, "-man", "-Tutf8", "-ww", try Page(name).path])
    #expect(outcome.code == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
    #expect(outcome.output.contains("uffdhost"))
  }
}
