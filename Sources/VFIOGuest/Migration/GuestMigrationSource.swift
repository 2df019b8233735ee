import LinuxSystem
import VFIO
import VFIOABI

/// The side of a migration that a guest leaves: sends its memory, its devices and all else over a socket while the
/// guest runs, stops it when little enough is left, sends that, and gives the guest up.
///
/// ```swift
/// let guest = MovableGuest(memory, blocks: [ram], devices: [MovableDevice(device)], processors: processors)
/// let report = try GuestMigrationSource(guest).run(over: socket)       // the guest is the other side's now
/// ```
///
/// Whatever fails before that, here, on the way or at the destination: the guest runs on here, as before, with all
/// its devices running and nothing logged, and the error says why.
public final class GuestMigrationSource: @unchecked Sendable {
    // SAFETY: what several threads use is guarded by `lock`; all else belongs to the thread in `run(over:)`.

    /// Choices.
    public struct Options: Sendable {
        /// How long the guest may be stopped, in milliseconds: it is stopped when what is left can be sent in that time.
        public var downtimeMilliseconds = 300
        /// After so many rounds over its memory the guest is stopped whatever is left; nil for never.
        public var roundLimit: Int? = 30
        /// How long the other side may take to read or to answer, in milliseconds.
        public var patienceMilliseconds = 30_000
        /// What counts for a device that can't tell how long its state is, in bytes.
        public var unknownStateByteCount: UInt64 = 100 << 30
        /// Called after each round and at each phase, on the thread that sends.
        public var onProgress: (@Sendable (Progress) -> Void)?

        /// The usual choices.
        public init() {}
    }

    /// How far it is.
    public struct Progress: Sendable {
        /// What happens now.
        public var phase = GuestMigrationPhase.idle
        /// How many times the guest's memory was gone over.
        public var rounds = 0
        /// Pages that were sent with their contents.
        public var pages: UInt64 = 0
        /// Pages that were sent as zeros.
        public var zeroPages: UInt64 = 0
        /// Bytes of devices' states.
        public var deviceBytes: UInt64 = 0
        /// Bytes that went over the connection, all in all.
        public var sentBytes: UInt64 = 0
        /// What was left at the last look, in bytes.
        public var leftBytes: UInt64 = 0
        /// How long the guest was stopped until it was the destination's, in nanoseconds; 0 before.
        public var downtimeNanoseconds: UInt64 = 0
    }

    /// The guest.
    public let guest: MovableGuest
    /// The choices.
    public let options: Options

    let lock = Lock()
    private var told = Progress()
    var isCancelled = false
    private var open: MigrationChannel?

    var now = Progress()
    var hasPaused = false
    var pausedAt: UInt64 = 0
    private var hasStartedLog = false
    var buffer: [UInt8] = []
    var questions: UInt64 = 0

    /// Nothing happens yet.
    public init(_ guest: MovableGuest, _ options: Options = Options()) {
        self.guest = guest
        self.options = options
    }

    /// How far it is. From any thread.
    public var progress: Progress { lock.withLock { told } }

    /// Calls the migration off, from any thread: ``run(over:)`` soon fails, and the guest runs on here. When the guest is
    /// handed over already nothing happens.
    public func cancel() {
        let channel = lock.withLock { () -> MigrationChannel? in
            isCancelled = true
            return open
        }
        channel?.shutDown()
    }

    func tell(_ phase: GuestMigrationPhase? = nil) {
        if let phase { now.phase = phase }
        lock.withLock { told = now }
        options.onProgress?(now)
    }

    // MARK: all of it

    /// Moves the guest. Returns when the guest belongs to the destination: its processors stay paused here and its devices
    /// stopped.
    /// - Parameter socket: a connected stream socket, with a ``GuestMigrationDestination`` at its other end.
    /// - Throws: why the guest is still here.
    @discardableResult
    public func run(over socket: consuming UnixSocket) throws(GuestMigrationError) -> Progress {
        now = Progress()
        hasPaused = false
        hasStartedLog = false
        var channel: MigrationChannel?
        do throws(VFIOGuestError) {
            tell(.settingUp)
            if let blocker = guest.blockers().first { throw blocker }
            let new = try MigrationChannel(socket, milliseconds: options.patienceMilliseconds)
            channel = new
            let isLate = lock.withLock { () -> Bool in
                open = new
                return isCancelled
            }
            defer { lock.withLock { open = nil } }
            if isLate { new.shutDown() }
            try move(new)
        } catch {
            throw takeBack(error, channel)
        }
        giveUp()
        tell(.done)
        return now
    }

    private func move(_ channel: MigrationChannel) throws(VFIOGuestError) {
        try channel.sendPrologue()
        try channel.send(.setUp, try setUp())
        try channel.expect(.accepted)
        for device in guest.devices { try device.startPrecopy() }
        try guest.memory.startMigrationLog()
        hasStartedLog = true
        for block in guest.blocks { block.dirtyLog.mark(0..<block.dirtyLog.pageCount, for: .migration) }
        tell(.iterating)
        try iterate(channel)
        tell(.stopping)
        try stopGuest()
        tell(.finishing)
        try finish(channel)
        tell(.handingOver)
        // From when this is sent on the guest may run there, and so never again here.
        try channel.send(.handOver)
        now.downtimeNanoseconds = Clock.now - pausedAt
        now.sentBytes = channel.sentByteCount
    }

    /// What is to come: names and lengths, and what the devices are.
    private func setUp() throws(VFIOGuestError) -> [UInt8] {
        var writer = MigrationWriter()
        writer.append(UInt32(guest.blocks.count))
        for block in guest.blocks {
            writer.append(text: block.name)
            writer.append(block.byteCount)
        }
        writer.append(UInt32(guest.devices.count))
        for device in guest.devices {
            writer.append(text: device.name)
            // Whether something of it is to be there before it is stopped.
            writer.append(UInt8(device.capabilities.contains(.preCopy) ? 1 : 0))
        }
        writer.append(UInt32(guest.states.count))
        for state in guest.states { writer.append(text: state.name) }
        guard writer.bytes.count <= MigrationFrameKind.setUp.byteLimit else {
            throw VFIOGuestError(
                operation: "move it to another host", object: "the guest", code: .notMovable,
                cause: "the names of its parts are too long")
        }
        return writer.bytes
    }

    // MARK: the end

    /// The guest is the destination's.
    private func giveUp() {
        guest.memory.stopMigrationLog()
        for block in guest.blocks { block.dirtyLog.clear(for: .migration) }
        for device in guest.devices {
            // Nobody needs it any more; that it stays in another state than stopped does no harm.
            do throws(VFIOGuestError) { try device.go(to: .stop, orElse: .stop) } catch {}
        }
    }

    /// Brings everything back: first no device writes to another, then all run, then the processors do.
    private func takeBack(_ cause: VFIOGuestError, _ channel: MigrationChannel?) -> GuestMigrationError {
        var cause = cause
        if let channel {
            cause = channel.lastWords(insteadOf: cause)
            channel.sendFailure(cause)
        }
        if now.phase != .settingUp || hasStartedLog || channel != nil {
            for device in guest.devices where device.sparesPeers && device.lossReason == nil {
                switch device.state {
                case .running, .runningP2P, .preCopy: break
                default:
                    do throws(VFIOGuestError) { try device.go(to: .runningP2P, orElse: .running) } catch {}
                }
            }
            for device in guest.devices where device.lossReason == nil {
                do throws(VFIOGuestError) { try device.go(to: .running) } catch {}
            }
        }
        if hasStartedLog {
            guest.memory.stopMigrationLog()
            for block in guest.blocks { block.dirtyLog.clear(for: .migration) }
        }
        if hasPaused { guest.processors.resume() }
        let failed = GuestMigrationError(
            phase: now.phase, cause: cause,
            resetDevices: guest.devices.filter { $0.wasReset }.map(\.name),
            lostDevices: guest.devices.compactMap { device in
                device.lossReason.map { GuestMigrationError.LostDevice(name: device.name, cause: $0) }
            })
        tell(.idle)
        return failed
    }
}
