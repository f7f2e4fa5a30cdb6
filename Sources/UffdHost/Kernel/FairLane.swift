// SPDX-License-Identifier: Apache-2.0
// What waits in turn among those for whom it is done. Nothing is allocated for a job once the lane has been as
// long as it ever is.

/// A line for each of those who wait, and one job of each line in turn: who brings a thousand is no more in the
/// way of the others than who brings one. Within a line the order is that of arrival.
struct FairLane<Job> {
  private struct Line {
    var key: UInt
    var jobs = Ring<Job>()
  }
  private var lines: [Line] = []
  /// Lines that nobody has, and who has which.
  private var spare: [Int] = []
  private var places: [UInt: Int] = [:]
  /// Lines that are not empty, the next one first.
  private var turns = Ring<Int>()
  var isEmpty: Bool { turns.isEmpty }

  mutating func put(_ job: Job, of key: UInt) {
    let place = places[key] ?? begin(key)
    lines[place].jobs.put(job)
  }

  private mutating func begin(_ key: UInt) -> Int {
    let place = spare.popLast() ?? lines.count
    if place == lines.count { lines.append(Line(key: key)) }
    lines[place].key = key
    places[key] = place
    turns.put(place)
    return place
  }

  mutating func take() -> Job {
    let place = turns.take()
    let job = lines[place].jobs.take()
    if lines[place].jobs.isEmpty {
      places[lines[place].key] = nil
      spare.append(place)
    } else {
      turns.put(place)
    }
    return job
  }
}
