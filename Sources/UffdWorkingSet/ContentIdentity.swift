// SPDX-License-Identifier: Apache-2.0
// Which content a working set belongs to. A replay never changes what
// anybody reads, for the bytes are the provider's of today; but pages of another image are the wrong ones
// to fetch first, and a user who replays them has made a mistake that nothing else would show.

/// A name of an object's content. Equal names: the same content, as far as can be told without reading it
/// all.
public enum ContentIdentity: Sendable, Equatable {
  /// The provider promises that equal names mean equal bytes (`uffd_traits.content_id_high`,
  /// `content_id_low`).
  case named(high: UInt64, low: UInt64)
  /// No such promise: hashes of how the instance was configured, and of samples of its bytes.
  case described(configuration: UInt64, content: UInt64)

  /// What of a parameter says which content is served.
  public enum Trait: Sendable, Equatable {
    case text(String)
    /// The value is a file: not its name, which may be written in many ways, but what stat(2) says.
    case file(size: UInt64, modifiedNanoseconds: UInt64)
  }

  /// Describes an instance whose provider gives its content no name. `samples` are the bytes that were
  /// read, in ascending order; empty for content that is not the same from one reading to the next.
  public static func describing(
    provider: String, parameters: [(key: String, trait: Trait)], samples: [[UInt8]]
  ) -> ContentIdentity {
    var configuration = FNV1a()
    configuration.add(provider.utf8)
    configuration.add([0])
    // Stable: a repeated key keeps the order of its values, which may matter.
    for (_, parameter) in parameters.enumerated()
      .sorted(by: { ($0.element.key, $0.offset) < ($1.element.key, $1.offset) })
    {
      configuration.add(parameter.key.utf8)
      switch parameter.trait {
      case .text(let text):
        configuration.add([1])
        configuration.add(text.utf8)
      case .file(let size, let modified):
        configuration.add([2])
        configuration.add(size)
        configuration.add(modified)
      }
      configuration.add([0])
    }
    var content = FNV1a()
    for sample in samples { content.add(sample) }
    return .described(configuration: configuration.value, content: content.value)
  }

  /// Where samples are taken from an object of `granules`: 64 places, the first and the last among them.
  public static func samplePlaces(granules: UInt64) -> [UInt64] {
    if granules <= 64 { return Array(0..<granules) }
    // Multiplied in full width: an object may have 2^51 granules.
    return (0..<64 as Range<UInt64>).map { place in
      let (high, low) = (granules - 1).multipliedFullWidth(by: place)
      return UInt64(63).dividingFullWidth((high, low)).quotient
    }
  }
  /// Bytes of each sampled granule that count.
  public static let sampleLength = 4096
}
