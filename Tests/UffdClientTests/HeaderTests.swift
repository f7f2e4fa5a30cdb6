// SPDX-License-Identifier: Apache-2.0
// uffd_client.h under every compiler and standard that it promises.
import TestSupport
import Testing

enum Header {
  static let folder = Checkout.root + "/Sources/CUffdClient/include"
}

@Suite("The client's header")
struct HeaderTests {
  static let compilers = [
    ("gcc", ["c99", "c11", "c17"]), ("clang", ["c99", "c11", "c17"]),
    ("g++", ["c++11", "c++17", "c++20"]), ("clang++", ["c++11", "c++17", "c++20"]),
  ]

  @Test("compiles without a warning, with its functions and without", arguments: compilers)
  func compiles(compiler: String, standards: [String]) async throws {
    guard let tool = Checkout.find(compiler) else {
      try Test.cancel("there is no \(compiler)")
    }
    let scratch = try Scratch()
    let include = "#include \"uffd_client.h\"\nint unused_name;\n"
    let files = [
      try scratch.file("declared", include),
      try scratch.file("defined", "#define UFFD_CLIENT_IMPLEMENTATION\n" + include),
    ]
    let language = compiler.hasSuffix("++") ? "c++" : "c"
    for standard in standards {
      for file in files {
        let outcome = try await Child.run(
          [tool, "-std=\(standard)", "-O2"] + Compiler.warnings
            + ["-I", Header.folder, "-x", language, "-c", "-o", "/dev/null", file])
        #expect(
          outcome.code == 0 && outcome.errors.isEmpty, "\(compiler) \(standard): \(outcome.story)")
      }
    }
  }
}
