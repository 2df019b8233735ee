/// What goes wrong the next time that a device goes a certain arc on its way to another host: for those who test what
/// becomes of a move then.
public struct MigrationFailure: Sendable, Equatable {
    /// The state that the arc leads to, as a target or on the way to one.
    public var target: MigrationPhase
    /// Whether the device is in ``MigrationPhase/error`` afterwards; else it stays where the arc begins.
    public var isFatal: Bool

    /// Describes a failure.
    public init(enteringNext target: MigrationPhase, isFatal: Bool) {
        self.target = target
        self.isFatal = isFatal
    }
}
