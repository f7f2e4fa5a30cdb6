// SPDX-License-Identifier: Apache-2.0
// The descriptors of a hand-off: late, missing, too many, and all closed in the end; and what comes
// after it.
import Testing
import UffdHost

@testable import UffdServer

@Suite("Firecracker: descriptors and what comes after")
struct FirecrackerDescriptorTests {
  private let bytes = RecordedHandoff.v1point12.bytes
  private let regions = RecordedHandoff.v1point12.regions

  /// An inbox with what has arrived.
  private func inbox(_ bytes: [UInt8], _ descriptors: [Descriptor] = [], closed: Bool = false)
    -> Inbox
  {
    var inbox = Inbox()
    inbox.bytes = bytes
    inbox.descriptors = descriptors
    inbox.isClosed = closed
    return inbox
  }

  private func isAttach(_ request: ClientRequest?, _ uffd: Descriptor) -> Bool {
    guard let request, case .attach(let first, regions, let backings, nil) = request.action else {
      return false
    }
    return first === uffd && backings.isEmpty && request.id == 0
  }

  @Test("a pipe tells an open descriptor from none")
  func pipes() {
    let pipe = LivePipe()
    let kept = pipe.descriptors(2)
    withExtendedLifetime(kept) { #expect(!pipe.allAreClosed(patience: 0)) }
    let other = LivePipe()
    _ = other.descriptors(2)
    #expect(other.allAreClosed())
  }

  @Test("a descriptor that comes late is waited for as long as the socket is open")
  func late() throws {
    var firecracker = Firecracker()
    var inbox = inbox(bytes)
    #expect(try firecracker.next(&inbox) == nil)
    #expect(try firecracker.next(&inbox) == nil)
    #expect(inbox.bytes.isEmpty)
    inbox.bytes = Array(" \n".utf8)
    #expect(try firecracker.next(&inbox) == nil)
    let uffd = Descriptor(owning: -1)
    inbox.descriptors = [uffd]
    #expect(isAttach(try firecracker.next(&inbox), uffd))
    #expect(try firecracker.next(&inbox) == nil)
  }

  @Test("a descriptor that comes with the end of the stream is not too late")
  func lateWithEnd() throws {
    var firecracker = Firecracker()
    var inbox = inbox(bytes)
    #expect(try firecracker.next(&inbox) == nil)
    let uffd = Descriptor(owning: -1)
    inbox.descriptors = [uffd]
    inbox.isClosed = true
    #expect(isAttach(try firecracker.next(&inbox), uffd))
  }

  @Test("without a descriptor, the end of the stream is a refusal")
  func none() throws {
    let refusal = Refusal(
      "the hand-off came without a userfaultfd, and the connection was closed; Firecracker sends the descriptor (SCM_RIGHTS) with the first byte of its message"
    )
    var firecracker = Firecracker()
    var whole = inbox(bytes, closed: true)
    #expect(throws: refusal) { try firecracker.next(&whole) }
    var patient = Firecracker()
    var waiting = inbox(bytes)
    #expect(try patient.next(&waiting) == nil)
    waiting.isClosed = true
    #expect(throws: refusal) { try patient.next(&waiting) }
  }

  @Test("while the descriptor is missing, more than white space is a refusal")
  func noise() {
    var firecracker = Firecracker()
    var inbox = inbox(bytes + Array("\n[".utf8))
    #expect(
      throws: Refusal(
        "a byte 0x5b came after the hand-off's array, where Firecracker sends nothing more")
    ) { try firecracker.next(&inbox) }
  }

  @Test("the second descriptor of E2B's fork is closed, and the first is not")
  func memfd() throws {
    let memfd = LivePipe()
    let uffd = Descriptor(owning: -1)
    var firecracker = Firecracker()
    var inbox = inbox(bytes, [uffd] + memfd.descriptors(1))
    #expect(isAttach(try firecracker.next(&inbox), uffd))
    #expect(inbox.descriptors.isEmpty)
    #expect(memfd.allAreClosed())
  }

  @Test("three descriptors are refused at the first byte", arguments: [1, 20, 1000])
  func tooMany(_ length: Int) {
    let pipe = LivePipe()
    var firecracker = Firecracker()
    var inbox = inbox(Array(bytes.prefix(length)), pipe.descriptors(3))
    #expect(
      throws: Refusal(
        "3 descriptors came with the hand-off, where Firecracker sends its userfaultfd and at most one memfd; guest_memfd (secret hiding), which has three, is not served"
      )
    ) { try firecracker.next(&inbox) }
    #expect(inbox.bytes.isEmpty && inbox.descriptors.isEmpty)
    #expect(pipe.allAreClosed())
  }

  @Test("a refused hand-off closes its descriptors, and so does the end of a connection")
  func closing() throws {
    let refused = LivePipe()
    var firecracker = Firecracker()
    var wrong = inbox(Array("[{}]".utf8), refused.descriptors(2))
    #expect(throws: Refusal.self) { try firecracker.next(&wrong) }
    #expect(refused.allAreClosed())

    let cutShort = LivePipe()
    do {
      var half = inbox(Array(bytes.dropLast()), cutShort.descriptors(1))
      var firecracker = Firecracker()
      #expect(try firecracker.next(&half) == nil)
    }
    #expect(cutShort.allAreClosed())
  }

  @Test("what comes after the hand-off is told once, and dropped ever after")
  func after() throws {
    for noise in ["]", "x", "[{}]", "\u{0}"] {
      var firecracker = Firecracker()
      let uffd = Descriptor(owning: -1)
      // In the same message: the hand-off is complete, and stays so.
      var inbox = inbox(bytes + Array((" " + noise).utf8), [uffd])
      #expect(isAttach(try firecracker.next(&inbox), uffd))
      #expect(throws: Refusal.self) { try firecracker.next(&inbox) }
      let pipe = LivePipe()
      for closed in [false, true] {
        inbox.bytes = Array(noise.utf8)
        inbox.descriptors = pipe.descriptors(3)
        inbox.isClosed = closed
        #expect(try firecracker.next(&inbox) == nil)
        #expect(inbox.bytes.isEmpty && inbox.descriptors.isEmpty)
      }
      #expect(pipe.allAreClosed())
    }
  }

  @Test("a descriptor after the hand-off is told and closed; white space and the end are nothing")
  func descriptorAfter() throws {
    let pipe = LivePipe()
    var firecracker = Firecracker()
    var inbox = inbox(bytes, [Descriptor(owning: -1)])
    #expect(try firecracker.next(&inbox) != nil)
    inbox.bytes = Array(" \r\n".utf8)
    inbox.isClosed = true
    #expect(try firecracker.next(&inbox) == nil)
    #expect(inbox.bytes.isEmpty)
    inbox.descriptors = pipe.descriptors(1)
    #expect(
      throws: Refusal("a descriptor came after the hand-off, where Firecracker sends nothing more")
    ) { try firecracker.next(&inbox) }
    #expect(pipe.allAreClosed())
  }
}
