// SPDX-License-Identifier: Apache-2.0
// The state of a server out of its JSON. What is not there reads as nothing: a server may be older
// or newer.

extension StatusReport {
  /// Throws where it is no state of a server.
  init(parsing text: String) throws(Refusal) {
    let bytes = Array(text.utf8)
    var reader = JSONReader(mostBytes: bytes.count + 1, mostDepth: 8)
    guard case .complete(let root) = try reader.take(bytes), case .object = root["server"] else {
      throw Refusal("it does not speak of a server")
    }
    let server = root["server"]
    let clients = server["clients"]
    pid = Int32(clamping: server["pid"].number)
    provider = server["provider"].text
    phase = server["phase"].text
    if case .object = server["waiting"] { waiting = Waiting(server["waiting"]) }
    isSocketPassed = server["passed_socket"] == .boolean(true)
    uptimeNanoseconds = server["uptime_ns"].number
    connections = server["connections"].number
    handshakes = server["handshakes"].number
    clientsServed = clients["served"].number
    clientsDrained = clients["drained"].number
    clientsGone = clients["gone"].number
    refused = clients["refused"].number
    sessions = root["sessions"].elements.map { Session($0) }
  }
}

extension StatusReport.Waiting {
  fileprivate init(_ value: JSONValue) {
    sinceNanoseconds = value["since_ns"].number
    clients = value["clients"].number
    handshakes = value["handshakes"].number
    waitsForCommand = value["command"] == .boolean(true)
    missingBytes = value["missing"].number
    estimateNanoseconds = value["estimate_ns"].ifNumber
    patienceNanoseconds = value["given_up_in_ns"].ifNumber
  }
}

extension StatusReport.Session {
  fileprivate init(_ value: JSONValue) {
    id = value["id"].number
    parent = value["parent"].ifNumber
    pid = Int32(clamping: value["pid"].number)
    uid = UInt32(clamping: value["uid"].number)
    dialect = value["dialect"].text
    phase = value["phase"].text
    sinceNanoseconds = value["since_ns"].ifNumber
    isConnected = value["connected"] == .boolean(true)
    bytes = value["bytes"].number
    residentBytes = value["resident"].number
    missingBytes = value["missing"].number
    poisonedBytes = value["poisoned"].number
    discardedBytes = value["discarded"].number
    let faults = value["faults"]
    faultsMissing = faults["missing"].number
    faultsMinor = faults["minor"].number
    parked = faults["parked"].number
    longestWaitNanoseconds = faults["longest_wait_ns"].number
    held = faults["held"].number
    givenUp = faults["given_up"].number
    errors = value["errors"].number
    let times = value["latency_ns"]
    if case .object = times {
      latency = StatusReport.Latency(
        p50: times["p50"].number, p90: times["p90"].number, p99: times["p99"].number,
        maximum: times["max"].number)
    }
    installedAround = value["installed_around"].number
    knownZeroBytes = value["known_zero_bytes"].number
    let fill = value["background_fill"]
    if case .object = fill {
      self.fill = StatusReport.Fill(
        total: fill["total"].number, filled: fill["filled"].number,
        present: fill["present"].number, left: fill["left"].number,
        nanoseconds: fill["ns"].number, isFinished: fill["finished"] == .boolean(true))
    }
    regionCount = value["region_count"].number
    isTruncated = value["truncated"] == .boolean(true)
    regions = value["regions"].elements.map { StatusReport.Region($0) }
  }
}

extension StatusReport.Region {
  fileprivate init(_ value: JSONValue) {
    start = value["start"].number
    bytes = value["bytes"].number
    offset = value["offset"].number
    pageSize = value["page_size"].number
    residentBytes = value["resident"].number
    missingBytes = value["missing"].number
    poisonedBytes = value["poisoned"].number
    discardedBytes = value["discarded"].number
  }
}

extension JSONValue {
  fileprivate subscript(name: String) -> JSONValue {
    guard case .object(let members) = self else { return .null }
    return members[Array(name.utf8)] ?? .null
  }
  fileprivate var ifNumber: UInt64? { if case .integer(let value) = self { value } else { nil } }
  fileprivate var number: UInt64 { ifNumber ?? 0 }
  fileprivate var text: String {
    if case .string(let bytes) = self { String(decoding: bytes, as: UTF8.self) } else { "" }
  }
  fileprivate var elements: [JSONValue] {
    if case .array(let elements) = self { elements } else { [] }
  }
}
