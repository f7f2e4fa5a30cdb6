// SPDX-License-Identifier: Apache-2.0
// Random operations in the order of a seed, each compared with a reference model: the known content, the set
// that the filemap must be, the lends that are out.
import CLinux
import UffdPluginABI

let modelChecks: [Check] = [
  Check(
    "model.random", "random operations agree with a reference model",
    "any other value means that the provider is broken, and its regions fail closed."
  ) { context in
    try context.withInstance { instance in
      var walk = RandomWalk(context, instance)
      let end = clinux_now() + UInt64(context.seconds) * 1_000_000_000
      do {
        while clinux_now() < end { try walk.step() }
        try walk.finish()
      } catch let failure as Failure {
        throw Failure(
          "\(failure.came), \(walk.place)", expected: failure.expected)
      } catch let breach as Breach {
        throw Breach(breach.rule, "\(breach.came), \(walk.place)")
      }
    }
  }
]

/// The model, and the operation that it is at.
private struct RandomWalk {
  private let context: Context
  private let instance: MockInstance
  private var random: Random
  private var filemap: FilemapModel
  private var lends: [Lend] = []
  private var tickets: [UInt64] = [0]
  private var other: MockInstance?
  private var number = 0
  private var name = ""

  init(_ context: Context, _ instance: MockInstance) {
    self.context = context
    self.instance = instance
    random = Random(context.seed)
    filemap = FilemapModel(instance)
  }

  /// For messages: where a replay will come to the same.
  var place: String { "in operation \(number), \(name), of seed \(context.seed)" }

  mutating func step() throws {
    number += 1
    let library = context.library
    let run = context.run(instance, &random)
    let choice = random.below(16)
    switch choice {
    case 0..<5 where library.has(.alloc): try ask(run)
    case 5 where !lends.isEmpty: try putOne()
    case 6, 7:
      guard library.has(.filemap) else { return }
      try addOrRemove(run)
    case 8 where library.has(.discard):
      name = "discard"
      filemap.discard(run)
      try filemap.expect(run.lowerBound)
    case 9 where library.has(.lookup):
      name = "get_folio_noalloc"
      for pgoff in run { try filemap.expect(pgoff) }
    case 10 where library.has(.extents): try extents(run)
    case 11 where library.has(.willNeed):
      name = "will_need"
      instance.willNeed(run.lowerBound, UInt64(run.count))
    case 12 where library.has(.cancel):
      name = "cancel"
      instance.cancel(tickets[Int(random.below(UInt64(tickets.count)))])
    case 13 where library.has(.alloc): try abandon(run)
    case 14 where random.below(8) == 0: try otherInstance()
    default: break
    }
    try instance.rethrow()
  }

  mutating func finish() throws {
    name = "the end"
    while !lends.isEmpty { try putOne() }
    try filemap.expectAll()
    other?.close()
  }

  private mutating func ask(_ run: Range<UInt64>) throws {
    name = "alloc_folio"
    var manner = Manner()
    manner.access = [[], .write, .prefetch][Int(random.below(3))]
    manner.keepsLend = lends.count < 64
    manner.poison = UInt8(truncatingIfNeeded: random.next())
    let answer = try instance.content(run.lowerBound, UInt64(run.count), manner)
    try context.verify(answer.bytes, at: run.lowerBound, instance, "in a random order")
    if let lend = answer.lend { lends.append(lend) }
  }

  private mutating func putOne() throws {
    name = "put_folio"
    let lend = lends.remove(at: Int(random.below(UInt64(lends.count))))
    guard let now = lend.readAgain(), now.firstDifference(lend.bytes) == nil else {
      throw Failure(
        "lent memory of pgoff \(lend.pgoff) has changed or is gone", expected: "the bytes lent")
    }
    instance.put(lend)
  }

  private mutating func addOrRemove(_ run: Range<UInt64>) throws {
    name = "filemap_add, filemap_remove"
    if filemap.held.contains(run.lowerBound) {
      try filemap.remove(run.lowerBound..<(run.lowerBound + 1))
    } else {
      do { try filemap.add(filemap.absentRun(run)) } catch is NotApplicable {
        // A limit: make room.
        if let pgoff = filemap.held.min() { try filemap.remove(pgoff..<(pgoff + 1)) }
      }
    }
    try filemap.expect(run.lowerBound)
  }

  private mutating func extents(_ run: Range<UInt64>) throws {
    name = "extents"
    let answer = try instance.extents(
      run.lowerBound, UInt64(run.count), capacity: 1 + Int(random.below(4)), stride: 24)
    guard answer.status == .ok else { return }
    for extent in answer.list where extent.is_zero == 1 && library(.alloc) {
      guard run.contains(extent.pgoff) else {
        throw Failure("an extent from pgoff \(extent.pgoff) for \(run)")
      }
      if try !context.reference(extent.pgoff).isZero {
        throw Failure("an extent calls pgoff \(extent.pgoff) zero, which has data")
      }
    }
  }

  private func library(_ operation: uffd_operations) -> Bool { context.library.has(operation) }

  /// Asks once, and never again.
  private mutating func abandon(_ run: Range<UInt64>) throws {
    name = "alloc_folio, once"
    let ticket = instance.newTicket()
    tickets.append(ticket)
    if tickets.count > 32 { tickets.removeFirst() }
    let answer = try instance.askOnce(run.lowerBound, UInt64(run.count), ticket: ticket)
    if answer.status == .ok {
      try context.verify(answer.bytes, at: run.lowerBound, instance, "in a random order")
    }
  }

  private mutating func otherInstance() throws {
    name = "another instance"
    if let open = other {
      open.close()
      other = nil
    } else {
      other = try context.open()
    }
  }
}
