import IOVASpace
import LinuxSystem
import VFIO
import VFIOABI

/// The side of a migration to which a guest comes: takes its memory, its devices and all else from a socket, and lets
/// the guest run when the source has given it up.
///
/// What comes may be anybody's: it is checked before it is used, what doesn't fit this guest is refused with the
/// thing's name, and memory is taken for no more than a section at a time.
///
/// Until then the guest's processors are paused here, and nothing in it runs.
public final class GuestMigrationDestination: @unchecked Sendable {
    // SAFETY: what several threads use is guarded by `lock`; all else belongs to the thread in `run(over:)`.

    /// Choices.
    public struct Options: Sendable {
        /// How long the other side may be silent, in milliseconds.
        public var patienceMilliseconds = 30_000
        /// Asked before the source stops the guest, when all is there that is to be there beforehand: whether this side
        /// is ready to take over. On the thread that receives.
        public var approves: (@Sendable () -> Bool)?

        /// The usual choices.
        public init() {}
    }

    /// The guest.
    public let guest: MovableGuest
    /// The choices.
    public let options: Options

    private let lock = Lock()
    private var toldPhase = GuestMigrationPhase.idle
    private var isCancelled = false
    private var open: MigrationChannel?

    private var phase = GuestMigrationPhase.idle
    var hasAgreed = false
    /// The parts by the numbers that the source gave them.
    var blocks: [Arrival] = []
    var devices: [DeviceArrival] = []
    var states: [(state: any MovableState, bytes: [UInt8]?)] = []

    /// A block of RAM, and which of its pages have come.
    final class Arrival {
        let block: RAMBlock
        var seen: IOVASpace.DirtyBitmap
        init(_ block: RAMBlock, _ seen: consuming IOVASpace.DirtyBitmap) {
            self.block = block
            self.seen = seen
        }
    }

    struct DeviceArrival {
        let device: MovableDevice
        /// Whether all has come that is to be there before it is stopped.
        var hasInitialData = false
        var isComplete = false
        var configuration: DeviceConfigurationState?
    }

    /// Nothing happens yet.
    public init(_ guest: MovableGuest, _ options: Options = Options()) {
        self.guest = guest
        self.options = options
    }

    /// What happens now. From any thread.
    public var currentPhase: GuestMigrationPhase { lock.withLock { toldPhase } }

    /// Calls it off, from any thread: the guest stays where it is. When it was handed over already nothing happens.
    public func cancel() {
        let channel = lock.withLock { () -> MigrationChannel? in
            isCancelled = true
            return open
        }
        channel?.shutDown()
    }

    func enter(_ phase: GuestMigrationPhase) {
        self.phase = phase
        lock.withLock { toldPhase = phase }
    }

    // MARK: all of it

    /// Takes the guest over. Returns when it runs here.
    /// - Parameter socket: a connected stream socket, with a ``GuestMigrationSource`` at its other end.
    /// - Throws: why it didn't come. Its devices were reset then, and what is in its memory means nothing. If it had been
    ///   handed over already (``GuestMigrationPhase/done``) it runs here all the same, without the devices that are
    ///   named as reset or lost.
    public func run(over socket: consuming UnixSocket) throws(GuestMigrationError) {
        blocks = []
        devices = []
        states = []
        hasAgreed = false
        var channel: MigrationChannel?
        do throws(VFIOGuestError) {
            enter(.settingUp)
            let new = try MigrationChannel(socket, milliseconds: options.patienceMilliseconds)
            channel = new
            let isLate = lock.withLock { () -> Bool in
                open = new
                return isCancelled
            }
            defer { lock.withLock { open = nil } }
            if isLate { new.shutDown() }
            try take(new)
        } catch {
            channel?.sendFailure(error)
            throw abandon(error)
        }
        enter(.done)
        if let cause = start() { throw failure(cause) }
    }

    private func take(_ channel: MigrationChannel) throws(VFIOGuestError) {
        for device in guest.devices { try prepare(device) }
        try channel.receivePrologue()
        let first = try channel.receive()
        guard first.kind == .setUp else {
            throw MigrationReader.error("it begins with a section of the kind \(first.kind)")
        }
        var reader = MigrationReader(first.payload)
        try setUp(&reader)
        for entry in devices { try entry.device.go(to: .resuming) }
        try channel.send(.accepted)
        enter(.iterating)
        while true {
            let frame = try channel.receive()
            if frame.kind == .complete { break }
            try receive(frame, channel)
        }
        enter(.finishing)
        try load()
        try channel.send(.loaded)
        enter(.handingOver)
        try channel.expect(.handOver)
    }

    private func prepare(_ device: MovableDevice) throws(VFIOGuestError) {
        try device.prepare()
        guard device.capabilities.contains(.stopCopy) else {
            throw VFIOGuestError(
                operation: "take over its state", object: device.name, code: .notMovable,
                cause: "the device's driver on the host can't move it")
        }
    }

    // MARK: the end

    /// All has come: looks whether that is so, and takes it over.
    private func load() throws(VFIOGuestError) {
        guard hasAgreed else { throw MigrationReader.error("it ends before it was agreed that it may") }
        for arrival in blocks {
            let missing = arrival.seen.bitCount - arrival.seen.count
            guard missing == 0 else {
                throw MigrationReader.error("\(missing) pages of \(arrival.block.name) never came")
            }
        }
        for entry in devices {
            guard entry.isComplete, entry.configuration != nil else {
                throw MigrationReader.error("the state of \(entry.device.name) isn't complete")
            }
        }
        for (state, bytes) in states where bytes == nil {
            throw MigrationReader.error("the state of \(state.name) never came")
        }
        // The kernel looks at a device's state when it leaves the state of resuming.
        for entry in devices {
            do throws(VFIOGuestError) {
                try entry.device.go(to: .stop)
            } catch {
                var error = error
                error.object = entry.device.name
                throw error
            }
        }
        for entry in devices { try entry.configuration?.load(into: entry.device.device) }
        for (state, bytes) in states { try state.load(bytes ?? []) }
    }

    /// Lets the guest run: no device may write to another before all can answer. There is no way back: a device that
    /// fails is tried again, and then left behind.
    private func start() -> VFIOGuestError? {
        var failure: VFIOGuestError?
        func bring(_ device: MovableDevice, to state: MigrationState) {
            do throws(VFIOGuestError) {
                try device.go(to: state, orElse: .running)
            } catch {
                if device.wasReset || device.lossReason != nil { failure = failure ?? error }
            }
        }
        for entry in devices where entry.device.sparesPeers { bring(entry.device, to: .runningP2P) }
        for entry in devices where entry.device.lossReason == nil { bring(entry.device, to: .running) }
        guest.processors.resume()
        return failure
    }

    private func failure(_ cause: VFIOGuestError) -> GuestMigrationError {
        GuestMigrationError(
            phase: phase, cause: cause,
            resetDevices: guest.devices.filter { $0.wasReset }.map(\.name),
            lostDevices: guest.devices.compactMap { device in
                device.lossReason.map { GuestMigrationError.LostDevice(name: device.name, cause: $0) }
            })
    }

    /// Nothing came of it: the devices are as new.
    private func abandon(_ cause: VFIOGuestError) -> GuestMigrationError {
        for device in guest.devices where device.lossReason == nil && device.state != .running {
            device.resetToRunning()
        }
        let failed = failure(cause)
        blocks = []
        devices = []
        states = []
        enter(.idle)
        return failed
    }
}
