// SPDX-License-Identifier: Apache-2.0
// What a server needs of the core: somebody who serves what a client handed over. Tests put their
// own in its place.
package import UffdHost

/// Begins to serve what was prepared. On the server's thread; waits for nobody.
package typealias Adoption =
  @Sendable (
    ClientIdentity, _ uffd: Descriptor,
    _ onEnd: @escaping @Sendable (any ServedClient, Client.End) -> Void
  ) throws(HostError) -> any ServedClient
/// The same for more regions of a client.
package typealias Addition = @Sendable () throws(HostError) -> Void

/// A client that is served. The members of ``Client``, which say what they mean.
package protocol ServedClient: Sendable {
  var id: UInt64 { get }
  var identity: ClientIdentity { get }
  var parent: UInt64? { get }
  var progress: ClientProgress { get }
  /// May wait for the provider. Any thread.
  func prepare(
    _ regions: [ClientRegion], backings: [Descriptor]
  ) throws(HostError) -> Addition
  func remove(start: UInt64, length: UInt64, completion: @escaping @Sendable (HostError?) -> Void)
  func drain()
  func poisonMissing()
  func detach()
}

extension Client: ServedClient {
  package func prepare(
    _ regions: [ClientRegion], backings: [Descriptor]
  ) throws(HostError) -> Addition {
    let plan = try ClientPlan(instance, regions, backings, for: self)
    return { () throws(HostError) in try self.add(plan) }
  }
}

/// Where content comes from.
package protocol Service: Sendable {
  /// The provider's name.
  var provider: String { get }
  var object: ServedObject { get }
  /// All that are served now, children of forks included.
  var clients: [any ServedClient] { get }
  /// Checks what a client hands over. May wait for the provider. Any thread.
  func prepare(
    _ regions: [ClientRegion], backings: [Descriptor]
  ) throws(HostError) -> Adoption
}

/// One instance of a provider, for all clients.
package struct InstanceService: Service {
  private let host: Host
  private let instance: Instance
  private let recording: Recording?
  private let prefetch: [Range<UInt64>]
  private let fillsInBackground: Bool

  /// What all clients touch is noted in `recording`; the granules of `prefetch` are filled in each before it
  /// touches them, and then everything, if it shall be filled in the background.
  package init(
    _ host: Host, _ instance: Instance, recording: Recording? = nil,
    prefetch: [Range<UInt64>] = [], fillsInBackground: Bool = false
  ) {
    self.host = host
    self.instance = instance
    self.recording = recording
    self.prefetch = prefetch
    self.fillsInBackground = fillsInBackground
  }

  package var provider: String { instance.provider.name }
  package var object: ServedObject {
    ServedObject(size: instance.objectSize, pageSize: instance.granule)
  }
  package var clients: [any ServedClient] { host.clients.all }

  package func prepare(
    _ regions: [ClientRegion], backings: [Descriptor]
  ) throws(HostError) -> Adoption {
    let plan = try ClientPlan(instance, regions, backings)
    return { (identity, uffd, onEnd) throws(HostError) in
      let client = try Client(
        plan, identity, uffd: uffd, recording: recording,
        onEnd: { client, end in onEnd(client, end) })
      if !prefetch.isEmpty { _ = client.prefetch(prefetch) }
      if fillsInBackground { client.fillInBackground() }
      return client
    }
  }
}
