// SPDX-License-Identifier: Apache-2.0
// What a server needs of the core: somebody who serves what a client handed over. Tests put their
// own in its place.
package import UffdHost

/// A client that is served. The members of ``Client``, which say what they mean.
package protocol ServedClient: Sendable {
  var id: UInt64 { get }
  var identity: ClientIdentity { get }
  var parent: UInt64? { get }
  var progress: ClientProgress { get }
  func add(_ regions: [ClientRegion], backings: [Descriptor]) throws(HostError)
  func remove(start: UInt64, length: UInt64, completion: @escaping @Sendable (HostError?) -> Void)
  func drain()
  func poisonMissing()
  func detach()
}

extension Client: ServedClient {}

/// Where content comes from.
package protocol Service {
  /// The provider's name.
  var provider: String { get }
  /// All that are served now, children of forks included.
  var clients: [any ServedClient] { get }
  /// As ``Client/init(_:_:uffd:regions:backings:onEnd:)``.
  func attach(
    _ identity: ClientIdentity, uffd: Descriptor, regions: [ClientRegion], backings: [Descriptor],
    onEnd: @escaping @Sendable (any ServedClient, Client.End) -> Void
  ) throws(HostError) -> any ServedClient
}

/// One instance of a provider, for all clients.
package struct InstanceService: Service {
  private let host: Host
  private let instance: Instance
  private let recording: Recording?
  private let prefetch: [Range<UInt64>]

  /// What all clients touch is noted in `recording`; the granules of `prefetch` are filled in each before it
  /// touches them.
  package init(
    _ host: Host, _ instance: Instance, recording: Recording? = nil,
    prefetch: [Range<UInt64>] = []
  ) {
    self.host = host
    self.instance = instance
    self.recording = recording
    self.prefetch = prefetch
  }

  package var provider: String { instance.provider.name }
  package var clients: [any ServedClient] { host.clients.all }

  package func attach(
    _ identity: ClientIdentity, uffd: Descriptor, regions: [ClientRegion], backings: [Descriptor],
    onEnd: @escaping @Sendable (any ServedClient, Client.End) -> Void
  ) throws(HostError) -> any ServedClient {
    let client = try Client(
      instance, identity, uffd: uffd, regions: regions, backings: backings, recording: recording,
      onEnd: { client, end in onEnd(client, end) })
    if !prefetch.isEmpty { _ = client.prefetch(prefetch) }
    return client
  }
}
