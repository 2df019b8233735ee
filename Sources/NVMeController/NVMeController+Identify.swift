import NVMe

extension NVMeController {
    /// The temperatures, in kelvins, that Identify names as too warm and as dangerous.
    static var warningTemperature: UInt16 { 343 }
    static var criticalTemperature: UInt16 { 353 }

    /// What a namespace identifier stands for.
    enum NamespaceState {
        case active(NVMeNamespace)
        case inactive
        case invalid
    }

    func state(of identifier: UInt32) -> NamespaceState {
        guard identifier >= 1, identifier <= UInt32(namespaces.count) else { return .invalid }
        guard let namespace = namespaces[Int(identifier) - 1] else { return .inactive }
        return .active(namespace)
    }

    func identify(_ entry: SubmissionEntry) -> Outcome {
        switch entry.identifySelector {
        case .namespace, .allocatedNamespace:
            switch state(of: entry.namespaceID) {
            case .active(let namespace): return page(entry, identifyNamespace(namespace, entry.namespaceID))
            case .inactive: return page(entry, IdentifyNamespace())
            case .invalid: return Outcome(.invalidNamespace)
            }
        case .controller:
            return page(entry, identifyController())
        case .activeNamespaces, .allocatedNamespaces:
            return namespaceList(entry)
        case .commandSetActiveNamespaces:
            guard entry.identifyCommandSet == .nvm else { return Outcome(.invalidField) }
            return namespaceList(entry)
        case .namespaceDescriptors:
            guard case .active(let namespace) = state(of: entry.namespaceID) else {
                return Outcome(.invalidNamespace)
            }
            let uuid = uuid(of: namespace, entry.namespaceID)
            return page(entry, NamespaceDescriptors([.init(.nguid, uuid), .init(.uuid, uuid)]))
        case .commandSetNamespace:
            guard entry.identifyCommandSet == .nvm else { return Outcome(.invalidField) }
            switch state(of: entry.namespaceID) {
            case .active, .inactive: return page(entry, IdentifyNVMNamespace())
            case .invalid: return Outcome(.invalidNamespace)
            }
        case .commandSetController:
            guard entry.identifyCommandSet == .nvm else { return Outcome(.invalidField) }
            return page(entry, IdentifyNVMController())
        case .independentNamespace:
            switch state(of: entry.namespaceID) {
            case .active(let namespace):
                var independent = IdentifyIndependentNamespace()
                independent.attributes = namespace.store.isReadOnly ? 1 : 0
                independent.status = 1
                return page(entry, independent)
            case .inactive: return page(entry, IdentifyIndependentNamespace())
            case .invalid: return Outcome(.invalidNamespace)
            }
        case .namespaceControllers:
            switch state(of: entry.namespaceID) {
            case .active: return controllerList(entry)
            case .inactive: return page(entry, ControllerList([] as [UInt16]))
            case .invalid: return Outcome(.invalidNamespace)
            }
        case .controllers:
            return controllerList(entry)
        default:
            return Outcome(.invalidField)
        }
    }

    private func page(_ entry: SubmissionEntry, _ page: some BytePage) -> Outcome {
        answer(entry, page.bytes.array, byteCount: 4096)
    }

    private func namespaceList(_ entry: SubmissionEntry) -> Outcome {
        guard entry.namespaceID < 0xffff_fffe else { return Outcome(.invalidNamespace) }
        var identifiers: [UInt32] = []
        for index in namespaces.indices where namespaces[index] != nil {
            let identifier = UInt32(index + 1)
            if identifier > entry.namespaceID { identifiers.append(identifier) }
        }
        return page(entry, NamespaceList(identifiers))
    }

    /// This is the only controller there is; lists begin at CNTID.
    private func controllerList(_ entry: SubmissionEntry) -> Outcome {
        page(entry, ControllerList(entry.identifyControllerID == 0 ? [0] : [] as [UInt16]))
    }

    private func identifyController() -> IdentifyController {
        var page = IdentifyController()
        page.vendorID = settings.vendor
        page.subsystemVendorID = settings.vendor
        page.serialNumber = settings.serialNumber
        page.modelNumber = settings.modelNumber
        page.firmwareRevision = settings.firmwareRevision
        page.recommendedArbitrationBurst = 6
        page.organization = 0x52_5400
        page.maximumTransferExponent = settings.maximumTransferExponent
        page.version = NVMeController.version
        page.optionalEvents = AsynchronousEventConfiguration.namespaceAttributes.rawValue
        page.controllerType = 1
        page.optionalAdminCommands = settings.hasDoorbellBuffers ? 1 << 8 : 0
        page.abortLimitZeroBased = 3
        page.eventRequestLimitZeroBased = UInt8(NVMeController.eventRequestLimit - 1)
        page.firmwareUpdates = 0x03  // one slot, read only
        page.logPageAttributes = 0x06  // commands and effects; offsets
        page.errorLogEntriesZeroBased = UInt8(ErrorLog.capacity - 1)
        page.warningTemperature = NVMeController.warningTemperature
        page.criticalTemperature = NVMeController.criticalTemperature
        var total: UInt128 = 0
        for case let namespace? in namespaces { total += UInt128(namespace.store.byteCount) }
        page.totalCapacity = total
        page.submissionEntrySize = SubmissionEntry.sizeExponent << 4 | SubmissionEntry.sizeExponent
        page.completionEntrySize = CompletionEntry.sizeExponent << 4 | CompletionEntry.sizeExponent
        page.namespaceCount = UInt32(namespaces.count)
        // Dataset Management, Write Zeroes, selecting in the feature commands.
        page.optionalIOCommands = 1 << 2 | 1 << 3 | 1 << 4
        page.volatileWriteCache = 0x07  // present; Flush takes all namespaces
        page.sglSupport = settings.hasSGLs ? 1 : 0
        page.subsystemName =
            "nqn.2014-08.org.nvmexpress:uuid:" + text(uuid: derivedUUID(settings.serialNumber, 0))
        var state = PowerState()
        state.maximumPower = 500  // 5 W
        page.setPowerState(0, state)
        return page
    }

    private func identifyNamespace(_ namespace: NVMeNamespace, _ identifier: UInt32) -> IdentifyNamespace {
        var page = IdentifyNamespace()
        page.size = namespace.blockCount
        page.capacity = namespace.blockCount
        page.utilization = namespace.blockCount
        page.deallocation = 0x09  // deallocated blocks read as zeroes; Write Zeroes may deallocate
        page.capacityBytes = UInt128(namespace.store.byteCount)
        page.attributes = namespace.store.isReadOnly ? 1 : 0
        page.globalID = uuid(of: namespace, identifier)
        page.setFormat(0, LBAFormat(dataExponent: UInt8(namespace.blockShift)))
        return page
    }

    private func uuid(of namespace: NVMeNamespace, _ identifier: UInt32) -> [UInt8] {
        namespace.uuid ?? derivedUUID(settings.serialNumber, identifier)
    }

    private func text(uuid: [UInt8]) -> String {
        let digits: [UInt8] = [
            0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66,
        ]
        var text = ""
        for (index, byte) in uuid.enumerated() {
            if index == 4 || index == 6 || index == 8 || index == 10 { text += "-" }
            text.unicodeScalars.append(Unicode.Scalar(digits[Int(byte >> 4)]))
            text.unicodeScalars.append(Unicode.Scalar(digits[Int(byte & 0xf)]))
        }
        return text
    }
}
