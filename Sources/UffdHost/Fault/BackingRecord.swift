// SPDX-License-Identifier: Apache-2.0
// What the fault path knows of a backing. Owned by `Backing`; shared by all readers.

/// The states of a backing's pages and the way into it.
@safe struct BackingRecord {
  let states: PageStates
  /// Address of the host's own MAP_SHARED mapping of the whole backing, registered with `publisher`. Nobody
  /// ever touches it: content enters by UFFDIO_COPY alone.
  let publisherBase: UInt64
  let publisher: UffdCalls
  let file: Unmanaged<MemoryFile>
  let granule: UInt64
  let isHugetlb: Bool
  /// A client's memfd: filled by us, known to no filemap, and not ours to punch.
  let isForeign: Bool
  /// Size of the file's own pages in bytes.
  let pageSize: UInt64
}
