import LinuxSystem
import VFIOABI
import VFIOHost

/// Numbers with the highest byte first, as a mainframe has them.
private func words(_ numbers: UInt32...) -> [UInt8] {
    numbers.flatMap { number in [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> UInt32($0)) } }
}

/// What starts a program: an operation request block of format 1 with prefetch, and a status word with the start
/// function.
private func start(at address: UInt32, flags: UInt32 = 0xc0) -> [UInt8] {
    words(1, flags << 16 | 0xff00, address) + words(0x4000, 0, 0)
}

/// G.4 and G.5: vfio-ccw and vfio-ap.
let channelCases: [Case] = [
    Case("G.4", "a channel device's regions are named by their types") { t in
        let device = try t.open(t.other(.mdev, "vfio_ccw_mdev", "a channel device"))
        let info = device.info.info
        t.expect(info.flags == [DeviceFlags.ccw, .reset], "a channel device that can be reset")
        t.expect(info.regionCount, equals: CCWRegion.count + 3, "regions")
        t.expect(info.irqCount, equals: CCWInterrupt.count, "interrupts")
        let io = device.file.regionInfo(CCWRegion.config.rawValue).info
        t.expect(io.size, equals: UInt64(MemoryLayout<CCWIORegion>.size), "the I/O region")
        t.expect(io.offset, equals: 0, "its offset")
        for (index, subtype, size, flags) in [
            (1, .ccwAsyncCommand, MemoryLayout<CCWCommandRegion>.size, 11),
            (2, .ccwSCHIB, MemoryLayout<CCWSCHIBRegion>.size, 9),
            (3, .ccwCRW, MemoryLayout<CCWCRWRegion>.size, 9),
        ] as [(UInt32, RegionSubtype, Int, UInt32)] {
            let answer = try t.buffer(64)
            answer.store(RegionInfo(argsz: 64, index: index))
            t.expect(device.file.request(.deviceGetRegionInfo, answer), .success, "region \(index)")
            let region = answer.load(RegionInfo())
            t.expect(region.size, equals: UInt64(size), "size of region \(index)")
            t.expect(region.flags.rawValue, equals: flags, "flags of region \(index)")
            let type = answer.load(RegionTypeCapability(), at: Int(region.capabilityOffset))
            t.expect(type.type == .ccw && type.subtype == subtype, "type of region \(index)")
        }
        t.expect(device.file.regionInfo(4).answer, .errno(.invalid), "region 4")
        t.expect(device.file.map(at: 0, byteCount: pageSize).answer, .errno(.invalid), "map")
    },
    Case("G.4", "a channel program is started by writing it, and ends with an interrupt") { t in
        let setup = try t.open(t.other(.mdev, "vfio_ccw_mdev", "a channel device"))
        let device = setup.file
        let memory = try t.memory(pages: 2)
        try t.map(memory, at: 0, for: setup)
        let event = try t.event()
        t.expect(setup.setEvent(CCWInterrupt.io.rawValue, event.number), .success, "an eventfd")
        // Sense ID, 7 bytes to 0x1000.
        for (index, byte) in words(0xe400_0007, 0x1000).enumerated() { memory.window.store8(index, byte) }
        t.expect(device.write(at: 0, start(at: 0)), .value(24), "start")
        t.expect(event.arrives(), equals: 1, "an interrupt")
        t.expect(memory.window.load8(0x1000), equals: 0xff, "the first byte of every such answer")
        let status = device.read(at: UInt64(CCWAreaSize.orb + CCWAreaSize.scsw), count: CCWAreaSize.irb).bytes
        t.expect(status[8], equals: 0x0c, "channel end and device end")
        t.expect(device.write(at: 0, start(at: 0x8000)), .errno(.invalid), "a program that isn't mapped")
        t.expect(device.write(at: 0, start(at: 0, flags: 0xc4)), .errno(.notSupported), "transport mode")
        t.expect(device.write(at: 12, words(0x2000, 0, 0)), .errno(.notSupported), "halt in the wrong region")
        t.expect(device.write(at: 120, [0, 0, 0, 0, 0]), .errno(.invalid), "beyond the region")
        t.expect(device.read(at: 0, count: 125).answer, .errno(.invalid), "more than the region")
    },
    Case("G.4", "commands, status and reports of a channel have regions of their own") { t in
        let setup = try t.open(t.other(.mdev, "vfio_ccw_mdev", "a channel device"))
        let device = setup.file
        let places = (0..<4).map { device.regionInfo(UInt32($0)).info.offset }
        t.expect(device.store(CCWAsyncCommand.haltSubchannel.rawValue, at: places[1]), .value(4), "halt")
        t.expect(device.store(CCWAsyncCommand.clearSubchannel.rawValue, at: places[1]), .value(4), "clear")
        t.expect(device.write(at: places[1], [3, 0, 0, 0]), .errno(.invalid), "neither")
        t.expect(
            device.read(at: places[2], count: CCWAreaSize.schib).answer, .value(52), "the information block")
        t.expect(device.write(at: places[2], [0]), .errno(.invalid), "write it")
        t.expect(device.read(at: places[3], count: 8).bytes.allSatisfy { $0 == 0 }, "no report")
        t.expect(device.write(at: places[3], [0]), .errno(.invalid), "write one")
        t.expect(setup.setIRQs(0, .mask), .errno(.invalid), "mask")
        t.expect(setup.setEvent(CCWInterrupt.req.rawValue, -2), .errno(.invalid), "eventfd -2")
        t.expect(setup.setEvent(3, -1), .errno(.invalid), "index 3")
        t.expect(setup.setIRQs(CCWInterrupt.crw.rawValue, .loop, count: 0), .success, "none of one")
        t.expect(device.request(.deviceReset), .success, "RESET")
    },
    Case("G.5", "cryptographic queues belong to a virtual machine, and have two notices and no regions") {
        t in
        let files = try t.virtualMachineFiles
        defer { files.close() }
        let summary = try t.other(.mdev, "vfio_ap_mdev", "cryptographic queues")
        let container = try t.open(.container)
        let group = try t.open(.group(summary.group ?? -1))
        try t.require(group.request(.groupSetContainer, container.number), "SET_CONTAINER")
        try t.require(container.request(.setIOMMU, IOMMUType.type1v2.rawValue), "SET_IOMMU")
        t.expect(
            t.getDevice(summary.id.name, from: group).answer, .errno(.invalid), "without a virtual machine")
        t.expect(
            .of { () throws(Errno) in try files.add(group.number) }, .success, "KVM's set takes the group")
        let (answer, file) = t.getDevice(summary.id.name, from: group)
        guard let file else { throw Halt.broken("GET_DEVICE_FD: \(answer)") }
        let device = OtherDevice(summary: summary, file: file, container: container, group: group, space: nil)
        let info = device.info.info
        t.expect(info.flags == [DeviceFlags.ap, .reset], "queues that can be reset")
        t.expect(info.regionCount, equals: 0, "regions")
        t.expect(info.irqCount, equals: APInterrupt.count, "interrupts")
        t.expect(device.file.regionInfo(0).answer, .errno(.invalid), "region 0")
        t.expect(
            device.interrupt(APInterrupt.configurationChange.rawValue).info.flags == .eventFD, "eventfds only"
        )
        t.expect(device.interrupt(2).answer, .errno(.invalid), "index 2")
        let event = try t.event()
        t.expect(device.setEvent(APInterrupt.req.rawValue, event.number), .success, "an eventfd")
        t.expect(device.setIRQs(APInterrupt.req.rawValue, .loop), .success, "trigger")
        t.expect(event.taken, equals: 1, "once")
        t.expect(device.setEvent(0, -1), .success, "no eventfd")
        t.expect(device.file.request(Request(rawValue: 0x3bff)), .errno(.notSupported), "an unknown request")
        t.expect(device.file.request(.deviceReset), .success, "RESET")
    },
]
