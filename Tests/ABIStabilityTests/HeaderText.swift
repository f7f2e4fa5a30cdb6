// SPDX-License-Identifier: Apache-2.0

// What a header of the ABI declares, read from its text: structs with their fields, enumerators,
// numbers. Understands the way uffd_plugin.h is written, not C.

struct HeaderText {
  /// Each struct with the names of its fields, in order.
  let structs: [(name: String, fields: [String])]
  /// The names of all enumerators.
  let enumerators: [String]
  /// Macros that stand for a number.
  let numbers: [String]
  /// Macros that take arguments and are an author's to use.
  let functions: [String]

  init(_ text: String) {
    let code = text.replacing(/(?s)\/\*.*?\*\//, with: " ")
    structs = code.matches(of: /(?s)typedef struct (\w+) \{(.*?)\} \w+;/).map { match in
      let fields = match.2.split(separator: ";").compactMap { Self.field(String($0)) }
      return (name: String(match.1), fields: fields)
    }
    enumerators = code.matches(of: /(UFFD_[A-Z0-9_]+)\s+UFFD_SWIFT_NAME\(\w+\)\s*=/).map {
      String($0.1)
    }
    numbers = code.matches(of: /#define (UFFD_\w+) +0?x?[0-9a-fA-F]+u\b/).map { String($0.1) }
    functions = ["UFFD_HAS", "UFFD_REGISTER_PROVIDER"].filter { code.contains("#define \($0)(") }
  }

  /// The name that a declaration declares: a pointer to a function, or the last word.
  private static func field(_ declaration: String) -> String? {
    if let pointer = declaration.firstMatch(of: /\(\*\s*(?:UFFD_NULLABLE|UFFD_NONNULL)?\s*(\w+)\)/)
    {
      return String(pointer.1)
    }
    return declaration.matches(of: /\w+/).last.map { String($0.0) }
  }

  /// A program in C that prints one line for each thing declared here: `what value`.
  var program: String {
    var lines = ["#include <stdio.h>", "#include <uffd_plugin.h>", "int main(void) {"]
    for (name, fields) in structs {
      lines.append("  printf(\"size:\(name) %zu\\n\", sizeof(\(name)));")
      for field in fields {
        let size = "sizeof(((\(name) *)0)->\(field))"
        lines.append("  printf(\"offset:\(name).\(field) %zu\\n\", offsetof(\(name), \(field)));")
        lines.append("  printf(\"width:\(name).\(field) %zu\\n\", \(size));")
      }
    }
    for name in enumerators + numbers {
      lines.append("  printf(\"value:\(name) %llu\\n\", (unsigned long long)\(name));")
    }
    for name in functions {
      lines += ["#ifdef \(name)", "  printf(\"macro:\(name) 1\\n\");", "#endif"]
    }
    return (lines + ["  return 0;", "}", ""]).joined(separator: "\n")
  }
}
