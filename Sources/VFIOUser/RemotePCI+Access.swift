import DeviceModel
import LinuxSystem
import VFIOABI

/// Reading and writing regions (kernel.md D.4, D.6).
extension RemotePCI {
    /// Reads at an offset of the device's handle: 1 byte or more.
    func read(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        let sleeps = sleeps.load() != 0
        if sleeps { try beginUse() }
        defer { if sleeps { endUse() } }
        let place = PCIRegionOffset(fileOffset: offset)
        switch place.region.rawValue {
        case 0...5: return try readBAR(Int(place.region.rawValue), place.offset, &bytes)
        case PCIRegion.config.rawValue: return try readConfiguration(place.offset, &bytes)
        case PCIRegion.rom.rawValue:
            let count = try clip(place, bytes.byteCount)
            // A kernel first looks at how the ROM begins; with memory off there is nothing to find.
            guard isMemoryAnswering else { throw .noMemory }
            return try readOther(place, count, &bytes)
        default: return try readOther(place, try clip(place, bytes.byteCount), &bytes)
        }
    }

    /// Writes at an offset of the device's handle: 1 byte or more.
    func write(at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        let sleeps = sleeps.load() != 0
        if sleeps { try beginUse() }
        defer { if sleeps { endUse() } }
        let place = PCIRegionOffset(fileOffset: offset)
        switch place.region.rawValue {
        case 0...5: return try writeBAR(Int(place.region.rawValue), place.offset, bytes)
        case PCIRegion.config.rawValue: return try writeConfiguration(place.offset, bytes)
        case PCIRegion.rom.rawValue: throw .invalid
        default:
            let count = try clip(place, bytes.byteCount)
            try remote.perform { (client) throws(ClientFailure) in
                try client.write(
                    region: place.region.rawValue, at: place.offset, bytes.extracting(0..<count))
            }
            return count
        }
    }

    private var isMemoryAnswering: Bool { lock.withLock { isMemoryOn } }

    /// How much of an access lies in a region.
    /// - Throws: `EINVAL` for a region that isn't there and for a beginning at or beyond its end.
    private func clip(_ place: PCIRegionOffset, _ byteCount: Int) throws(Errno) -> Int {
        let regions = remote.description.regions
        guard place.region.rawValue < UInt32(regions.count) else { throw .invalid }
        let size = regions[Int(place.region.rawValue)].size
        guard place.offset < size else { throw .invalid }
        let count = Int(min(UInt64(byteCount), size - place.offset))
        return place.region == .vga ? try LegacyVGA.reach(place.offset, count) : count
    }

    private func readOther(
        _ place: PCIRegionOffset, _ count: Int, _ bytes: inout MutableRawSpan
    ) throws(Errno) -> Int {
        var part = bytes._mutatingExtracting(0..<count)
        try remote.perform { (client) throws(ClientFailure) in
            try client.read(region: place.region.rawValue, at: place.offset, into: &part)
        }
        return count
    }

    // MARK: BARs

    /// How much of an access lies in a BAR.
    @inline(__always)
    private func clip(_ plan: PCIBARPlan, _ position: UInt64, _ byteCount: Int) throws(Errno) -> Int {
        guard position < plan.byteCount else { throw .invalid }
        return Int(min(UInt64(byteCount), plan.byteCount - position))
    }

    /// Where the next piece of an access ends, which lies wholly in the MSI-X table or wholly outside.
    @inline(__always)
    private func pieceEnd(_ plan: PCIBARPlan, _ position: UInt64, _ end: UInt64) -> UInt64 {
        if position < plan.tableStart { return min(end, plan.tableStart) }
        return position < plan.tableEnd ? min(end, plan.tableEnd) : end
    }

    private func readBAR(
        _ index: Int, _ position: UInt64, _ bytes: inout MutableRawSpan
    ) throws(Errno) -> Int {
        let plan = shape.plans[index]
        let count = try clip(plan, position, bytes.byteCount)
        var done = 0
        while done < count {
            let at = position + UInt64(done)
            let next = Int(pieceEnd(plan, at, position + UInt64(count)) - position)
            var part = bytes._mutatingExtracting(done..<next)
            // The table is the driver's; nobody answers for ports that are off.
            var isAnswered = false
            if !plan.isTable(at) {
                isAnswered =
                    try remote.perform(onMemory: plan.isMemory) { (client) throws(ClientFailure) -> Bool in
                        try client.read(region: UInt32(index), at: at, into: &part)
                        return true
                    } ?? false
            }
            if !isAnswered {
                for byte in 0..<part.byteCount {
                    part.storeBytes(of: 0xff, toByteOffset: byte, as: UInt8.self)
                }
            }
            done = next
        }
        return count
    }

    func writeBAR(_ index: Int, _ position: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        let plan = shape.plans[index]
        let count = try clip(plan, position, bytes.byteCount)
        var done = 0
        while done < count {
            let at = position + UInt64(done)
            let next = Int(pieceEnd(plan, at, position + UInt64(count)) - position)
            let part = bytes.extracting(done..<next)
            if !plan.isTable(at) {
                _ = try remote.perform(onMemory: plan.isMemory) { (client) throws(ClientFailure) in
                    try client.write(region: UInt32(index), at: at, part)
                }
            }
            done = next
        }
        return count
    }

    // MARK: configuration space

    /// Where an access to configuration space begins: all of it is inside, or none is carried out.
    private func reach(_ position: UInt64, _ byteCount: Int) throws(Errno) -> Int {
        guard position < UInt64(view.byteCount), UInt64(byteCount) <= UInt64(view.byteCount) - position else {
            throw .badAddress
        }
        return Int(position)
    }

    private func readConfiguration(
        _ position: UInt64, _ bytes: inout MutableRawSpan
    ) throws(Errno) -> Int {
        lock.lock()
        defer { lock.unlock() }
        noticeReturn()
        let start = try reach(position, bytes.byteCount)
        let registers = try remote.registers(start..<start + bytes.byteCount)
        var done = 0
        while done < bytes.byteCount {
            let at = start + done
            let width = view.chunk(at: at, atMost: bytes.byteCount - done)
            bytes.storeUnit(UInt64(readRegisters(at: at, width: width, from: registers)), width, at: done)
            done += width
        }
        return done
    }

    private func writeConfiguration(_ position: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        lock.lock()
        defer { lock.unlock() }
        noticeReturn()
        let start = try reach(position, bytes.byteCount)
        var done = 0
        while done < bytes.byteCount {
            let at = start + done
            let width = view.chunk(at: at, atMost: bytes.byteCount - done)
            let value = bytes.loadUnit(width, at: done)
            try writeRegisters(UInt32(truncatingIfNeeded: value), at: at, width: width)
            done += width
        }
        return done
    }
}
