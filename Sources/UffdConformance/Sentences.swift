// SPDX-License-Identifier: Apache-2.0
// Sentences of uffd_plugin.h that several checks stand on. A test holds each of them against the header.

enum Sentence {
  static let bits =
    "the host refuses a table in which a bit has no hook, or a hook has no bit."
  static let content = "One question: the content of up to `count` granules from `pgoff`."
  static let same = "Without this bit it may not."
  static let closedSet =
    "The set is closed for ABI 1: any other value means that the provider is broken"
  static let nothingLeft = "nothing must be left behind, and close is not called."
  static let closeFrees = "Frees what configure made."
  static let noGlobals =
    "There is no global state in the contract: every hook is given the instance."
  static let threadsLive = "Threads live between config_complete and close."
  static let filemap =
    "the provider's index of which pgoffs the backing holds, with its accounting"
  static let discard =
    "backing pages of these granules were really punched by a client; they read zero from now on and are not in the filemap any more."
  static let asked = "BUSY: asked again with the same ticket, after kick(ticket) or after a while;"
}
