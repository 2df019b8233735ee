import LinuxSystem
import VFIOABI
import VFIOHost

/// D.3: regions beyond those of PCI, which tell their type.
let typedRegionCases: [Case] = [
    Case(
        "D.3",
        "Intel's graphics has three regions behind those of PCI, which tell by their type what they are",
        on: .all
    ) { t in
        let device = try t.openIntelGraphics()
        var info = DeviceInfo()
        t.expect(device.request(.deviceGetInfo, &info), .success, "GET_INFO")
        t.expect(info.regionCount, equals: PCIRegion.count + 3, "num_regions")
        let family = RegionType(pciVendor: 0x8086)
        for (index, subtype, name) in [
            (9, .intelIGDOpRegion, "operation region"), (10, .intelIGDHostConfiguration, "host bridge"),
            (11, .intelIGDLPCConfiguration, "LPC bridge"),
        ] as [(UInt32, RegionSubtype, String)] {
            let (answer, region) = device.regionInfo(index)
            t.expect(answer, .success, "GET_REGION_INFO of the \(name)")
            t.expect(region.flags.rawValue, equals: RegionFlags([.read, .caps]).rawValue, "\(name): flags")
            t.expect(region.offset, equals: UInt64(index) << 40, "\(name): offset")
            t.expect(region.argsz, equals: 48, "\(name): room for one capability")
            let kind = device.regionKind(index)
            t.expect(kind?.header.id ?? 0, equals: RegionCapabilityID.type.rawValue, "\(name): capability")
            t.expect(kind?.header.version ?? 0, equals: 1, "\(name): version")
            t.expect(kind?.type == family && kind?.subtype == subtype, "\(name): type and subtype")
        }
        t.expect(device.regionInfo(12).answer, .errno(.invalid), "a fourth")
    },
    Case(
        "D.3", "what firmware tells Intel's graphics can be read to its end, and not written or mapped",
        on: .all
    ) { t in
        let device = try t.openIntelGraphics()
        // Whether memory answers has nothing to do with it.
        device.store(0 as UInt16, at: Place.command)
        let size = device.regionInfo(9).info.size
        let (answer, bytes) = device.read(at: Place.region(9), count: 16)
        t.expect(answer, .value(16), "its first bytes")
        t.expect(String(decoding: bytes, as: UTF8.self), equals: "IntelGraphicsMem", "the signature")
        t.expect(
            UInt64(try device.load(UInt32.self, at: Place.region(9) + 16)) << 10 == size,
            "the length that it tells, in KiB")
        t.expect(device.read(at: Place.region(9) + size - 4, count: 16).answer, .value(4), "the last bytes")
        t.expect(device.read(at: Place.region(9) + size, count: 1).answer, .errno(.invalid), "behind the end")
        t.expect(
            device.read(at: Place.region(9) + size, count: 0).answer, .value(0), "nothing behind the end")
        t.expect(device.write(at: Place.region(9), [0, 0, 0, 0]), .errno(.invalid), "writing")
        t.expect(device.write(at: Place.region(9), []), .value(0), "writing nothing")
        t.expect(device.map(at: Place.region(9), byteCount: pageSize).answer, .errno(.invalid), "mapping")
        for (index, classCode) in [(10, 0x0600), (11, 0x0601)] as [(UInt64, UInt16)] {
            let place = Place.region(index)
            t.expect(try device.load(UInt16.self, at: place), equals: 0x8086, "region \(index): vendor")
            t.expect(
                try device.load(UInt16.self, at: place + 10), equals: classCode, "region \(index): class")
            t.expect(device.write(at: place + 4, [0, 0]), .errno(.invalid), "region \(index): writing")
        }
        t.expect(device.read(at: Place.region(12), count: 4).answer, .errno(.invalid), "a fourth region")
    },
    Case("D.3", "a BAR that holds the MSI-X table may be mapped with it, and a capability says so", on: .all)
    { t in
        var index: UInt32 = 0
        let setup = try t.openDevice("a device whose MSI-X table is in a BAR that can be mapped") { device in
            guard let msix = try? t.capability(0x11, of: device) else { return false }
            index = try device.configuration(UInt32.self, msix + 4) & 7
            return device.regionInfo(index).info.flags.contains(.mmap)
        }
        let (answer, region) = setup.device.regionInfo(index)
        let remote =
            "a server needn't tell it: its users keep off the table by themselves, as with older kernels"
        t.expect(answer, .success, "GET_REGION_INFO")
        t.expect(
            region.flags.rawValue, equals: RegionFlags([.read, .write, .mmap, .caps]).rawValue, "flags",
            .remote(value: RegionFlags([.read, .write, .mmap]).rawValue, remote))
        t.expect(
            region.argsz, equals: 40, "room for a capability without contents", .remote(value: 32, remote))
        let capability = setup.device.regionKind(index, argsz: 40)?.header
        t.expect(
            capability?.id ?? 0, equals: RegionCapabilityID.msixMappable.rawValue, "capability",
            .remote(value: 0, remote))
        t.expect(capability?.version ?? 0, equals: 1, "version", .remote(value: 0, remote))
        let map = setup.device.map(at: Place.region(UInt64(index)), byteCount: Int(region.size))
        t.expect(map.answer, .success, "mapping all of it")
        if let window = map.window { setup.device.unmap(window) }
    },
    Case("D.6", "where a guest has the operation region of its graphics is the guest's to keep", on: .all) {
        t in
        let device = try t.openIntelGraphics()
        t.expect(device.configure(0xfc, 0x7f12_3000 as UInt32), .value(4), "writing")
        t.expect(try device.configuration(UInt32.self, 0xfc), equals: 0x7f12_3000, "what was written")
        t.expect(device.configure(0xfd, 0x5a as UInt8), .value(1), "one byte")
        t.expect(try device.configuration(UInt32.self, 0xfc), equals: 0x7f12_5a00, "and the others")
    },
]

extension File {
    /// The type of a region beyond those of PCI; nil if it doesn't tell.
    func regionKind(_ index: UInt32, argsz: UInt32 = 48) -> RegionTypeCapability? {
        var answer = RegionInfoWithType(info: RegionInfo(argsz: argsz, index: index))
        guard request(.deviceGetRegionInfo, &answer) == .success, answer.info.capabilityOffset == 32 else {
            return nil
        }
        return answer.kind
    }
}

/// A region's description with the only capability that it has.
private struct RegionInfoWithType: BitwiseCopyable {
    var info: RegionInfo
    var kind = RegionTypeCapability()
}

extension Trial {
    /// The graphics of an Intel processor, whose firmware left an operation region.
    fileprivate func openIntelGraphics() throws -> File {
        let record = try device("Intel's integrated graphics (8086, VGA)") {
            $0.vendor == 0x8086 && $0.classCode == 0x03_0000
        }
        return try setUp(record).device
    }
}
