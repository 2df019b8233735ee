// The admin commands: how a driver makes them, and how a controller reads them. Each field is one accessor
// that works both ways. Figures are those of NVMe Base 2.0.

/// Identify (5.17).
extension SubmissionEntry {
    /// Identify: DPTR is 4096 bytes.
    ///
    /// - Parameters:
    ///   - selector: What is asked for.
    ///   - namespaceID: For lists, the identifier that the list begins after.
    ///   - controllerID: CNTID, for the selectors that want it.
    ///   - commandSet: CSI, for the selectors of a command set.
    public static func identify(
        _ selector: IdentifySelector, namespaceID: UInt32 = 0, controllerID: UInt16 = 0,
        commandSet: CommandSet = .nvm
    ) -> SubmissionEntry {
        var entry = SubmissionEntry(admin: .identify, namespaceID: namespaceID)
        entry.dword10 = UInt32(selector.rawValue) | UInt32(controllerID) << 16
        entry.dword11 = UInt32(commandSet.rawValue) << 24
        return entry
    }
    /// CNS of Identify.
    public var identifySelector: IdentifySelector {
        IdentifySelector(rawValue: UInt8(truncatingIfNeeded: dword10))
    }
    /// CNTID of Identify.
    public var identifyControllerID: UInt16 { UInt16(truncatingIfNeeded: dword10 >> 16) }
    /// CSI of Identify.
    public var identifyCommandSet: CommandSet {
        CommandSet(rawValue: UInt8(truncatingIfNeeded: dword11 >> 24))
    }
}

/// Get Log Page (5.16).
extension SubmissionEntry {
    /// Get Log Page: DPTR is `byteCount` bytes.
    ///
    /// - Parameters:
    ///   - page: The log page.
    ///   - namespaceID: `allNamespaces` for the controller's own.
    ///   - byteCount: The bytes to read; a positive multiple of four, rounded up otherwise.
    ///   - offset: Where in the page to begin; a multiple of four.
    ///   - retainsEvent: RAE: reading doesn't clear the asynchronous event of this page.
    public static func getLogPage(
        _ page: LogPage, namespaceID: UInt32 = allNamespaces, byteCount: Int, offset: UInt64 = 0,
        retainsEvent: Bool = false
    ) -> SubmissionEntry {
        var entry = SubmissionEntry(admin: .getLogPage, namespaceID: namespaceID)
        let dwords = UInt32(truncatingIfNeeded: (max(byteCount, 4) &+ 3) / 4 - 1)
        entry.dword10 = UInt32(page.rawValue) | (retainsEvent ? 0x8000 : 0) | (dwords & 0xffff) << 16
        entry.dword11 = dwords >> 16
        entry.dword12 = UInt32(truncatingIfNeeded: offset)
        entry.dword13 = UInt32(truncatingIfNeeded: offset >> 32)
        return entry
    }
    /// LID of Get Log Page.
    public var logPage: LogPage { LogPage(rawValue: UInt8(truncatingIfNeeded: dword10)) }
    /// LSP of Get Log Page: seven bits that a page gives its own meaning.
    public var logSpecific: UInt8 { UInt8((dword10 >> 8) & 0x7f) }
    /// RAE of Get Log Page.
    public var logRetainsEvent: Bool { dword10 & 0x8000 != 0 }
    /// NUMDU and NUMDL of Get Log Page, in bytes: from 4 to 2 ^ 34.
    public var logByteCount: UInt64 {
        (UInt64(dword10 >> 16) | UInt64(dword11 & 0xffff) << 16) * 4 + 4
    }
    /// LPOU and LPOL of Get Log Page.
    public var logOffset: UInt64 { UInt64(dword12) | UInt64(dword13) << 32 }
    /// OT of Get Log Page: the offset is an index and not a byte offset.
    public var logOffsetIsIndex: Bool { dword14 & 0x80_0000 != 0 }
    /// CSI of Get Log Page.
    public var logCommandSet: CommandSet { CommandSet(rawValue: UInt8(truncatingIfNeeded: dword14 >> 24)) }
}

/// Creation and deletion of I/O queues (5.4, 5.5, 5.6, 5.7).
extension SubmissionEntry {
    /// Create I/O Completion Queue at a contiguous address.
    ///
    /// - Parameters:
    ///   - queueID: 1...65535.
    ///   - entries: 2...65536 entries.
    ///   - address: Where the queue begins; a multiple of the page.
    ///   - vector: IV; nil for a queue without interrupts.
    public static func createCompletionQueue(
        _ queueID: UInt16, entries: Int, address: UInt64, vector: UInt16?
    ) -> SubmissionEntry {
        var entry = SubmissionEntry(admin: .createCompletionQueue)
        entry.prp1 = address
        entry.dword10 = UInt32(queueID) | UInt32(UInt16(truncatingIfNeeded: entries - 1)) << 16
        entry.dword11 = 1 | (vector == nil ? 0 : 2) | UInt32(vector ?? 0) << 16
        return entry
    }
    /// Create I/O Submission Queue at a contiguous address.
    ///
    /// - Parameters:
    ///   - queueID: 1...65535.
    ///   - entries: 2...65536 entries.
    ///   - address: Where the queue begins; a multiple of the page.
    ///   - completionQueueID: The queue its completions go to.
    ///   - priority: QPRIO; counts for weighted round robin only.
    public static func createSubmissionQueue(
        _ queueID: UInt16, entries: Int, address: UInt64, completionQueueID: UInt16, priority: UInt8 = 0
    ) -> SubmissionEntry {
        var entry = SubmissionEntry(admin: .createSubmissionQueue)
        entry.prp1 = address
        entry.dword10 = UInt32(queueID) | UInt32(UInt16(truncatingIfNeeded: entries - 1)) << 16
        entry.dword11 = 1 | UInt32(priority & 3) << 1 | UInt32(completionQueueID) << 16
        return entry
    }
    /// Delete I/O Submission Queue.
    public static func deleteSubmissionQueue(_ queueID: UInt16) -> SubmissionEntry {
        var entry = SubmissionEntry(admin: .deleteSubmissionQueue)
        entry.dword10 = UInt32(queueID)
        return entry
    }
    /// Delete I/O Completion Queue.
    public static func deleteCompletionQueue(_ queueID: UInt16) -> SubmissionEntry {
        var entry = SubmissionEntry(admin: .deleteCompletionQueue)
        entry.dword10 = UInt32(queueID)
        return entry
    }
    /// QID of the commands that make or delete queues.
    public var queueID: UInt16 { UInt16(truncatingIfNeeded: dword10) }
    /// QSIZE of the commands that make queues: one less than the entries.
    public var queueSizeZeroBased: UInt16 { UInt16(truncatingIfNeeded: dword10 >> 16) }
    /// PC of the commands that make queues: PRP1 is the queue itself, not a list.
    public var queueIsContiguous: Bool { dword11 & 1 != 0 }
    /// IEN of Create I/O Completion Queue.
    public var queueInterruptsEnabled: Bool { dword11 & 2 != 0 }
    /// IV of Create I/O Completion Queue.
    public var queueInterruptVector: UInt16 { UInt16(truncatingIfNeeded: dword11 >> 16) }
    /// CQID of Create I/O Submission Queue.
    public var queueCompletionQueueID: UInt16 { UInt16(truncatingIfNeeded: dword11 >> 16) }
    /// QPRIO of Create I/O Submission Queue.
    public var queuePriority: UInt8 { UInt8((dword11 >> 1) & 3) }
}

/// Set Features and Get Features (5.27, 5.15).
extension SubmissionEntry {
    /// Set Features.
    ///
    /// - Parameters:
    ///   - feature: The feature.
    ///   - value: CDW11.
    ///   - namespaceID: For features of a namespace.
    ///   - saves: SV: the value survives a reset and power loss.
    public static func setFeatures(
        _ feature: Feature, value: UInt32, namespaceID: UInt32 = 0, saves: Bool = false
    ) -> SubmissionEntry {
        var entry = SubmissionEntry(admin: .setFeatures, namespaceID: namespaceID)
        entry.dword10 = UInt32(feature.rawValue) | (saves ? 0x8000_0000 : 0)
        entry.dword11 = value
        return entry
    }
    /// Get Features.
    ///
    /// - Parameters:
    ///   - feature: The feature.
    ///   - select: Which of its values.
    ///   - namespaceID: For features of a namespace.
    ///   - dword11: What some features want to know in CDW11.
    public static func getFeatures(
        _ feature: Feature, select: FeatureSelect = .current, namespaceID: UInt32 = 0, dword11: UInt32 = 0
    ) -> SubmissionEntry {
        var entry = SubmissionEntry(admin: .getFeatures, namespaceID: namespaceID)
        entry.dword10 = UInt32(feature.rawValue) | UInt32(select.rawValue) << 8
        entry.dword11 = dword11
        return entry
    }
    /// FID.
    public var feature: Feature { Feature(rawValue: UInt8(truncatingIfNeeded: dword10)) }
    /// SV of Set Features.
    public var featureSaves: Bool { dword10 & 0x8000_0000 != 0 }
    /// SEL of Get Features; nil for a value that the specification reserves.
    public var featureSelect: FeatureSelect? { FeatureSelect(rawValue: UInt8((dword10 >> 8) & 7)) }
}

/// Abort, Asynchronous Event Request, firmware, Format NVM, Doorbell Buffer Config, Keep Alive.
extension SubmissionEntry {
    /// Abort (5.1): asks for the end of a command. Bit 0 of the result is 0 when it was aborted.
    public static func abort(commandID: UInt16, submissionQueueID: UInt16) -> SubmissionEntry {
        var entry = SubmissionEntry(admin: .abort)
        entry.dword10 = UInt32(submissionQueueID) | UInt32(commandID) << 16
        return entry
    }
    /// SQID of Abort.
    public var abortSubmissionQueueID: UInt16 { UInt16(truncatingIfNeeded: dword10) }
    /// CID of Abort: the command to be aborted.
    public var abortCommandID: UInt16 { UInt16(truncatingIfNeeded: dword10 >> 16) }

    /// Asynchronous Event Request (5.2): completes when something happens; see `AsynchronousEvent`.
    public static func asynchronousEventRequest() -> SubmissionEntry {
        SubmissionEntry(admin: .asynchronousEventRequest)
    }

    /// Doorbell Buffer Config (5.8).
    ///
    /// - Parameters:
    ///   - shadow: A page where the host writes its doorbells.
    ///   - eventIndexes: A page where the controller says which values it wants to be rung for.
    public static func doorbellBufferConfig(shadow: UInt64, eventIndexes: UInt64) -> SubmissionEntry {
        var entry = SubmissionEntry(admin: .doorbellBufferConfig)
        entry.prp1 = shadow
        entry.prp2 = eventIndexes
        return entry
    }

    /// Keep Alive (5.18).
    public static func keepAlive() -> SubmissionEntry { SubmissionEntry(admin: .keepAlive) }

    /// Firmware Image Download (5.13): DPTR is a piece of the image; both numbers are multiples of four.
    public static func firmwareDownload(byteCount: Int, offset: Int) -> SubmissionEntry {
        var entry = SubmissionEntry(admin: .firmwareDownload)
        entry.dword10 = UInt32(truncatingIfNeeded: max(byteCount, 4) / 4 - 1)
        entry.dword11 = UInt32(truncatingIfNeeded: offset / 4)
        return entry
    }
    /// Firmware Commit (5.12): `slot` 0...7 (0: the controller chooses), `action` as CA says, 0...7.
    public static func firmwareCommit(slot: UInt8, action: UInt8) -> SubmissionEntry {
        var entry = SubmissionEntry(admin: .firmwareCommit)
        entry.dword10 = UInt32(slot & 7) | UInt32(action & 7) << 3
        return entry
    }

    /// Format NVM (5.14): `format` is an index of the LBA formats, `secureErase` as SES says.
    public static func formatNVM(namespaceID: UInt32, format: UInt8, secureErase: UInt8 = 0)
        -> SubmissionEntry
    {
        var entry = SubmissionEntry(admin: .formatNVM, namespaceID: namespaceID)
        entry.dword10 = UInt32(format & 0xf) | UInt32(secureErase & 7) << 9
        return entry
    }
}
