import VFIO

/// Where the move of a guest to another host stands.
public enum GuestMigrationPhase: Sendable, Hashable, CustomStringConvertible {
    /// It hasn't begun.
    case idle
    /// Both sides agree on what is moved; the log of written pages starts.
    case settingUp
    /// The guest runs, and its memory and what its devices have so far go over.
    case iterating
    /// The guest stops: its processors, then its devices.
    case stopping
    /// The guest is stopped, and what is left goes over.
    case finishing
    /// The destination has everything, and is told that the guest is its own.
    case handingOver
    /// The guest belongs to the destination.
    case done

    /// In words.
    public var description: String {
        switch self {
        case .idle: "before it begins"
        case .settingUp: "while it is set up"
        case .iterating: "while the guest runs"
        case .stopping: "while the guest stops"
        case .finishing: "while the guest is stopped"
        case .handingOver: "at the handing over"
        case .done: "when it is done"
        }
    }
}

/// Why a guest couldn't be moved, and what that meant for its devices.
public struct GuestMigrationError: Error, Equatable, Sendable, CustomStringConvertible {
    /// How far it was.
    public var phase: GuestMigrationPhase
    /// What failed.
    public var cause: VFIOGuestError
    /// Devices that could only be brought back by a reset: they run, but their state is gone.
    public var resetDevices: [String]
    /// Devices that can't be used any more, and why.
    public var lostDevices: [LostDevice]

    /// A device that couldn't be brought back to running, not even by a reset.
    public struct LostDevice: Equatable, Sendable {
        /// What the guest's owner calls it.
        public var name: String
        /// Why the last attempt failed.
        public var cause: VFIOGuestError
    }

    /// All of it in one line.
    public var description: String {
        var text = "the guest isn't moved: \(phase): \(cause)"
        if !resetDevices.isEmpty { text += "; reset: " + resetDevices.joined(separator: ", ") }
        if !lostDevices.isEmpty {
            text += "; lost: " + lostDevices.map { "\($0.name) (\($0.cause))" }.joined(separator: ", ")
        }
        return text
    }
}

extension VFIOError.Code {
    /// The other side of a migration ended it, or the connection.
    public static let peerFailed = VFIOError.Code(rawValue: "peerFailed")
    /// Somebody called it off.
    public static let cancelled = VFIOError.Code(rawValue: "cancelled")
    /// What came isn't a stream of a guest's state, or one that fits this guest.
    public static let unsuitableStream = VFIOError.Code(rawValue: "unsuitableStream")
    /// The guest can't be moved.
    public static let notMovable = VFIOError.Code(rawValue: "notMovable")
}
