import DeviceModel
import LinuxSystem
import VFIOABI

/// A function that doesn't answer: pulled out, or behind a dead link.
///
/// As on Linux nothing in the driver notices by itself: a read that reaches the hardware gives all ones, a write
/// is lost, and what the driver answers from its own memory is as always.
extension PCIBusDriver {
    func readAbsent(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        if bytes.byteCount == 0 { return 0 }
        let index = offset >> PCIRegionOffset.shift
        let position = offset & PCIRegionOffset.mask
        lock.lock()
        defer { lock.unlock() }
        if index == UInt64(PCIRegion.config.rawValue) { return try readAbsentConfiguration(position, &bytes) }
        let count = try reachAbsent(index, position, bytes.byteCount)
        for place in 0..<count { bytes.storeBytes(of: 0xff, toByteOffset: place, as: UInt8.self) }
        return count
    }

    func writeAbsent(at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        if bytes.byteCount == 0 { return 0 }
        let index = offset >> PCIRegionOffset.shift
        let position = offset & PCIRegionOffset.mask
        lock.lock()
        defer { lock.unlock() }
        switch index {
        case UInt64(PCIRegion.config.rawValue): return try writeAbsentConfiguration(position, bytes)
        case UInt64(PCIRegion.rom.rawValue): throw .invalid
        default: return try reachAbsent(index, position, bytes.byteCount)
        }
    }

    /// Every way to reset waits for the function to answer again, in vain.
    func resetAbsent() throws(Errno) -> Int32 {
        lock.lock()
        defer { lock.unlock() }
        guard canReset else { throw .invalid }
        throw .noSuchRequest
    }

    func presenceChanged(isAbsent: Bool, reportsError: Bool) {
        // It may be out of reach for another reason as well.
        let isSilent = isAbsent || slot.faults.isSilent
        lock.lock()
        for mapping in mappings { mapping.showAbsence(isSilent, nothing: nothing) }
        lock.unlock()
        if reportsError { interrupts.signal(.error) }
    }

    /// How many bytes of a BAR or the ROM an access takes.
    /// - Throws: what it would with the device there.
    private func reachAbsent(_ index: UInt64, _ position: UInt64, _ byteCount: Int) throws(Errno) -> Int {
        if index == UInt64(PCIRegion.vga.rawValue) { return try reachLegacyVGA(position, byteCount) }
        let size: UInt64
        var needsMemory = true
        switch index {
        case 0...5:
            size = plans[Int(index)].byteCount
            let plan = plans[Int(index)]
            needsMemory = plan.isMemory && !(position >= plan.tableStart && position < plan.tableEnd)
        case UInt64(PCIRegion.rom.rawValue): size = function.romByteCount
        default: throw .invalid
        }
        guard position < size else { throw .invalid }
        guard isMemoryOn || !needsMemory else { throw .inputOutput }
        return Int(min(UInt64(byteCount), size - position))
    }

    private func reachAbsentConfiguration(_ position: UInt64, _ byteCount: Int) throws(Errno) -> Int {
        guard position < UInt64(view.byteCount), UInt64(byteCount) <= UInt64(view.byteCount) - position else {
            throw .badAddress
        }
        return Int(position)
    }

    private func readAbsentConfiguration(
        _ position: UInt64, _ bytes: inout MutableRawSpan
    ) throws(Errno) -> Int {
        let start = try reachAbsentConfiguration(position, bytes.byteCount)
        var done = 0
        while done < bytes.byteCount {
            let width = view.chunk(at: start + done, atMost: bytes.byteCount - done)
            let mask = view.virtualMask(at: start + done, width: width)
            let value = view.value(at: start + done, width: width) | ~mask
            bytes.storeUnit(UInt64(value), width, at: done)
            done += width
        }
        return done
    }

    /// Of what is written, the bits stay that the driver keeps for itself; nothing follows from them.
    private func writeAbsentConfiguration(_ position: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        let start = try reachAbsentConfiguration(position, bytes.byteCount)
        var done = 0
        while done < bytes.byteCount {
            let at = start + done
            let width = view.chunk(at: at, atMost: bytes.byteCount - done)
            var mask = view.writableMask(at: at, width: width) & view.virtualMask(at: at, width: width)
            // What the user believes to have enabled counts, whatever became of it.
            if at == PCIConfiguration.Register.command {
                mask |= UInt32(PCIConfiguration.Command.memory | PCIConfiguration.Command.io)
            }
            let value = UInt32(truncatingIfNeeded: bytes.loadUnit(width, at: done))
            view.set(view.value(at: at, width: width) & ~mask | value & mask, at: at, width: width)
            done += width
        }
        updateMemory()
        return done
    }
}
