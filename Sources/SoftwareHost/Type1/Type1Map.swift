import IOVASpace
import LinuxSystem
import VFIOABI

extension Type1 {
    /// VFIO_IOMMU_MAP_DMA (kernel.md B.4); the tests are in the kernel's order.
    func mapDMA(_ address: HostAddress) throws(Errno) {
        let request = try UserMemory.load(DMAMap(), from: address)
        guard request.argsz >= 32, request.flags.isSubset(of: [.read, .write, .vaddr]) else { throw .invalid }
        guard request.size != 0 else { throw .invalid }
        guard let range = IOVARange(IOVA(request.iova), byteCount: request.size),
            !request.vaddr.addingReportingOverflow(request.size - 1).overflow
        else {
            throw .overflow
        }
        var permissions: IOVAPermissions = []
        if request.flags.contains(.read) { permissions.insert(.read) }
        if request.flags.contains(.write) { permissions.insert(.write) }
        let replacesAddress = request.flags.contains(.vaddr)
        guard replacesAddress == permissions.isEmpty else { throw .invalid }
        let memory = RemoteMemory.address(ofCaller: request.vaddr, byteCount: request.size)
        try exclusively { () throws(Errno) in
            guard (request.size | request.iova | request.vaddr) & (unit - 1) == 0 else { throw .invalid }
            if replacesAddress {
                try replaceAddress(of: range, by: memory)
            } else {
                try add(IOVAMapping(range, backing: memory, permissions: permissions))
            }
        }
    }

    private func add(_ mapping: IOVAMapping) throws(Errno) {
        let range = mapping.range
        if space.map.overlaps(range) { throw .exists }
        guard available > 0 else { throw .noSpace }
        guard usable.isEmpty || usable.contains(where: { $0.contains(range) }) else { throw .invalid }
        var record = Record()
        record.mayExceedLimit = process.rights.mayExceedLockedMemory
        record.isSplit = parameters.value.disableHugepages
        // Devices without an IOMMU pin what they need when they need it.
        if hasDomain {
            record.lockedPages = try process.pin(
                HostAddress(mapping.backing), byteCount: range.byteCount,
                writable: mapping.permissions.contains(.write))
        }
        do throws(Errno) {
            if tracksDirtyPages { record.report = try newReport(for: range) }
        } catch {
            process.unpin(record.lockedPages)
            throw error
        }
        var mapping = mapping
        mapping.tag = newRecord(record)
        available -= 1
        space.change { map in
            do throws(IOVAMapError) {
                try map.map(mapping)
            } catch {
                // Overlap and wrap-around were ruled out above, with `mutex` held ever since.
                preconditionFailure("a checked mapping was refused")
            }
        }
    }

    /// Gives a mapping that waits for it a new address (kernel.md B.6).
    private func replaceAddress(of range: IOVARange, by vaddr: UInt64) throws(Errno) {
        guard var mapping = space.map.firstMapping(overlapping: range) else { throw .noSuchEntry }
        guard records[Int(mapping.tag)].isAddressInvalid, mapping.range == range else { throw .invalid }
        records[Int(mapping.tag)].isAddressInvalid = false
        invalidAddressCount -= 1
        // A kernel goes on with the pages that it pinned, whatever is at the new address; here DMA moves to
        // it, unless there is nothing that DMA could be done to.
        guard let byteCount = Int(exactly: range.byteCount),
            (try? UserMemory.populate(
                HostAddress(vaddr), byteCount: byteCount, writable: mapping.permissions.contains(.write)))
                != nil
        else { return }
        mapping.backing = vaddr
        space.change { map in
            do throws(IOVAMapError) {
                try map.remap(mapping)
            } catch {
                preconditionFailure("a mapping that exists wasn't found")
            }
        }
    }
}
