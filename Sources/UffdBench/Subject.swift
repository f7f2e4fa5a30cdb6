// SPDX-License-Identifier: Apache-2.0
// Who is measured, where its threads run, and the words of a case.
import CBench
import UffdHost

/// Whoever resolves the faults.
public enum Subject: String, Sendable, CaseIterable {
  /// The kernel's own fault for the same work.
  case kernel
  /// The minimal handler in C (Sources/CBench/handler.c).
  case c
  /// Poll, read one message, pread one page, COPY one page.
  case peer
  /// uffdhost in the process of the client.
  case host
  /// `uffdhost serve`, and a client in another process.
  case hostExternal = "host-external"
  /// The provider in a process of its own.
  case hostIsolated = "host-isolated"
}

/// Where the threads run.
public enum Placement: String, Sendable, CaseIterable {
  /// All of them, handler and client, on one CPU.
  case pinned
  /// Where the scheduler puts them.
  case unpinned
}

/// How the handler in C learns of messages.
public enum Waiting: String, Sendable, CaseIterable {
  case epoll, poll, read

  var raw: cbench_wait {
    switch self {
    case .epoll: CBENCH_EPOLL
    case .poll: CBENCH_POLL
    case .read: CBENCH_READ
    }
  }
}

/// What a fault asks for.
enum Operation: String, Sendable {
  case copy, zero, `continue`, poison

  var raw: cbench_operation {
    switch self {
    case .copy: CBENCH_COPY
    case .zero: CBENCH_ZERO
    case .continue: CBENCH_CONTINUE
    case .poison: CBENCH_POISON
    }
  }
}

/// In which order pages are touched.
enum TouchOrder: String, Sendable {
  case random, sequential, sparse, zipf, recorded

  var raw: cbench_order {
    switch self {
    case .random: CBENCH_RANDOM
    case .sequential: CBENCH_SEQUENTIAL
    case .sparse: CBENCH_SPARSE
    case .zipf: CBENCH_ZIPF
    case .recorded: CBENCH_RECORDED
    }
  }
}

extension MemoryKind {
  var raw: cbench_memory {
    switch self {
    case .anon: CBENCH_ANON
    case .shmem: CBENCH_SHMEM
    case .hugetlb: CBENCH_HUGETLB
    }
  }

  /// Bytes of one page.
  var page: UInt64 { self == .hugetlb ? 2 << 20 : 4096 }
}
