import NVMe

/// The latest commands that failed.
struct ErrorLog {
    /// ELPE + 1.
    static let capacity = 64

    /// How many errors there have been.
    var count: UInt64 = 0
    /// In the order of their coming, and from `capacity` on round and round.
    var entries: [ErrorLogEntry] = []

    mutating func add(_ status: Status, queue: UInt16, commandID: UInt16, namespaceID: UInt32, block: UInt64)
    {
        count += 1
        var entry = ErrorLogEntry()
        entry.errorCount = count
        entry.submissionQueueID = queue
        entry.commandID = commandID
        entry.status = status
        entry.parameterLocation = 0xffff
        entry.namespaceID = namespaceID
        entry.block = block
        let place = Int((count - 1) % UInt64(ErrorLog.capacity))
        if place < entries.count { entries[place] = entry } else { entries.append(entry) }
    }

    /// The log page: the newest first.
    var page: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(ErrorLog.capacity * ErrorLogEntry.byteCount)
        for back in 0..<entries.count {
            let place = Int((count - 1 - UInt64(back)) % UInt64(ErrorLog.capacity))
            bytes.append(contentsOf: entries[place].bytes.array)
        }
        bytes.append(
            contentsOf: [UInt8](
                repeating: 0, count: ErrorLog.capacity * ErrorLogEntry.byteCount - bytes.count))
        return bytes
    }
}

/// What the SMART log counts.
struct Health {
    var criticalWarning: UInt8 = 0
    var temperature: UInt16 = 310
    var bytesRead: UInt64 = 0
    var bytesWritten: UInt64 = 0
    var reads: UInt64 = 0
    var writes: UInt64 = 0
    var mediaErrors: UInt64 = 0

    func page(errors: UInt64) -> SMARTLog {
        var page = SMARTLog()
        page.criticalWarning = criticalWarning
        page.temperature = temperature
        page.availableSpare = 100
        page.availableSpareThreshold = 10
        page.dataUnitsRead = UInt128((bytesRead + 511_999) / 512_000)
        page.dataUnitsWritten = UInt128((bytesWritten + 511_999) / 512_000)
        page.hostReads = UInt128(reads)
        page.hostWrites = UInt128(writes)
        page.powerCycles = 1
        page.mediaErrors = UInt128(mediaErrors)
        page.errorLogEntries = UInt128(errors)
        return page
    }
}

extension NVMeController {
    func getLogPage(_ entry: SubmissionEntry) -> Outcome {
        // Pages tell of the whole controller (LPA bit 0 is 0).
        let isWhole = entry.namespaceID == 0 || entry.namespaceID == SubmissionEntry.allNamespaces
        let bytes: [UInt8]
        switch entry.logPage {
        case .error: bytes = errorLog.page
        case .smart:
            guard isWhole else {
                if case .invalid = state(of: entry.namespaceID) { return Outcome(.invalidNamespace) }
                return Outcome(.invalidField)
            }
            bytes = health.page(errors: errorLog.count).bytes.array
        case .firmwareSlot:
            var page = FirmwareSlotLog()
            page.activeInformation = 1
            page.setRevision(settings.firmwareRevision, slot: 1)
            bytes = page.bytes.array
        case .changedNamespaces: bytes = ChangedNamespaceLog(changedNamespaces).bytes.array
        case .commandEffects: bytes = effectsPage().bytes.array
        default: return Outcome(.invalidLogPage)
        }
        let offset = entry.logOffset
        guard !entry.logOffsetIsIndex, offset & 3 == 0, offset <= UInt64(bytes.count),
            entry.logByteCount <= UInt64(transfer.limit)
        else { return Outcome(.invalidField) }
        let outcome = answer(entry, bytes, byteCount: Int(entry.logByteCount), from: Int(offset))
        if outcome.status.isSuccess && !entry.logRetainsEvent {
            unmask(entry.logPage)
            if entry.logPage == .changedNamespaces { changedNamespaces.removeAll() }
        }
        return outcome
    }

    private func effectsPage() -> CommandEffectsLog {
        var page = CommandEffectsLog()
        for opcode in NVMeController.adminCommands { page[admin: opcode] = .supported }
        if settings.hasDoorbellBuffers { page[admin: .doorbellBufferConfig] = .supported }
        page[io: .flush] = .supported
        page[io: .read] = .supported
        page[io: .write] = [.supported, .changesBlocks]
        page[io: .writeZeroes] = [.supported, .changesBlocks]
        page[io: .datasetManagement] = [.supported, .changesBlocks]
        return page
    }
}
