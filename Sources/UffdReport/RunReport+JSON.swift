// SPDX-License-Identifier: Apache-2.0
// A run for programs. The names are part of the command's surface: new ones may come, none changes.

import UffdHost

extension RunReport {
  /// One JSON object, without a newline at the end. Sizes in bytes, times in nanoseconds.
  public func json() -> String {
    var json = JSONWriter()
    json.object { json in
      json.field("provider", provider)
      json.field("provider_version", providerVersion)
      json.field("memory", memory.rawValue)
      json.field("granule", granule)
      json.field("bytes", bytes)
      json.field("regions", regions)
      json.field("sharing", sharing.rawValue)
      json.field("fill", fill.rawValue)
      json.field("threads", threads)
      json.field("readers", readers)
      json.field("access", access)
      json.field("mode", mode)
      json.field("passes", passes)
      json.field("seed", seed)
      json.field("elapsed_ns", elapsedNanoseconds)
      json.field("resident_bytes", residentBytes)
      json.field("faults_per_s", faultsPerSecond)
      json.field(
        "bytes_per_s", Units.perSecond(installedBytes, nanoseconds: elapsedNanoseconds))
      writeStatistics(&json)
      writeLatency(&json)
      writeBackground(&json)
      writeVerification(&json)
      json.field("interrupted", interrupted)
      json.array("errors") { json in
        for error in errors { json.item(error) }
      }
    }
    return json.text
  }

  private func writeStatistics(_ json: inout JSONWriter) {
    json.object("faults") { json in
      json.field("missing", statistics.faults.missing)
      json.field("minor", statistics.faults.minor)
      json.field("wp", statistics.faults.wp)
    }
    json.object("installed") { json in
      json.field("copied", statistics.installed.copied)
      json.field("zeroed", statistics.installed.zeroed)
      json.field("continued", statistics.installed.continued)
      json.field("poisoned", statistics.installed.poisoned)
    }
    json.field("published_bytes", statistics.publishedBytes)
    json.field("provided_bytes", statistics.providedBytes)
    json.field("already_present", statistics.alreadyPresent)
    json.field("installed_around", statistics.installedAround)
    json.field("known_zero_bytes", statistics.knownZeroBytes)
    json.field("put_off", statistics.putOff)
    json.field("discarded", statistics.discarded)
    json.field("provider_errors", statistics.providerErrors)
    json.field("provider_violations", statistics.providerViolations)
    json.field("given_up", statistics.givenUp)
    json.object("sampled") { json in
      json.field("faults", statistics.samples)
      json.field("provider_ns", statistics.sampledProviderNanoseconds)
      json.field("kernel_ns", statistics.sampledKernelNanoseconds)
    }
  }

  private func writeLatency(_ json: inout JSONWriter) {
    json.object("latency_ns") { json in
      json.field("p50", latency.p50)
      json.field("p90", latency.p90)
      json.field("p99", latency.p99)
      json.field("p999", latency.p999)
      json.field("max", latency.maximum)
      json.field("mean", latency.mean)
      json.field("count", latency.count)
    }
    json.array("latency_histogram") { json in
      for row in latency.rows(limit: 64) where row.count > 0 {
        json.object { json in
          json.field("from_ns", row.from)
          json.field("count", row.count)
        }
      }
    }
  }

  private func writeBackground(_ json: inout JSONWriter) {
    if let recorded {
      json.object("recorded") { json in
        json.field("file", recorded.file)
        json.field("granules", recorded.granules)
        json.field("ns", recorded.nanoseconds)
      }
    } else {
      json.null("recorded")
    }
    if let replay {
      json.object("replay") { json in
        json.field("file", replay.file)
        write(replay.fill, to: &json)
      }
    } else {
      json.null("replay")
    }
    if let backgroundFill {
      json.object("background_fill") { json in write(backgroundFill, to: &json) }
    } else {
      json.null("background_fill")
    }
    json.field("fill_rate", fillRate)
  }

  private func write(_ fill: Fill, to json: inout JSONWriter) {
    json.field("granules", fill.granules)
    json.field("filled", fill.filled)
    json.field("present", fill.present)
    json.field("left", fill.left)
    json.field("ns", fill.nanoseconds)
  }

  private func writeVerification(_ json: inout JSONWriter) {
    json.field("verified", isVerified)
    json.field("oracle", oracle)
    json.object("verification") { json in
      switch verification {
      case .verified(let bytes):
        json.field("verdict", "verified")
        json.field("compared_bytes", bytes)
      case .notVerified(let reason):
        json.field("verdict", "not verified")
        json.field("reason", reason)
      case .failed(let difference):
        json.field("verdict", "failed")
        json.field("compared_bytes", difference.comparedBytes)
        json.field("first_difference", difference.firstOffset)
        json.field("differing_granules", difference.granules)
      }
    }
  }
}
