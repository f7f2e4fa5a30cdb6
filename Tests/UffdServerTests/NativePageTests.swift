// SPDX-License-Identifier: Apache-2.0
// The protocol's page, the codec and the recorded frames say the same.
import Testing
import UffdHost

@testable import UffdServer

@Suite("Native: the page")
struct NativePageTests {
  let page: NativePage
  init() throws { page = try NativePage() }

  @Test("structs follow from their fields, and are as long as the codec says")
  func layouts() {
    let sizes = [
      "Header": NativeWire.headerBytes, "HELLO": NativeHello.size, "ATTACH": NativeRegions.size,
      "Region": NativeRegions.stride, "REMOVE_REGION": NativeRange.size,
      "Plain requests": NativePlain.size, "DONE": 16, "REFUSED": 16, "PROGRESS answer": 128,
      "STATUS answer": 16,
    ]
    for (heading, size) in sizes {
      let layout = page.layout(heading)
      #expect(layout.size == size, "\(heading)")
      var end = 0
      for field in layout.fields {
        #expect(field.offset == end, "\(heading).\(field.name)")
        end += field.width ?? -1
      }
      #expect(end == size, "\(heading)")
    }
  }

  /// The server's HELLO goes on where the common one ends.
  @Test("what the server's HELLO adds is where the page says")
  func serverHello() {
    let hello = Array(NativeHello.greeting(NativeRecords.object)[(8 + NativeWire.headerBytes)...])
    let fields = NativeFields(hello[...])
    let more = page.layout("The server's HELLO").fields
    #expect(more.map(\.name) == ["object_size", "page_size"])
    #expect(more.first?.offset == NativeHello.size && hello.count == NativeHello.serverSize)
    #expect(fields.u64(more[0].offset) == 0x4000_0800 && fields.u64(more[1].offset) == 4096)
    #expect(fields.u32(0) == UInt32(hello.count))
  }

  /// Written by the page's tables, read by the codec.
  @Test("what is written at the page's offsets is read from there")
  func offsets() throws {
    let region = bytes(
      "Region",
      [
        "start": 0x7f00_0000_0000, "length": 0x60_0000, "offset": 0x80_0000, "page_size": 0x20_0000,
        "flags": 0x3, "modes": 5, "backing": 0,
      ])
    let attach = bytes("ATTACH", ["size": 24, "count": 1, "stride": 48, "backings": 1]) + region
    let remove = bytes("REMOVE_REGION", ["size": 24, "start": 0x1000, "length": 0x3000])
    let hello = bytes(
      "HELLO",
      [
        "size": 24, "version_min": 1, "version_max": 4, "max_frame": 8192, "max_descriptors": 0,
      ])
    var connection = NativeConnection()
    let stream =
      NativeWire.magic + frame("HELLO", hello, id: 1)
      + frame("ATTACH", attach, descriptors: 2, id: 0x0102_0304_0506_0708)
      + frame("REMOVE_REGION", remove, id: 3)
      + ["PROGRESS", "DRAIN", "DETACH", "STATUS"].flatMap { name in
        frame(name, bytes("Plain requests", ["size": 8]), id: 4)
      }
    let outcome = connection.deliver(stream, [nativeDescriptor(), nativeDescriptor()])
    let expected = ClientRegion(
      start: 0x7f00_0000_0000, length: 0x60_0000, offset: 0x80_0000, pageSize: 0x20_0000,
      sharing: .shared, isMinor: true, backing: 0, strayPages: .areContent)
    #expect(outcome.refusal == nil)
    #expect(
      outcome.requests.map(\.said) == [
        "\(0x0102_0304_0506_0708) attach \([expected]) 1", "3 remove 4096 12288", "4 progress",
        "4 drain", "4 detach", "4 status",
      ])
    // The client's largest frame came from where the page says.
    let status = connection.dialect.encode(.status(String(repeating: "x", count: 9000)), to: 1)
    #expect(NativeHeader(status)?.length == 8192)
  }

  @Test("kinds, codes, capabilities and limits are the page's")
  func numbers() throws {
    let kinds = page.table("kind")
    #expect(
      kinds.filter { $0[2] == "client" }.map { "\($0[0]) \($0[1])" }
        == NativeWire.Kind.allCases.map { "0x" + padded($0.rawValue) + " " + $0.name })
    #expect(
      kinds.filter { $0[2] == "server" }.map { $0[0] }
        == NativeWire.Answer.allCases.map { "0x" + padded($0.rawValue) })
    #expect(kinds.count == NativeWire.Kind.allCases.count + NativeWire.Answer.allCases.count)
    #expect(page.table("code").map { $0[0] } == NativeWire.Code.allCases.map { "\($0.rawValue)" })
    #expect(page.table("capability").map { $0[0] } == ["0x1", "0x2", "0x4"])
    #expect(NativeWire.capabilities.rawValue == 7)
    let limits = page.layout("Header").fields.count == 4 ? page.table("offset") : []
    #expect(limits.first?[3].contains("24 to \(NativeWire.mostFrameBytes)") == true)
    #expect(limits.dropFirst(2).first?[3].contains("0 to \(NativeWire.mostDescriptors)") == true)
  }

  /// The page's bytes are the record: whoever changes the codec has to change them by hand.
  @Test("recorded frames")
  func recorded() {
    let frames = page.frames
    let expected = NativeRecords.all
    #expect(frames.map(\.name) == expected.map(\.name))
    for (frame, (name, bytes)) in zip(frames, expected) {
      #expect(frame.bytes == bytes, "\(name):\n\(NativeRecords.dump(bytes))")
    }
  }

  private func padded(_ value: UInt16) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 4 - digits.count) + digits
  }

  /// A struct of the page with these fields, and zero in all others.
  private func bytes(_ heading: String, _ values: [String: UInt64]) -> [UInt8] {
    let layout = page.layout(heading)
    var bytes = [UInt8](repeating: 0, count: layout.size)
    var left = values
    for field in layout.fields {
      guard let value = left.removeValue(forKey: field.name) else { continue }
      for index in 0..<(field.width ?? 0) {
        bytes[field.offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index))
      }
    }
    #expect(left.isEmpty, "\(heading) has no \(left.keys)")
    return bytes
  }

  private func frame(
    _ kind: String, _ body: [UInt8], descriptors: UInt64 = 0, id: UInt64
  ) -> [UInt8] {
    let number = page.table("kind").first { $0[1] == kind }?[0] ?? "0x0"
    let header = bytes(
      "Header",
      [
        "length": UInt64(16 + body.count), "kind": UInt64(number.dropFirst(2), radix: 16) ?? 0,
        "descriptors": descriptors, "id": id,
      ])
    return header + body
  }
}
