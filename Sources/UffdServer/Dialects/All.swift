// SPDX-License-Identifier: Apache-2.0
// The dialects that this build speaks, in the order in which a stream is offered to them.

package enum Dialects {
  package static let all: [any Dialect.Type] = [Native.self, Firecracker.self]
}
