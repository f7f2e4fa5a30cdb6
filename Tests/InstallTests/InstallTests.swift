// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

@Suite("Installation") struct InstallTests {
  @Test func `what is installed is what the manifest says, and uninstall takes it away`()
    async throws
  {
    let tree = try await Tree()
    let manifest = try String(contentsOfFile: tree.home + "/MANIFEST", encoding: .utf8)
    #expect(Set(manifest.split(separator: "\n").map(String.init)) == tree.files)
    for file in [
      "bin/uffdhost", "include/uffd_plugin.h", "include/uffd_client.h", "lib/pkgconfig/uffdhost.pc",
      "lib/uffdhost/libAnonProvider.so", "lib/uffdhost/libShmemProvider.so",
      "lib/uffdhost/libHugetlbProvider.so", "lib/uffdhost/libswiftCore.so",
      "share/doc/uffdhost/kernel.md", "share/doc/uffdhost/serving.md",
      "share/doc/uffdhost/LICENSE", "lib/systemd/system/uffdhost@.service",
      "lib/systemd/system/uffdhost@.socket",
    ] + Page.all.map({ "share/man/man\($0.suffix(1))/\($0)" }) {
      #expect(tree.files.contains("/usr/local/" + file), "\(file)")
    }
    let removal = try await Tree.script("uninstall", root: tree.root)
    #expect(removal.code == 0, "\(removal.story)")
    #expect(tree.files.isEmpty)
    #expect(!FileManager.default.fileExists(atPath: tree.home))
    let again = try await Tree.script("uninstall", root: tree.root)
    #expect(again.code == 1 && again.errors.contains("MANIFEST"), "\(again.story)")
  }

  @Test(arguments: [nil, "/usr/local/lib/some-triplet"])
  func `the installed command needs no library of a toolchain`(libdir: String?) async throws {
    let tree = try await Tree(libdir: libdir)
    let outcome = try await tree.shell(
      "uffdhost inspect shmem && uffdhost inspect anon && uffdhost inspect hugetlb",
      ["LD_DEBUG=libs"])
    #expect(outcome.code == 0, "\(outcome.story.suffix(2000))")
    #expect(outcome.output.contains("\(tree.home)/libShmemProvider.so"))
    let home = URL(filePath: tree.home).resolvingSymlinksInPath().path
    // 'calling init' is the loader's line for each library that it has really taken.
    let taken = Page.found(#/calling init: (\S+)/#, in: outcome.errors)
    #expect(taken.contains { $0.hasSuffix("/libswiftCore.so") })
    for library in taken {
      let path = URL(filePath: library).resolvingSymlinksInPath().path
      let isOurs = path.hasPrefix(home + "/")
      let isSwift = path.contains(#/swift|dispatch|Blocks|Provider/#.ignoresCase())
      #expect(isSwift ? isOurs : path.hasPrefix("/lib") || path.hasPrefix("/usr/lib"), "\(path)")
    }
  }

  @Test(.enabled(if: Checkout.find("systemd-analyze") != nil, "there is no systemd-analyze"))
  func `systemd has nothing to say about the units`() async throws {
    let tree = try await Tree()
    let folder = tree.root + "/usr/local/lib/systemd/system"
    for name in ["uffdhost@.service", "uffdhost@.socket"] {
      let text = try String(contentsOfFile: "\(folder)/\(name)", encoding: .utf8)
      #expect(!text.contains("@PREFIX@"))
      // Where the command will be is not where it is now.
      try tree.scratch.file(
        name, text.replacing("/usr/local/bin/uffdhost", with: Checkout.uffdhost))
    }
    let outcome = try await Child.run([
      Checkout.find("systemd-analyze")!, "verify", "--man=no", "--recursive-errors=no",
      "\(tree.scratch.path)/uffdhost@test.service", "\(tree.scratch.path)/uffdhost@test.socket",
    ])
    #expect(outcome.code == 0 && outcome.errors.isEmpty, "\(outcome.story)")
  }

  @Test(
    .enabled("memory cannot be served here: uffdhost doctor says why") { await canServe.value })
  func `the installed command finds its providers and serves`() async throws {
    let tree = try await Tree()
    let outcome = try await tree.shell("uffdhost --provider shmem pattern=3 size=4M --threads 2")
    #expect(outcome.code == 0, "\(outcome.story)")
    #expect(outcome.output.contains("equal pattern:3"), "\(outcome.output)")
  }

  @Test(
    .enabled(
      if: Checkout.find("cc") != nil && Checkout.find("pkg-config") != nil,
      "there is no cc or no pkg-config"),
    .enabled("memory cannot be served here: uffdhost doctor says why") { await canServe.value })
  func `a provider is written with nothing but the installed tree`() async throws {
    let tree = try await Tree()
    let page = try Page("uffdhost-provider.3")
    try tree.scratch.file("mine.c", page.example())
    let command = try #require(page.section("SYNOPSIS").firstMatch(of: #/(cc .*)/#)).output.1
    let compiled = try await tree.shell(command + " -Wall -Wextra -Werror")
    #expect(compiled.code == 0, "\(compiled.story)")
    let served = try await tree.shell("uffdhost --provider ./libMine.so --verify provider")
    #expect(served.code == 0, "\(served.story)")
    #expect(served.output.contains("all 1 MiB equal provider"), "\(served.output)")
    let checked = try await tree.shell("uffdhost check ./libMine.so --seconds 1")
    #expect(checked.code == 0, "\(checked.story)")
    // Beside the others it has a short name.
    let named = try await tree.shell(
      "cp libMine.so '\(tree.root)'$(PKG_CONFIG_SYSROOT_DIR= pkg-config --variable=plugindir uffdhost)/libmine.so && "
        + "uffdhost inspect mine")
    #expect(named.code == 0 && named.output.contains("fortytwo"), "\(named.story)")
  }

  @Test(arguments: [
    (["PREFIX": "usr"], "must begin with '/'"), (["PRODUCTS": "/nowhere"], "has no uffdhost"),
  ])
  func `an installation that cannot work is refused in words`(
    environment: [String: String], reason: String
  ) async throws {
    let scratch = try Scratch()
    let outcome = try await Tree.script("install", environment, root: scratch.path + "/tree")
    #expect(outcome.code == 1)
    #expect(outcome.errors.contains(reason), "\(outcome.story)")
    #expect(!FileManager.default.fileExists(atPath: scratch.path + "/tree"))
  }

  @Test func `the packages' script ends well where it may install nothing`() async throws {
    var options = Child.Options()
    options.environment["PATH"] = "/nowhere"
    let outcome = try await Child.run(
      ["/bin/bash", "\(Checkout.root)/scripts/ci-packages"], options)
    #expect(outcome.code == 0 && outcome.errors.contains("no apt here"), "\(outcome.story)")
  }
}
