// SPDX-License-Identifier: Apache-2.0

// What a provider says about itself, as Swift values. ProviderTable turns it into the C table once.

public import UffdPluginABI

/// One key that the user may give. The corresponding C type is `uffd_parameter_info`.
public struct ParameterDescription: Sendable {
  public let key: StaticString
  public let kind: uffd_parameter_kind
  /// One line for `--help`.
  public let help: StaticString
  /// For people: what holds if the key is not given.
  public let defaultValue: StaticString?
  public let flags: uffd_parameter_flags

  public init(
    _ key: StaticString, _ kind: uffd_parameter_kind, help: StaticString,
    defaultValue: StaticString? = nil, flags: uffd_parameter_flags = []
  ) {
    self.key = key
    self.kind = kind
    self.help = help
    self.defaultValue = defaultValue
    self.flags = flags
  }
}

/// The sizes of granule that a provider can serve. The corresponding C values are `UFFD_GRANULE_*`.
public struct Granules: OptionSet, Sendable {
  public let rawValue: UInt64

  public init(rawValue: UInt64) {
    self.rawValue = rawValue
  }

  public static let size4K = Granules(rawValue: UInt64(UFFD_GRANULE_4K))
  public static let size2M = Granules(rawValue: UInt64(UFFD_GRANULE_2M))
  public static let size1G = Granules(rawValue: UInt64(UFFD_GRANULE_1G))
}

/// What a provider is and can do. The corresponding C type is `uffd_provider`, without the hooks:
/// these follow from `operations`, so that the two cannot disagree.
public struct ProviderDescription: Sendable {
  /// `[a-z][a-z0-9-]*`
  public let name: StaticString
  public let version: StaticString
  /// One line for people.
  public let summary: StaticString
  public let operations: uffd_operations
  /// The kinds of fault it can serve.
  public let modes: uffd_modes
  /// The kinds of memory that its content may go to.
  public let memoryKinds: uffd_memory_kinds
  public let granules: Granules
  public let behaviours: uffd_behaviours
  public let threadModel: uffd_thread_model
  public let parameters: [ParameterDescription]

  public init(
    name: StaticString, version: StaticString, summary: StaticString,
    operations: uffd_operations, modes: uffd_modes, memoryKinds: uffd_memory_kinds,
    granules: Granules, behaviours: uffd_behaviours = [],
    threadModel: uffd_thread_model = .serial, parameters: [ParameterDescription] = []
  ) {
    self.name = name
    self.version = version
    self.summary = summary
    self.operations = operations
    self.modes = modes
    self.memoryKinds = memoryKinds
    self.granules = granules
    self.behaviours = behaviours
    self.threadModel = threadModel
    self.parameters = parameters
  }
}

/// What `configComplete()` declares. The corresponding C type is `uffd_traits`.
public struct ProviderTraits: Sendable {
  /// Bytes, at least 1; the tail of the last granule reads zero.
  public var objectSize: UInt64
  /// Bytes; one of those that the description names.
  public var granule: UInt64
  /// Of the backing, or `anon`.
  public var memoryKind: uffd_memory_kind
  public var backing: uffd_backing
  /// `unchanged`, or tighter than the description's.
  public var threadModel: uffd_thread_model = .unchanged
  /// Hooks of this instance may wait.
  public var mayBlock = false
  public var fileRole: uffd_file_role = .unused
  /// A declared parameter of kind FILE.
  public var fileKey: StaticString? = nil
  public var hole: uffd_hole = .refuse
  /// Names the content: equal ids promise equal bytes at every pgoff. Zero: no promise.
  public var contentID: (high: UInt64, low: UInt64) = (0, 0)

  public init(
    objectSize: UInt64, granule: UInt64, memoryKind: uffd_memory_kind, backing: uffd_backing
  ) {
    self.objectSize = objectSize
    self.granule = granule
    self.memoryKind = memoryKind
    self.backing = backing
  }
}
