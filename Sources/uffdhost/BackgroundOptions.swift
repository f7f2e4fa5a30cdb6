// SPDX-License-Identifier: Apache-2.0
// Which of the options about what is filled beside the faults go together: the same for a run and for
// 'serve'. Pure.
import UffdHost

struct BackgroundOptions {
  let records: Bool
  let replays: Bool
  let fills: Bool
  let rate: UInt64

  init(_ run: RunOptions) {
    (records, replays) = (run.record != nil, run.replay != nil)
    (fills, rate) = (run.fillsInBackground, run.fillRate)
  }

  init(_ serve: ServeOptions) {
    (records, replays) = (serve.record != nil, serve.replay != nil)
    (fills, rate) = (serve.fillsInBackground, serve.fillRate)
  }

  func check() throws(HostError) {
    if records, replays {
      throw .usage(
        "'--record' sees only what faults, and '--replay' takes the faults away; use one of them")
    }
    if records, fills {
      throw .usage(
        "'--record' sees only what faults, and '--background-fill' takes the faults away; use one of them"
      )
    }
    if rate > 0, !replays, !fills {
      throw .usage(
        "'--fill-rate' limits what is filled in the background, and nothing is; give '--background-fill' or "
          + "'--replay', too")
    }
  }
}
