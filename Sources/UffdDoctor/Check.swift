// SPDX-License-Identifier: Apache-2.0
// One finding of the doctor. Made by Facts.checks() and by the deep probes, printed by DoctorReport.

/// One thing the doctor looked at, and what to do about it.
public struct Check: Sendable, Equatable {
  public enum State: String, Sendable, CaseIterable {
    case ok
    /// Works, with a restriction that the detail names.
    case warning
    /// The kernel or the machine does not have it.
    case missing
    /// It is there, and a permission, a filter or a limit forbids it.
    case blocked
    /// A kernel behaviour is not what the host relies on.
    case differs
    /// Cannot be told here, for the reason in the detail.
    case notApplicable = "not_applicable"
  }

  /// Stable, for scripts: words joined by hyphens, topics by a dot.
  public let id: String
  public let title: String
  public let state: State
  /// Whether uffdhost cannot serve at all without it.
  public let isRequired: Bool
  /// One sentence, without a trailing full stop.
  public let detail: String
  /// A command for a shell, or a setting.
  public let remedy: String?

  public init(
    _ id: String, _ title: String, _ state: State, required isRequired: Bool = false,
    _ detail: String, remedy: String? = nil
  ) {
    self.id = id
    self.title = title
    self.state = state
    self.isRequired = isRequired
    self.detail = detail
    self.remedy = remedy
  }

  /// Whether uffdhost cannot serve here because of this.
  public var isObstacle: Bool {
    isRequired && (state == .missing || state == .blocked || state == .differs)
  }
}
