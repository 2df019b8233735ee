import DeviceModel
import LinuxSystem
import VFIOABI

/// Describing, reading and writing regions (kernel.md D.3, D.4).
extension PCIBusDriver {
    private var readWrite: UInt32 { RegionFlags([.read, .write]).rawValue }

    func regionInfo(index: UInt32) throws(Errno) -> RegionDescription {
        let offset = UInt64(index) << PCIRegionOffset.shift
        switch PCIRegion(rawValue: index) {
        case .bar0, .bar1, .bar2, .bar3, .bar4, .bar5: return describeBAR(Int(index), offset)
        case .rom:
            let isReadable = function.hasROMImage
            return RegionDescription(
                flags: isReadable ? RegionFlags.read.rawValue : 0,
                size: isReadable ? function.romByteCount : 0, offset: offset)
        case .config:
            return RegionDescription(
                flags: readWrite, size: UInt64(configuration.byteCount), offset: offset)
        case .vga: return try describeLegacyVGA(offset)
        default: return try describeTypedRegion(index, offset)
        }
    }

    private func describeBAR(_ index: Int, _ offset: UInt64) -> RegionDescription {
        guard let bar = function.bars[index] else {
            return RegionDescription(flags: 0, size: 0, offset: offset)
        }
        var region = RegionDescription(flags: readWrite, size: bar.byteCount, offset: offset)
        guard bar.kind != .io, assigned.isMappable(index, of: function) else { return region }
        var areas: [(offset: UInt64, size: UInt64)] = []
        for part in function.memories where part.bar == index {
            areas.append((offset: part.offset, size: UInt64(part.window.byteCount)))
        }
        guard !areas.isEmpty else { return region }
        region.flags |= RegionFlags.mmap.rawValue
        if areas.count == 1 && areas[0].size == bar.byteCount {
            region.isMSIXMappable = function.msix?.table.bar == index
        } else {
            areas.sortCompactly { $0.offset < $1.offset }
            region.sparseAreas = areas
        }
        return region
    }

    func read(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        if bytes.byteCount == 0 { return 0 }
        let index = offset >> PCIRegionOffset.shift
        let position = offset & PCIRegionOffset.mask
        lock.lock()
        if sleepsWhenUnused { wake() }
        defer {
            if sleepsWhenUnused { fallAsleep() }
            lock.unlock()
        }
        switch index {
        case 0...5: return try readBAR(Int(index), position, &bytes)
        case UInt64(PCIRegion.rom.rawValue): return try readROM(position, &bytes)
        case UInt64(PCIRegion.config.rawValue): return try readConfiguration(position, &bytes)
        case UInt64(PCIRegion.vga.rawValue): return try readLegacyVGA(position, &bytes)
        default: return try readTypedRegion(index, position, &bytes)
        }
    }

    func write(at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        if bytes.byteCount == 0 { return 0 }
        let index = offset >> PCIRegionOffset.shift
        let position = offset & PCIRegionOffset.mask
        lock.lock()
        if sleepsWhenUnused { wake() }
        defer {
            if sleepsWhenUnused { fallAsleep() }
            lock.unlock()
        }
        switch index {
        case 0...5: return try writeBAR(Int(index), position, bytes)
        case UInt64(PCIRegion.config.rawValue): return try writeConfiguration(position, bytes)
        case UInt64(PCIRegion.vga.rawValue): return try writeLegacyVGA(position, bytes)
        default: return try writeTypedRegion(index, position, bytes)
        }
    }

    /// Whether the function answers accesses to its ports.
    private var arePortsOn: Bool {
        configuration.command & PCIConfiguration.Command.io != 0 && configuration.powerState == 0
    }

    /// How much of an access lies in a BAR.
    /// - Throws: `EINVAL` for a BAR that doesn't exist and for a beginning at or beyond its end.
    @inline(__always)
    private func clip(_ plan: PCIBARPlan, _ position: UInt64, _ byteCount: Int) throws(Errno) -> UInt64 {
        guard position < plan.byteCount else { throw .invalid }
        return min(UInt64(byteCount), plan.byteCount - position)
    }

    private func readBAR(_ index: Int, _ position: UInt64, _ bytes: inout MutableRawSpan) throws(Errno) -> Int
    {
        let plan = plans[index]
        let count = try clip(plan, position, bytes.byteCount)
        var done: UInt64 = 0
        while done < count {
            let at = position + done
            var left = count - done
            if at >= plan.tableStart && at < plan.tableEnd {
                // The table is the driver's: never read from the device, so it doesn't matter whether it
                // answers.
                bytes.storeBytes(of: 0xff, toByteOffset: Int(done), as: UInt8.self)
                done += 1
                continue
            }
            if at < plan.tableStart { left = min(left, plan.tableStart - at) }
            guard isMemoryOn || !plan.isMemory else { throw .inputOutput }
            let width = plan.width(at: at, left)
            // Nobody looks whether ports are on: what isn't answered reads as ones.
            let value =
                isStopped || !plan.isMemory && !arePortsOn
                ? UInt64.max
                : plan.isRegister(at)
                    ? model.readRegister(bar: index, offset: at, width: width)
                    : model.loadBAR(index, offset: at, width: width)
            bytes.storeUnit(value, width, at: Int(done))
            done += UInt64(width)
        }
        return Int(count)
    }

    /// Writes to a BAR. With the device's lock held.
    func writeBAR(_ index: Int, _ position: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        let plan = plans[index]
        let count = try clip(plan, position, bytes.byteCount)
        var done: UInt64 = 0
        while done < count {
            let at = position + done
            var left = count - done
            if at >= plan.tableStart && at < plan.tableEnd {
                done += min(left, plan.tableEnd - at)
                continue
            }
            if at < plan.tableStart { left = min(left, plan.tableStart - at) }
            guard isMemoryOn || !plan.isMemory else { throw .inputOutput }
            let width = plan.width(at: at, left)
            let value = bytes.loadUnit(width, at: Int(done))
            if isStopped || !plan.isMemory && !arePortsOn {
                // Nobody takes it.
            } else if plan.isRegister(at) {
                model.writeRegister(bar: index, offset: at, width: width, value: value)
            } else {
                model.storeBAR(index, offset: at, width: width, value: value)
            }
            done += UInt64(width)
        }
        return Int(count)
    }

    private func readROM(_ position: UInt64, _ bytes: inout MutableRawSpan) throws(Errno) -> Int {
        let byteCount = function.romByteCount
        guard position < byteCount else { throw .invalid }
        let count = min(UInt64(bytes.byteCount), byteCount - position)
        // Whenever it reads a ROM a kernel first looks at how it begins; with memory off there is nothing to find.
        guard function.hasROMImage, isMemoryOn else { throw .noMemory }
        for done in 0..<count {
            let at = position + done
            let byte = at < UInt64(function.rom.count) ? function.rom[Int(at)] : 0xff
            bytes.storeBytes(of: byte, toByteOffset: Int(done), as: UInt8.self)
        }
        return Int(count)
    }

    /// How many bytes of configuration space an access takes: all or none.
    private func reach(_ position: UInt64, _ byteCount: Int) throws(Errno) -> Int {
        guard position < UInt64(view.byteCount), UInt64(byteCount) <= UInt64(view.byteCount) - position else {
            throw .badAddress
        }
        return Int(position)
    }

    private func readConfiguration(_ position: UInt64, _ bytes: inout MutableRawSpan) throws(Errno) -> Int {
        let start = try reach(position, bytes.byteCount)
        var done = 0
        while done < bytes.byteCount {
            let at = start + done
            let width = view.chunk(at: at, atMost: bytes.byteCount - done)
            bytes.storeUnit(UInt64(readRegisters(at: at, width: width, from: configuration)), width, at: done)
            done += width
        }
        return done
    }

    private func writeConfiguration(_ position: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        let start = try reach(position, bytes.byteCount)
        var done = 0
        while done < bytes.byteCount {
            let at = start + done
            let width = view.chunk(at: at, atMost: bytes.byteCount - done)
            let value = bytes.loadUnit(width, at: done)
            writeRegisters(UInt32(truncatingIfNeeded: value), at: at, width: width)
            done += width
        }
        return done
    }
}

extension PCIFunction {
    /// Whether there is an expansion ROM that begins as one must (PCI 3.0, 6.3.1.1).
    var hasROMImage: Bool { rom.count >= 2 && rom[0] == 0x55 && rom[1] == 0xaa }
}
