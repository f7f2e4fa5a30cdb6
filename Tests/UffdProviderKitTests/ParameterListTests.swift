// SPDX-License-Identifier: Apache-2.0

// The values that the contract's kinds SIZE and NUMBER admit.

import Testing
import UffdPluginABI
import UffdProviderKit

struct ParameterListTests {
  @Test(arguments: [
    ("0", 0), ("4096", 4096), ("1K", 1024), ("3M", 3 << 20), ("2G", 2 << 30), ("1T", 1 << 40),
    ("18446744073709551615", UInt64.max), ("16777215T", 16_777_215 << 40),
  ])
  func sizes(text: String, bytes: UInt64) {
    #expect(ParameterList.parseSize(text) == bytes)
  }

  @Test(arguments: [
    "", "K", "1k", "1KB", "1 K", "-1", "+1", "+1K", "1.5M", "0x10", "18446744073709551616",
    "16777216T",
  ])
  func notSizes(text: String) {
    #expect(ParameterList.parseSize(text) == nil)
  }

  @Test(arguments: [
    ("0", 0), ("42", 42), ("0x2a", 42), ("0X2A", 42), ("0xffffffffffffffff", UInt64.max),
  ])
  func numbers(text: String, value: UInt64) {
    #expect(ParameterList.parseNumber(text) == value)
  }

  @Test(arguments: ["", "0x", "2a", "1K", "-1", "+1", "0x+1", "0x10000000000000000"])
  func notNumbers(text: String) {
    #expect(ParameterList.parseNumber(text) == nil)
  }

  @Test func aBadValueIsNamedWithItsKey() throws {
    let list = ParameterList([("size", "12Q"), ("limit", "many")])
    let size = #expect(throws: ProviderError.self) { try list.size("size") }
    #expect(size?.status == .outOfRange)
    #expect(size?.message.hasPrefix("size=12Q is not a size: ") == true)
    let limit = #expect(throws: ProviderError.self) { try list.number("limit") }
    #expect(limit?.message.hasPrefix("limit=many is not a number: ") == true)
    #expect(try list.size("other") == nil)
  }

  @Test func repeatedKeys() {
    let list = ParameterList([("layer", "a"), ("size", "1"), ("layer", "b")])
    #expect(list.strings("layer") == ["a", "b"])
    #expect(list.string("layer") == "b")
  }
}
