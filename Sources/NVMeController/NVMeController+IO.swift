import LinuxSystem
import NVMe

extension NVMeController {
    /// Carries out a command of an I/O queue.
    func inputOutput(_ entry: SubmissionEntry) -> Outcome {
        let opcode = IOOpcode(rawValue: entry.opcode)
        switch opcode {
        case .flush, .read, .write, .writeZeroes, .datasetManagement: break
        default: return Outcome(.invalidOpcode)
        }
        guard entry.fuse == .none, entry.dataPointerKind != .reserved else { return Outcome(.invalidField) }
        if opcode == .flush && entry.namespaceID == SubmissionEntry.allNamespaces {
            return Outcome(synchronizeAll())
        }
        switch state(of: entry.namespaceID) {
        case .invalid: return Outcome(.invalidNamespace)
        case .inactive: return Outcome(.invalidField)
        case .active(let namespace):
            switch opcode {
            case .flush: return Outcome(synchronize(namespace))
            case .read: return Outcome(read(entry, namespace))
            case .write: return Outcome(write(entry, namespace))
            case .writeZeroes: return Outcome(writeZeroes(entry, namespace))
            default: return Outcome(manageDataset(entry, namespace))
            }
        }
    }

    // MARK: safety

    private func synchronize(_ namespace: NVMeNamespace) -> Status {
        if namespace.store.isReadOnly { return .success }
        do throws(Errno) {
            try namespace.store.synchronize()
            return .success
        } catch {
            return writeStatus(error)
        }
    }

    /// Makes everything safe that has been written; the first failure, if any.
    func synchronizeAll() -> Status {
        var result = Status.success
        for case let namespace? in namespaces {
            let status = synchronize(namespace)
            if result.isSuccess { result = status }
        }
        return result
    }

    /// A write ends when its data is safe if the command says so, or if there is no cache.
    private func settle(_ entry: SubmissionEntry, _ namespace: NVMeNamespace) -> Status {
        guard entry.forceUnitAccess || !features.isWriteCacheEnabled else { return .success }
        return synchronize(namespace)
    }

    // MARK: commands

    private func read(_ entry: SubmissionEntry, _ namespace: NVMeNamespace) -> Status {
        let byteCount = entry.blockCount << Int(namespace.blockShift)
        guard byteCount <= transfer.limit else { return .invalidField }
        guard namespace.contains(entry.startingBlock, UInt64(entry.blockCount)) else { return .lbaOutOfRange }
        if let problem = transfer.collect(entry, byteCount, pageRules, allowsSGL: true) { return problem }
        let status = transfer.read(from: namespace.store, at: entry.startingBlock << namespace.blockShift)
        if status.isSuccess {
            health.reads &+= 1
            health.bytesRead &+= UInt64(byteCount)
        }
        return status
    }

    private func write(_ entry: SubmissionEntry, _ namespace: NVMeNamespace) -> Status {
        let byteCount = entry.blockCount << Int(namespace.blockShift)
        guard byteCount <= transfer.limit else { return .invalidField }
        guard namespace.contains(entry.startingBlock, UInt64(entry.blockCount)) else { return .lbaOutOfRange }
        guard !namespace.store.isReadOnly else { return .namespaceWriteProtected }
        if let problem = transfer.collect(entry, byteCount, pageRules, allowsSGL: true) { return problem }
        let status = transfer.write(to: namespace.store, at: entry.startingBlock << namespace.blockShift)
        guard status.isSuccess else { return status }
        health.writes &+= 1
        health.bytesWritten &+= UInt64(byteCount)
        return settle(entry, namespace)
    }

    private func writeZeroes(_ entry: SubmissionEntry, _ namespace: NVMeNamespace) -> Status {
        guard namespace.contains(entry.startingBlock, UInt64(entry.blockCount)) else { return .lbaOutOfRange }
        guard !namespace.store.isReadOnly else { return .namespaceWriteProtected }
        do throws(Errno) {
            try namespace.store.zero(
                at: entry.startingBlock << namespace.blockShift,
                byteCount: UInt64(entry.blockCount) << namespace.blockShift,
                deallocating: entry.writeZeroesDeallocates)
        } catch {
            return writeStatus(error)
        }
        health.writes &+= 1
        return settle(entry, namespace)
    }

    private func manageDataset(_ entry: SubmissionEntry, _ namespace: NVMeNamespace) -> Status {
        let count = entry.datasetRangeCount
        if let problem = transfer.collect(
            entry, count * DatasetRange.size, pageRules, allowsSGL: true)
        {
            return problem
        }
        guard let ranges = transfer.receive() else { return .dataTransferError }
        // All ranges are looked at before anything is done.
        for index in 0..<count {
            let range = ranges.load(DatasetRange.self, at: index * DatasetRange.size)
            guard namespace.contains(range.startingBlock, UInt64(range.blocks)) else { return .lbaOutOfRange }
        }
        // The hints for reading and writing are of no use here.
        guard entry.datasetDeallocates else { return .success }
        guard !namespace.store.isReadOnly else { return .namespaceWriteProtected }
        for index in 0..<count {
            let range = ranges.load(DatasetRange.self, at: index * DatasetRange.size)
            if range.blocks == 0 { continue }
            do throws(Errno) {
                try namespace.store.deallocate(
                    at: range.startingBlock << namespace.blockShift,
                    byteCount: UInt64(range.blocks) << namespace.blockShift)
            } catch {
                return writeStatus(error)
            }
        }
        return features.isWriteCacheEnabled ? .success : synchronize(namespace)
    }
}
