// SPDX-License-Identifier: Apache-2.0
// The providers that are measured, and content that the handler in C has the same of.
import CBench
import Glibc
import UffdHost

/// A library with its parameters, and the files behind them. Used by one thread.
final class Content {
  let library: String
  let description: Description
  /// Of a user's own content.
  private let parameters: [Parameter]
  /// The same content, and zeroes of the same length, for CBench. Inherited by every child.
  let image: Int32
  /// Nil where the content is the user's: then nothing is known to be a hole.
  let hole: Int32?

  private init(
    _ library: String, _ description: Description, _ parameters: [Parameter], image: Int32,
    hole: Int32?
  ) {
    (self.library, self.description, self.parameters) = (library, description, parameters)
    (self.image, self.hole) = (image, hole)
  }

  /// Where files are made: on a disk, as images are, if the user does not say otherwise.
  static var folder: String {
    unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/var/tmp"
  }

  /// In memory where the folder cannot have it.
  private static func makeImage(_ bytes: UInt64, isHole: Bool) throws(HostError) -> Int32 {
    var image = unsafe cbench_make_image(folder, bytes, isHole ? 1 : 0)
    if image < 0 { image = cbench_make_image(nil, bytes, isHole ? 1 : 0) }
    if image < 0 { throw BenchChild.failure() }
    return image
  }

  /// Where the content is, for people.
  var place: String {
    var info = stat()
    guard unsafe fstat(image, &info) == 0 else { return "unknown" }
    var other = stat()
    let isInFolder = unsafe stat(Self.folder, &other) == 0 && other.st_dev == info.st_dev
    return isInFolder ? "a file in \(Self.folder)" : "a file in memory"
  }

  /// Content of `bytes` bytes that is made here, for providers with the parameters `image` and `size`.
  static func made(
    _ libraries: [String], bytes: UInt64, _ child: (Job) throws(HostError) -> Description
  ) throws(HostError) -> [Content] {
    let image = try makeImage(bytes, isHole: false)
    let hole = try makeImage(bytes, isHole: true)
    var contents: [Content] = []
    for library in libraries {
      var job = Job()
      job.work = .describe
      job.library = library
      // No larger than need be: an instance may reserve memory for all of it.
      job.parameters = HostSubject.parameters(image: image, bytes: 4096)
      var description = try child(job)
      description.objectSize = bytes
      contents.append(Content(library, description, [], image: image, hole: hole))
    }
    return contents
  }

  /// The content of a user's provider, at most `bytes` of it, copied once.
  static func copied(
    _ library: String, _ parameters: [Parameter], bytes: UInt64,
    _ child: (Job) throws(HostError) -> Description
  ) throws(HostError) -> Content {
    let image = try makeImage(bytes, isHole: true)
    var job = Job()
    job.work = .describe
    job.library = library
    job.parameters = parameters
    job.image = image
    job.bytes = bytes
    return Content(library, try child(job), parameters, image: image, hole: nil)
  }

  /// What an instance is given that shows the first `bytes` of `image`, which is one of ours.
  func parameters(image: Int32, bytes: UInt64) -> [Parameter] {
    hole == nil ? parameters : HostSubject.parameters(image: image, bytes: bytes)
  }

  /// Whether this provider can be measured in the case.
  func serves(_ benchCase: BenchCase) -> Bool {
    if benchCase.memory != description.memory { return false }
    return hole != nil || (benchCase.operation != .zero && benchCase.operation != .poison)
  }
}
