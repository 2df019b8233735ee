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

    private let lock = Lock()
    private var told = Progress()
    private var isCancelled = false
    private var open: MigrationChannel?

    private var now = Progress()
    private var hasPaused = false
    private var pausedAt: UInt64 = 0
    private var hasStartedLog = false
    private var buffer: [UInt8] = []
    private var questions: UInt64 = 0

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

    private func tell(_ phase: GuestMigrationPhase? = nil) {
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

    // MARK: while the guest runs

    private func iterate(_ channel: MigrationChannel) throws(VFIOGuestError) {
        var bandwidth: Double = 0
        while true {
            try checkCancelled()
            try channel.checkPeer()
            let start = Clock.now
            let before = channel.sentByteCount
            try guest.memory.synchronizeDirtyLog()
            try sendDirtyPages(channel)
            for index in guest.devices.indices { try sendPrecopy(index, channel) }
            now.rounds += 1
            let bytes = Double(channel.sentByteCount - before)
            let measured = bytes / (Double(max(Clock.now - start, 1)) / 1e9)
            // A round with next to nothing to send tells nothing.
            if bytes >= 65536 || bandwidth == 0 {
                bandwidth = bandwidth == 0 ? measured : (bandwidth + measured) / 2
            }
            try guest.memory.synchronizeDirtyLog()
            let left = try bytesLeft()
            now.leftBytes = left
            now.sentBytes = channel.sentByteCount
            tell()
            guard guest.devices.allSatisfy({ $0.isInitialDataSent || $0.state != .preCopy }) else { continue }
            let isForced = options.roundLimit.map { now.rounds >= $0 } ?? false
            guard isForced || Double(left) <= bandwidth * Double(options.downtimeMilliseconds) / 1000
            else { continue }
            // The destination has to agree that all is there that it needs beforehand.
            questions += 1
            var question = MigrationWriter()
            question.append(questions)
            try channel.send(.mayStop, question.bytes)
            let answer = try channel.receive()
            guard answer.kind == .ready, answer.payload == question.bytes else {
                throw MigrationReader.error("\(answer.kind) came where ready was expected")
            }
            return
        }
    }

    /// What would have to be sent with the guest stopped, in bytes.
    private func bytesLeft() throws(VFIOGuestError) -> UInt64 {
        var left: UInt64 = 0
        for block in guest.blocks {
            left += UInt64(block.dirtyLog.count(for: .migration)) * UInt64(pageSize)
        }
        for device in guest.devices {
            let more = try device.estimate(isExact: true, unknown: options.unknownStateByteCount)
            let (sum, overflow) = left.addingReportingOverflow(more)
            left = overflow ? .max : sum
        }
        return left
    }

    private func checkCancelled() throws(VFIOGuestError) {
        guard lock.withLock({ isCancelled }) else { return }
        throw VFIOGuestError(
            operation: "move it to another host", object: "the guest", code: .cancelled,
            cause: "it was called off")
    }

    private func sendPrecopy(_ index: Int, _ channel: MigrationChannel) throws(VFIOGuestError) {
        let device = guest.devices[index]
        guard device.state == .preCopy else { return }
        var isEmptied = false
        // A device that has always more to say must not keep the others waiting.
        for _ in 0..<16 {
            guard try sendChunk(of: index, channel) else {
                isEmptied = true
                break
            }
        }
        if !device.isInitialDataSent, try device.hasSentInitialData(isEmptied: isEmptied) {
            var writer = MigrationWriter()
            writer.append(UInt32(index))
            try channel.send(.initialDataSent, writer.bytes)
            device.isInitialDataSent = true
        }
    }

    /// Sends a part of a device's state.
    /// - Returns: false if there was nothing.
    private func sendChunk(of index: Int, _ channel: MigrationChannel) throws(VFIOGuestError) -> Bool {
        fillBuffer(4 + MigrationFrame.longestData)
        var progress = MigrationData.Progress.end
        // Out of the object, so that nobody else has a hand on it.
        var chunk: [UInt8] = []
        swap(&chunk, &buffer)
        defer { swap(&chunk, &buffer) }
        do {
            var span = chunk.mutableSpan
            // SAFETY: any byte is a value of UInt8.
            var bytes = unsafe span.mutableBytes
            bytes.storeBytes(of: UInt32(index).littleEndian, toByteOffset: 0, as: UInt32.self)
            var rest = bytes._mutatingExtracting(4..<4 + MigrationFrame.longestData)
            progress = try guest.devices[index].read(into: &rest)
        }
        guard case .bytes(let count) = progress else { return false }
        try channel.send(.deviceData, Array(chunk[..<(4 + count)]))
        now.deviceBytes += UInt64(count)
        return true
    }

    private func fillBuffer(_ count: Int) {
        if buffer.count < count { buffer = [UInt8](repeating: 0, count: count) }
    }

    // MARK: memory

    private func sendDirtyPages(_ channel: MigrationChannel) throws(VFIOGuestError) {
        for (index, block) in guest.blocks.enumerated() {
            try block.dirtyLog.take(for: .migration) { (run) throws(VFIOGuestError) in
                var first = run.lowerBound
                do throws(VFIOGuestError) {
                    while first < run.upperBound {
                        try checkCancelled()
                        first = try send(first..<run.upperBound, of: index, block, channel)
                    }
                } catch {
                    // Not that it matters once it fails; but what wasn't sent is still to be sent.
                    block.dirtyLog.mark(first..<run.upperBound, for: .migration)
                    throw error
                }
            }
        }
    }

    /// Sends the first of some pages, as many as are read at once.
    /// - Returns: the page after them.
    private func send(
        _ run: Range<Int>, of index: Int, _ block: RAMBlock, _ channel: MigrationChannel
    ) throws(VFIOGuestError) -> Int {
        let count = min(run.count, MigrationFrame.longestData / pageSize)
        fillBuffer(4 + MigrationFrame.longestData)
        let from = block.window.address + run.lowerBound * pageSize
        var chunk: [UInt8] = []
        swap(&chunk, &buffer)
        defer { swap(&chunk, &buffer) }
        do throws(Errno) {
            var span = chunk.mutableSpan
            // SAFETY: any byte is a value of UInt8.
            var all = unsafe span.mutableBytes
            var bytes = all._mutatingExtracting(0..<count * pageSize)
            // The guest writes meanwhile: what is looked at and sent is one copy.
            try UserMemory.read(from: from, into: &bytes)
        } catch {
            throw VFIOGuestError(
                operation: "read pages \(run.lowerBound)..<\(run.lowerBound + count) of it",
                object: block.name,
                errno: error, code: .badMemory)
        }
        var start = 0
        while start < count {
            let isZero = Self.isZero(chunk, start)
            var end = start + 1
            while end < count, Self.isZero(chunk, end) == isZero { end += 1 }
            var payload = MigrationWriter()
            payload.append(UInt32(index))
            payload.append(UInt32(0))
            payload.append(UInt64(run.lowerBound + start) * UInt64(pageSize))
            if isZero {
                payload.append(UInt64(end - start) * UInt64(pageSize))
                try channel.send(.zeroPages, payload.bytes)
                now.zeroPages += UInt64(end - start)
            } else {
                payload.append(bytes: chunk[start * pageSize..<end * pageSize])
                try channel.send(.pages, payload.bytes)
                now.pages += UInt64(end - start)
            }
            start = end
        }
        return run.lowerBound + count
    }

    /// Whether one of some pages is all zeros.
    private static func isZero(_ pages: [UInt8], _ page: Int) -> Bool {
        // SAFETY: a UInt8 has no padding.
        let bytes = unsafe pages.span.bytes.extracting(page * pageSize..<(page + 1) * pageSize)
        for offset in stride(from: 0, to: pageSize, by: 8) {
            // SAFETY: inside the page; any bytes are a UInt64.
            let word = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
            if word != 0 { return false }
        }
        return true
    }

    // MARK: while the guest is stopped

    /// The processors first; then no device may write to another any more; and when that holds for all, they stop.
    private func stopGuest() throws(VFIOGuestError) {
        try checkCancelled()
        pausedAt = Clock.now
        guest.processors.pause()
        hasPaused = true
        for device in guest.devices where device.sparesPeers {
            try device.go(to: device.state == .preCopy ? .preCopyP2P : .runningP2P, orElse: .running)
        }
        for device in guest.devices { try device.go(to: .stopCopy, orElse: .stop) }
    }

    private func finish(_ channel: MigrationChannel) throws(VFIOGuestError) {
        // Nobody writes any more: what is marked now is all that is left.
        try guest.memory.synchronizeDirtyLog()
        try sendDirtyPages(channel)
        for (index, device) in guest.devices.enumerated() {
            while try sendChunk(of: index, channel) {}
            var writer = MigrationWriter()
            writer.append(UInt32(index))
            try channel.send(.deviceEnd, writer.bytes)
            writer.append(bytes: try DeviceConfigurationState(of: device.device).encoded)
            try channel.send(.configuration, writer.bytes)
        }
        for (index, state) in guest.states.enumerated() {
            let bytes = try state.save()
            guard bytes.count <= MigrationFrame.longestData else {
                throw VFIOGuestError(
                    operation: "send its state", object: state.name, code: .outOfBounds,
                    cause: "it has \(bytes.count) bytes; at most \(MigrationFrame.longestData) can be sent")
            }
            var writer = MigrationWriter()
            writer.append(UInt32(index))
            writer.append(bytes: bytes)
            try channel.send(.state, writer.bytes)
        }
        try channel.send(.complete)
        try channel.expect(.loaded)
        try checkCancelled()
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
