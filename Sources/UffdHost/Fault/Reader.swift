// SPDX-License-Identifier: Apache-2.0
// The thread that reads faults and installs their pages: of this
// process, which all readers of a host serve, and of the clients that are this reader's own. All of the
// fault path runs here, on plain data at fixed addresses: no allocation, no reference count, no lock but
// the exclusion.
//
//   wait -> for each session that has messages: read, apply events, serve faults
//        -> answer requests -> come back to what was put off -> fill a piece -> look after clients
//
// Reader+Messages  reads, applies events, merges faults      Reader+GiveUp   POISON, kill, hold
// Reader+Single    serves the usual fault                    Reader+Waiting  parked questions
// Reader+Serve     decides a page, dispatches
// Reader+Fill      asks the provider, publishes, undoes      Reader+Control  requests, fills
// Reader+Around    takes pages along                         Reader+Clients  adopts, probes, ends; fork
// Reader+Cached    CONTINUE, zeroes, strays                  Reader+Layout   munmap, mremap, growth
// Reader+Install   COPY, ZEROPAGE, CONTINUE                  Reader+Drain    lets a client go
import Glibc

/// What a reader is started with.
struct ReaderSetup: Sendable {
  let local: SessionReference
  let port: ReaderPort
  let poller: PollerBox
  let careTimer: Timer
  let policy: FailurePolicy
  let canPoison: Bool
  let deadline: UInt64
  let mostAround: UInt64
  let reporter: Reporter
  /// Messages taken by one read(2) of this process's uffd: 16 for one reader; with several, one, so that
  /// each gets its share.
  let batch: Int
  /// First buffers, made before the thread starts: a thread that exists serves.
  let staging: Mapping
  let zeroes: Mapping

  /// `isShared`: other readers read `local` too.
  init(
    _ port: ReaderPort, local: SessionPointer, isShared: Bool, _ options: Host.Options,
    canPoison: Bool, _ reporter: Reporter
  ) throws(HostError) {
    self.local = unsafe SessionReference(session: local)
    self.port = port
    self.canPoison = canPoison
    self.reporter = reporter
    policy = options.onError
    deadline = options.faultDeadlineNanoseconds
    mostAround = options.faultAround.most
    batch = isShared ? 1 : Reader.largestBatch
    do {
      let poller = try Poller()
      try poller.add(port.bellDescriptor, tag: Reader.bellTag)
      careTimer = try Timer()
      try poller.add(careTimer.fd, tag: Reader.careTag)
      // Of several readers a fault wakes the first and one more. Whichever has its CPU first serves it: on
      // the CPU where the fault came from that is at once. More would only keep each other from installing.
      unsafe try poller.add(
        local.pointee.calls.fd, tag: Reader.tag(local, .messages),
        exclusive: isShared && port.index > 0)
      self.poller = PollerBox(poller: poller)
      staging = try .scratch(Reader.largestRun)
      zeroes = try .scratch(Reader.largestRun)
    } catch {
      throw HostError(.system, "a reader cannot be set up (\(error.name))")
    }
  }
}

/// A poller on its way to its reader.
struct PollerBox: @unchecked Sendable {
  let poller: Poller
}

/// The state of one reader thread. Nothing outside the thread touches it.
///
/// What the fault path calls is `mutating` also where it changes nothing: the struct is large, and Swift
/// passes a copy of it to a method that only borrows it.
@safe struct Reader: ~Copyable {
  /// The session of this process.
  let local: SessionPointer
  let port: ReaderPort
  let poller: Poller
  let policy: FailurePolicy
  let canPoison: Bool
  let deadline: UInt64
  /// Granules that a fault settles at most, where pages are taken along.
  let mostAround: UInt64
  let reporter: Reporter
  let localBatch: Int

  /// Whose faults, questions or fills are being worked on now; its calls, its exclusion, and where it is
  /// counted. Stored, for a computed property of this struct copies all of it first.
  var session: SessionPointer
  var calls: UffdCalls
  var exclusion: Exclusion
  var counters: Counters

  var questions: QuestionTable
  /// Room for one batch of messages, and for the merged faults of it.
  let messages: UnsafeMutableRawPointer
  let faults: UnsafeMutablePointer<MergedFault>
  /// Where a provider that fills writes to, and what COPY of zeroes reads from; as long as the largest
  /// run so far.
  var staging: Mapping
  var zeroes: Mapping
  var fills: [FillOrder] = []
  /// The clients of this reader, those that have ended since the last look, those being drained, and those
  /// whose pages are being prefetched.
  var clients: [Client] = []
  var ended: [Client] = []
  var drains: [ClientDrain] = []
  var prefetches: [ClientPrefetch] = []
  /// When the clients are looked after next, in nanoseconds of CLOCK_MONOTONIC, and for when the timer is
  /// set. Two moments that differ are news since the clients were looked after.
  var nextCare: UInt64 = .max
  private var timedCare: UInt64 = .max
  private var isCareDue = false
  private let careTimer: Timer
  var spare = SpareDescriptor()
  var isStopping = false
  /// Turns of a uffd that others read too, and how many messages the last one brought.
  private var shares: UInt32 = 0
  private var lastShare = 0
  /// One answer in 256 is timed, from the first on.
  private var sampleTick: UInt32 = 0
  private static let sampleMask: UInt32 = 255
  /// Where lent memory was found to be none of this process's regions.
  var gap = RegionGap()
  /// A page was published since the parked questions were looked at.
  var hasPublished = false

  static let largestBatch = 16
  /// Reads of one session before the next one has its turn, and where there is no next one: a look at the
  /// poller costs as much as a dozen faults' bookkeeping.
  static let readsPerTurn = 4
  static let readsAlone = 16
  /// One install is at most this long, or one granule: an event's sender waits while a COPY runs.
  static let largestRun: UInt64 = 256 << 10

  init(_ setup: ReaderSetup) {
    unsafe local = setup.local.session
    port = setup.port
    poller = setup.poller.poller
    careTimer = setup.careTimer
    policy = setup.policy
    canPoison = setup.canPoison
    deadline = setup.deadline
    mostAround = setup.mostAround
    reporter = setup.reporter
    localBatch = setup.batch
    unsafe session = setup.local.session
    calls = unsafe setup.local.session.pointee.calls
    exclusion = unsafe setup.local.session.pointee.exclusion
    counters = setup.port.counters
    questions = setup.port.questions
    staging = setup.staging
    zeroes = setup.zeroes
    unsafe messages = .allocate(byteCount: Self.largestBatch * UffdMessage.size, alignment: 64)
    unsafe faults = .allocate(capacity: Self.largestBatch)
  }

  deinit {
    unsafe messages.deallocate()
    unsafe faults.deallocate()
  }

  /// Turns to a session.
  @inline(__always)
  mutating func attend(_ other: SessionPointer) {
    unsafe session = unsafe other
    calls = unsafe other.pointee.calls
    exclusion = unsafe other.pointee.exclusion
    counters = unsafe other == local ? port.counters : other.pointee.counters
  }

  /// Turns to the session of a question; a publish belongs to this process.
  @inline(__always)
  mutating func attend(_ question: UnsafeMutablePointer<Question>) {
    unsafe attend(question.pointee.region?.pointee.session ?? local)
  }

  /// Serves until the control thread says stop.
  @inline(never)
  mutating func run() {
    var isBusy = true
    while !isStopping {
      let count = poller.wait(nanoseconds: isBusy ? patience() : -1)
      var isRung = false
      for index in 0..<count {
        let tag = poller.tag(index)
        switch tag {
        case Self.bellTag: isRung = true
        case Self.careTag: isCareDue = true
        default: takeTurn(tag)
        }
      }
      // As a rule there was a fault, and it is served: then nothing else is looked at.
      if isBusy || isRung || hasChores {
        doChores(isRung)
        isBusy = hasChores
      }
    }
  }

  /// Whether anything waits for this thread but messages.
  @inline(__always)
  private var hasChores: Bool {
    mutating get {
      questions.activeCount > 0 || !fills.isEmpty || isCareDue || nextCare != timedCare
        || !ended.isEmpty
    }
  }

  @inline(never)
  private mutating func doChores(_ isRung: Bool) {
    if isRung { answerRequests() }
    if questions.activeCount > 0 { revisitQuestions() }
    if !fills.isEmpty { fillPiece() }
    if isCareDue || nextCare != timedCare || !ended.isEmpty { lookAfterClients() }
    port.counters.set(.parkedNow, UInt64(questions.activeCount))
  }

  /// How long the reader may sleep: for ever if nothing waits on it, else until the next timer.
  @inline(never)
  private mutating func patience() -> Int64 {
    if !ended.isEmpty { return 0 }
    let next = questions.activeCount == 0 ? -1 : nanosecondsToNextTimer()
    guard !fills.isEmpty, let pause = pauseOfFills() else { return next }
    return next < 0 ? pause : min(next, pause)
  }

  /// Sleeps no longer than to the next look after the clients.
  mutating func setCareTimer() {
    isCareDue = false
    timedCare = nextCare
    careTimer.set(nextCare)
  }

  /// When the provider was asked, if its answer is to be timed; else 0.
  @inline(__always)
  mutating func beginSample() -> UInt64 {
    sampleTick &+= 1
    return sampleTick & Self.sampleMask == 1 ? monotonicNanoseconds() : 0
  }

  // MARK: What the poller's tags mean

  enum TagKind: UInt64 {
    case messages = 0
    case exit = 1
  }
  static let bellTag: UInt64 = 0
  static let careTag: UInt64 = 2

  /// Sessions lie at multiples of 8.
  static func tag(_ session: SessionPointer, _ kind: TagKind) -> UInt64 {
    UInt64(UInt(bitPattern: session)) | kind.rawValue
  }

  @inline(__always)
  private mutating func takeTurn(_ tag: UInt64) {
    let address = UInt(tag & ~7)
    let session = unsafe SessionPointer(bitPattern: address)!
    // It may have ended earlier in this very turn; it is freed at the end of it.
    if unsafe session.pointee.hasEnded { return }
    unsafe attend(session)
    if tag & 7 != TagKind.messages.rawValue { return unsafe hasExited(session) }
    if unsafe session == local && localBatch == 1 { return takeShare() }
    readMessages(atMost: clients.count > 1 ? Self.readsPerTurn : Self.readsAlone)
  }

  /// A message, of a uffd that others read too. Whether it was the last one the poller says, which does not
  /// keep them from installing, as a read does; each sixteenth time is tried whether there are as many
  /// messages as to make reading on the better choice.
  @inline(__always)
  private mutating func takeShare() {
    shares &+= 1
    lastShare = readMessages(
      atMost: lastShare > 1 ? Self.largestBatch : shares & 15 == 0 ? 2 : 1)
  }

  /// Buffers for runs of `length` bytes; grows them for the first region with such a granule.
  @inline(__always)
  mutating func ensureBuffers(_ length: UInt64) -> Bool {
    UInt64(staging.length) >= length || growBuffers(length)
  }

  @inline(never)
  private mutating func growBuffers(_ length: UInt64) -> Bool {
    guard let larger = try? Mapping.scratch(length), let more = try? Mapping.scratch(length) else {
      return false
    }
    staging = larger
    zeroes = more
    return true
  }
}
