// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import uffdhost

private let counts: [UInt64] =
  Array(0...66) + [
    100, 127, 128, 129, 1000, 1023, 1024, 1025, 4095, 4097, 65_535, 65_536, 65_537, 100_003,
  ]

private func touches(_ order: AccessOrder, threads: Int) -> [[UInt64]] {
  (0..<threads).map { Array(order.share(ofThread: $0, of: threads)) }
}

@Test(arguments: [AccessPattern.sequential, .random], [1, 2, 3, 8])
func `every granule is touched exactly once`(pattern: AccessPattern, threads: Int) {
  for count in counts {
    let order = AccessOrder(pattern: pattern, count: count, seed: count ^ 99)
    let all = touches(order, threads: threads).joined().sorted()
    #expect(all.elementsEqual(0..<count), "\(pattern) of \(count)")
  }
}

@Test func `the shares of a sequential order are contiguous slices in order`() {
  let order = AccessOrder(pattern: .sequential, count: 10, seed: 1)
  #expect(touches(order, threads: 3) == [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]])
  #expect(touches(order, threads: 11).last == [])
}

@Test func `a seed fixes the order and another seed gives another`() {
  for pattern in [AccessPattern.random, .zipf] {
    let first = touches(AccessOrder(pattern: pattern, count: 5000, seed: 1), threads: 2)
    #expect(first == touches(AccessOrder(pattern: pattern, count: 5000, seed: 1), threads: 2))
    #expect(first != touches(AccessOrder(pattern: pattern, count: 5000, seed: 2), threads: 2))
    #expect(first[0] != first[1])
  }
}

@Test func `a random order has no neighbours and fills the range evenly`() {
  for count: UInt64 in [4096, 100_003] {
    let order = Array(
      AccessOrder(pattern: .random, count: count, seed: 3).share(ofThread: 0, of: 1))
    let neighbours = zip(order, order.dropFirst()).filter { $1 == $0 &+ 1 || $0 == $1 &+ 1 }.count
    // 2 are expected of a true random permutation.
    #expect(neighbours < 30, "\(count)")
    // The first quarter of the walk must visit all sixteenths of the range about equally.
    var visits = [Int](repeating: 0, count: 16)
    for index in order.prefix(Int(count / 4)) { visits[Int(index * 16 / count)] += 1 }
    let expected = Int(count) / 64
    #expect(visits.allSatisfy { abs($0 - expected) < expected / 2 }, "\(visits)")
  }
}

@Test func `a permutation of very many granules stays inside`() {
  for count: UInt64 in [1 << 40, (1 << 52) - 1, .max] {
    let permutation = Permutation(count: count, seed: 5)
    var seen = Set<UInt64>()
    for index in (0..<1000).map({ UInt64($0) * (count / 1000) }) {
      #expect(permutation[index] < count)
      seen.insert(permutation[index])
    }
    #expect(seen.count == 1000)
  }
}

@Test func `zipf draws as many as there are granules, with the skew of its exponent`() {
  let count: UInt64 = 100_000
  let all = touches(AccessOrder(pattern: .zipf, count: count, seed: 4), threads: 4).joined()
  #expect(all.count == Int(count))
  #expect(all.allSatisfy { $0 < count })
  var hits: [UInt64: Int] = [:]
  for index in all { hits[index, default: 0] += 1 }
  // With H = sum of k^-0.99 over 100,000 ranks = 12.78: rank 1 has 7.8 % of the draws, and
  // some 25,200 ranks are drawn at all.
  let permutation = Permutation(count: count, seed: 4)
  let expectations: [(rank: UInt64, draws: Double)] = [(1, 7826), (2, 3940), (10, 801), (100, 82)]
  for (rank, draws) in expectations {
    let seen = Double(hits[permutation[rank - 1]] ?? 0)
    #expect(abs(seen - draws) < 5 * draws.squareRoot(), "rank \(rank): \(seen) of \(draws)")
  }
  #expect((24_500..<26_000).contains(hits.count), "\(hits.count)")
}

@Test func `zipf of one granule and of very many ends`() {
  #expect(Array(AccessOrder(pattern: .zipf, count: 1, seed: 0).share(ofThread: 0, of: 1)) == [0])
  var zipf = Zipf(count: .max, generator: SplitMix(state: 8))
  for _ in 0..<1000 { #expect((1...UInt64.max).contains(zipf.next())) }
}
