// SPDX-License-Identifier: Apache-2.0

// What `pattern=SEED` means: content that anybody can compute from a byte offset alone, so that any
// part of an object can be made, and verified, without the rest. The providers fill pages with it on
// the fault path; the command's verification computes it a second time. Pure, any thread.

/// Content computed from a seed and a byte offset.
///
/// The object is a row of 64-bit little-endian words, one per 8 bytes. Word `k`, which fills the bytes
/// `8k ..< 8k + 8`, is output number `k + 1` of the generator splitmix64 that starts at `seed`:
///
/// ```c
/// uint64_t word(uint64_t seed, uint64_t k) {
///   uint64_t z = seed + (k + 1) * 0x9e3779b97f4a7c15u;
///   z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
///   z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
///   return z ^ (z >> 31);
/// }
/// ```
///
/// so the byte at offset `i` is `word(seed, i / 8) >> (i % 8 * 8) & 0xff`. No granule takes part in it:
/// the bytes are the same whatever the size of a page.
public struct Pattern: Sendable, Equatable {
  public let seed: UInt64

  @inlinable
  public init(seed: UInt64) {
    self.seed = seed
  }

  /// The word that fills the bytes from `8 * index`.
  @inlinable
  public func word(_ index: UInt64) -> UInt64 {
    Pattern.mix(state(before: index) &+ Pattern.step)
  }

  /// The byte at `offset`.
  @inlinable
  public func byte(at offset: UInt64) -> UInt8 {
    UInt8(truncatingIfNeeded: word(offset / 8) >> (offset % 8 * 8))
  }

  /// Writes the content of the bytes from `offset` on to the whole of `buffer`.
  @inlinable
  public func fill(_ buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) {
    guard let base = buffer.baseAddress else { return }
    let length = buffer.count
    var index = 0
    while index < length, (offset &+ UInt64(index)) % 8 != 0 {
      unsafe base.storeBytes(
        of: byte(at: offset &+ UInt64(index)), toByteOffset: index, as: UInt8.self)
      index += 1
    }
    var state = state(before: (offset &+ UInt64(index)) / 8)
    while index &+ 8 <= length {
      state = state &+ Pattern.step
      unsafe base.storeBytes(
        of: Pattern.mix(state).littleEndian, toByteOffset: index, as: UInt64.self)
      index = index &+ 8
    }
    while index < length {
      unsafe base.storeBytes(
        of: byte(at: offset &+ UInt64(index)), toByteOffset: index, as: UInt8.self)
      index += 1
    }
  }

  /// Where `buffer` first differs from the content of the bytes from `offset` on, as an index into
  /// `buffer`; nil if nowhere.
  @inlinable
  public func firstDifference(in buffer: UnsafeRawBufferPointer, at offset: UInt64) -> Int? {
    guard let base = buffer.baseAddress else { return nil }
    let length = buffer.count
    var index = 0
    while index < length, (offset &+ UInt64(index)) % 8 != 0 {
      guard
        unsafe base.load(fromByteOffset: index, as: UInt8.self)
          == byte(at: offset &+ UInt64(index))
      else { return index }
      index += 1
    }
    var state = state(before: (offset &+ UInt64(index)) / 8)
    while index &+ 8 <= length {
      state = state &+ Pattern.step
      let found = unsafe base.loadUnaligned(fromByteOffset: index, as: UInt64.self)
      let difference = UInt64(littleEndian: found) ^ Pattern.mix(state)
      guard difference == 0 else { return index + difference.trailingZeroBitCount / 8 }
      index = index &+ 8
    }
    while index < length {
      guard
        unsafe base.load(fromByteOffset: index, as: UInt8.self)
          == byte(at: offset &+ UInt64(index))
      else { return index }
      index += 1
    }
    return nil
  }

  /// Whether `buffer` holds exactly the content of the bytes from `offset` on.
  @inlinable
  public func matches(_ buffer: UnsafeRawBufferPointer, at offset: UInt64) -> Bool {
    unsafe firstDifference(in: buffer, at: offset) == nil
  }

  /// The state of the generator before it makes word `index`; one `step` per word.
  @inlinable
  func state(before index: UInt64) -> UInt64 {
    seed &+ index &* Pattern.step
  }

  @inlinable
  static var step: UInt64 { 0x9e37_79b9_7f4a_7c15 }

  /// The finaliser of splitmix64.
  @inlinable
  static func mix(_ state: UInt64) -> UInt64 {
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
