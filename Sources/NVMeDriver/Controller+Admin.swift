import LinuxSystem
import NVMe
import VFIO

// Identify, log pages, features, events, and admin commands of the caller's own. All may be called from any
// thread; they wait for one another.

extension Controller {
    // MARK: Identify

    /// What Identify tells of a namespace, in full.
    public func identify(namespace: UInt32) throws(NVMeError) -> IdentifyNamespace {
        IdentifyNamespace(unchecked: try page(.identify(.namespace, namespaceID: namespace)))
    }

    /// The identifiers by which a namespace is known beyond this controller.
    public func descriptors(ofNamespace namespace: UInt32) throws(NVMeError) -> [NamespaceDescriptors
        .Descriptor]
    {
        NamespaceDescriptors(
            unchecked: try page(.identify(.namespaceDescriptors, namespaceID: namespace))
        ).descriptors
    }

    /// The identifiers of the subsystem's controllers, from the given one on.
    public func controllers(from first: UInt16 = 0) throws(NVMeError) -> [UInt16] {
        ControllerList(unchecked: try page(.identify(.controllers, controllerID: first))).identifiers
    }

    /// Any page of Identify, as its 4096 bytes.
    public func identify(
        _ selector: IdentifySelector, namespace: UInt32 = 0, controllerID: UInt16 = 0,
        commandSet: CommandSet = .nvm
    ) throws(NVMeError) -> [UInt8] {
        try page(
            .identify(selector, namespaceID: namespace, controllerID: controllerID, commandSet: commandSet)
        ).array
    }

    /// Lists and identifies the namespaces again, e.g. after ``/NVMe/AsynchronousEvent/namespacesChanged``.
    @discardableResult
    public func refreshNamespaces() throws(NVMeError) -> [Namespace] {
        try core.lock.withLock { () throws(NVMeError) in
            try core.identifyNamespaces()
            return core.namespaces
        }
    }

    private func page(_ entry: SubmissionEntry) throws(NVMeError) -> PageBytes {
        try core.lock.withLock { () throws(NVMeError) in
            PageBytes(try core.fetch(entry, byteCount: 4096, "identify"))
        }
    }

    // MARK: Log pages

    /// Reads a log page, or a part of it.
    /// - Parameters:
    ///   - byteCount: rounded up to a multiple of four; long pages are read in several commands where the
    ///     controller has offsets.
    ///   - offset: where in the page to begin, a multiple of four.
    ///   - retainsEvent: leaves the asynchronous event of this page as it is.
    /// - Throws: `.status` with `.invalidLogPage` if the controller doesn't have it; `.tooLarge` for more than
    ///   16 MiB, or more than 16 KiB from a controller without offsets.
    public func logPage(
        _ page: LogPage, namespace: UInt32 = SubmissionEntry.allNamespaces, byteCount: Int,
        offset: UInt64 = 0,
        retainsEvent: Bool = false
    ) throws(NVMeError) -> [UInt8] {
        try core.lock.withLock { () throws(NVMeError) in
            let step = ControllerCore.scratchByteCount
            let hasOffsets = core.identity.logPageAttributes & 4 != 0
            let limit = hasOffsets ? 16 << 20 : step
            guard byteCount > 0, byteCount <= limit else {
                throw core.failure(.tooLarge(byteCount: byteCount, limit: limit), "read a log page")
            }
            let rounded = (byteCount + 3) / 4 * 4
            var bytes: [UInt8] = []
            bytes.reserveCapacity(rounded)
            while bytes.count < rounded {
                let count = min(step, rounded - bytes.count)
                // Only the last piece may clear the event: before, the page could change under the reader.
                let isLast = bytes.count + count == rounded
                bytes += try core.fetch(
                    .getLogPage(
                        page, namespaceID: namespace, byteCount: count, offset: offset + UInt64(bytes.count),
                        retainsEvent: retainsEvent || !isLast),
                    byteCount: count, "read a log page")
            }
            return bytes
        }
    }

    /// The error log: what went wrong lately, the newest first. Empty places are left out.
    /// - Parameter limit: how many entries to ask for; the controller has up to 256.
    public func errorLog(limit: Int = 64, retainsEvent: Bool = false) throws(NVMeError) -> [ErrorLogEntry] {
        let count = max(1, min(limit, identity.errorLogEntries))
        let size = ErrorLogEntry.byteCount
        let bytes = try logPage(.error, byteCount: count * size, retainsEvent: retainsEvent)
        var entries: [ErrorLogEntry] = []
        for index in 0..<count {
            let entry = ErrorLogEntry(
                unchecked: PageBytes(Array(bytes[index * size..<(index + 1) * size])))
            if entry.errorCount != 0 { entries.append(entry) }
        }
        return entries
    }

    /// SMART and health of the controller, or of a namespace where the controller tells that.
    public func healthLog(
        namespace: UInt32 = SubmissionEntry.allNamespaces, retainsEvent: Bool = false
    ) throws(NVMeError) -> SMARTLog {
        SMARTLog(
            unchecked: PageBytes(
                try logPage(
                    .smart, namespace: namespace, byteCount: SMARTLog.byteCount, retainsEvent: retainsEvent)))
    }

    /// The firmware slots, and which of them is active.
    public func firmwareLog(retainsEvent: Bool = false) throws(NVMeError) -> FirmwareSlotLog {
        FirmwareSlotLog(
            unchecked: PageBytes(
                try logPage(.firmwareSlot, byteCount: FirmwareSlotLog.byteCount, retainsEvent: retainsEvent)))
    }

    /// Which namespaces changed since the last time this was read.
    public func changedNamespaces(retainsEvent: Bool = false) throws(NVMeError) -> [UInt32] {
        NamespaceList(
            unchecked: PageBytes(
                try logPage(
                    .changedNamespaces, byteCount: NamespaceList.byteCount, retainsEvent: retainsEvent))
        ).identifiers
    }

    /// Which commands the controller has, and what they do to it.
    public func commandEffects() throws(NVMeError) -> CommandEffectsLog {
        CommandEffectsLog(
            unchecked: PageBytes(try logPage(.commandEffects, byteCount: CommandEffectsLog.byteCount)))
    }

    // MARK: Features

    /// A feature's value: DW0 of the answer.
    /// - Parameter dword11: what some features want to know, e.g. which sensor.
    public func feature(
        _ feature: Feature, _ select: FeatureSelect = .current, namespace: UInt32 = 0, dword11: UInt32 = 0
    ) throws(NVMeError) -> UInt32 {
        try admin(
            .getFeatures(feature, select: select, namespaceID: namespace, dword11: dword11), "get a feature")
    }

    /// A feature's data, for features that are more than a number, e.g. the timestamp.
    public func featureData(
        _ feature: Feature, _ select: FeatureSelect = .current, namespace: UInt32 = 0, byteCount: Int
    ) throws(NVMeError) -> [UInt8] {
        let limit = ControllerCore.scratchByteCount
        guard byteCount > 0, byteCount <= limit else {
            throw NVMeError(.tooLarge(byteCount: byteCount, limit: limit), "get a feature", on: name)
        }
        return try core.lock.withLock { () throws(NVMeError) in
            try core.fetch(
                .getFeatures(feature, select: select, namespaceID: namespace), byteCount: byteCount,
                "get a feature")
        }
    }

    /// Sets a feature.
    /// - Parameters:
    ///   - value: CDW11.
    ///   - data: for features that are more than a number; up to 16 KiB.
    ///   - saves: the value survives resets and power loss.
    /// - Returns: DW0 of the answer.
    @discardableResult
    public func setFeature(
        _ feature: Feature, _ value: UInt32, data: [UInt8] = [], namespace: UInt32 = 0, saves: Bool = false
    ) throws(NVMeError) -> UInt32 {
        let entry = SubmissionEntry.setFeatures(feature, value: value, namespaceID: namespace, saves: saves)
        if data.isEmpty { return try admin(entry, "set a feature") }
        let limit = ControllerCore.scratchByteCount
        guard data.count <= limit else {
            throw NVMeError(.tooLarge(byteCount: data.count, limit: limit), "set a feature", on: name)
        }
        return try core.lock.withLock { () throws(NVMeError) in
            try core.send(entry, data, "set a feature").result
        }
    }

    /// Whether the volatile write cache is on.
    /// - Throws: `.unsupported` on a controller without one.
    public func isWriteCacheEnabled() throws(NVMeError) -> Bool {
        try checkWriteCache()
        return try feature(.volatileWriteCache) & 1 != 0
    }

    /// Switches the volatile write cache on or off. Off, every write is on the medium when it completes.
    public func setWriteCache(enabled: Bool) throws(NVMeError) {
        try checkWriteCache()
        try setFeature(.volatileWriteCache, enabled ? 1 : 0)
    }

    private func checkWriteCache() throws(NVMeError) {
        guard identity.hasVolatileWriteCache else {
            throw NVMeError(.unsupported(.volatileWriteCache), "use the write cache", on: name)
        }
    }

    /// Which side of a temperature threshold is dangerous.
    public enum TemperatureThreshold: UInt32, Sendable {
        /// Too warm from here up.
        case over = 0
        /// Too cold from here down.
        case under = 1
    }

    /// The temperature, in kelvins, at which the controller warns.
    /// - Parameter sensor: 0 for the composite temperature, 1...8 for a sensor.
    public func temperatureThreshold(
        _ kind: TemperatureThreshold = .over, sensor: UInt8 = 0
    ) throws(NVMeError) -> UInt16 {
        let selector = UInt32(sensor & 0xf) << 16 | kind.rawValue << 20
        return UInt16(truncatingIfNeeded: try feature(.temperatureThreshold, dword11: selector))
    }

    /// Sets the temperature, in kelvins, at which the controller warns.
    public func setTemperatureThreshold(
        _ kelvins: UInt16, _ kind: TemperatureThreshold = .over, sensor: UInt8 = 0
    ) throws(NVMeError) {
        let selector = UInt32(sensor & 0xf) << 16 | kind.rawValue << 20
        try setFeature(.temperatureThreshold, selector | UInt32(kelvins))
    }

    /// How the controller chooses among its queues (NVMe Base 2.0, 5.27.1.1 "Arbitration").
    public struct Arbitration: Equatable, Sendable {
        /// At most 2 to the power of this commands from one queue at a time; 7 is no limit.
        public var burst: UInt8
        /// Weights, one less than what they stand for, of queues of low, medium and high priority.
        public var low: UInt8, medium: UInt8, high: UInt8

        /// A choice.
        public init(burst: UInt8 = 7, low: UInt8 = 0, medium: UInt8 = 0, high: UInt8 = 0) {
            self.burst = burst
            self.low = low
            self.medium = medium
            self.high = high
        }
    }

    /// How the controller chooses among its queues.
    public func arbitration() throws(NVMeError) -> Arbitration {
        let value = try feature(.arbitration)
        return Arbitration(
            burst: UInt8(value & 7), low: UInt8((value >> 8) & 0xff), medium: UInt8((value >> 16) & 0xff),
            high: UInt8(value >> 24))
    }

    /// Sets how the controller chooses among its queues.
    public func setArbitration(_ value: Arbitration) throws(NVMeError) {
        try setFeature(
            .arbitration,
            UInt32(value.burst & 7) | UInt32(value.low) << 8 | UInt32(value.medium) << 16
                | UInt32(value.high) << 24)
    }

    /// Which asynchronous events the controller tells.
    public func eventConfiguration() throws(NVMeError) -> AsynchronousEventConfiguration {
        AsynchronousEventConfiguration(rawValue: try feature(.asynchronousEventConfiguration))
    }

    /// Sets which asynchronous events the controller tells.
    public func setEventConfiguration(_ value: AsynchronousEventConfiguration) throws(NVMeError) {
        try setFeature(.asynchronousEventConfiguration, value.rawValue)
    }

    // MARK: Events

    /// The next asynchronous event; nil if none has come. Asks the controller for further ones by itself.
    ///
    /// The controller doesn't tell another event of the same type until the event's log page has been read.
    public func nextEvent() throws(NVMeError) -> AsynchronousEvent? {
        try core.lock.withLock { () throws(NVMeError) in try core.nextEvent() }
    }

    /// How many events were dropped because nobody took them: up to 64 wait.
    public var lostEventCount: Int { core.lock.withLock { core.lostEventCount } }

    // MARK: Anything else

    /// Sends an admin command of the caller's own without data, and waits for its end.
    /// - Returns: DW0 of its completion.
    /// - Throws: `.reserved` for commands that make or delete queues, ask for events or share doorbells.
    @discardableResult
    public func admin(_ entry: SubmissionEntry) throws(NVMeError) -> UInt32 {
        try checkOwnership(entry)
        return try admin(entry, "admin command")
    }

    /// Sends an admin command of the caller's own with data, and waits for its end.
    /// - Parameter segment: memory of the right length for the command; up to 1 MiB.
    @discardableResult
    public func admin(_ entry: SubmissionEntry, _ segment: DMASegment) throws(NVMeError) -> UInt32 {
        guard segment.byteCount <= 1 << 20 else {
            throw NVMeError(
                .tooLarge(byteCount: segment.byteCount, limit: 1 << 20), "admin command", on: name)
        }
        return try core.lock.withLock { () throws(NVMeError) in
            try core.execute(entry, segment, "admin command").result
        }
    }

    /// Refuses the commands that only the driver may send: queues that it doesn't know of would outlive their
    /// memory, and an event request has no end to wait for.
    private func checkOwnership(_ entry: SubmissionEntry) throws(NVMeError) {
        switch AdminOpcode(rawValue: entry.opcode) {
        case .createSubmissionQueue, .createCompletionQueue, .deleteSubmissionQueue, .deleteCompletionQueue,
            .asynchronousEventRequest, .doorbellBufferConfig:
            throw NVMeError(.reserved(opcode: entry.opcode), "admin command", on: name)
        default: return
        }
    }

    private func admin(_ entry: SubmissionEntry, _ operation: StaticString) throws(NVMeError) -> UInt32 {
        try core.lock.withLock { () throws(NVMeError) in try core.execute(entry, operation).result }
    }
}
