// SPDX-License-Identifier: Apache-2.0
// The state of a server as JSON: what travels over the socket, and what `uffdhost status --json`
// prints.
import UffdReport

extension StatusReport {
  func json() -> String {
    var json = JSONWriter()
    json.object { json in
      json.object("server") { json in
        json.field("pid", pid)
        json.field("provider", provider)
        json.field("phase", phase)
        if let waiting {
          json.object("waiting") { json in waiting.write(to: &json) }
        } else {
          json.null("waiting")
        }
        json.field("passed_socket", isSocketPassed)
        json.field("uptime_ns", uptimeNanoseconds)
        json.field("connections", connections)
        json.field("handshakes", handshakes)
        json.object("clients") { json in
          json.field("now", sessions.count)
          json.field("served", clientsServed)
          json.field("drained", clientsDrained)
          json.field("gone", clientsGone)
          json.field("refused", refused)
        }
      }
      json.array("sessions") { json in for session in sessions { session.write(to: &json) } }
    }
    return json.text
  }
}

extension StatusReport.Waiting {
  fileprivate func write(to json: inout JSONWriter) {
    json.field("since_ns", sinceNanoseconds)
    json.field("clients", clients)
    json.field("handshakes", handshakes)
    json.field("command", waitsForCommand)
    json.field("missing", missingBytes)
    json.field("estimate_ns", estimateNanoseconds)
    json.field("given_up_in_ns", patienceNanoseconds)
  }
}

extension StatusReport.Session {
  fileprivate func write(to json: inout JSONWriter) {
    json.object { json in
      json.field("id", id)
      json.field("parent", parent)
      json.field("pid", pid)
      json.field("uid", uid)
      json.field("dialect", dialect)
      json.field("phase", phase)
      json.field("health", health.rawValue)
      json.field("since_ns", sinceNanoseconds)
      json.field("connected", isConnected)
      json.field("bytes", bytes)
      json.field("resident", residentBytes)
      json.field("missing", missingBytes)
      json.field("poisoned", poisonedBytes)
      json.field("discarded", discardedBytes)
      json.object("faults") { json in
        json.field("missing", faultsMissing)
        json.field("minor", faultsMinor)
        json.field("parked", parked)
        json.field("longest_wait_ns", longestWaitNanoseconds)
        json.field("held", held)
        json.field("given_up", givenUp)
      }
      json.field("errors", errors)
      if let latency {
        json.object("latency_ns") { json in
          json.field("p50", latency.p50)
          json.field("p90", latency.p90)
          json.field("p99", latency.p99)
          json.field("max", latency.maximum)
        }
      } else {
        json.null("latency_ns")
      }
      json.field("installed_around", installedAround)
      json.field("known_zero_bytes", knownZeroBytes)
      if let fill {
        json.object("background_fill") { json in
          json.field("total", fill.total)
          json.field("filled", fill.filled)
          json.field("present", fill.present)
          json.field("left", fill.left)
          json.field("ns", fill.nanoseconds)
          json.field("finished", fill.isFinished)
        }
      } else {
        json.null("background_fill")
      }
      json.field("region_count", regionCount)
      json.field("truncated", isTruncated)
      json.array("regions") { json in
        for region in regions { region.write(to: &json) }
      }
    }
  }
}

extension StatusReport.Region {
  fileprivate func write(to json: inout JSONWriter) {
    json.object { json in
      json.field("start", start)
      json.field("bytes", bytes)
      json.field("offset", offset)
      json.field("page_size", pageSize)
      json.field("resident", residentBytes)
      json.field("missing", missingBytes)
      json.field("poisoned", poisonedBytes)
      json.field("discarded", discardedBytes)
    }
  }
}
