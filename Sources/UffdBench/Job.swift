// SPDX-License-Identifier: Apache-2.0
// One repetition of one case for one subject, as the words of a child process. Pure.
import CBench
import UffdHost

/// What a child measures.
struct Job: Equatable, Sendable {
  enum Work: String, Sendable {
    case demand, fill, path, language
    /// Says what the provider's instance is, and copies its content to the image.
    case describe
    /// Writes down in which order a program touches its memory.
    case record
  }

  var work = Work.demand
  var subject = Subject.c
  /// Userfaultfds of another process than the handler's; 0: it is the same process.
  var clients = 0
  var memory = MemoryKind.anon
  var operation = Operation.copy
  var order = TouchOrder.random
  /// Whether a host may fill neighbours along with a page.
  var hasFaultAround = false
  var waiting = Waiting.epoll
  var placement = Placement.pinned
  var regions = 1
  var threads = 1
  var readers = 1
  var page: UInt64 = 4096
  var bytes: UInt64 = 0
  var seed: UInt64 = 1
  /// Descriptor of a file with the content, which the child inherits.
  var image: Int32 = -1
  /// The same for a recorded order.
  var recorded: Int32 = -1
  var library = ""
  var parameters: [Parameter] = []

  static let word = "bench-child"
  private static let end = "--"

  /// The words behind the name of the program.
  var words: [String] {
    var words = [
      Self.word, "work=\(work.rawValue)", "subject=\(subject.rawValue)",
      "clients=\(clients)", "memory=\(memory.rawValue)", "operation=\(operation.rawValue)",
      "order=\(order.rawValue)", "around=\(hasFaultAround)",
      "waiting=\(waiting.rawValue)", "placement=\(placement.rawValue)", "regions=\(regions)",
      "threads=\(threads)", "readers=\(readers)", "page=\(page)", "bytes=\(bytes)", "seed=\(seed)",
      "image=\(image)", "recorded=\(recorded)", "library=\(library)", Self.end,
    ]
    words += parameters.map { "\($0.key)=\($0.value)" }
    return words
  }

  init() {}

  /// Nil: the words are no child's.
  init?(words: [String]) {
    guard words.first == Self.word, let end = words.firstIndex(of: Self.end) else { return nil }
    var fields: [String: String] = [:]
    for parameter in words[1..<end].compactMap(Self.parameter) {
      fields[parameter.key] = parameter.value
    }
    func choice<Choice: RawRepresentable<String>>(_ key: String) -> Choice? {
      fields[key].flatMap(Choice.init(rawValue:))
    }
    func value<Value: LosslessStringConvertible>(_ key: String) -> Value? {
      fields[key].flatMap(Value.init)
    }
    guard let work: Work = choice("work"), let subject: Subject = choice("subject"),
      let clients: Int = value("clients"),
      let memory: MemoryKind = choice("memory"), let operation: Operation = choice("operation"),
      let order: TouchOrder = choice("order"), let around: Bool = value("around"),
      let waiting: Waiting = choice("waiting"),
      let placement: Placement = choice("placement"), let regions: Int = value("regions"),
      let threads: Int = value("threads"), let readers: Int = value("readers"),
      let page: UInt64 = value("page"), let bytes: UInt64 = value("bytes"),
      let seed: UInt64 = value("seed"), let image: Int32 = value("image"),
      let recorded: Int32 = value("recorded"),
      let library = fields["library"]
    else { return nil }
    (self.work, self.subject, self.memory) = (work, subject, memory)
    (self.clients, hasFaultAround) = (clients, around)
    (self.operation, self.order, self.waiting) = (operation, order, waiting)
    (self.placement, self.regions, self.threads) = (placement, regions, threads)
    (self.readers, self.page, self.bytes, self.seed) = (readers, page, bytes, seed)
    (self.image, self.recorded, self.library) = (image, recorded, library)
    parameters = words[(end + 1)...].compactMap(Self.parameter)
  }

  private static func parameter(_ word: String) -> Parameter? {
    guard let equals = word.firstIndex(of: "=") else { return nil }
    return Parameter(String(word[..<equals]), String(word[equals...].dropFirst()))
  }

  /// For the functions of CBench.
  var raw: cbench_job {
    var job = cbench_job()
    job.subject =
      switch subject {
      case .kernel: CBENCH_KERNEL
      case .peer: CBENCH_PEER
      default: CBENCH_C
      }
    job.operation = operation.raw
    job.memory = memory.raw
    job.wait = waiting.raw
    job.order = order.raw
    job.regions = UInt32(regions)
    job.threads = UInt32(threads)
    job.readers = UInt32(readers)
    job.clients = UInt32(clients)
    job.page = page
    job.bytes = bytes
    job.seed = seed
    job.is_spied = work == .path ? 1 : 0
    job.image = image
    job.recorded = recorded
    return job
  }
}
