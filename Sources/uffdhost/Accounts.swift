// SPDX-License-Identifier: Apache-2.0
// Users and groups by name or number (getpwnam(3), getgrnam(3)). The control thread, before any
// other is started.
import Glibc
import UffdHost
import UffdReport
import UffdServer

enum Accounts {
  static func owner(_ owner: ServeOptions.Owner) throws(HostError) -> SocketOwner {
    SocketOwner(
      uid: try owner.user.map { (text) throws(HostError) in try user(text) },
      gid: try owner.group.map { (text) throws(HostError) in try group(text) })
  }

  static func user(_ text: String) throws(HostError) -> UInt32 {
    if let number = number(text) { return number }
    guard let entry = unsafe getpwnam(text) else {
      throw .usage(
        "there is no user \(text.quoted); give a name that the system knows, or a number")
    }
    return unsafe entry.pointee.pw_uid
  }

  private static func group(_ text: String) throws(HostError) -> UInt32 {
    if let number = number(text) { return number }
    guard let entry = unsafe getgrnam(text) else {
      throw .usage(
        "there is no group \(text.quoted); give a name that the system knows, or a number")
    }
    return unsafe entry.pointee.gr_gid
  }

  /// A name, a number, or `FIRST-LAST`.
  static func users(_ text: String) throws(HostError) -> ClosedRange<UInt32> {
    let ends = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
    if ends.count == 2, let first = number(String(ends[0])), let last = number(String(ends[1])) {
      guard first <= last else {
        throw .usage("'--allow-uid \(text)' is no range: its end comes before its beginning")
      }
      return first...last
    }
    let only = try user(text)
    return only...only
  }

  /// 2^32 - 1 is no user: chown(2) takes it for "leave it as it is".
  private static func number(_ text: String) -> UInt32? {
    guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    return UInt32(text).flatMap { $0 == .max ? nil : $0 }
  }
}
