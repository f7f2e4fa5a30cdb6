// SPDX-License-Identifier: Apache-2.0
// Loading a provider's library.
import Glibc
import Synchronization
import UffdPluginABI

/// A loaded and checked provider library.
///
/// Loading runs no code of the provider but its library constructors and its entry function. The library
/// stays loaded until the process ends: code of ours or of a language runtime may point into it.
public final class Provider: Sendable {
  /// How the host may call the hooks (`uffd_thread_model`).
  public enum ThreadModel: String, Sendable {
    /// One thread calls every hook of every instance.
    case serial
    /// The hooks of one instance never overlap.
    case perInstance = "per-instance"
    /// Any thread, at any time.
    case parallel
  }

  /// The file that was loaded.
  public let path: String
  let table: ProviderTable
  /// Runs the hooks of a SERIAL library, all on its one thread.
  let serialExecutor: Executor?

  /// The ABI of this host, as in "1.0".
  public static let hostABI = "\(UFFD_ABI_MAJOR).\(UFFD_ABI_MINOR)"

  /// The symbol that a provider exports; the ABI major is in its name.
  static let entrySymbol = "uffd_provider_entry_v1"

  private init(path: String, table: ProviderTable, serialExecutor: Executor?) {
    self.path = path
    self.table = table
    self.serialExecutor = serialExecutor
  }

  /// Loads a provider from a path, or by a short name (see ``locate(_:)``).
  ///
  /// Throws `HostError` of kind `.usage` where there is no such file and of kind `.refused` where the file
  /// is no provider that this host can load. The corresponding C call is dlopen(3).
  public static func load(_ pathOrName: String) throws(HostError) -> Provider {
    let path = try locate(pathOrName)
    try checkFile(path)
    // NODELETE: never unloaded. LOCAL: two providers never see each other's symbols.
    guard let library = unsafe dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) else {
      let reason =
        unsafe dlerror().map { unsafe String(cString: $0) } ?? "the loader gives no reason"
      throw HostError(.refused, "'\(path)' cannot be loaded: \(reason)")
    }
    guard let symbol = unsafe dlsym(library, entrySymbol) else {
      throw HostError(
        .refused,
        "'\(path)' is not a provider for ABI 1: it has no symbol \(entrySymbol); "
          + "was it built for another ABI major?")
    }
    typealias Entry = @convention(c) () -> UnsafePointer<uffd_provider>?
    guard let pointer = unsafe unsafeBitCast(symbol, to: Entry.self)() else {
      throw HostError(.refused, "'\(path)' declined to load: its entry function returned NULL")
    }
    let table: ProviderTable
    do {
      table = unsafe try ProviderTable(copying: pointer)
    } catch {
      throw HostError(.refused, "'\(path)' is not a provider this host can load: \(error.text)")
    }
    let isSerial = unsafe table.raw.thread_model == .serial
    let executor = isSerial ? try serialExecutor(of: UInt(bitPattern: pointer)) : nil
    return Provider(path: path, table: table, serialExecutor: executor)
  }

  /// The threads of SERIAL libraries, by the address of their table. One for each library, however often it
  /// is loaded, and like the library for as long as the process lives.
  private static let serialExecutors = Mutex<[UInt: Executor]>([:])

  private static func serialExecutor(of table: UInt) throws(HostError) -> Executor {
    let found = serialExecutors.withLock { executors -> Result<Executor, HostError> in
      if let executor = executors[table] { return .success(executor) }
      do throws(HostError) {
        let executor = try Executor(threads: 1, name: "uffd-serial")
        executors[table] = executor
        return .success(executor)
      } catch {
        return .failure(error)
      }
    }
    return try found.get()
  }

  private static func checkFile(_ path: String) throws(HostError) {
    let info: FileInfo
    do {
      info = try FileInfo(path: path)
    } catch {
      throw HostError(
        .usage, "the provider '\(path)' cannot be opened (\(error.name)); is the path right?")
    }
    guard info.isRegular else {
      throw HostError(
        .usage, "the provider '\(path)' is not a file; give the path of a shared library")
    }
  }

  /// The name that the provider gives itself.
  public var name: String { table.name }
  /// The provider's own version text.
  public var version: String { table.version }
  /// One line about the provider.
  public var summary: String { table.summary }
  /// The ABI that the provider was compiled for.
  public var abiMajor: Int { table.abiMajor }
  public var abiMinor: Int { table.abiMinor }
  /// Size of the provider's table in bytes.
  public var tableSize: Int { table.declaredSize }
  /// The keys that ``Host/open(_:parameters:)`` accepts.
  public var parameters: [ParameterInfo] { table.parameters }
  /// The declared thread model; an instance may be tighter.
  public var threadModel: ThreadModel { unsafe ThreadModel(table.raw.thread_model) ?? .serial }
  /// Capability bits by name (`alloc`, `lend`, `lookup`, `filemap` ...).
  public var operations: [String] {
    Capability.list.filter { unsafe table.raw.operations.rawValue & $0.bit != 0 }.map(\.name)
  }
  /// Hooks that the table has, by name.
  public var hooks: [String] { unsafe table.raw.hookNames }
  /// The kinds of fault that it can serve (`missing`, `wp`, `minor`).
  public var modes: [String] {
    Capability.modes.filter { unsafe table.raw.modes.contains($0.bit) }.map(\.name)
  }
  /// Properties by name (`blocks`, `volatile`, `declarative`).
  public var behaviours: [String] {
    Capability.behaviours.filter { unsafe table.raw.behaviours.contains($0.bit) }.map(\.name)
  }
  /// The kinds of memory that its content may go to.
  public var memoryKinds: [MemoryKind] {
    MemoryKind.allCases.filter { unsafe table.raw.memory_kinds.contains($0.set) }
  }
  /// Granules that it can serve, in bytes, ascending.
  public var granules: [UInt64] {
    (0..<64).map { UInt64(1) << $0 }.filter { unsafe table.raw.granules & $0 != 0 }
  }
}

extension Provider.ThreadModel {
  init?(_ raw: uffd_thread_model) {
    switch raw {
    case .serial: self = .serial
    case .perInstance: self = .perInstance
    case .parallel: self = .parallel
    default: return nil
    }
  }
  /// Orders the models: each allows the host more than the ones below.
  var freedom: Int {
    switch self {
    case .serial: 0
    case .perInstance: 1
    case .parallel: 2
    }
  }
}

extension MemoryKind {
  init?(_ raw: uffd_memory_kind) {
    switch raw {
    case .anon: self = .anon
    case .shmem: self = .shmem
    case .hugetlb: self = .hugetlb
    default: return nil
    }
  }
  var raw: uffd_memory_kind {
    switch self {
    case .anon: .anon
    case .shmem: .shmem
    case .hugetlb: .hugetlb
    }
  }
  var set: uffd_memory_kinds { uffd_memory_kinds(rawValue: 1 << UInt64(raw.rawValue)) }
}
