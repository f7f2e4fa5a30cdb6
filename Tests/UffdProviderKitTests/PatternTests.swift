// SPDX-License-Identifier: Apache-2.0

// The pattern against the published outputs of splitmix64 and against itself, byte by byte.

import Testing
import UffdPattern

struct PatternTests {
  @Test func wordsAreThePublishedOutputsOfSplitmix64() {
    let pattern = Pattern(seed: 1_234_567)
    let published: [UInt64] = [
      6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
      4_593_380_528_125_082_431, 16_408_922_859_458_223_821,
    ]
    #expect((0..<5).map { pattern.word($0) } == published)
  }

  @Test func bytesAreLittleEndian() {
    let pattern = Pattern(seed: 1_234_567)
    var word = pattern.word(1)
    for offset in 8..<16 as Range<UInt64> {
      #expect(pattern.byte(at: offset) == UInt8(word % 256))
      word /= 256
    }
  }

  @Test(arguments: [0, 1, 7, 8, 9, 4095, 1 << 40], [0, 1, 7, 8, 17, 64, 4096])
  func anyRangeIsMadeOfTheSameBytes(offset: Int, length: Int) {
    let pattern = Pattern(seed: 99)
    var made = [UInt8](repeating: 0, count: length)
    unsafe made.withUnsafeMutableBytes { unsafe pattern.fill($0, at: UInt64(offset)) }
    #expect(made == (0..<length).map { pattern.byte(at: UInt64(offset + $0)) })
  }

  @Test(arguments: [0, 3, 8, 4093]) func aChangedByteIsFound(offset: Int) {
    let pattern = Pattern(seed: 5)
    var bytes = [UInt8](repeating: 0, count: 100)
    unsafe bytes.withUnsafeMutableBytes { unsafe pattern.fill($0, at: UInt64(offset)) }
    #expect(unsafe bytes.withUnsafeBytes { unsafe pattern.matches($0, at: UInt64(offset)) })
    for index in bytes.indices {
      bytes[index] ^= 0x80
      let found = unsafe bytes.withUnsafeBytes {
        unsafe pattern.firstDifference(in: $0, at: UInt64(offset))
      }
      #expect(found == index)
      bytes[index] ^= 0x80
    }
  }

  @Test func seedsDiffer() {
    #expect(Pattern(seed: 1).word(0) != Pattern(seed: 2).word(0))
  }
}
