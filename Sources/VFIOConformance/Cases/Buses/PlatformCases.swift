import LinuxSystem
import VFIOABI
import VFIOHost

/// Registers of Calxeda's network controller, the platform device of these cases.
private enum XGMAC {
    static let control: UInt64 = 0x000
    static let transmitPoll: UInt64 = 0xf04
    static let receiveBase: UInt64 = 0xf0c
    static let transmitBase: UInt64 = 0xf10
    static let status: UInt64 = 0xf14
    static let dmaControl: UInt64 = 0xf18
    static let interruptEnable: UInt64 = 0xf1c
}

extension Trial {
    /// Calxeda's network controller.
    var networkController: DeviceSummary {
        get throws {
            try other(
                named: "fff51000.ethernet", on: .platform, "Calxeda's network controller (fff51000.ethernet)")
        }
    }
}

/// G.1: vfio-platform and vfio-amba, all but interrupts.
let platformCases: [Case] = [
    Case("G.1", "a platform device has regions and lines, and no configuration space", on: protectedRoutes) {
        t in
        let device = try t.open(t.networkController)
        let (answer, info) = device.info
        t.expect(answer, .success, "GET_INFO")
        t.expect(info.flags == [.platform, .reset], "a platform device that can be reset")
        t.expect(info.regionCount, equals: 1, "regions")
        t.expect(info.irqCount, equals: 3, "interrupts")
        var short = DeviceInfo(argsz: 15)
        t.expect(device.file.request(.deviceGetInfo, &short), .errno(.invalid), "argsz 15")
        let region = device.file.regionInfo(0)
        t.expect(region.answer, .success, "region 0")
        t.expect(region.info.size, equals: 4096, "its size")
        t.expect(region.info.offset, equals: 0, "its offset")
        t.expect(
            region.info.flags.rawValue, equals: 7, "its flags",
            .software(
                value: 3, "registers with effects can't be mapped into the process that carries them out"))
        t.expect(device.file.regionInfo(1).answer, .errno(.invalid), "region 1")
    },
    Case("G.1", "a platform device's registers are reached inside its region only", on: protectedRoutes) {
        t in
        let device = try t.open(t.networkController).file
        t.expect(device.store(0x40 as UInt32, at: XGMAC.dmaControl), .value(4), "write")
        t.expect(try device.load(UInt32.self, at: XGMAC.dmaControl), equals: 0x40, "read")
        t.expect(device.read(at: 0xffc, count: 16).answer, .value(4), "across the end")
        t.expect(device.read(at: 0x1000, count: 4).answer, .errno(.invalid), "behind the end")
        t.expect(device.write(at: 0x1000, [0]), .errno(.invalid), "a write behind the end")
        t.expect(device.read(at: 1 << 40, count: 4).answer, .errno(.invalid), "no such region")
        t.expect(
            device.map(at: 1 << 40, byteCount: pageSize).answer, .errno(.invalid), "no such region to map")
        t.expect(
            device.map(at: 0, byteCount: 2 * pageSize).answer, .errno(.invalid), "more than there is to map")
    },
    Case("G.1", "a reset stops a network controller and leaves the rest as it is", on: protectedRoutes) { t in
        let device = try t.open(t.networkController).file
        device.store(0x1_0041 as UInt32, at: XGMAC.interruptEnable)
        device.store(0x2042 as UInt32, at: XGMAC.dmaControl)
        device.store(0x40c as UInt32, at: XGMAC.control)
        t.expect(device.request(.deviceReset), .success, "RESET")
        t.expect(try device.load(UInt32.self, at: XGMAC.interruptEnable), equals: 0, "interrupts")
        t.expect(try device.load(UInt32.self, at: XGMAC.dmaControl), equals: 0x40, "the rings")
        t.expect(try device.load(UInt32.self, at: XGMAC.control), equals: 0x400, "the MAC")
    },
    Case("G.1", "a platform device's DMA goes through its group's IOMMU", on: protectedRoutes) { t in
        let setup = try t.open(t.networkController)
        let device = setup.file
        let memory = try t.memory(pages: 1)
        try t.map(memory, at: 0x10_0000, for: setup)
        let window = memory.window
        // A frame of 64 bytes, and a descriptor for each direction.
        for index in 0..<64 { window.store8(0x100 + index, UInt8(index)) }
        for (place, words) in [
            (0x000, [0xb020_0000, 64, 0x10_0100, 0]), (0x040, [0x8000_0000, 0x8000 | 0x200, 0x10_0200, 0]),
        ] as [(Int, [UInt32])] {
            for (index, word) in words.enumerated() { window.store32(place + 4 * index, word) }
        }
        let event = try t.event()
        try t.require(setup.setEvent(0, event.number), "SET_IRQS")
        device.store(0x10_0000 as UInt32, at: XGMAC.transmitBase)
        device.store(0x10_0040 as UInt32, at: XGMAC.receiveBase)
        device.store(0x1_0040 as UInt32, at: XGMAC.interruptEnable)
        device.store(0xc as UInt32, at: XGMAC.control)
        device.store(0x2002 as UInt32, at: XGMAC.dmaControl)
        device.store(1 as UInt32, at: XGMAC.transmitPoll)
        t.expect(event.arrives(), equals: 1, "an interrupt")
        let arrived = (0..<64).allSatisfy { window.load8(0x200 + $0) == UInt8($0) }
        t.expect(arrived, "the frame comes back")
        device.store(0x20_0000 as UInt32, at: XGMAC.transmitBase)
        device.store(1 as UInt32, at: XGMAC.transmitPoll)
        t.expect(
            try device.load(UInt32.self, at: XGMAC.status) & 0x2000 != 0, "what isn't mapped is a bus error")
    },
    Case("G.1", "a platform device knows neither features nor requests of PCI", on: protectedRoutes) { t in
        let device = try t.open(t.networkController).file
        t.expect(device.feature(.pciVFToken, [.set, .probe]), .errno(.noSuchRequest), "a token")
        t.expect(device.feature(.busMaster, [.set, .probe]), .errno(.noSuchRequest), "BUS_MASTER")
        t.expect(device.feature(.migration, [.get, .probe]), .errno(.noSuchRequest), "MIGRATION")
        t.expect(device.request(.deviceGetPCIHotResetInfo), .errno(.noSuchRequest), "hot reset")
        t.expect(device.request(.deviceIOEventFD), .errno(.noSuchRequest), "IOEVENTFD")
    },
    Case("G.1", "a primecell says so, and need not be one that can be reset", on: protectedRoutes) { t in
        let device = try t.open(t.other(.amba, "vfio-amba", "a primecell"))
        let info = device.info.info
        t.expect(info.flags.contains(.amba) && !info.flags.contains(.platform), "an AMBA device")
        if info.flags.contains(.reset) { throw t.skip("this one can be reset") }
        t.expect(device.file.request(.deviceReset), .errno(.invalid), "RESET")
    },
]
