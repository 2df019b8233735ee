import VFIOABI

/// What the bodies of commands and replies say. What both have in common is shown by one function.
extension MessageDescription {
    mutating func addCommand(_ body: RawSpan) {
        switch header.command {
        case .version: addVersion(body)
        case .dmaMap: addMap(body)
        case .dmaUnmap: addUnmap(body)
        case .deviceGetInfo:
            guard let info = load(UserDeviceInfo.self, body) else { return }
            add("argsz", info.argsz)
        case .deviceGetRegionInfo:
            guard let info = load(RegionInfo.self, body) else { return }
            add("argsz", info.argsz)
            add("index", MessageWords.region(info.index))
        case .deviceGetRegionIOFDs:
            guard let request = load(UserRegionIOFDs.self, body) else { return }
            add("argsz", request.argsz)
            if request.flags != 0 { add("flags", hexadecimal: UInt64(request.flags)) }
            add("index", MessageWords.region(request.index))
        case .deviceGetIRQInfo:
            guard let info = load(IRQInfo.self, body) else { return }
            add("argsz", info.argsz)
            add("index", MessageWords.interrupt(info.index))
        case .deviceSetIRQs: addInterrupts(body)
        case .regionRead: _ = addAccess(body)
        case .regionWrite: if addAccess(body) { addData(body, from: UserRegionAccess.byteCount) }
        case .dmaRead: _ = addDMA(body)
        case .dmaWrite: if addDMA(body) { addData(body, from: UserDMAAccess.byteCount) }
        case .regionWriteMulti: addWrites(body)
        case .deviceFeature: addFeature(body)
        case .migrationDataRead, .migrationDataWrite: addMigrationData(body)
        default: addRest(body, from: 0)
        }
    }

    mutating func addReply(_ body: RawSpan) {
        switch header.command {
        case .version: addVersion(body)
        case .dmaUnmap: addUnmap(body)
        case .deviceGetInfo: addDeviceInfo(body)
        case .deviceGetRegionInfo: addRegionInfo(body)
        case .deviceGetRegionIOFDs: addDoorbells(body)
        case .deviceGetIRQInfo:
            guard let info = load(IRQInfo.self, body) else { return }
            add("index", MessageWords.interrupt(info.index))
            add("flags", MessageWords.flags(UInt64(info.flags.rawValue), Self.irqFlags))
            add("count", info.count)
        case .regionRead: if addAccess(body) { addData(body, from: UserRegionAccess.byteCount) }
        case .regionWrite: _ = addAccess(body)
        case .dmaRead: if addDMA(body) { addData(body, from: UserDMAAccess.byteCount) }
        case .dmaWrite: _ = addDMA(body)
        case .regionWriteMulti:
            guard let multiple = load(UserRegionWriteMulti.self, body) else { return }
            add("writes", multiple.writeCount)
        case .deviceFeature: addFeature(body)
        case .migrationDataRead: addMigrationData(body)
        default: addRest(body, from: 0)
        }
    }

    // MARK: the first message

    private mutating func addVersion(_ body: RawSpan) {
        guard let version = load(UserVersion.self, body) else { return }
        add("version", "\(version.major).\(version.minor)")
        var end = body.byteCount
        // The text's final NUL.
        if end > UserVersion.byteCount, body.loadByte(end - 1) == 0 { end -= 1 }
        guard end > UserVersion.byteCount else { return }
        add("json", MessageWords.text(body.extracting(UserVersion.byteCount..<end), most: 512))
    }

    // MARK: memory

    private mutating func addMap(_ body: RawSpan) {
        guard let map = load(UserDMAMap.self, body) else { return }
        add("argsz", map.argsz)
        add("flags", MessageWords.flags(UInt64(map.flags.rawValue), Self.mapFlags))
        add("iova", MessageWords.range(map.address, map.size))
        add("offset", hexadecimal: map.offset)
    }

    private mutating func addUnmap(_ body: RawSpan) {
        guard let unmap = load(UserDMAUnmap.self, body) else { return }
        add("argsz", unmap.argsz)
        add("flags", MessageWords.flags(UInt64(unmap.flags.rawValue), Self.unmapFlags))
        add("iova", MessageWords.range(unmap.address, unmap.size))
        guard unmap.flags.contains(.getDirtyBitmap) else { return }
        guard let bitmap = load(UserDirtyBitmap.self, body, at: UserDMAUnmap.byteCount) else { return }
        add("pgsize", hexadecimal: bitmap.pageSize)
        add("bitmap_size", bitmap.size)
        addDirty(body, from: UserDMAUnmap.byteCount + UserDirtyBitmap.byteCount)
    }

    /// How many bits of a bitmap are set.
    private mutating func addDirty(_ body: RawSpan, from start: Int) {
        guard header.isReply, body.byteCount > start else { return }
        var count = 0
        var at = start
        while let word = UInt64(body, at: at) {
            count += word.nonzeroBitCount
            at += 8
        }
        while at < body.byteCount {
            count += body.loadByte(at).nonzeroBitCount
            at += 1
        }
        add("dirty", count)
    }

    /// - Returns: whether the fixed part is there.
    private mutating func addDMA(_ body: RawSpan) -> Bool {
        guard let access = load(UserDMAAccess.self, body) else { return false }
        add("iova", hexadecimal: access.address)
        add("count", access.count)
        return true
    }

    // MARK: the device and its regions

    private mutating func addDeviceInfo(_ body: RawSpan) {
        guard let info = load(UserDeviceInfo.self, body) else { return }
        add("flags", MessageWords.flags(UInt64(info.flags.rawValue), Self.deviceFlags))
        add("regions", info.regionCount)
        add("irqs", info.irqCount)
    }

    private mutating func addRegionInfo(_ body: RawSpan) {
        guard let info = load(RegionInfo.self, body) else { return }
        add("argsz", info.argsz)
        add("index", MessageWords.region(info.index))
        add("flags", MessageWords.flags(UInt64(info.flags.rawValue), Self.regionFlags))
        add("size", hexadecimal: info.size)
        add("offset", hexadecimal: info.offset)
        guard info.flags.contains(.caps), info.capabilityOffset >= UInt32(RegionInfo.byteCount) else {
            return
        }
        addSparse(body, at: Int(info.capabilityOffset))
    }

    /// The areas that can be mapped; a chain of capabilities begins with them wherever there are any.
    private mutating func addSparse(_ body: RawSpan, at offset: Int) {
        guard let sparse = SparseMmapCapability(body, at: offset) else { return }
        guard RegionCapabilityID(rawValue: sparse.header.id) == .sparseMmap else {
            return add("cap", sparse.header.id)
        }
        var items: [String] = []
        for index in 0..<min(Int(sparse.areaCount), Self.mostRecords) {
            let at = offset + SparseMmapCapability.byteCount + index * SparseMmapArea.byteCount
            guard let area = SparseMmapArea(body, at: at) else { break }
            items.append(MessageWords.range(area.offset, area.size))
        }
        addList("mmap", items, of: Int(sparse.areaCount))
    }

    private mutating func addDoorbells(_ body: RawSpan) {
        guard let answer = load(UserRegionIOFDs.self, body) else { return }
        add("argsz", answer.argsz)
        add("index", MessageWords.region(answer.index))
        add("count", answer.count)
        var items: [String] = []
        for index in 0..<min(Int(answer.count), Self.mostRecords) {
            let at = UserRegionIOFDs.byteCount + index * UserRegionIOFD.byteCount
            guard let entry = UserRegionIOFD(body, at: at) else { break }
            let kind =
                switch entry.type {
                case 0: "ioeventfd"
                case 1: "ioregionfd"
                case 2: "shadow"
                default: "\(entry.type)"
                }
            items.append("\(kind):\(MessageWords.range(entry.offset, entry.size))")
        }
        addList("io_fds", items, of: items.isEmpty ? 0 : Int(answer.count))
    }

    /// - Returns: whether the fixed part is there.
    private mutating func addAccess(_ body: RawSpan) -> Bool {
        guard let access = load(UserRegionAccess.self, body) else { return false }
        add("region", MessageWords.region(access.region))
        add("offset", hexadecimal: access.offset)
        add("count", access.count)
        return true
    }

    private mutating func addWrites(_ body: RawSpan) {
        guard let multiple = load(UserRegionWriteMulti.self, body) else { return }
        add("writes", multiple.writeCount)
        let records = (body.byteCount - UserRegionWriteMulti.byteCount) / UserRegionWrite.byteCount
        var items: [String] = []
        for index in 0..<min(records, Self.mostRecords) {
            let at = UserRegionWriteMulti.byteCount + index * UserRegionWrite.byteCount
            guard let record = UserRegionWrite(body, at: at) else { break }
            let width = Int(min(record.access.count, 8))
            let value = width == 8 ? record.data : record.data & (1 << UInt64(width * 8) - 1)
            items.append(
                "\(MessageWords.region(record.access.region))+"
                    + "\(MessageWords.hexadecimal(record.access.offset))"
                    + (record.access.count > 8 ? "(\(record.access.count) bytes)" : "")
                    + "=\(MessageWords.hexadecimal(value, width: width))")
        }
        addList("write", items, of: records)
    }

    // MARK: interrupts

    private mutating func addInterrupts(_ body: RawSpan) {
        guard let set = load(IRQSet.self, body) else { return }
        add("argsz", set.argsz)
        add("flags", MessageWords.flags(UInt64(set.flags.rawValue), Self.irqSetFlags))
        add("index", MessageWords.interrupt(set.index))
        add("start", set.start)
        add("count", set.count)
        guard set.flags.dataElementSize == 1 else { return addRest(body, from: IRQSet.byteCount) }
        let rest = body.extracting(IRQSet.byteCount..<body.byteCount)
        let count = min(rest.byteCount, MessageWords.mostBytes)
        let items = (0..<count).map { "\(rest.loadByte($0))" }
        addList("data", items, of: rest.byteCount)
    }

    // MARK: features and migration

    private mutating func addFeature(_ body: RawSpan) {
        guard let request = load(DeviceFeature.self, body) else { return }
        add("argsz", request.argsz)
        let feature = request.flags.feature
        add(
            "flags",
            MessageWords.flags(UInt64(request.flags.operation.rawValue), Self.featureFlags) + "|"
                + MessageWords.feature(feature))
        let start = DeviceFeature.byteCount
        guard body.byteCount > start else { return }
        switch feature {
        case .migration:
            guard let value = load(MigrationFeature.self, body, at: start) else { return }
            add("migration", MessageWords.flags(value.flags.rawValue, Self.migrationFlags))
        case .migrationDeviceState:
            guard let value = load(MigrationStateFeature.self, body, at: start) else { return }
            add("device_state", MessageWords.migrationState(value.deviceState))
        case .dmaLoggingStart: addLogging(body, from: start)
        case .dmaLoggingReport:
            guard let value = load(UserDMALoggingReport.self, body, at: start) else { return }
            add("iova", MessageWords.range(value.iova, value.length))
            add("page_size", hexadecimal: value.pageSize)
            addDirty(body, from: start + UserDMALoggingReport.byteCount)
        default: addRest(body, from: start)
        }
    }

    private mutating func addLogging(_ body: RawSpan, from start: Int) {
        guard let control = load(UserDMALoggingControl.self, body, at: start) else { return }
        add("page_size", hexadecimal: control.pageSize)
        add("num_ranges", control.rangeCount)
        var items: [String] = []
        for index in 0..<min(Int(control.rangeCount), Self.mostRecords) {
            let at = start + UserDMALoggingControl.byteCount + index * DMALoggingRange.byteCount
            guard let range = DMALoggingRange(body, at: at) else { break }
            items.append(MessageWords.range(range.iova, range.length))
        }
        addList("ranges", items, of: items.isEmpty ? 0 : Int(control.rangeCount))
    }

    private mutating func addMigrationData(_ body: RawSpan) {
        guard let data = load(UserMigrationData.self, body) else { return }
        add("argsz", data.argsz)
        add("size", data.size)
        addData(body, from: UserMigrationData.byteCount)
    }
}
