import Testing
import VFIOABI

@Suite("Values of the uAPI")
struct ValueTests {
    @Test("a request's number is made as C's _IO makes it")
    func requests() {
        #expect(Request(type: 0x3B, number: 100) == .getAPIVersion)
        #expect(Request(index: 13) == .iommuMapDMA)
        #expect(Request(.ioasMap).rawValue == 0x3B85)
        #expect(Request.iommuGetInfo == .deviceGetPCIHotResetInfo)
        #expect(Request.ioasCopy.type == UInt8(UAPI.requestType))
        #expect(Request.deviceReset.number == 111)
        #expect(Request.deviceReset.isVFIO)
        #expect(!Request(rawValue: 0x5401).isVFIO)
        #expect(!Request(rawValue: 0x4004_3B64).isVFIO)
    }

    @Test("a structure tells its own size, and a request with something behind it the size of both")
    func sizes() {
        #expect(DMAMap().argsz == 32)
        #expect(IOASMap().size == 40)
        #expect(DMAUnmapWithBitmap().unmap.argsz == 48)
        #expect(DirtyBitmapWithGet().request.argsz == 48)
        let request = DeviceFeatureRequest(.busMaster, .set, BusMasterFeature(operation: .set))
        #expect(request.header.argsz == 12)
        #expect(request.header.flags.rawValue == 1 << 17 | 10)
        #expect(request.header.flags.feature == .busMaster)
        #expect(request.header.flags.operation == .set)
    }

    @Test("what follows a structure in memory is where C has it")
    func composites() {
        #expect(MemoryLayout<DMAUnmapWithBitmap>.offset(of: \.bitmap) == 24)
        #expect(MemoryLayout<DMAUnmapWithBitmap>.size == 48)
        #expect(MemoryLayout<DirtyBitmapWithGet>.offset(of: \.get) == 8)
        #expect(MemoryLayout<DirtyBitmapWithGet>.size == 48)
        #expect(MemoryLayout<DeviceFeatureRequest<DMALoggingReport>>.offset(of: \.payload) == 8)
        #expect(MemoryLayout<DeviceFeatureRequest<BusMasterFeature>>.size == 12)
    }

    @Test("the size of an interrupt request is header and data, and nil where it cannot be")
    func interruptSizes() {
        #expect(IRQSet.byteCount(count: 3, flags: [.dataEventFD, .actionTrigger]) == 32)
        #expect(IRQSet.byteCount(count: 3, flags: [.dataBool, .actionMask]) == 23)
        #expect(IRQSet.byteCount(count: .max, flags: [.dataNone, .actionMask]) == 20)
        #expect(IRQSet.byteCount(count: .max, flags: [.dataEventFD, .actionTrigger]) == nil)
        #expect(IRQSet.byteCount(count: .max, flags: [.dataBool, .actionTrigger]) == nil)
        #expect(IRQSet.byteCount(count: 1, flags: [.dataBool, .dataEventFD]) == nil)
        #expect(IRQSet.byteCount(count: 1, flags: [.actionTrigger]) == nil)
    }

    @Test("a value is read out of unaligned bytes and written back, and never beyond their end")
    func bytes() throws {
        var bytes = [UInt8](repeating: 0, count: 13)
        var span = bytes.mutableSpan
        // SAFETY: bytes have no padding.
        var raw = unsafe span.mutableBytes
        #expect(CapabilityHeader(id: 1, version: 2, next: 0x0403_0201).write(to: &raw, at: 5))
        #expect(!CapabilityHeader().write(to: &raw, at: 6))
        #expect(!CapabilityHeader().write(to: &raw, at: -1))
        #expect(!CapabilityHeader().write(to: &raw, at: .max))
        #expect(bytes == [0, 0, 0, 0, 0, 1, 0, 2, 0, 1, 2, 3, 4])
        #expect(
            bytes.value(CapabilityHeader.self, at: 5)
                == CapabilityHeader(id: 1, version: 2, next: 0x0403_0201))
        #expect(bytes.value(CapabilityHeader.self, at: 6) == nil)
        #expect(bytes.value(CapabilityHeader.self, at: -1) == nil)
        #expect(bytes.value(CapabilityHeader.self, at: .max) == nil)
    }

    @Test("a shorter, older structure is read with zeros for what it lacks")
    func prefix() throws {
        let old: [UInt8] = [16, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]
        #expect(
            old.value(DeviceBindIOMMUFD.self, minimumSize: DeviceBindIOMMUFD.minimumSize)
                == DeviceBindIOMMUFD(argsz: 16, iommufd: 7))
        #expect(old.value(DeviceBindIOMMUFD.self, minimumSize: 17) == nil)
        let long = [UInt8](repeating: 1, count: 40)
        #expect(long.value(GroupStatus.self, minimumSize: 8)?.argsz == 0x0101_0101)
    }

    @Test("the two names of a union are one field")
    func unions() {
        var device = PCIDependentDevice(groupID: 26)
        device.deviceID = .notOwned
        #expect(device.groupID == .max)
        var info = HWInfo(inputType: .intelVTD)
        info.outputType = .amd
        #expect(info.inputType == .amd)
        var plane = GFXPlaneInfo()
        plane.dmabufID = 3
        #expect(plane.regionIndex == 3)
    }

    @Test("vfio-pci's regions are 2^40 bytes apart")
    func regionOffsets() throws {
        let place = try #require(PCIRegionOffset(.config, at: 0x10))
        #expect(place.fileOffset == 0x700_0000_0010)
        #expect(PCIRegionOffset(fileOffset: 0x700_0000_0010) == place)
        #expect(PCIRegionOffset(.bar0, at: 1 << 40) == nil)
        #expect(PCIRegionOffset(PCIRegion(rawValue: 1 << 24)) == nil)
        #expect(PCIRegionOffset(fileOffset: .max).fileOffset == .max)
    }

    @Test("version 1 of migration knows its impossible states")
    func legacyStates() {
        let valid: [UInt32] = [0, 1, 2, 3, 4]
        for raw in UInt32(0)..<8 {
            #expect(LegacyMigrationState(rawValue: raw | 0x100).isValid == valid.contains(raw))
            #expect(LegacyMigrationState(rawValue: raw | 0x100).isError == (raw == 6))
        }
    }

    @Test("byte areas compare by what they hold")
    func areas() {
        var left = CCWSCHIBRegion()
        #expect(left == CCWSCHIBRegion())
        left.schibArea[51] = 1
        #expect(left != CCWSCHIBRegion())
    }

    @Test("records behind a structure are never read beyond the bytes")
    func trailing() throws {
        let bytes = [UInt8](repeating: 1, count: 20)
        if let records = TrailingArray<PCIDependentDevice>(bytes.rawSpan, at: 4, count: 2) {
            #expect(records.count == 2)
            #expect(records[1].bus == 1)
        } else {
            Issue.record("two records of 8 bytes were refused")
        }
        for (offset, count, fits) in [
            (20, UInt32(0), true), (4, 3, false), (5, 2, false), (20, 1, false), (21, 0, false),
            (-1, 0, false), (0, .max, false),
        ] {
            let records = TrailingArray<PCIDependentDevice>(bytes.rawSpan, at: offset, count: count)
            let found = records != nil
            #expect(found == fits, "\(count) at \(offset)")
        }
    }
}
