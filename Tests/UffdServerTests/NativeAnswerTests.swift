// SPDX-License-Identifier: Apache-2.0
// What the native dialect writes: limits, cuts, and every number in its place.
import Testing
import UffdHost

@testable import UffdServer

@Suite("Native: answers")
struct NativeAnswerTests {
  @Test("every number of the progress is where the page says")
  func progress() throws {
    let layout = try NativePage().layout("PROGRESS answer")
    let bytes = NativeAnswers.progress(NativeRecords.progress, id: 1)
    let fields = NativeFields(bytes[NativeWire.headerBytes...])
    let expected: [String: UInt64] = [
      "size": 128, "phase": 2, "bytes": 0xC000, "missing": 0x3000, "resident": 0x2000,
      "poisoned": 0x3000, "discarded": 0x4000, "regions": 2, "faults_missing": 11,
      "faults_minor": 12, "faults_wp": 13, "copied": 14, "zeroed": 15, "continued": 16,
      "poisoned_by_server": 17, "parked": 18, "given_up": 19,
    ]
    #expect(layout.fields.count == expected.count)
    for field in layout.fields {
      let value = field.width == 4 ? UInt64(fields.u32(field.offset)) : fields.u64(field.offset)
      #expect(value == expected[field.name], "\(field.name)")
    }
  }

  @Test("phases")
  func phases() {
    let phases: [ClientProgress.Phase] = [.serving, .draining, .drained, .detached, .gone]
    for (index, phase) in phases.enumerated() {
      var progress = ClientProgress()
      progress.phase = phase
      let bytes = NativeAnswers.progress(progress, id: 1)
      #expect(NativeFields(bytes[16...]).u32(4) == UInt32(index + 1))
    }
  }

  @Test("a long status comes in frames that the client takes, and is whole")
  func longStatus() throws {
    let json = "{\"é\": \"" + String(repeating: "0123456789é", count: 1500) + "\"}"
    var rest = NativeAnswers.status(json, mostFrameBytes: 4096, id: 9)[...]
    var text: [UInt8] = []
    var isMore = true
    while isMore {
      let header = try #require(NativeHeader(Array(rest)))
      #expect(header.kind == 0x8005 && header.id == 9 && header.length <= 4096)
      let body = NativeFields(rest.dropFirst(16))
      text += rest.dropFirst(32).prefix(Int(body.u32(8)))
      isMore = body.u32(4) == 1
      rest = rest.dropFirst(Int(header.length))
    }
    #expect(rest.isEmpty)
    #expect(String(validating: text, as: UTF8.self) == json)
  }

  @Test("a status without a text is one frame", arguments: [0, 4064, 4065])
  func framesOfStatus(count: Int) {
    let bytes = NativeAnswers.status(
      String(repeating: "x", count: count), mostFrameBytes: 4096, id: 1)
    #expect(bytes.count == count + 32 * (count > 4064 ? 2 : 1))
  }

  @Test("a reason that is too long loses its end, between two characters")
  func longReason() {
    for start in 0..<3 {
      let reason = String(repeating: "-", count: start) + String(repeating: "€", count: 1000)
      let bytes = NativeAnswers.refused(reason, .request, id: 1)
      let text = String(validating: bytes.dropFirst(32), as: UTF8.self)
      #expect(text != nil && reason.hasPrefix(text ?? "?"))
      #expect(bytes.count - 32 <= 1024 && bytes.count - 32 > 1020)
    }
  }
}
