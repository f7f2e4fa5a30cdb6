// SPDX-License-Identifier: Apache-2.0
// configure and config_complete: what is accepted, what is refused, and what a refusal leaves behind.
import Glibc
import UffdHost
import UffdPluginABI

let configChecks: [Check] = [
  TraitsFlaw.rule.with { context in try context.withInstance { _ in } },
  Check(
    "config.again", "the same parameters give the same object",
    "Names the content: equal ids promise equal bytes at every pgoff. Both 0: no promise."
  ) { context in
    try context.withInstance { first in
      try context.withInstance { second in
        if unsafe first.traits.content_id_high != second.traits.content_id_high
          || first.traits.content_id_low != second.traits.content_id_low
        {
          throw Failure("another content id for the second instance")
        }
        if first.objectSize != second.objectSize || first.granule != second.granule {
          throw Failure("\(second.objectSize) bytes, and \(first.objectSize) the first time")
        }
      }
    }
  },
  Check(
    "config.unknown-key", "an unknown key is refused in order, or overlooked",
    "OK; ABSENT no such key; OUT_OF_RANGE bad value; NO_MEMORY; IO_ERROR."
  ) { context in
    let odd = Parameter("no-such-key-\(context.seed)", "1")
    // The host refuses it before configure is called, so the answer is free; its form is not.
    _ = try refusal(context, context.parameters + [odd])
  },
  Check(
    "config.missing-key", "a missing key is refused in order, or has a default",
    "checks the whole, declares the traits."
  ) { context in
    if context.parameters.isEmpty { throw NotApplicable("no parameters were given") }
    for index in context.parameters.indices {
      var fewer = context.parameters
      fewer.remove(at: index)
      _ = try refusal(context, fewer)
    }
    _ = try refusal(context, [])
  },
  Check(
    "config.repeated-key", "a key that is given twice is accepted or refused in order",
    "The host refuses a key that is not declared, one that is given twice without REPEATABLE, a REQUIRED one that is missing, and a value that does not parse as its kind, before it calls configure."
  ) { context in
    if context.parameters.isEmpty { throw NotApplicable("no parameters were given") }
    for parameter in context.parameters {
      _ = try refusal(context, context.parameters + [parameter])
    }
  },
  Check(
    "config.odd-values", "empty, huge and extreme values are accepted or refused in order",
    "OK; ABSENT no such key; OUT_OF_RANGE bad value; NO_MEMORY; IO_ERROR."
  ) { context in
    try everyOddValue(context) { _ in }
  },
  Check(
    "config.says-why", "a refusal comes with a sentence from report_error",
    "Say which and why with report_error."
  ) { context in
    var refusals = 0
    func look(_ refusal: Refusal) throws {
      refusals += 1
      if refusal.text?.isEmpty ?? true {
        throw Failure("\(refusal.hook) answered \(refusal.status) without a word")
      }
    }
    try everyOddValue(context, look)
    if let refusal = try refusal(context, []) { try look(refusal) }
    if refusals == 0 { throw NotApplicable("no configuration was refused") }
  },
  Check(
    "config.failure-leaves-nothing", "a refused configuration leaves nothing behind",
    Sentence.nothingLeft
  ) { context in
    var bad: [Parameter]?
    for candidate in oddConfigurations(context) where try refusal(context, candidate) != nil {
      bad = candidate
      break
    }
    guard let bad else { throw NotApplicable("no configuration was refused") }
    try Leak.find(rounds: 60) { _ = try refusal(context, bad) }
  },
  Check(
    "config.instances-apart", "instances with other settings do not influence each other",
    Sentence.noGlobals
  ) { context in
    try context.requireContent()
    try instancesApart(context)
  },
]

extension Check {
  /// The rule as a check that does something.
  func with(_ run: @escaping @Sendable (Context) throws -> Void) -> Check {
    Check(id, title, sentence, run: run)
  }
}

/// Tries a configuration: the refusal, or nil where it was accepted (and closed again).
private func refusal(_ context: Context, _ parameters: [Parameter]) throws -> Refusal? {
  do {
    let instance = try context.open(parameters)
    instance.close()
    try instance.rethrow()
    return nil
  } catch let refusal as Refusal {
    return refusal
  }
}

/// The user's parameters with one value replaced.
private func oddConfigurations(_ context: Context) -> [[Parameter]] {
  var all: [[Parameter]] = []
  for (index, given) in context.parameters.enumerated() {
    let kind = context.library.provider.parameters.first { $0.key == given.key }?.kind
    let values: [String] =
      switch kind {
      case .size: ["0", "18446744073709551615", "9223372036854775807", "", "1", "7Q"]
      case .number: ["18446744073709551615", "0xffffffffffffffff", "", "0", "minus"]
      case .file: ["/nonexistent/file", "/", "", String(repeating: "x", count: 300_000)]
      default: ["", String(repeating: "x", count: 300_000)]
      }
    for value in values where value != given.value {
      var parameters = context.parameters
      parameters[index].value = value
      all.append(parameters)
    }
  }
  return all
}

private func everyOddValue(_ context: Context, _ look: (Refusal) throws -> Void) throws {
  let configurations = oddConfigurations(context)
  if configurations.isEmpty { throw NotApplicable("no parameters were given") }
  for parameters in configurations {
    if let refusal = try refusal(context, parameters) { try look(refusal) }
  }
}

/// Settings that differ from the user's in one number, and are accepted.
private func otherSettings(_ context: Context) throws -> [Parameter]? {
  for (index, given) in context.parameters.enumerated() {
    let info = context.library.provider.parameters.first { $0.key == given.key }
    let values: [String] =
      switch info?.kind {
      case .number: ["\((UInt64(given.value) ?? 1) &+ 1)"]
      case .size: ["1M", "4M", "64K", "16K"]
      default: []
      }
    for value in values where value != given.value {
      var parameters = context.parameters
      parameters[index].value = value
      if try refusal(context, parameters) == nil { return parameters }
    }
  }
  return nil
}

private func instancesApart(_ context: Context) throws {
  guard let other = try otherSettings(context) else {
    throw NotApplicable("no second configuration could be made from the parameters given")
  }
  let second = try context.open(other)
  let alone = try second.content(0).bytes
  let size = second.objectSize
  second.close()
  try context.withInstance { first in
    let granules = context.samples(first, 8)
    for pgoff in granules { _ = try context.reference(pgoff) }
    let beside = try context.open(other)
    for pgoff in granules {
      try context.verify(
        try first.content(pgoff).bytes, at: pgoff, first, "while another instance is open")
    }
    let content = try beside.content(0).bytes
    beside.close()
    if beside.objectSize != size { throw Failure("another object size beside a first instance") }
    if let place = content.firstDifference(alone), !context.library.isVolatile {
      throw Failure("byte \(place) of the second instance is another one beside the first")
    }
    for pgoff in granules {
      try context.verify(
        try first.content(pgoff).bytes, at: pgoff, first, "after another instance was closed")
    }
  }
}
