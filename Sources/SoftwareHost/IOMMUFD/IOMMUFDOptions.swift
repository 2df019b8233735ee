import IOVASpace
import LinuxSystem
import VFIOABI

// Requests of an iommufd beside mapping and unmapping (kernel.md F.3): options, copies, another process.

extension IOMMUFD {
    /// IOMMU_OPTION
    func option(_ user: UserCommand) throws(Errno) {
        var request = try user.load(IOMMUFDOption())
        guard request.reserved == 0 else { throw .notSupported }
        switch request.optionID {
        case .rlimitMode: try countLockedMemory(&request)
        case .hugePages: try useLargePages(&request)
        default: throw .notSupported
        }
        try user.store(request)
    }

    /// IOMMU_OPTION_RLIMIT_MODE: by whom locked memory is counted. There is one process here, so the answer to
    /// that is the same either way.
    private func countLockedMemory(_ request: inout IOMMUFDOption) throws(Errno) {
        guard request.objectID == 0 else { throw .notSupported }
        switch request.operation {
        case .get:
            request.value = core.lock.withLock { countsByProcess } ? 1 : 0
        case .set:
            let value = request.value
            try core.lock.withLock { () throws(Errno) in
                guard isEmpty else { throw .busy }
                guard value <= 1 else { throw .invalid }
                countsByProcess = value == 1
            }
        default: throw .notSupported
        }
    }

    /// IOMMU_OPTION_HUGE_PAGES
    private func useLargePages(_ request: inout IOMMUFDOption) throws(Errno) {
        let ioas = try find(request.objectID)
        switch (request.operation, request.value) {
        case (.get, _): request.value = ioas.hasSmallPagesOnly ? 0 : 1
        case (.set, 0): try ioas.disableLargePages()
        case (.set, 1): ioas.enableLargePages()
        case (.set, _): throw .invalid
        default: throw .notSupported
        }
    }

    /// IOMMU_IOAS_COPY: maps memory that is mapped in one address space in another, or elsewhere in the same.
    func copy(_ user: UserCommand) throws(Errno) {
        var request = try user.load(IOASCopy())
        guard request.flags.isSubset(of: [.fixedIOVA, .writeable, .readable]) else { throw .notSupported }
        guard request.length != .max && request.destinationIOVA != .max else { throw .overflow }
        guard !request.flags.isDisjoint(with: [.readable, .writeable]) else { throw .invalid }
        let pieces = try find(request.sourceIOASID).pieces(request.sourceIOVA, request.length)
        guard let first = pieces.first else { throw .noSuchEntry }
        let destination = try find(request.destinationIOASID)
        request.destinationIOVA = try destination.map(
            pieces, at: request.destinationIOVA, byteCount: request.length, request.flags,
            placement: first.placement)
        do throws(Errno) {
            try user.store(request)
        } catch {
            _ = try? destination.unmap(request.destinationIOVA, request.length)
            throw error
        }
    }

    /// IOMMU_IOAS_MAP_FILE: maps a part of a file that is memory.
    func mapFile(_ user: UserCommand) throws(Errno) {
        var request = try user.load(IOASMapFile())
        guard request.flags.isSubset(of: [.fixedIOVA, .writeable, .readable]) else { throw .notSupported }
        guard request.iova != .max && request.length != .max else { throw .overflow }
        guard !request.flags.isDisjoint(with: [.readable, .writeable]) else { throw .invalid }
        let ioas = try find(request.ioasID)
        guard request.length != 0 else { throw .invalid }
        guard !request.start.addingReportingOverflow(request.length - 1).overflow else { throw .overflow }
        let file = try fileMemory(request)
        let piece = IOASPiece(
            backing: file.address, byteCount: request.length,
            isWritable: request.flags.contains(.writeable), file: file)
        request.iova = try ioas.map(
            [piece], at: request.iova, byteCount: request.length, request.flags, placement: request.start)
        do throws(Errno) {
            try user.store(request)
        } catch {
            _ = try? ioas.unmap(request.iova, request.length)
            throw error
        }
    }

    /// The file, or the device's memory, that a request is about.
    private func fileMemory(_ request: IOASMapFile) throws(Errno) -> FileMemory {
        if let opened = try? core.files.hold(request.fd) {
            defer { opened.object.letGo() }
            if case .dmaBuf(let export) = opened {
                return try FileMemory(export, from: request.start, byteCount: request.length)
            }
        }
        if CallerOfThread.remote != nil {
            let file = try UserDescriptor.duplicate(request.fd)
            return try FileMemory(file.number, from: request.start, byteCount: request.length)
        }
        return try FileMemory(request.fd, from: request.start, byteCount: request.length)
    }

    /// IOMMU_IOAS_CHANGE_PROCESS: counts the locked memory for the caller. There is one process here, and so
    /// nothing to do; what Linux refuses is refused all the same.
    /// - Throws: `EINVAL` if there is a mapping by address, which means something in the old process only.
    func changeProcess(_ user: UserCommand) throws(Errno) {
        let request = try user.load(IOASChangeProcess())
        guard request.reserved == 0 else { throw .notSupported }
        guard core.lock.withLock({ addressSpaces.allSatisfy { $0.mapsOnlyFiles } }) else { throw .invalid }
    }
}
