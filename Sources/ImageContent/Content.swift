// SPDX-License-Identifier: Apache-2.0

// The content of an instance: an image or a pattern, and how large. Made from the parameters on the
// control thread; constant afterwards, so that any number of threads may ask it.

internal import UffdPattern
public import UffdPluginABI
public import UffdProviderKit

/// What the parameters `image=`, `pattern=` and `size=` say.
public final class Content {
  /// Bytes.
  public let objectSize: UInt64
  public let contentID: (high: UInt64, low: UInt64)
  /// Bytes; no question may have a larger granule.
  public let largestGranule: UInt64
  private let image: MappedImage?
  private let pattern: Pattern

  /// A process has no more addresses than this.
  private static let largestObject: UInt64 = 1 << 47

  /// The keys that every provider with this content declares.
  public static let parameters = [
    ParameterDescription(
      "image", .file,
      help: "content: this file or block device; zeroes beyond its end. Holes are not read"),
    ParameterDescription(
      "pattern", .number,
      help: "content: computed from this seed and the offset, for tests. Needs size="),
    ParameterDescription(
      "size", .size,
      help: "size of the object; may cut the image off, or go beyond it with zeroes",
      defaultValue: "the size of the image"),
  ]

  /// `granule` is the instance's own, `largestGranule` the largest that a region may have.
  public init(
    _ parameters: ParameterList, granule: UInt64, largestGranule: UInt64
  ) throws(ProviderError) {
    self.largestGranule = largestGranule
    let size = try parameters.size("size")
    if let size { try Content.check(size, parameters.string("size") ?? "") }
    switch (parameters.string("image"), try parameters.number("pattern")) {
    case (nil, nil):
      throw .badValue("there is no content: give image=FILE, or pattern=SEED with size=SIZE")
    case (.some, .some):
      throw .badValue("there are two contents: give either image=FILE or pattern=SEED")
    case (nil, .some(let seed)):
      guard let size else { throw .badValue("pattern=\(seed) has no end: give size=SIZE") }
      image = nil
      pattern = Pattern(seed: seed)
      objectSize = size
      contentID = ContentID.hash([seed, size, granule])
    case (.some(let path), nil):
      let image = try MappedImage(path: path, size: size, largestGranule: largestGranule)
      let objectSize = size ?? image.dataEnd
      self.image = image
      self.objectSize = objectSize
      pattern = Pattern(seed: 0)
      let id = image.contentID
      contentID =
        id == (0, 0) ? id : ContentID.hash([id.high, id.low, objectSize, granule])
    }
  }

  deinit {
    image?.unmap()
  }

  private static func check(_ size: UInt64, _ text: String) throws(ProviderError) {
    guard size > 0 else {
      throw .badValue("size=\(text) is too small: an object has at least 1 byte")
    }
    guard size <= largestObject else {
      throw .badValue("size=\(text) is too large: a process has addresses for 128T")
    }
  }

  /// The answer to `alloc_folio`, for as many granules of one kind as are asked.
  public func answer(
    _ request: borrowing FolioRequest, _ answer: inout FolioAnswer
  ) -> uffd_status {
    let shift = UInt64(request.granule.trailingZeroBitCount)
    let pgoff = request.pgoff
    let granules = self.granules(shift: shift)
    guard pgoff < granules, request.granule <= largestGranule else { return .outOfRange }
    let limit = pgoff &+ min(request.count, granules &- pgoff)
    guard let image else { return fill(request, limit, shift, &answer) }
    let run = image.runs.granules(from: pgoff, before: limit, shift: shift)
    if run.isZero {
      answer.zero(granules: run.count)
    } else {
      image.lend(pgoff: pgoff, count: run.count, shift: shift, &answer)
    }
    return .ok
  }

  /// The pattern, into the staging of the request. The tail of the last granule reads zero.
  private func fill(
    _ request: borrowing FolioRequest, _ limit: UInt64, _ shift: UInt64,
    _ answer: inout FolioAnswer
  ) -> uffd_status {
    let staging = unsafe request.staging
    let count = min(limit &- request.pgoff, UInt64(staging.count) >> shift)
    guard count > 0, let start = staging.baseAddress else { return .noMemory }
    let offset = request.pgoff << shift
    let length = count << shift
    let content = min(length, objectSize &- offset)
    unsafe pattern.fill(
      UnsafeMutableRawBufferPointer(start: start, count: Int(content)), at: offset)
    if content < length {
      unsafe (start + Int(content)).initializeMemory(
        as: UInt8.self, repeating: 0, count: Int(length &- content))
    }
    answer.staged(granules: count)
    return .ok
  }

  /// The answer to `extents`.
  func extents(
    pgoff: UInt64, count: UInt64, granule: UInt64, _ list: inout ExtentList
  ) -> uffd_status {
    let shift = UInt64(granule.trailingZeroBitCount)
    let granules = self.granules(shift: shift)
    guard pgoff < granules, count > 0 else { return .outOfRange }
    let end = pgoff + min(count, granules - pgoff)
    var next = pgoff
    while next < end {
      let run =
        image?.runs.granules(from: next, before: end, shift: shift)
        ?? (count: end - next, isZero: false)
      guard list.append(pgoff: next, count: run.count, isZero: run.isZero) else { break }
      next += run.count
    }
    return .ok
  }

  /// The answer to `will_need`.
  func willNeed(pgoff: UInt64, count: UInt64, granule: UInt64) {
    let shift = UInt64(granule.trailingZeroBitCount)
    let granules = self.granules(shift: shift)
    guard pgoff < granules else { return }
    let end = pgoff + min(count, granules - pgoff)
    image?.willNeed(from: pgoff << shift, to: end << shift)
  }

  /// The size of the object in granules of `granule` bytes.
  func granules(of granule: UInt64) -> UInt64 {
    granules(shift: UInt64(granule.trailingZeroBitCount))
  }

  private func granules(shift: UInt64) -> UInt64 {
    ((objectSize &- 1) >> shift) &+ 1
  }
}
