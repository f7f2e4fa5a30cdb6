// SPDX-License-Identifier: Apache-2.0
// What waits in a queue of jobs: in the order in which it came, or in turn among those for whom it is done.
// Neither allocates for a job once it has been as long as it ever is.

/// First in, first out, in one piece of memory that grows when it is full.
struct Ring<Element> {
  private var room: [Element?] = []
  private var head = 0
  private(set) var count = 0
  var isEmpty: Bool { count == 0 }

  mutating func put(_ element: Element) {
    if count == room.count { grow() }
    room[place(count)] = element
    count += 1
  }

  mutating func take() -> Element { remove(at: 0) }

  subscript(index: Int) -> Element { room[place(index)]! }

  /// Takes an element out of turn. Those before it move up.
  mutating func remove(at index: Int) -> Element {
    let element = self[index]
    var index = index
    while index > 0 {
      room[place(index)] = room[place(index - 1)]
      index -= 1
    }
    room[head] = nil
    head = place(1)
    count -= 1
    return element
  }

  /// The room is a power of two.
  private func place(_ index: Int) -> Int { (head + index) & (room.count - 1) }

  private mutating func grow() {
    var larger: [Element?] = []
    larger.reserveCapacity(max(8, room.count * 2))
    for index in 0..<count { larger.append(self[index]) }
    while larger.count < max(8, room.count * 2) { larger.append(nil) }
    room = larger
    head = 0
  }
}

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
