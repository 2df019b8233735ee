/// A state of a device on its way to another host: the uAPI's `vfio_device_mig_state`, by its numbers.
public enum MigrationPhase: UInt32, Sendable, Equatable, CaseIterable {
    /// `VFIO_DEVICE_STATE_ERROR`: unusable until it is reset.
    case error = 0
    /// `VFIO_DEVICE_STATE_STOP`: no DMA, no interrupt, no change.
    case stop = 1
    /// `VFIO_DEVICE_STATE_RUNNING`: it works.
    case running = 2
    /// `VFIO_DEVICE_STATE_STOP_COPY`: stopped, and its state goes out.
    case stopCopy = 3
    /// `VFIO_DEVICE_STATE_RESUMING`: stopped, and another device's state comes in.
    case resuming = 4
    /// `VFIO_DEVICE_STATE_RUNNING_P2P`: it works but begins no DMA to other devices.
    case runningP2P = 5
    /// `VFIO_DEVICE_STATE_PRE_COPY`: it works, and what is known of its state already goes out.
    case preCopy = 6
    /// `VFIO_DEVICE_STATE_PRE_COPY_P2P`: `preCopy` without DMA to other devices.
    case preCopyP2P = 7

    /// Whether the device works: it answers its registers and may use memory.
    public var isWorking: Bool {
        switch self {
        case .running, .runningP2P, .preCopy, .preCopyP2P: true
        case .error, .stop, .stopCopy, .resuming: false
        }
    }

    /// Whether the device keeps away from other devices while it works.
    public var sparesPeers: Bool { self == .runningP2P || self == .preCopyP2P }

    /// Whether state goes out.
    public var isSaving: Bool { self == .preCopy || self == .preCopyP2P || self == .stopCopy }

    /// What a device must be capable of to be in this state.
    var needed: MigrationCapabilities {
        switch self {
        case .error, .stop, .running, .stopCopy, .resuming: .stopCopy
        case .runningP2P: [.stopCopy, .peerToPeer]
        case .preCopy: [.stopCopy, .preCopy]
        case .preCopyP2P: [.stopCopy, .peerToPeer, .preCopy]
        }
    }

    /// The next state on the way to another one: a way is made of single arcs, each of which a device carries out.
    /// - Returns: nil where there is no way, where the device lacks what the target needs, and for the state itself.
    public func hop(to target: MigrationPhase, _ capabilities: MigrationCapabilities) -> MigrationPhase? {
        guard self != target, self != .error, target != .error, target.needed.isSubset(of: capabilities)
        else { return nil }
        // States that this device hasn't got are passed through; the table never comes back to one of them.
        var next = wholeHop(to: target)
        while let passed = next, !passed.needed.isSubset(of: capabilities) {
            next = passed.wholeHop(to: target)
        }
        return next
    }

    /// The next state for a device that has all of them.
    private func wholeHop(to target: MigrationPhase) -> MigrationPhase? {
        switch (self, target) {
        case (.stop, .stopCopy): .stopCopy
        case (.stop, .resuming): .resuming
        case (.stop, _): .runningP2P
        case (.running, .preCopy): .preCopy
        case (.running, _): .runningP2P
        // What was read can't be read on after the device has worked again.
        case (.stopCopy, .preCopy), (.stopCopy, .preCopyP2P): nil
        case (.stopCopy, _), (.resuming, _): .stop
        case (.runningP2P, .running), (.runningP2P, .preCopy): .running
        case (.runningP2P, .preCopyP2P): .preCopyP2P
        case (.runningP2P, _): .stop
        case (.preCopy, .stopCopy), (.preCopy, .preCopyP2P): .preCopyP2P
        case (.preCopy, _): .running
        case (.preCopyP2P, .stopCopy): .stopCopy
        case (.preCopyP2P, .preCopy): .preCopy
        case (.preCopyP2P, _): .runningP2P
        case (.error, _): nil
        }
    }
}

/// How a device can be moved: the uAPI's `VFIO_MIGRATION_*` bits.
public struct MigrationCapabilities: OptionSet, Sendable, Equatable {
    /// The bits.
    public let rawValue: UInt64

    /// Takes bits.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// `VFIO_MIGRATION_STOP_COPY`: stopped and copied. Every device that can be moved can.
    public static let stopCopy = MigrationCapabilities(rawValue: 1)
    /// `VFIO_MIGRATION_P2P`: it can be kept from beginning DMA to other devices while it works.
    public static let peerToPeer = MigrationCapabilities(rawValue: 2)
    /// `VFIO_MIGRATION_PRE_COPY`: something of its state goes out while it works.
    public static let preCopy = MigrationCapabilities(rawValue: 4)
}
