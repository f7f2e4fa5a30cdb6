// SPDX-License-Identifier: Apache-2.0
// How long hooks took, for the checks of promises not to block. Any thread.

final class HookTimes: @unchecked Sendable {
  static let shared = HookTimes()
  private let lock = Lock()
  private var times: [String: [UInt64]] = [:]

  /// Off, but for the checks of promptness: a record takes memory, which the leak checks count.
  nonisolated(unsafe) var isOn = false

  func record(_ hook: StaticString, _ nanoseconds: UInt64) {
    guard unsafe isOn else { return }
    let name = hook.description
    lock.held {
      if times[name]?.count ?? 0 < 4096 {
        times[name, default: []].append(nanoseconds)
      }
    }
  }

  func forget() { lock.held { times = [:] } }

  /// The middle of the times that `hook` took, or nil if it was not called.
  func median(_ hook: String) -> UInt64? {
    lock.held {
      guard let all = times[hook], !all.isEmpty else { return nil }
      return all.sorted()[all.count / 2]
    }
  }
}
