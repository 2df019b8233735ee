import LinuxSystem
import VFIOHost

/// What happens while drivers are changed, as it happens.
public enum BindEvent: Sendable, Equatable {
    /// A device's turn has come.
    case begins(BindMove)
    /// A write was taken, and did what it was for.
    case done(BindStep)
    /// A write failed; what was done before is taken back now.
    case failed(BindFailure)
    /// A write hasn't come back in time. It goes on in this process, and the other devices' turns come.
    case pending(BindStep, process: Int32)
    /// A write was taken back by this one.
    case undone(BindWrite)
    /// A write couldn't be taken back: this one failed, or didn't come back in time (`ETIMEDOUT`).
    case notUndone(BindWrite, Errno)
    /// A node that a device has now, or ought to have.
    case node(DeviceID, path: String, isThere: Bool)
}

/// A write that failed.
public struct BindFailure: Error, Sendable, Equatable {
    /// The write.
    public let step: BindStep
    /// What the kernel answered; nil for a write that was taken and changed nothing.
    public let errno: Errno?
    /// What that means.
    public let cause: String
    /// What to do.
    public let remedy: String?
}

extension BindFailure: CustomStringConvertible {
    /// What was refused, why, and what to do.
    public var description: String {
        "\(step.device): \(step.write.shell): " + (errno.map { "\($0): " } ?? "") + cause
            + (remedy.map { " (\($0))" } ?? "")
    }
}

/// What a change of drivers came to.
public struct BindResult: Sendable, Equatable {
    /// What became of a device.
    public enum Outcome: Sendable, Equatable {
        /// It is as it was to be.
        case done
        /// It was so already.
        case unchanged
        /// It is as it was before.
        case rolledBack
        /// A write for it hasn't come back; the process that waits.
        case pending(process: Int32)
        /// It is neither as it was nor as it was to be: the writes that are left to do by hand to have it as it was.
        case stranded([BindWrite])
    }

    /// A device.
    public struct Device: Sendable, Equatable {
        /// The device.
        public let device: DeviceID
        /// How it was.
        public let before: DriverState
        /// How it is now; nil where that can't be read.
        public let after: DriverState?
        /// What became of it.
        public let outcome: Outcome
        /// The nodes that it ought to have now, and whether they are there.
        public let nodes: [(path: String, isThere: Bool)]

        /// Whether two say the same.
        public static func == (a: Device, b: Device) -> Bool {
            a.device == b.device && a.before == b.before && a.after == b.after && a.outcome == b.outcome
                && a.nodes.elementsEqual(b.nodes) { $0 == $1 }
        }
    }

    /// The devices, in order.
    public let devices: [Device]
    /// The write that failed, where one did.
    public let failure: BindFailure?

    /// Whether all is as it was to be, and all nodes are there.
    public var isComplete: Bool {
        failure == nil
            && devices.allSatisfy {
                ($0.outcome == .done || $0.outcome == .unchanged) && $0.nodes.allSatisfy(\.isThere)
            }
    }
}
