import DeviceModel
import IOVASpace
import LinuxSystem
import VFIOABI
import VFIOHost

/// `VFIO_DEVICE_FEATURE` (kernel.md A.7, E). The protocol has the uAPI's features; what they say by the address of
/// an array or by a descriptor is different.
extension VFIOUserHost {
    /// The most bytes of a feature that go to the server and back as they are.
    private static var longestFeature: Int { 16_384 }

    /// A program's request: its head, and where its data begins.
    private struct FeatureRequest {
        let flags: FeatureFlags
        /// How much of the structure is left for data, in bytes.
        let room: Int
        let data: HostAddress

        init(_ address: HostAddress) throws(Errno) {
            let header = try UserMemory.load(DeviceFeature(), from: address)
            guard header.argsz >= UInt32(DeviceFeature.minimumSize),
                header.flags.isSubset(of: [.featureMask, .get, .set, .probe])
            else { throw .invalid }
            flags = header.flags
            room = Int(header.argsz) - DeviceFeature.minimumSize
            data = address + DeviceFeature.minimumSize
            guard isProbe || !header.flags.isSuperset(of: [.get, .set]) else { throw .invalid }
        }

        var isProbe: Bool { flags.contains(.probe) }
        var operation: FeatureFlags { flags.intersection([.get, .set]) }

        /// Checks the operation as Linux does.
        /// - Returns: whether it is to be carried out, and not only probed.
        func isWanted(_ possible: FeatureOperation, needs byteCount: Int) throws(Errno) -> Bool {
            try FeatureOperation(flags).isWanted(
                of: possible, isProbe, UInt32(room), needs: UInt32(byteCount))
        }
    }

    /// Carries out a request.
    func feature(_ address: HostAddress) throws(Errno) {
        let request = try FeatureRequest(address)
        let isKernels = try pci.lowPowerFeature(
            request.flags.feature, FeatureOperation(request.flags), isProbe: request.isProbe,
            payload: request.data, room: UInt32(request.room))
        if isKernels { return }
        switch request.flags.feature {
        case .migrationDeviceState:
            try requireFeature(.migrationDeviceState, [.get, .set])
            guard try request.isWanted([.get, .set], needs: MigrationStateFeature.byteCount) else { return }
            if request.operation == .set { try setMigrationState(request.data) } else { try forward(request) }
        case .dmaLoggingStart:
            try requireFeature(.dmaLoggingStart, .set)
            guard try request.isWanted(.set, needs: DMALoggingControl.byteCount) else { return }
            try startLogging(request.data)
        case .dmaLoggingStop:
            try requireFeature(.dmaLoggingStop, .set)
            guard try request.isWanted(.set, needs: 0) else { return }
            try device.stopLogging(by: .device)
        case .dmaLoggingReport:
            try requireFeature(.dmaLoggingReport, .get)
            guard try request.isWanted(.get, needs: DMALoggingReport.byteCount) else { return }
            try reportLogged(request.data)
        default: try forward(request)
        }
    }

    /// Linux looks first whether there is such a feature at all.
    /// - Throws: `ENOTTY`
    private func requireFeature(_ feature: Feature, _ operation: FeatureFlags) throws(Errno) {
        let isThere = try device.perform { (client) throws(ClientFailure) in
            try client.has(feature, operation)
        }
        guard isThere else { throw .noSuchRequest }
    }

    /// Sends a feature on whose data means the same on both sides.
    private func forward(_ request: FeatureRequest) throws(Errno) {
        let room = min(request.room, Self.longestFeature - DeviceFeature.minimumSize)
        var payload: [UInt8] = []
        if request.flags.contains(.set) && !request.isProbe && room > 0 {
            payload = [UInt8](repeating: 0, count: room)
            var span = payload.mutableSpan
            // SAFETY: any bytes are UInt8s.
            var bytes = unsafe span.mutableBytes
            try UserMemory.read(from: request.data, into: &bytes)
        }
        let question = DeviceFeature(
            argsz: UInt32(DeviceFeature.minimumSize + room), flags: request.flags)
        let answer: [UInt8]
        do throws(Errno) {
            answer = try device.perform { (client) throws(ClientFailure) in
                try client.feature(question, payload)
            }
        } catch .notSupported {
            // Linux's word for a feature that isn't there.
            throw .noSuchRequest
        }
        if request.flags.contains(.get) && !request.isProbe {
            guard answer.count <= room else { throw .invalid }
            // SAFETY: a UInt8 has no padding.
            try unsafe UserMemory.write(answer.span.bytes, to: request.data)
        }
    }

    // MARK: migration

    /// `VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE`: the answer has the descriptor of the data, and is written whatever
    /// becomes of the request.
    private func setMigrationState(_ address: HostAddress) throws(Errno) {
        var state = try UserMemory.load(MigrationStateFeature(), from: address)
        state.dataFD = -1
        let data: RemoteMigrationData?
        do throws(Errno) {
            data = try device.setMigrationState(state.deviceState)
        } catch {
            try UserMemory.store(state, to: address)
            throw error
        }
        if let data {
            do throws(Errno) {
                state.dataFD = try install { () throws(Errno) -> UserFile in .migration(data) }
            } catch {
                device.endMigrationData(data)
                throw error
            }
        }
        do throws(Errno) {
            try UserMemory.store(state, to: address)
        } catch {
            if state.dataFD >= 0 { close(state.dataFD) }
            throw error
        }
    }

    /// The data of a handle, in one of the two directions.
    private func migrationData(
        _ handle: Int32, _ direction: RemoteMigrationData.Direction
    ) throws(Errno) -> RemoteMigrationData {
        guard case .migration(let data) = try file(handle) else { throw .invalid }
        guard data.direction == direction else { throw .badDescriptor }
        return data
    }

    /// Reads a migrating device's state; see ``/VFIOHost/Host/read(_:into:)``.
    /// - Throws: `EBADF`; `EINVAL` for a handle of anything else; `ENOMSG` where nothing is left before the device is
    ///   stopped; `ENODEV` when its state isn't read any more; what the server answers.
    public func read(_ handle: Int32, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        try device.readMigrationData(try migrationData(handle, .out), into: &bytes)
    }

    /// Writes a device's state; see ``/VFIOHost/Host/write(_:_:)``.
    /// - Throws: `EBADF`; `EINVAL` for a handle of anything else; `ENODEV` when its state isn't written any more; what
    ///   the server answers.
    public func write(_ handle: Int32, _ bytes: RawSpan) throws(Errno) -> Int {
        try device.writeMigrationData(try migrationData(handle, .in), bytes)
    }

    // MARK: logging

    /// `VFIO_DEVICE_FEATURE_DMA_LOGGING_START`
    private func startLogging(_ address: HostAddress) throws(Errno) {
        var request = try DMALoggingRequest(from: address)
        request.control.pageSize = try device.startLogging(
            by: .device, pageSize: request.control.pageSize,
            request.ranges.map { DMALoggingRange(iova: $0.first.rawValue, length: $0.byteCount) })
        try UserMemory.store(request.control, to: address)
    }

    /// `VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT`
    private func reportLogged(_ address: HostAddress) throws(Errno) {
        let question = try DMALoggingQuestion(from: address)
        let bitmap = UserDirtyBits(question.bitmap, of: question.range, pageSize: question.pageSize)
        try device.reportDirty(question.range, by: .device, into: bitmap)
    }
}
