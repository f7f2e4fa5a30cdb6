// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc
import TestSupport
import Testing

extension NBDTests {
  @Suite struct Failing {
    let server: NBDServer
    private let scratch: Scratch
    init() throws {
      scratch = try Scratch()
      server = NBDServer(socket: scratch.path + "/socket")
    }

    /// A run that must fail: with poison where pages could not be had, and without one wrong byte.
    private func expectPoison(
      _ outcome: Outcome, saying reason: String, _ location: SourceLocation = #_sourceLocation
    ) throws {
      try #require(outcome.code == 1, "\(outcome.story)", sourceLocation: location)
      let report = try JSONValue(parsing: outcome.output)
      #expect(report["installed"]["poisoned"].number > 0, sourceLocation: location)
      #expect(report["verified"].boolean == false, sourceLocation: location)
      #expect(report["verification"]["first_difference"] == .null, sourceLocation: location)
      #expect(outcome.errors.contains(reason), "\(outcome.errors)", sourceLocation: location)
    }

    @Test func `a server that dies for good is an error within the deadline`() async throws {
      let (server, image) = (server, try await NBDExample.image)
      try await server.run(["file", image]) { nbdkit in
        let clock = ContinuousClock()
        let start = clock.now
        let outcome = try await NBDExample.run(server, ["retry=1", "--verify", image]) { _ in
          try await NBDServer.hasRead(20 * NBDExample.megabyte, nbdkit)
          nbdkit.send(SIGKILL)
        }
        #expect(clock.now - start < .seconds(20))
        try expectPoison(outcome, saying: "could not read its source")
      }
    }

    @Test func `another export in its place is refused`() async throws {
      let (server, image) = (server, try await NBDExample.image)
      let outcome = try await NBDExample.run(
        server, ["--verify", image], connecting: ["file", image], then: ["pattern", "128M"]
      ) { first in
        try await NBDServer.hasRead(20 * NBDExample.megabyte, first)
        first.send(SIGKILL)
      }
      try expectPoison(outcome, saying: "another size than before")
    }

    @Test func `errors that do not end become poison`() async throws {
      let (server, image) = (server, try await NBDExample.image)
      try await server.run(["--filter=error", "file", image, "error-pread-rate=100%"]) { _ in
        let outcome = try await NBDExample.run(server, ["retry=1", "size=8M", "--verify", image])
        try expectPoison(outcome, saying: "Input/output error")
      }
    }

    @Test func `a stopped server does not hold anybody past the deadline`() async throws {
      let (server, image) = (server, try await NBDExample.image)
      try await server.run(["file", image]) { nbdkit in
        let arguments = ["retry=60", "--deadline", "1", "--threads", "16", "--access", "random"]
        let outcome = try await NBDExample.run(server, arguments + ["--verify", image], limit: 30) {
          _ in
          try await NBDServer.hasRead(10 * NBDExample.megabyte, nbdkit)
          nbdkit.send(SIGSTOP)
        }
        #expect(!outcome.isTimedOut)
        try expectPoison(outcome, saying: "within the deadline")
      }
    }

    @Test(arguments: [
      ([], "uri"), (["uri=nbd+unix:///?socket=/nowhere"], "No such file or directory"),
      (["uri=ftp://x"], "cannot be had"), (["connections=17"], "1 to 16"),
      (["connections=0"], "1 to 16"), (["granule=8K"], "granule"), (["memory=huge"], "shmem"),
      (["size=1G"], "268435456 bytes in whole blocks"), (["retry=99999"], "seconds"),
      (["colour=red"], "colour"),
    ])
    func `a configuration that cannot work is refused in words`(
      parameters: [String], reason: String
    ) async throws {
      let (server, image) = (server, try await NBDExample.image)
      try await server.run(["file", image]) { _ in
        let hasURI = parameters.isEmpty || parameters[0].hasPrefix("uri=")
        let outcome = try await Child.run(
          [Checkout.uffdhost, "--provider", NBDExample.library] + parameters
            + (hasURI ? [] : ["uri=\(server.uri)"]))
        #expect(outcome.code == 2, "\(outcome.story)")
        #expect(outcome.errors.contains(reason), "\(outcome.errors)")
      }
    }
  }
}
