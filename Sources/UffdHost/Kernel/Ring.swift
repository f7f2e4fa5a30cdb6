// SPDX-License-Identifier: Apache-2.0
// What waits in the order in which it came.

/// First in, first out, in one piece of memory that grows when it is full: nothing is allocated for an element
/// once it has been as long as it ever is.
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
