import IOVASpace
import LinuxSystem
import VFIOABI

/// Features whose data is of another form than the uAPI's, and the bytes of a migrating device's state.
extension Client {
    /// Whether the device has a feature, for these operations.
    /// - Throws: ``ClientFailure``, but for a refusal.
    func has(_ feature: Feature, _ operation: FeatureFlags) throws(ClientFailure) -> Bool {
        do throws(ClientFailure) {
            _ = try self.feature(DeviceFeature(flags: FeatureFlags(feature, operation.union(.probe))), [])
            return true
        } catch .refused {
            // Servers have several words for it: ENOTTY, EOPNOTSUPP, and libvfio-user's EINVAL.
            return false
        } catch {
            throw error
        }
    }

    // MARK: migration

    /// The state that the device is in on its way to another host.
    /// - Throws: ``ClientFailure``; refused for a device that can't be moved.
    public func migrationState() throws(ClientFailure) -> MigrationState {
        let room = DeviceFeature.byteCount + MigrationStateFeature.byteCount
        let flags = FeatureFlags(.migrationDeviceState, .get)
        let answer = try feature(DeviceFeature(argsz: UInt32(room), flags: flags), [])
        // SAFETY: a UInt8 has no padding.
        guard let state = MigrationStateFeature(unsafe answer.span.bytes) else {
            throw .malformed(.deviceFeature)
        }
        return state.deviceState
    }

    /// Brings the device to another state, by way of those in between.
    /// - Throws: ``ClientFailure``; refused where there is no way. The device may be in a state on the way then.
    public func setMigrationState(_ state: MigrationState) throws(ClientFailure) {
        let value = MigrationStateFeature(deviceState: state)
        let head = DeviceFeature(
            argsz: UInt32(DeviceFeature.byteCount + MigrationStateFeature.byteCount),
            flags: FeatureFlags(.migrationDeviceState, .set))
        try channel.request(.deviceFeature) { writer in
            writer.append(head)
            writer.append(value)
        } _: { (_, _) throws(ClientFailure) in
        }
    }

    /// Reads what comes next of the device's state: `VFIO_USER_MIG_DATA_READ`, once.
    /// - Returns: how many bytes came, at most as many as one message has; 0 when nothing is left, for now or for
    ///   good.
    public func readMigrationData(into bytes: inout MutableRawSpan) throws(ClientFailure) -> Int {
        let fixed = UserMigrationData.byteCount
        let count = min(bytes.byteCount, server.transferByteCount, channel.transferByteCount)
        guard count > 0 else { return 0 }
        let asked = UserMigrationData(argsz: UInt32(fixed + count), size: UInt32(count))
        return try channel.request(.migrationDataRead) { writer in
            writer.append(asked)
        } _: { (body, _) throws(ClientFailure) in
            // libvfio-user pads with zeros, others may not.
            guard let answer = UserMigrationData(body), answer.size <= asked.size,
                body.byteCount - fixed >= Int(answer.size)
            else { throw .malformed(.migrationDataRead) }
            bytes.copy(body.extracting(fixed..<fixed + Int(answer.size)), to: 0)
            return Int(answer.size)
        }
    }

    /// Writes what comes next of the device's state: `VFIO_USER_MIG_DATA_WRITE`, once.
    /// - Returns: how many bytes went, as many as one message has.
    public func writeMigrationData(_ bytes: RawSpan) throws(ClientFailure) -> Int {
        let fixed = UserMigrationData.byteCount
        let count = min(bytes.byteCount, transferByteCount)
        guard count > 0 else { return 0 }
        try channel.request(.migrationDataWrite) { writer in
            writer.append(UserMigrationData(argsz: UInt32(fixed + count), size: UInt32(count)))
            writer.append(bytes.extracting(0..<count))
        } _: { (_, _) throws(ClientFailure) in
        }
        return count
    }

    // MARK: dirty pages

    /// Has the pages logged that the device writes.
    /// - Parameter pageSize: what a page is to be, in bytes.
    /// - Returns: what it is.
    func startLogging(
        pageSize: UInt64, _ ranges: [DMALoggingRange]
    ) throws(ClientFailure) -> UInt64 {
        let size =
            DeviceFeature.byteCount + UserDMALoggingControl.byteCount + ranges.count
            * DMALoggingRange.byteCount
        let control = UserDMALoggingControl(pageSize: pageSize, rangeCount: UInt32(ranges.count))
        return try channel.request(.deviceFeature) { writer in
            writer.append(
                DeviceFeature(argsz: UInt32(size), flags: FeatureFlags(.dmaLoggingStart, .set)))
            writer.append(control)
            for range in ranges { writer.append(range) }
        } _: { (body, _) throws(ClientFailure) in
            // An answer that is just a head leaves it at what was asked for.
            let answer = UserDMALoggingControl(body, at: DeviceFeature.byteCount) ?? control
            guard answer.pageSize.nonzeroBitCount == 1, answer.pageSize >= DirtyLog.granule,
                answer.pageSize <= 1 << 40
            else { throw .malformed(.deviceFeature) }
            return answer.pageSize
        }
    }

    /// Ends the logging.
    func stopLogging() throws(ClientFailure) {
        _ = try feature(DeviceFeature(flags: FeatureFlags(.dmaLoggingStop, .set)), [])
    }

    /// How many bits of dirty pages one answer can have: a multiple of 64.
    var dirtyBitLimit: Int {
        let most = min(server.transferByteCount, channel.transferByteCount, 512 << 10)
        return max(most - 64, 8) / 8 * 64
    }

    /// Takes which pages of a range were written since they were last asked for.
    /// - Parameter words: gets their bits added, those of the range's first page as bit 0; all of them have to be
    ///   there.
    func takeDirty(
        _ range: IOVARange, pageSize: UInt64, into words: inout [UInt64]
    ) throws(ClientFailure) {
        let asked = UserDMALoggingReport(
            iova: range.first.rawValue, length: range.byteCount, pageSize: pageSize)
        let fixed = DeviceFeature.byteCount + UserDMALoggingReport.byteCount
        let head = DeviceFeature(
            argsz: UInt32(fixed + 8 * words.count), flags: FeatureFlags(.dmaLoggingReport, .get))
        try channel.request(.deviceFeature) { writer in
            writer.append(head)
            writer.append(asked)
        } _: { (body, _) throws(ClientFailure) in
            guard body.byteCount == fixed + 8 * words.count else { throw .malformed(.deviceFeature) }
            words.add(body, from: fixed)
        }
    }

    /// Takes memory from the server, and which of its pages were written: `VFIO_USER_DMA_UNMAP` with
    /// `VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP`.
    /// - Parameter words: as for ``takeDirty(_:pageSize:into:)``.
    func unmap(
        _ range: IOVARange, pageSize: UInt64, dirty words: inout [UInt64]
    ) throws(ClientFailure) {
        let fixed = UserDMAUnmap.byteCount + UserDirtyBitmap.byteCount
        let request = UserDMAUnmap(
            argsz: UInt32(fixed + 8 * words.count), flags: .getDirtyBitmap,
            address: range.first.rawValue, size: range.byteCount)
        let bitmap = UserDirtyBitmap(pageSize: pageSize, size: UInt64(8 * words.count))
        try channel.request(.dmaUnmap) { writer in
            writer.append(request)
            writer.append(bitmap)
        } _: { (body, _) throws(ClientFailure) in
            guard body.byteCount == fixed + 8 * words.count else { throw .malformed(.dmaUnmap) }
            words.add(body, from: fixed)
        }
    }
}

extension [UInt64] {
    /// Adds the bits of as many words as the array has.
    fileprivate mutating func add(_ bytes: RawSpan, from start: Int) {
        for index in indices {
            // SAFETY: the caller has seen that so many bytes are there; any bytes are a word.
            let word = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: start + 8 * index, as: UInt64.self)
            self[index] |= word
        }
    }
}
