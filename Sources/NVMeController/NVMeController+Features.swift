import NVMe

/// The values of the features. None of them can be saved: a reset brings the defaults back.
struct FeatureValues {
    var arbitration: UInt32 = 0
    var power: UInt32 = 0
    var overTemperature: UInt16 = NVMeController.warningTemperature
    var underTemperature: UInt16 = 0
    /// By namespace identifier less one: TLER.
    var errorRecovery: [UInt32]
    var isWriteCacheEnabled: Bool
    var coalescing: UInt32 = 0
    /// By vector: coalescing is disabled.
    var coalescingDisabled: [Bool]
    var writeAtomicity: UInt32 = 0
    var eventConfiguration: AsynchronousEventConfiguration = []

    init(_ settings: NVMeController.Settings) {
        errorRecovery = [UInt32](repeating: 0, count: settings.namespaceLimit)
        isWriteCacheEnabled = settings.isWriteCacheEnabled
        // The admin queue's interrupts aren't coalesced (NVMe 1.4, 5.21.1.9).
        coalescingDisabled = [Bool](repeating: false, count: settings.queuePairs + 1)
        coalescingDisabled[0] = true
    }
}

extension NVMeController {
    private var queueCounts: UInt32 {
        QueueCounts(submission: settings.queuePairs, completion: settings.queuePairs).rawValue
    }

    // MARK: get

    func getFeatures(_ entry: SubmissionEntry) -> Outcome {
        guard let select = entry.featureSelect else { return Outcome(.invalidField) }
        let isNamespaceSpecific = entry.feature == .errorRecovery
        switch select {
        case .current: return value(entry, features)
        case .defaultValue, .saved: return value(entry, FeatureValues(settings))
        case .capabilities:
            let known = value(entry, features)
            // What can be done with a feature doesn't depend on a namespace, a vector or a sensor.
            switch entry.feature {
            case .errorRecovery, .interruptVectorConfiguration, .temperatureThreshold: break
            default: if !known.status.isSuccess { return known }
            }
            var capabilities: FeatureCapabilities = .changeable
            if isNamespaceSpecific { capabilities.insert(.namespaceSpecific) }
            return Outcome(.success, result: capabilities.rawValue)
        }
    }

    private func value(_ entry: SubmissionEntry, _ values: FeatureValues) -> Outcome {
        switch entry.feature {
        case .arbitration: return Outcome(.success, result: values.arbitration)
        case .powerManagement: return Outcome(.success, result: values.power)
        case .temperatureThreshold:
            switch threshold(entry.dword11) {
            case .over: return Outcome(.success, result: UInt32(values.overTemperature))
            case .under: return Outcome(.success, result: UInt32(values.underTemperature))
            case nil: return Outcome(.invalidField)
            }
        case .errorRecovery:
            switch state(of: entry.namespaceID) {
            case .active:
                return Outcome(.success, result: values.errorRecovery[Int(entry.namespaceID) - 1])
            case .inactive: return Outcome(.invalidField)
            case .invalid: return Outcome(.invalidNamespace)
            }
        case .volatileWriteCache: return Outcome(.success, result: values.isWriteCacheEnabled ? 1 : 0)
        case .numberOfQueues: return Outcome(.success, result: queueCounts)
        case .interruptCoalescing: return Outcome(.success, result: values.coalescing)
        case .interruptVectorConfiguration:
            let vector = Int(entry.dword11 & 0xffff)
            guard vector < values.coalescingDisabled.count else { return Outcome(.invalidField) }
            let disabled: UInt32 = values.coalescingDisabled[vector] ? 1 << 16 : 0
            return Outcome(.success, result: UInt32(vector) | disabled)
        case .writeAtomicity: return Outcome(.success, result: values.writeAtomicity)
        case .asynchronousEventConfiguration:
            return Outcome(.success, result: values.eventConfiguration.rawValue)
        default: return Outcome(.invalidField)
        }
    }

    private enum Threshold {
        case over
        case under
    }

    /// The threshold that CDW11 names: only the composite temperature has any. TMPSEL Fh is all sensors.
    private func threshold(_ value: UInt32) -> Threshold? {
        let sensor = value >> 16 & 0xf
        guard sensor == 0 || sensor == 0xf else { return nil }
        switch value >> 20 & 3 {
        case 0: return .over
        case 1: return .under
        default: return nil
        }
    }

    // MARK: set

    func setFeatures(_ entry: SubmissionEntry) -> Outcome {
        let value = entry.dword11
        // A feature that isn't there is worse than one that can't be saved.
        switch entry.feature {
        case .arbitration, .powerManagement, .temperatureThreshold, .errorRecovery, .volatileWriteCache,
            .numberOfQueues, .interruptCoalescing, .interruptVectorConfiguration, .writeAtomicity,
            .asynchronousEventConfiguration:
            break
        default: return Outcome(.invalidField)
        }
        guard !entry.featureSaves else { return Outcome(.featureNotSaveable) }
        if entry.feature == .errorRecovery { return setErrorRecovery(entry) }
        guard entry.namespaceID == 0 || entry.namespaceID == SubmissionEntry.allNamespaces else {
            if case .invalid = state(of: entry.namespaceID) { return Outcome(.invalidNamespace) }
            return Outcome(.featureNotNamespaceSpecific)
        }
        switch entry.feature {
        case .arbitration: features.arbitration = value & 0xffff_ff07
        case .powerManagement:
            // NPSS is 0: there is one power state.
            guard value & 0x1f == 0 else { return Outcome(.invalidField) }
            features.power = value & 0xff
        case .temperatureThreshold:
            switch threshold(value) {
            case .over: features.overTemperature = UInt16(truncatingIfNeeded: value)
            case .under: features.underTemperature = UInt16(truncatingIfNeeded: value)
            case nil: return Outcome(.invalidField)
            }
            checkTemperature()
        case .volatileWriteCache:
            let enabled = value & 1 != 0
            if features.isWriteCacheEnabled && !enabled {
                // What is in the cache has to be safe before it is off.
                let status = synchronizeAll()
                guard status.isSuccess else { return Outcome(status) }
            }
            features.isWriteCacheEnabled = enabled
        case .numberOfQueues:
            guard value & 0xffff != 0xffff, value >> 16 != 0xffff else { return Outcome(.invalidField) }
            for index in 1...settings.queuePairs {
                guard submissionQueues[index] == nil, completionQueues[index] == nil else {
                    return Outcome(.commandSequenceError)
                }
            }
            // The host gets all there are, whatever it asked for, and may use less.
            return Outcome(.success, result: queueCounts)
        case .interruptCoalescing: features.coalescing = value & 0xffff
        case .interruptVectorConfiguration:
            let vector = Int(value & 0xffff)
            guard vector < features.coalescingDisabled.count else { return Outcome(.invalidField) }
            features.coalescingDisabled[vector] = value & 1 << 16 != 0
        case .writeAtomicity: features.writeAtomicity = value & 1
        case .asynchronousEventConfiguration:
            let known = AsynchronousEventConfiguration(
                rawValue: 0x1f | AsynchronousEventConfiguration.namespaceAttributes.rawValue)
            features.eventConfiguration = AsynchronousEventConfiguration(rawValue: value).intersection(known)
        default: return Outcome(.invalidField)
        }
        return .success
    }

    private func setErrorRecovery(_ entry: SubmissionEntry) -> Outcome {
        // DULBE: there are no errors for deallocated blocks (NSFEAT bit 2 is 0).
        guard entry.dword11 & 1 << 16 == 0 else { return Outcome(.invalidField) }
        let value = entry.dword11 & 0xffff
        if entry.namespaceID == SubmissionEntry.allNamespaces {
            for index in features.errorRecovery.indices { features.errorRecovery[index] = value }
            return .success
        }
        switch state(of: entry.namespaceID) {
        case .active: features.errorRecovery[Int(entry.namespaceID) - 1] = value
        case .inactive: return Outcome(.invalidField)
        case .invalid: return Outcome(.invalidNamespace)
        }
        return .success
    }
}
