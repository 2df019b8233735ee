import DeviceModel
import NVMe

// What the controller remembers besides its queues, as bytes and back. Numbers that are only told to the driver may
// be any; those that are counted on are held to where counting can't overflow.

/// More than any count can get to in the life of a device.
private let countLimit: UInt64 = 1 << 62

extension FeatureValues {
    func save(to writer: inout StateWriter) {
        writer.append(arbitration)
        writer.append(power)
        writer.append(overTemperature)
        writer.append(underTemperature)
        for value in errorRecovery { writer.append(value) }
        writer.append(isWriteCacheEnabled)
        writer.append(coalescing)
        for isDisabled in coalescingDisabled { writer.append(isDisabled) }
        writer.append(writeAtomicity)
        writer.append(eventConfiguration.rawValue)
    }

    init(_ reader: inout StateReader, _ settings: NVMeController.Settings) throws(MigrationError) {
        self.init(settings)
        arbitration = try reader.next(UInt32.self)
        power = try reader.next(UInt32.self)
        overTemperature = try reader.next(UInt16.self)
        underTemperature = try reader.next(UInt16.self)
        for index in errorRecovery.indices { errorRecovery[index] = try reader.next(UInt32.self) }
        isWriteCacheEnabled = try reader.nextFlag()
        coalescing = try reader.next(UInt32.self)
        for index in coalescingDisabled.indices { coalescingDisabled[index] = try reader.nextFlag() }
        writeAtomicity = try reader.next(UInt32.self)
        eventConfiguration = AsynchronousEventConfiguration(rawValue: try reader.next(UInt32.self))
    }
}

extension EventState {
    /// More events than there are kinds of: each waits at most once.
    private static var waitingLimit: UInt8 { 32 }

    func save(to writer: inout StateWriter) {
        for list in [parked, aborted] {
            writer.append(UInt8(list.count))
            for commandID in list { writer.append(commandID) }
        }
        writer.append(UInt8(waiting.count))
        for event in waiting { writer.append(event.rawValue) }
        for kind in masked.indices {
            writer.append(masked[kind] != nil)
            writer.append(masked[kind]?.rawValue ?? 0)
        }
    }

    init(_ reader: inout StateReader) throws(MigrationError) {
        self.init()
        let limit = UInt8(NVMeController.eventRequestLimit)
        for _ in 0..<(try reader.next(in: 0...limit)) { parked.append(try reader.next(UInt16.self)) }
        for _ in 0..<(try reader.next(in: 0...limit)) { aborted.append(try reader.next(UInt16.self)) }
        guard parked.count + aborted.count <= NVMeController.eventRequestLimit else { throw .malformed }
        for _ in 0..<(try reader.next(in: 0...EventState.waitingLimit)) {
            waiting.append(AsynchronousEvent(rawValue: try reader.next(UInt32.self)))
        }
        for kind in masked.indices {
            let isMasked = try reader.nextFlag()
            let page = LogPage(rawValue: try reader.next(UInt8.self))
            if isMasked { masked[kind] = page }
        }
    }
}

extension ErrorLog {
    func save(to writer: inout StateWriter) {
        writer.append(count)
        for entry in entries { writer.append(bytes: entry.bytes.array) }
    }

    init(_ reader: inout StateReader) throws(MigrationError) {
        self.init()
        count = try reader.next(in: 0...countLimit)
        for _ in 0..<min(count, UInt64(ErrorLog.capacity)) {
            let bytes = try reader.next(byteCount: ErrorLogEntry.byteCount)
            entries.append(ErrorLogEntry(unchecked: PageBytes(bytes)))
        }
    }
}

extension Health {
    func save(to writer: inout StateWriter) {
        writer.append(criticalWarning)
        writer.append(temperature)
        for count in [bytesRead, bytesWritten, reads, writes, mediaErrors] { writer.append(count) }
    }

    init(_ reader: inout StateReader) throws(MigrationError) {
        self.init()
        criticalWarning = try reader.next(UInt8.self)
        temperature = try reader.next(UInt16.self)
        bytesRead = try reader.next(in: 0...countLimit)
        bytesWritten = try reader.next(in: 0...countLimit)
        reads = try reader.next(in: 0...countLimit)
        writes = try reader.next(in: 0...countLimit)
        mediaErrors = try reader.next(in: 0...countLimit)
    }
}
