// SPDX-License-Identifier: Apache-2.0
// `uffdhost bench [LIB] [key=value ...]`: measures beside the handler
// in C and the kernel, and compares with an earlier run.
import Glibc
import UffdBench
import UffdHost
import UffdReport
import UffdWorkingSet

struct BenchCommand {
  private let options: BenchCommandOptions

  init(_ options: BenchCommandOptions) { self.options = options }

  func run() throws(HostError) -> Int32 {
    // Read before anything is measured: a wrong name costs no minutes.
    let saved = try options.compare.map { path throws(HostError) in
      try SavedRun(Self.read(path), name: path)
    }
    var request = options.bench
    request.recorded = try options.recorded.map(Self.order)
    let bench = Bench(request, emptyProgram: Self.beside("uffdhost-empty"))
    let isTerminal = Terminal.isTerminal(2)
    let report = try bench.run { progress in
      if isTerminal { Output.write(Self.line(progress, Terminal.width(2)), to: 2) }
    }
    if isTerminal { Output.write("\r\u{1b}[K", to: 2) }
    if let path = options.save { try Self.save(report.json() + "\n", path) }
    Output.write(options.json ? report.json() + "\n" : report.text())
    guard let saved else { return report.exitCode }
    let comparison = Comparison(report, against: saved, thresholdPercent: options.threshold)
    // The report is a document of its own.
    Output.write(comparison.text, to: options.json ? 2 : 1)
    return report.exitCode == 0 ? comparison.exitCode : report.exitCode
  }

  private static func line(_ progress: Bench.Progress, _ width: Int) -> String {
    let share = Units.percent(UInt64(progress.done), of: UInt64(max(1, progress.total)))
    let text = Units.padLeft(share, 7) + "  " + progress.name
    // The last column stays free: writing there wraps on some terminals.
    return "\r" + text.prefix(max(0, width - 1)) + "\u{1b}[K"
  }

  /// A program in the folder of this one.
  private static func beside(_ name: String) -> String {
    var buffer = [CChar](repeating: 0, count: 4096)
    let length = unsafe readlink("/proc/self/exe", &buffer, buffer.count - 1)
    let path = String(
      decoding: buffer.prefix(max(0, length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return path[..<(path.lastIndex(of: "/") ?? path.startIndex)] + "/" + name
  }

  private static func read(_ path: String) throws(HostError) -> String {
    let fd = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else {
      throw HostError(.usage, "the saved run \(path.quoted) cannot be opened; is the path right?")
    }
    defer { close(fd) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe Glibc.read(fd, &chunk, chunk.count)
      if count <= 0 { return String(decoding: bytes, as: UTF8.self) }
      bytes += chunk[..<count]
    }
  }

  /// The order of a working set that a run or a server has recorded.
  private static func order(_ path: String) throws(HostError) -> RecordedOrder {
    let set = try WorkingSetFile(path).load()
    return RecordedOrder(
      name: path, granule: set.granule, objectSize: set.objectSize,
      granules: set.entries.map(\.pgoff))
  }

  private static func save(_ text: String, _ path: String) throws(HostError) {
    let fd = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard fd >= 0 else {
      throw HostError(.usage, "the run cannot be saved to \(path.quoted); is the folder writable?")
    }
    Output.write(text, to: fd)
    if close(fd) != 0 {
      throw HostError(.system, "the run cannot be saved to \(path.quoted); is there room?")
    }
  }
}
