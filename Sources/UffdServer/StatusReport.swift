// SPDX-License-Identifier: Apache-2.0
// The state of a server as values: what `uffdhost status` shows. StatusReport+JSON.swift and
// StatusReport+Text.swift write it down.
import UffdHost
import UffdReport

struct StatusReport: Sendable, Equatable {
  struct Region: Sendable, Equatable {
    var start: UInt64 = 0
    var bytes: UInt64 = 0
    var offset: UInt64 = 0
    var pageSize: UInt64 = 0
    var residentBytes: UInt64 = 0
    var missingBytes: UInt64 = 0
    var poisonedBytes: UInt64 = 0
    var discardedBytes: UInt64 = 0
  }

  struct Latency: Sendable, Equatable {
    var p50: UInt64 = 0
    var p90: UInt64 = 0
    var p99: UInt64 = 0
    var maximum: UInt64 = 0
  }

  /// How a client fares, in a word.
  enum Health: String, Sendable {
    case fine
    /// A fault has waited for `StatusReport.slowNanoseconds`, and nothing has failed.
    case slow
    /// Content of it could not be had: faults are held, or were given up.
    case failing
  }

  /// What is filled before it is touched, in bytes.
  struct Fill: Sendable, Equatable {
    var total: UInt64 = 0
    var filled: UInt64 = 0
    /// Touched, or given back, before it was filled.
    var present: UInt64 = 0
    var left: UInt64 = 0
    var nanoseconds: UInt64 = 0
    var isFinished = false
  }

  struct Session: Sendable, Equatable {
    var id: UInt64 = 0
    /// The client that forked it.
    var parent: UInt64?
    var pid: Int32 = 0
    var uid: UInt32 = 0
    var dialect = ""
    var phase = ""
    /// Since it was handed over; nil: it was forked.
    var sinceNanoseconds: UInt64?
    /// Whether the connection over which it came is open.
    var isConnected = false
    var bytes: UInt64 = 0
    var residentBytes: UInt64 = 0
    var missingBytes: UInt64 = 0
    var poisonedBytes: UInt64 = 0
    var discardedBytes: UInt64 = 0
    var faultsMissing: UInt64 = 0
    var faultsMinor: UInt64 = 0
    /// Faults that wait at this moment for anything but a CPU, and how long the oldest has.
    var parked: UInt64 = 0
    var longestWaitNanoseconds: UInt64 = 0
    /// Faults whose content could not be had, and that wait for better times.
    var held: UInt64 = 0
    /// Answers of the provider that were failures or broke the contract.
    var errors: UInt64 = 0
    /// Faults whose pages were given up.
    var givenUp: UInt64 = 0
    /// From read to install; nil: not measured.
    var latency: Latency?
    /// Granules that faults took along.
    var installedAround: UInt64 = 0
    /// Bytes for which the provider was not asked, for it had said that they are zero.
    var knownZeroBytes: UInt64 = 0
    /// Nil: nothing is filled but what is touched.
    var fill: Fill?
    var regionCount: UInt64 = 0
    /// It has more regions than are counted here.
    var isTruncated = false
    /// The first ones; a report has a limited number of them.
    var regions: [Region] = []

    var health: Health {
      if held > 0 || givenUp > 0 || poisonedBytes > 0 { return .failing }
      return longestWaitNanoseconds >= StatusReport.slowNanoseconds ? .slow : .fine
    }
  }

  /// What a server that ends waits for.
  struct Waiting: Sendable, Equatable {
    /// Since the end began.
    var sinceNanoseconds: UInt64 = 0
    var clients: UInt64 = 0
    /// Connections that may still hand something over.
    var handshakes: UInt64 = 0
    var waitsForCommand = false
    /// Of those clients.
    var missingBytes: UInt64 = 0
    /// How long it takes to fill them, as fast as until now; nil: nobody knows.
    var estimateNanoseconds: UInt64?
    /// What is missing then is given up; nil: it is not, or it is already.
    var patienceNanoseconds: UInt64?
  }

  var pid: Int32 = 0
  var provider = ""
  var phase = ""
  /// Nil: it does not end.
  var waiting: Waiting?
  /// Its socket belongs to a service manager, which keeps it while no server runs.
  var isSocketPassed = false
  var uptimeNanoseconds: UInt64 = 0
  var connections: UInt64 = 0
  var handshakes: UInt64 = 0
  /// Since it began.
  var clientsServed: UInt64 = 0
  var clientsDrained: UInt64 = 0
  var clientsGone: UInt64 = 0
  var refused: UInt64 = 0
  var sessions: [Session] = []

  /// So many regions are described one by one, in all sessions together.
  static let mostRegions = 4096
  /// Longer than a disk takes, or a network that is well.
  static let slowNanoseconds: UInt64 = 1_000_000_000
}

extension StatusReport.Session {
  init(_ client: any ServedClient, mostRegions: Int) {
    let (progress, identity) = (client.progress, client.identity)
    id = client.id
    parent = client.parent
    pid = identity.pid
    uid = identity.uid
    dialect = identity.dialect
    phase = progress.phase.rawValue
    for region in progress.regions {
      bytes += region.length
      residentBytes += region.residentBytes
      missingBytes += region.missingBytes
      poisonedBytes += region.poisonedBytes
      discardedBytes += region.discardedBytes
    }
    let statistics = progress.statistics
    faultsMissing = statistics.faults.missing
    faultsMinor = statistics.faults.minor
    held = progress.heldNow
    parked = statistics.parkedNow - min(statistics.parkedNow, held)
    longestWaitNanoseconds = progress.longestWaitNanoseconds
    errors = statistics.providerErrors + statistics.providerViolations
    givenUp = statistics.givenUp
    if progress.latency.count > 0 {
      latency = StatusReport.Latency(
        p50: progress.latency.p50, p90: progress.latency.p90, p99: progress.latency.p99,
        maximum: progress.latency.max)
    }
    installedAround = statistics.installedAround
    knownZeroBytes = statistics.knownZeroBytes
    fill = progress.fill.map { fill in
      StatusReport.Fill(
        total: fill.totalBytes, filled: fill.filledBytes, present: fill.presentBytes,
        left: fill.leftBytes, nanoseconds: fill.nanoseconds, isFinished: fill.isFinished)
    }
    regionCount = UInt64(progress.regions.count)
    isTruncated = progress.isTruncated
    regions = progress.regions.prefix(mostRegions).map { region in
      StatusReport.Region(
        start: region.start, bytes: region.length, offset: region.offset,
        pageSize: region.pageSize, residentBytes: region.residentBytes,
        missingBytes: region.missingBytes, poisonedBytes: region.poisonedBytes,
        discardedBytes: region.discardedBytes)
    }
  }
}
