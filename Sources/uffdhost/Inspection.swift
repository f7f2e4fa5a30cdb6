// SPDX-License-Identifier: Apache-2.0
// `inspect LIB` and `help LIB`: what a provider says of itself. Nothing of the provider is configured.
import UffdHost
import UffdReport

enum Inspection {
  static func show(_ library: String, json: Bool) throws(HostError) {
    let provider = try Provider.load(library)
    Output.write(json ? self.json(provider) + "\n" : text(provider))
  }

  static func help(_ library: String) throws(HostError) {
    let provider = try Provider.load(library)
    let parameters = provider.parameters.map { info in
      Usage.ParameterHelp(
        key: info.key, form: form(info.kind), help: info.help ?? "",
        defaultValue: info.defaultValue, isRequired: info.isRequired,
        isRepeatable: info.isRepeatable)
    }
    Output.write(
      Usage.provider(
        name: provider.name, version: provider.version, summary: provider.summary,
        parameters: parameters))
  }

  private static func form(_ kind: ParameterInfo.Kind) -> String {
    switch kind {
    case .string: "TEXT"
    case .file: "FILE"
    case .size: "SIZE"
    case .number: "N"
    }
  }

  private static func text(_ provider: Provider) -> String {
    var rows = [
      ("path", provider.path), ("name", provider.name), ("version", provider.version),
      ("summary", provider.summary), ("abi", "\(provider.abiMajor).\(provider.abiMinor)"),
      ("table size", "\(provider.tableSize) bytes"), ("threads", provider.threadModel.rawValue),
      ("modes", list(provider.modes)),
      ("memory", list(provider.memoryKinds.map(\.rawValue))),
      ("granules", list(provider.granules.map { Units.bytes($0) })),
      ("operations", list(provider.operations)), ("behaviours", list(provider.behaviours)),
      ("hooks", list(provider.hooks)),
    ]
    for info in provider.parameters {
      let traits =
        [info.kind.rawValue] + (info.isRequired ? ["required"] : [])
        + (info.isRepeatable ? ["repeatable"] : [])
        + (info.defaultValue.map { ["default \($0)"] } ?? [])
      rows.append((info.key + "=", "\(info.help ?? "") (\(list(traits)))"))
    }
    let width = rows.map(\.0.count).max() ?? 0
    return rows.map { Units.padRight($0.printable, width) + "  " + $1.printable + "\n" }.joined()
  }

  private static func list(_ words: [String]) -> String {
    words.isEmpty ? "none" : words.joined(separator: ", ")
  }

  private static func json(_ provider: Provider) -> String {
    var json = JSONWriter()
    json.object { json in
      json.field("path", provider.path)
      json.field("name", provider.name)
      json.field("version", provider.version)
      json.field("summary", provider.summary)
      json.field("abi", "\(provider.abiMajor).\(provider.abiMinor)")
      json.field("table_size", provider.tableSize)
      json.field("thread_model", provider.threadModel.rawValue)
      json.array("modes") { for mode in provider.modes { $0.item(mode) } }
      json.array("memory") { for kind in provider.memoryKinds { $0.item(kind.rawValue) } }
      json.array("granules") { for granule in provider.granules { $0.item(granule) } }
      json.array("operations") { for name in provider.operations { $0.item(name) } }
      json.array("behaviours") { for name in provider.behaviours { $0.item(name) } }
      json.array("hooks") { for name in provider.hooks { $0.item(name) } }
      json.array("parameters") { json in
        for info in provider.parameters {
          json.object { json in
            json.field("key", info.key)
            json.field("kind", info.kind.rawValue)
            json.field("help", info.help)
            json.field("default", info.defaultValue)
            json.field("required", info.isRequired)
            json.field("repeatable", info.isRepeatable)
          }
        }
      }
    }
    return json.text
  }
}
