import LinuxSystem
import VFIO
import VFIOABI

/// What the source does while the guest runs.
extension GuestMigrationSource {
    func iterate(_ channel: MigrationChannel) throws(VFIOGuestError) {
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
    func bytesLeft() throws(VFIOGuestError) -> UInt64 {
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

    func checkCancelled() throws(VFIOGuestError) {
        guard lock.withLock({ isCancelled }) else { return }
        throw VFIOGuestError(
            operation: "move it to another host", object: "the guest", code: .cancelled,
            cause: "it was called off")
    }

    func sendPrecopy(_ index: Int, _ channel: MigrationChannel) throws(VFIOGuestError) {
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
    func sendChunk(of index: Int, _ channel: MigrationChannel) throws(VFIOGuestError) -> Bool {
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

    func fillBuffer(_ count: Int) {
        if buffer.count < count { buffer = [UInt8](repeating: 0, count: count) }
    }
}

/// What it does while the guest is stopped.
extension GuestMigrationSource {
    /// The processors first; then no device may write to another any more; and when that holds for all, they stop.
    func stopGuest() throws(VFIOGuestError) {
        try checkCancelled()
        pausedAt = Clock.now
        guest.processors.pause()
        hasPaused = true
        for device in guest.devices where device.sparesPeers {
            try device.go(to: device.state == .preCopy ? .preCopyP2P : .runningP2P, orElse: .running)
        }
        for device in guest.devices { try device.go(to: .stopCopy, orElse: .stop) }
    }

    func finish(_ channel: MigrationChannel) throws(VFIOGuestError) {
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
}
