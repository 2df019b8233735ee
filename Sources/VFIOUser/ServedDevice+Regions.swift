import DeviceModel
import LinuxSystem
import VFIOABI

/// Reading and writing regions.
extension ServedDevice {
    /// Whether an access lies in its region, and is not too long.
    @inline(__always)
    func check(_ access: UserRegionAccess) throws(Errno) {
        let byteCount =
            access.region < 6 ? plans[Int(access.region)].byteCount : regionByteCount(access.region)
        guard access.offset <= byteCount, UInt64(access.count) <= byteCount - access.offset, byteCount > 0,
            // Configuration space can be set up while the device is stopped; its registers can't be touched.
            !isFrozen || (access.region >= 6 && access.region != PCIRegion.vga.rawValue)
        else { throw .invalid }
        if access.region == PCIRegion.vga.rawValue { try checkLegacyVGA(access) }
    }

    /// All of an access to the legacy windows lies in one of them; of the rest of the region there is nothing.
    @inline(never)
    private func checkLegacyVGA(_ access: UserRegionAccess) throws(Errno) {
        let count = Int(access.count)
        if count > 0, try LegacyVGA.reach(access.offset, count) < count { throw .invalid }
    }

    /// `VFIO_USER_REGION_READ`: the answer's fixed part and the data.
    @inline(__always)
    func read(_ access: UserRegionAccess, _ reply: inout MessageWriter) throws(Errno) {
        try check(access)
        reply.append(access)
        reply.append(Int(access.count)) { bytes in
            switch access.region {
            case 0...5: readBAR(Int(access.region), access.offset, &bytes)
            case PCIRegion.config.rawValue: readConfiguration(Int(access.offset), &bytes)
            case PCIRegion.vga.rawValue: LegacyVGA.read(model, access.offset, &bytes)
            default: readROM(Int(access.offset), &bytes)
            }
        }
    }

    /// `VFIO_USER_REGION_WRITE`.
    @inline(__always)
    func write(_ access: UserRegionAccess, _ bytes: RawSpan) throws(Errno) {
        try check(access)
        switch access.region {
        case 0...5: writeBAR(Int(access.region), access.offset, bytes)
        case PCIRegion.config.rawValue: writeConfiguration(Int(access.offset), bytes)
        case PCIRegion.vga.rawValue: LegacyVGA.write(model, access.offset, bytes)
        default: throw .invalid
        }
    }

    /// Whether `VFIO_USER_REGION_WRITE_MULTI` can be carried out: all of its writes or none.
    func checkMultiple(_ records: RawSpan) throws(Errno) {
        var at = 0
        while let record = UserRegionWrite(records, at: at) {
            guard record.access.count <= 8 else { throw .invalid }
            try checkWrite(record.access)
            at += UserRegionWrite.byteCount
        }
    }

    /// `VFIO_USER_REGION_WRITE_MULTI`, checked by ``checkMultiple(_:)``: one after the other.
    func writeMultiple(_ records: RawSpan) {
        var at = 0
        while let record = UserRegionWrite(records, at: at) {
            record.data.withBytes { bytes in
                try? write(record.access, bytes.extracting(0..<Int(record.access.count)))
            }
            at += UserRegionWrite.byteCount
        }
    }

    /// Whether a write lies in a region that can be written.
    func checkWrite(_ access: UserRegionAccess) throws(Errno) {
        try check(access)
        guard
            access.region < 6 || access.region == PCIRegion.config.rawValue
                || access.region == PCIRegion.vga.rawValue
        else { throw .invalid }
    }

    /// Whether a read can be answered while the model carries out a write.
    func canRead(_ access: UserRegionAccess) -> Bool {
        access.region >= 6 && access.region != PCIRegion.vga.rawValue || model.answersReadsDuringDMA
    }

    // Every access is cut into aligned pieces, the widest that the space allows: a register sees its own width.

    private func readBAR(_ index: Int, _ position: UInt64, _ bytes: inout MutableRawSpan) {
        let plan = plans[index]
        let count = UInt64(bytes.byteCount)
        var done: UInt64 = 0
        while done < count {
            let at = position + done
            let width = plan.width(at: at, count - done)
            if let (window, offset) = plan.plainMemory(at: at) {
                // What is no longer than a register is one load.
                let length =
                    count > 8 ? min(bytes.byteCount - Int(done), window.byteCount - offset) : width
                if count > 8 {
                    var part = bytes._mutatingExtracting(Int(done)..<Int(done) + length)
                    window.read(at: offset, into: &part)
                } else {
                    bytes.storeUnit(window.loadRegister(offset, width: width), width, at: Int(done))
                }
                done += UInt64(length)
                continue
            }
            let value =
                plan.isRegister(at) && !plan.isTable(at)
                ? model.readRegister(bar: index, offset: at, width: width)
                : model.loadBAR(index, offset: at, width: width)
            bytes.storeUnit(value, width, at: Int(done))
            done += UInt64(width)
        }
    }

    private func writeBAR(_ index: Int, _ position: UInt64, _ bytes: RawSpan) {
        let plan = plans[index]
        let count = UInt64(bytes.byteCount)
        var done: UInt64 = 0
        while done < count {
            let at = position + done
            let width = plan.width(at: at, count - done)
            if let (window, offset) = plan.plainMemory(at: at) {
                let length =
                    count > 8 ? min(bytes.byteCount - Int(done), window.byteCount - offset) : width
                if count > 8 {
                    window.write(bytes.extracting(Int(done)..<Int(done) + length), at: offset)
                } else {
                    window.storeRegister(offset, width: width, value: bytes.loadUnit(width, at: Int(done)))
                }
                done += UInt64(length)
                continue
            }
            let value = bytes.loadUnit(width, at: Int(done))
            if plan.isRegister(at) && !plan.isTable(at) {
                model.writeRegister(bar: index, offset: at, width: width, value: value)
            } else {
                model.storeBAR(index, offset: at, width: width, value: value)
            }
            done += UInt64(width)
        }
    }

    /// The width of the next piece of an access to configuration space: 4, 2 or 1.
    private func chunk(at position: Int, _ left: Int) -> Int {
        left >= 4 && position % 4 == 0 ? 4 : left >= 2 && position % 2 == 0 ? 2 : 1
    }

    private func readConfiguration(_ position: Int, _ bytes: inout MutableRawSpan) {
        var done = 0
        while done < bytes.byteCount {
            let width = chunk(at: position + done, bytes.byteCount - done)
            let value = configuration.value(at: position + done, width: width)
            bytes.storeUnit(UInt64(value), width, at: done)
            done += width
        }
    }

    private func writeConfiguration(_ position: Int, _ bytes: RawSpan) {
        var done = 0
        while done < bytes.byteCount {
            let width = chunk(at: position + done, bytes.byteCount - done)
            let value = UInt32(truncatingIfNeeded: bytes.loadUnit(width, at: done))
            if let asked = configuration.store(value, at: position + done, width: width) { perform(asked) }
            done += width
        }
    }

    @inline(never)
    private func readROM(_ position: Int, _ bytes: inout MutableRawSpan) {
        for index in 0..<bytes.byteCount {
            let at = position + index
            // The BAR is longer than the image.
            let byte = at < function.rom.count ? function.rom[at] : 0xff
            bytes.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
        }
    }
}
