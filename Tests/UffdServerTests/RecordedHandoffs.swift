// SPDX-License-Identifier: Apache-2.0
// What each generation of Firecracker puts on the socket: its structure's fields in their order,
// without a space, as serde_json writes them. The addresses are examples.
import Testing
import UffdHost

struct RecordedHandoff: Sendable, CustomTestStringConvertible {
  let name: String
  let text: String
  /// How many descriptors come with the first byte.
  var descriptors = 1
  /// The client closes the socket behind its message.
  var closes = false
  let regions: [ClientRegion]

  var bytes: [UInt8] { Array(text.utf8) }
  var testDescription: String { name }

  /// The three fields of v1.1 to v1.6.
  static let v1point1 = RecordedHandoff(
    name: "v1.1, 128 MiB",
    text: #"[{"base_host_virt_addr":140245934653440,"size":134217728,"offset":0}]"#,
    closes: true,
    regions: [ClientRegion(start: 140_245_934_653_440, length: 128 << 20, offset: 0)])

  static let v1point6 = RecordedHandoff(
    name: "v1.6, 4 GiB around the gap below 4 GiB",
    text:
      #"[{"base_host_virt_addr":139898015416320,"size":3489660928,"offset":0},{"base_host_virt_addr":139897210109952,"size":805306368,"offset":3489660928}]"#,
    closes: true,
    regions: [
      ClientRegion(start: 139_898_015_416_320, length: 3_489_660_928, offset: 0),
      ClientRegion(start: 139_897_210_109_952, length: 805_306_368, offset: 3_489_660_928),
    ])

  /// The page size in bytes, under a name that says KiB.
  static let v1point7 = RecordedHandoff(
    name: "v1.7, 4 KiB pages",
    text:
      #"[{"base_host_virt_addr":140111840346112,"size":268435456,"offset":0,"page_size_kib":4096}]"#,
    closes: true,
    regions: [ClientRegion(start: 140_111_840_346_112, length: 256 << 20, offset: 0)])

  static let v1point11 = RecordedHandoff(
    name: "v1.11, 2 MiB pages",
    text:
      #"[{"base_host_virt_addr":139637976727552,"size":3489660928,"offset":0,"page_size_kib":2097152},{"base_host_virt_addr":139641466388480,"size":2147483648,"offset":3489660928,"page_size_kib":2097152}]"#,
    closes: true,
    regions: [
      ClientRegion(
        start: 139_637_976_727_552, length: 3_489_660_928, offset: 0, pageSize: 2 << 20),
      ClientRegion(
        start: 139_641_466_388_480, length: 2 << 30, offset: 3_489_660_928, pageSize: 2 << 20),
    ])

  /// Both names, and a socket that stays open.
  static let v1point12 = RecordedHandoff(
    name: "v1.12, 4 KiB pages",
    text:
      #"[{"base_host_virt_addr":140432215187456,"size":536870912,"offset":0,"page_size":4096,"page_size_kib":4096}]"#,
    regions: [ClientRegion(start: 140_432_215_187_456, length: 512 << 20, offset: 0)])

  static let v1point16 = RecordedHandoff(
    name: "v1.16, 2 MiB pages, memory to hotplug",
    text:
      #"[{"base_host_virt_addr":140050977259520,"size":1073741824,"offset":0,"page_size":2097152,"page_size_kib":2097152},{"base_host_virt_addr":140048829775872,"size":1073741824,"offset":1073741824,"page_size":2097152,"page_size_kib":2097152},{"base_host_virt_addr":140049903517696,"size":1073741824,"offset":2147483648,"page_size":2097152,"page_size_kib":2097152}]"#,
    regions: [
      ClientRegion(start: 140_050_977_259_520, length: 1 << 30, offset: 0, pageSize: 2 << 20),
      ClientRegion(start: 140_048_829_775_872, length: 1 << 30, offset: 1 << 30, pageSize: 2 << 20),
      ClientRegion(start: 140_049_903_517_696, length: 1 << 30, offset: 2 << 30, pageSize: 2 << 20),
    ])

  /// The array of v1.7 to v1.11, and a memfd behind the userfaultfd.
  static let e2b = RecordedHandoff(
    name: "E2B's fork, with the memfd of its guest memory",
    text:
      #"[{"base_host_virt_addr":139767421337600,"size":536870912,"offset":0,"page_size_kib":2097152}]"#,
    descriptors: 2,
    regions: [
      ClientRegion(
        start: 139_767_421_337_600, length: 512 << 20, offset: 0, pageSize: 2 << 20)
    ])

  /// What is announced for 2.0: without the misnamed field.
  static let withoutOldName = RecordedHandoff(
    name: "without page_size_kib",
    text:
      #"[{"base_host_virt_addr":140432215187456,"size":536870912,"offset":0,"page_size":4096}]"#,
    regions: [ClientRegion(start: 140_432_215_187_456, length: 512 << 20, offset: 0)])

  static let all = [
    v1point1, v1point6, v1point7, v1point11, v1point12, v1point16, e2b, withoutOldName,
  ]
}
