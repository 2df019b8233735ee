import DeviceModel
import LinuxSystem
import VFIOABI

/// Features: `VFIO_USER_DEVICE_FEATURE`.
extension ServedDevice {
    /// What can be done with a feature; nothing with one that isn't there.
    private func operations(_ feature: Feature) -> FeatureFlags {
        switch feature {
        case .migration: return canMove ? .get : []
        case .migrationDeviceState: return canMove ? [.get, .set] : []
        case .dmaLoggingStart, .dmaLoggingStop: return .set
        case .dmaLoggingReport: return .get
        default: return []
        }
    }

    /// `VFIO_USER_DEVICE_FEATURE`.
    ///
    /// A probe and a set are answered by what they asked; a get has the data behind the fixed part.
    /// - Throws: `ENOTTY` for a feature that isn't there; `EINVAL` for flags and lengths that make no sense, and for
    ///   what can't be done with the feature.
    func carryOut(_ request: DeviceFeature, _ payload: RawSpan, _ reply: inout MessageWriter) throws(Errno) {
        let asked = request.flags.operation
        let possible = operations(request.flags.feature)
        guard asked.isSubset(of: [.get, .set, .probe]) else { throw .invalid }
        guard !possible.isEmpty else { throw .noSuchRequest }
        let actions = asked.subtracting(.probe)
        guard actions.isSubset(of: possible) else { throw .invalid }
        if asked.contains(.probe) {
            reply.append(request)
            return
        }
        switch (request.flags.feature, actions) {
        case (.migration, .get):
            let flags = MigrationFlags(rawValue: migration.capabilities.rawValue)
            try answer(request, MigrationFeature(flags: flags), &reply)
        case (.migrationDeviceState, .get):
            let state = MigrationState(rawValue: migration.phase.rawValue)
            try answer(request, MigrationStateFeature(deviceState: state), &reply)
        case (.migrationDeviceState, .set): try setState(request, payload, &reply)
        case (.dmaLoggingStart, .set): try startLogging(request, payload, &reply)
        case (.dmaLoggingStop, .set):
            slot.memory.stopLogging()
            reply.append(request)
        case (.dmaLoggingReport, .get): try report(request, payload, &reply)
        default: throw .invalid
        }
    }

    /// A get's answer; `argsz` says how long it is.
    private func answer(
        _ request: DeviceFeature, _ value: some ABIValue, _ reply: inout MessageWriter, more: Int = 0
    ) throws(Errno) {
        let size = DeviceFeature.byteCount + MemoryLayout.size(ofValue: value) + more
        guard Int(request.argsz) >= size, reply.room >= size else { throw .invalid }
        reply.append(DeviceFeature(argsz: UInt32(size), flags: request.flags))
        reply.append(value)
    }

    /// A set's data.
    private func value<T: ABIValue>(_ request: DeviceFeature, _ payload: RawSpan) throws(Errno) -> T {
        guard Int(request.argsz) >= DeviceFeature.byteCount + T.byteCount, let value = T(payload) else {
            throw .invalid
        }
        return value
    }

    // MARK: dirty pages

    private func startLogging(
        _ request: DeviceFeature, _ payload: RawSpan, _ reply: inout MessageWriter
    ) throws(Errno) {
        var control: UserDMALoggingControl = try value(request, payload)
        let rest = payload.byteCount - UserDMALoggingControl.byteCount
        guard control.pageSize.nonzeroBitCount == 1,
            UInt64(control.rangeCount) * UInt64(DMALoggingRange.byteCount) <= UInt64(rest)
        else { throw .invalid }
        // Everything is logged, whatever the ranges; they still have to be some.
        for index in 0..<Int(control.rangeCount) {
            let at = UserDMALoggingControl.byteCount + index * DMALoggingRange.byteCount
            guard let range = DMALoggingRange(payload, at: at), range.length > 0,
                (range.iova | range.length) & (control.pageSize - 1) == 0
            else { throw .invalid }
            guard !range.iova.addingReportingOverflow(range.length - 1).overflow else { throw .overflow }
        }
        control.pageSize = max(control.pageSize, DirtyLog.granule)
        try slot.memory.startLogging(pageSize: control.pageSize)
        reply.append(request)
        reply.append(control)
    }

    private func report(
        _ request: DeviceFeature, _ payload: RawSpan, _ reply: inout MessageWriter
    ) throws(Errno) {
        guard let asked = UserDMALoggingReport(payload) else { throw .invalid }
        let range = try DirtyRange(asked.iova, asked.length, pageSize: asked.pageSize)
        try answer(request, asked, &reply, more: range.byteCount)
        let memory = slot.memory
        try append(range, &reply) { (words) throws(Errno) in
            try memory.reportDirty(range.addresses, pageShift: range.pageShift, into: words)
        }
    }

    /// `VFIO_USER_DMA_UNMAP`, with the dirty pages of what is unmapped if that is asked for.
    func unmap(_ request: UserDMAUnmap, _ payload: RawSpan, _ reply: inout MessageWriter) throws(Errno) {
        reply.append(request)
        if request.flags == .getDirtyBitmap {
            guard let bitmap = UserDirtyBitmap(payload) else { throw .invalid }
            let range = try DirtyRange(request.address, request.size, pageSize: bitmap.pageSize)
            let fixed = UserDMAUnmap.byteCount + UserDirtyBitmap.byteCount
            guard bitmap.size >= UInt64(range.byteCount), Int(request.argsz) >= fixed + range.byteCount,
                reply.room >= UserDirtyBitmap.byteCount + range.byteCount
            else { throw .invalid }
            reply.append(UserDirtyBitmap(pageSize: bitmap.pageSize, size: UInt64(range.byteCount)))
            let memory = slot.memory
            return try append(range, &reply) { (words) throws(Errno) in
                try memory.unmap(request, dirty: (range, words))
            }
        }
        try slot.memory.unmap(request)
    }

    /// Appends the bits of a range, all clear at first.
    private func append(
        _ range: DirtyRange, _ reply: inout MessageWriter, _ fill: (MemoryWindow) throws(Errno) -> Void
    ) throws(Errno) {
        try reply.append(range.byteCount) { (bytes) throws(Errno) in
            try MemoryWindow.withWindow(on: &bytes) { (words) throws(Errno) in
                words.zero(at: 0, byteCount: words.byteCount)
                try fill(words)
            }
        }
    }
}
