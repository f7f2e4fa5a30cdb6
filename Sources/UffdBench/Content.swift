// SPDX-License-Identifier: Apache-2.0
// The providers that are measured, and content that the handler in C has the same of.
import CBench
import Glibc
import UffdHost

/// A library with its parameters, and the files behind them. Used by one thread.
final class Content {
  let library: String
  let description: Description
  /// What the host's instances are given.
  let parameters: [Parameter]
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

  /// Content of `bytes` bytes that is made here, for providers with a parameter `image`.
  static func made(
    _ libraries: [String], bytes: UInt64, _ child: (Job) throws(HostError) -> Description
  ) throws(HostError) -> [Content] {
    let image = cbench_make_image(bytes, 0)
    let hole = cbench_make_image(bytes, 1)
    if image < 0 || hole < 0 { throw BenchChild.failure() }
    let parameters = [HostSubject.imageParameter(image)]
    var contents: [Content] = []
    for library in libraries {
      var job = Job()
      job.work = .describe
      job.library = library
      job.parameters = parameters
      contents.append(
        Content(library, try child(job), parameters, image: image, hole: hole))
    }
    return contents
  }

  /// The content of a user's provider, at most `bytes` of it, copied once.
  static func copied(
    _ library: String, _ parameters: [Parameter], bytes: UInt64,
    _ child: (Job) throws(HostError) -> Description
  ) throws(HostError) -> Content {
    let image = cbench_make_image(bytes, 1)
    if image < 0 { throw BenchChild.failure() }
    var job = Job()
    job.work = .describe
    job.library = library
    job.parameters = parameters
    job.image = image
    job.bytes = bytes
    return Content(library, try child(job), parameters, image: image, hole: nil)
  }

  /// Whether this provider can be measured in the case.
  func serves(_ benchCase: BenchCase) -> Bool {
    if benchCase.memory != description.memory { return false }
    return hole != nil || (benchCase.operation != .zero && benchCase.operation != .poison)
  }
}
