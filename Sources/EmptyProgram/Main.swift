// SPDX-License-Identifier: Apache-2.0
// A program that opens the library it is given and ends. `uffdhost
// bench` compares the command's start with it.
import Glibc

@main
enum Main {
  static func main() {
    guard CommandLine.arguments.count > 1 else { exit(2) }
    exit(unsafe dlopen(CommandLine.arguments[1], RTLD_NOW | RTLD_LOCAL) == nil ? 1 : 0)
  }
}
