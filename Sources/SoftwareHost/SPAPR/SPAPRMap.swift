import IOVASpace
import LinuxSystem
import VFIOABI

/// Mapping into windows, and registering memory for it (kernel.md C.1); the tests are in the kernel's order.
extension SPAPR {
    /// VFIO_IOMMU_MAP_DMA: what was mapped there before is replaced. After an error the pages that it has come to are
    /// empty.
    func mapDMA(_ address: HostAddress) throws(Errno) {
        try checkEnabled()
        let request = try UserMemory.load(DMAMap(), from: address)
        guard request.argsz >= UInt32(DMAMap.byteCount), request.flags.isSubset(of: [.read, .write]) else {
            throw .invalid
        }
        let memory = RemoteMemory.address(ofCaller: request.vaddr, byteCount: request.size)
        try exclusively { () throws(Errno) in
            let window = try window(for: request.iova)
            guard (request.size | request.vaddr) & window.mask == 0 else { throw .invalid }
            var permissions: IOVAPermissions = []
            if request.flags.contains(.read) { permissions.insert(.read) }
            if request.flags.contains(.write) { permissions.insert(.write) }
            guard !permissions.isEmpty else { throw .invalid }
            // Linux answers 1 here, the truth value of its check, and nothing is mapped [Q]. Who takes that for success
            // would let a device go astray: this host refuses.
            guard request.iova & window.mask == 0 else { throw .invalid }
            guard request.size > 0 else { return }
            try map(memory, request.size, at: IOVA(request.iova), permissions, in: window)
        }
    }

    /// VFIO_IOMMU_UNMAP_DMA: what is empty may be unmapped as well. The size isn't written back.
    func unmapDMA(_ address: HostAddress) throws(Errno) {
        try checkEnabled()
        let request = try UserMemory.load(DMAUnmap(), from: address)
        guard request.argsz >= UInt32(DMAUnmap.byteCount), request.flags == [] else { throw .invalid }
        try exclusively { () throws(Errno) in
            let window = try window(for: request.iova)
            // A range that isn't wholly in the window, too, is one of Linux's ones [Q].
            guard (request.size | request.iova) & window.mask == 0,
                request.size <= room(in: window, from: IOVA(request.iova))
            else { throw .invalid }
            if let range = IOVARange(IOVA(request.iova), byteCount: request.size) { clear(range) }
        }
    }

    private func checkEnabled() throws(Errno) {
        try exclusively { () throws(Errno) in if !isEnabled { throw .notPermitted } }
    }

    /// The window that an address lies in; the default one is made if it is wanted now at the latest.
    private func window(for iova: UInt64) throws(Errno) -> Window {
        try createDefaultWindow()
        guard let index = window(at: IOVA(iova)), let window = windows[index] else { throw .noSuchAddress }
        return window
    }

    /// How much there is from an address to its window's end, in bytes.
    private func room(in window: Window, from iova: IOVA) -> UInt64 {
        window.range.last.rawValue - iova.rawValue + 1
    }

    /// Maps as far as it goes.
    /// - Throws: why it doesn't go further: the window ends, or the memory can't be used.
    private func map(
        _ vaddr: UInt64, _ byteCount: UInt64, at iova: IOVA, _ permissions: IOVAPermissions,
        in window: Window
    ) throws(Errno) {
        let reachable = min(byteCount, room(in: window, from: iova))
        var done: UInt64 = 0
        do throws(Errno) {
            if vaddr.addingReportingOverflow(reachable).overflow { throw .badAddress }
            if !isVersion2 {
                try pin(vaddr, reachable, window, isWritable: permissions.contains(.write), &done)
            }
            while done < reachable {
                var piece = (index: UInt32(0), byteCount: reachable)
                if isVersion2 {
                    piece = try memory.use(
                        vaddr + done, byteCount: reachable - done, pageShift: window.pageShift)
                }
                guard let range = IOVARange(IOVA(iova.rawValue + done), byteCount: piece.byteCount) else {
                    break
                }
                replace(
                    range,
                    by: IOVAMapping(range, backing: vaddr + done, permissions: permissions, tag: piece.index))
                done += piece.byteCount
            }
            // Linux looks only at the first page before it begins.
            if reachable < byteCount { throw .invalid }
        } catch {
            if let range = IOVARange(iova, byteCount: done) { replace(range, by: nil) }
            throw error
        }
    }

    /// Makes sure that memory can be mapped; it was counted when version 1 was enabled.
    /// - Parameter done: after an error, how much could have been mapped before it, in bytes.
    private func pin(
        _ vaddr: UInt64, _ byteCount: UInt64, _ window: Window, isWritable: Bool, _ done: inout UInt64
    ) throws(Errno) {
        do throws(Errno) {
            _ = try process.pin(
                HostAddress(vaddr), byteCount: byteCount, writable: isWritable, counted: .max)
        } catch {
            let page = window.mask + 1
            while done < byteCount,
                (try? UserMemory.populate(
                    HostAddress(vaddr + done & ~UInt64(pageSize - 1)), byteCount: pageSize,
                    writable: isWritable)) != nil
            {
                done += page
            }
            throw error
        }
    }

    /// Empties a range; devices are through with it on return.
    func clear(_ range: IOVARange) { replace(range, by: nil) }

    /// Empties a range, and fills it with something else at the same moment.
    private func replace(_ range: IOVARange, by mapping: IOVAMapping?) {
        var removed: [IOVAMapping] = []
        space.change { map in
            do throws(IOVAMapError) {
                try map.unmap(in: range, cutting: .split) { removed.append($0) }
                if let mapping { try map.map(mapping) }
            } catch {
                // Only refused where mappings may not be split, or overlap, or memory wraps.
                preconditionFailure("a checked range was refused")
            }
        }
        guard isVersion2 else { return }
        for mapping in removed { memory.endUse(mapping.tag, byteCount: mapping.range.byteCount) }
    }

    // MARK: registered memory

    /// VFIO_IOMMU_SPAPR_REGISTER_MEMORY; whatever else it is for, it enables mapping.
    func registerMemory(_ address: HostAddress) throws(Errno) {
        try takeOwner()
        let request = try loadMemory(address)
        try exclusively { () throws(Errno) in
            guard (request.vaddr | request.size) & UInt64(pageSize - 1) == 0,
                !request.vaddr.addingReportingOverflow(request.size).overflow
            else { throw .invalid }
            // A kernel finds no room for a list of no pages.
            guard let range = IOVARange(IOVA(request.vaddr), byteCount: request.size) else {
                throw .noMemory
            }
            if let index = memory.index(of: range), regions.contains(index) { throw .busy }
            regions.append(try memory.register(range))
            isEnabled = true
        }
    }

    /// VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY
    func unregisterMemory(_ address: HostAddress) throws(Errno) {
        // Only whom the container knows, by an earlier request of version 2, may ask.
        try exclusively { () throws(Errno) in if !isOwned { throw .notPermitted } }
        let request = try loadMemory(address)
        try exclusively { () throws(Errno) in
            guard (request.vaddr | request.size) & UInt64(pageSize - 1) == 0 else { throw .invalid }
            guard let range = IOVARange(IOVA(request.vaddr), byteCount: request.size),
                let index = memory.index(of: range), let place = regions.firstIndex(of: index)
            else { throw .noSuchEntry }
            try memory.unregister(index)
            regions.remove(at: place)
        }
    }

    private func loadMemory(_ address: HostAddress) throws(Errno) -> SPAPRRegisterMemory {
        var request = try UserMemory.load(SPAPRRegisterMemory(), from: address)
        guard request.argsz >= UInt32(SPAPRRegisterMemory.minimumSize), request.flags == 0 else {
            throw .invalid
        }
        request.vaddr = RemoteMemory.address(ofCaller: request.vaddr, byteCount: request.size)
        return request
    }
}
