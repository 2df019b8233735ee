import LinuxSystem
import VFIOABI
import VFIOHost

/// D.9: resets of a whole bus.
let hotResetCases: [Case] = [
    Case("D.9", "a root bus can't be reset, which GET_PCI_HOT_RESET_INFO tells after the size", on: .all) {
        t in
        let device = try t.setUp(t.edu).device
        t.expect(device.request(.deviceGetPCIHotResetInfo, 8), .errno(.badAddress), "no structure")
        t.expect(device.info(PCIHotResetInfo(argsz: 11)), .errno(.invalid), "argsz 11")
        t.expect(device.info(PCIHotResetInfo(argsz: 12)), .errno(.noDevice), "argsz 12")
        t.expect(device.info(PCIHotResetInfo(argsz: 4096)), .errno(.noDevice), "argsz 4096")
        t.expect(
            device.info(PCIHotResetInfo(flags: .deviceID)), .errno(.noDevice), "flags, which are an answer")
    },
    Case(
        "D.9", "a root bus can't be reset, which PCI_HOT_RESET tells after all that is said wrongly", on: .all
    ) {
        t in
        let setup = try t.setUp(t.edu)
        let proofs: UInt32 = setup.group == nil ? 0 : 1
        let device = setup.device
        t.expect(device.request(.devicePCIHotReset, 8), .errno(.badAddress), "no structure")
        t.expect(
            device.request(.devicePCIHotReset, PCIHotReset(argsz: 11, count: proofs)), .errno(.invalid),
            "argsz 11")
        t.expect(
            device.request(.devicePCIHotReset, PCIHotReset(flags: 1, count: proofs)), .errno(.invalid),
            "flags 1")
        t.expect(
            device.request(.devicePCIHotReset, PCIHotReset(count: 1 - proofs)), .errno(.invalid),
            "another proof than this way in has",
            .before(6, 6, .errno(.noDevice), "an empty list of groups was looked at last"))
        t.expect(
            device.request(.devicePCIHotReset, PCIHotReset(count: proofs)), .errno(.noDevice),
            "nothing else is wrong")
    },
    Case(
        "D.9", "with too little room GET_PCI_HOT_RESET_INFO tells how many functions there are",
        on: .translated
    ) {
        t in
        let (setup, _) = try t.setUpOnBus(neighbour: nil)
        for argsz: UInt32 in [12, 19, 20, 27] {
            var info = PCIHotResetInfo(argsz: argsz, flags: .deviceID, count: 77)
            // Without room for the rest nothing may be written there.
            let buffer = try t.buffer(atEndOfPage: 12)
            buffer.store(info)
            if argsz < 20 {
                let answer = setup.device.request(.deviceGetPCIHotResetInfo, buffer)
                info = buffer.load(info)
                t.expect(answer, .errno(.noSpace), "argsz \(argsz)")
            } else {
                let whole = try t.buffer(Int(argsz))
                whole.store(info)
                let answer = setup.device.request(.deviceGetPCIHotResetInfo, whole)
                info = whole.load(info)
                t.expect(answer, .errno(.noSpace), "argsz \(argsz)")
            }
            t.expect(info.count, equals: 2, "argsz \(argsz): count")
            t.expect(info.argsz, equals: argsz, "argsz \(argsz): argsz")
        }
    },
    Case("D.9", "GET_PCI_HOT_RESET_INFO lists all functions of the bus, with a driver or not", on: .groups) {
        t in
        let (setup, neighbour) = try t.setUpOnBus(neighbour: nil)
        let list = try t.dependents(setup.device)
        t.expect(list.flags.rawValue, equals: 0, "flags")
        t.expect(list.records.map { t.name(of: $0) }, [setup.record.name, neighbour.name], "functions")
        let group = UInt32(truncatingIfNeeded: setup.record.group ?? -1)
        t.expect(list.records.allSatisfy { $0.groupID == group }, "each with the group's number")
    },
    Case("D.9", "through a device's own node, a function without a driver isn't owned", on: .cdev) { t in
        let (setup, neighbour) = try t.setUpOnBus(neighbour: nil)
        let list = try t.dependents(setup.device)
        t.expect(list.flags.rawValue, equals: PCIHotResetFlags.deviceID.rawValue, "flags")
        t.expect(list.records.map { t.name(of: $0) }, [setup.record.name, neighbour.name], "functions")
        t.expect(
            list.records.first.map { $0.deviceID != .owned && $0.deviceID != .notOwned } ?? false,
            "its own number")
        t.expect(list.records.last?.deviceID == .notOwned, "the other isn't owned")
    },
    Case(
        "D.9", "through a device's own node, a function that nobody has opened is owned with its group",
        on: .cdev
    ) {
        t in
        let (setup, _) = try t.setUpOnBus(neighbour: "vfio-pci")
        let list = try t.dependents(setup.device)
        t.expect(
            list.flags.rawValue, equals: PCIHotResetFlags([.deviceID, .deviceIDOwned]).rawValue, "flags")
        t.expect(list.records.last?.deviceID == .owned, "the other is owned, without a number")
    },
    Case(
        "D.9", "through a device's own node, a function of the same iommufd is told by its number", on: .cdev
    ) { t in
        let (setup, neighbour) = try t.setUpOnBus(neighbour: "vfio-pci")
        let (_, id) = try t.bind(neighbour, to: setup.iommufd)
        let list = try t.dependents(setup.device)
        t.expect(
            list.flags.rawValue, equals: PCIHotResetFlags([.deviceID, .deviceIDOwned]).rawValue, "flags")
        t.expect(list.records.last?.deviceID.rawValue == id, "the number that BIND told")
    },
    Case("D.9", "GET_PCI_HOT_RESET_INFO may be given more room, but all of what it needs", on: .translated) {
        t in
        let (setup, _) = try t.setUpOnBus(neighbour: nil)
        let large = try t.buffer(4096)
        large.fill(0xa5)
        large.store(PCIHotResetInfo(argsz: 4096))
        t.expect(setup.device.request(.deviceGetPCIHotResetInfo, large), .success, "argsz 4096")
        t.expect(large.bytes[28] == 0xa5, "nothing is written behind the last record")
        let short = try t.buffer(atEndOfPage: 20)
        short.store(PCIHotResetInfo(argsz: 28))
        t.expect(
            setup.device.request(.deviceGetPCIHotResetInfo, short), .errno(.badAddress),
            "memory for one record")
    },
    Case("D.9", "PCI_HOT_RESET needs a VFIO driver on every function of the bus", on: .translated) { t in
        let (setup, _) = try t.setUpOnBus(neighbour: nil)
        t.expect(try t.hotReset(setup.device, setup.proof), .errno(.invalid), "one has none")
    },
    Case("D.9", "PCI_HOT_RESET resets a bus whose functions are all owned", on: .translated) { t in
        let (setup, _) = try t.setUpOnBus(neighbour: "vfio-pci")
        let config = try t.configuration(of: setup.device)
        let vendor = try setup.device.load(UInt32.self, at: config)
        let bar = try setup.device.load(UInt32.self, at: config + 0x10)
        t.expect(setup.device.store(UInt16(6), at: config + 4), .value(2), "memory and bus master on")
        t.expect(try t.hotReset(setup.device, setup.proof), .success, "the reset")
        t.expect(try setup.device.load(UInt32.self, at: config) == vendor, "the identity is there")
        t.expect(try setup.device.load(UInt32.self, at: config + 0x10) == bar, "the BAR is as before")
        t.expect(try setup.device.load(UInt16.self, at: config + 4), equals: 6, "COMMAND")
        t.expect(try setup.device.load(UInt32.self, at: 0), equals: 0x0100_00ed, "the registers answer")
    },
    Case("D.9", "PCI_HOT_RESET goes on with functions that are open, and with those that aren't", on: .groups)
    { t in
        let (setup, neighbour) = try t.setUpOnBus(neighbour: "vfio-pci")
        guard let group = setup.group else { return }
        let (answer, other) = t.getDevice(neighbour.name, from: group)
        t.expect(answer, .descriptor, "the other function")
        t.expect(try t.hotReset(setup.device, setup.proof), .success, "both open")
        t.expect(try t.hotReset(other ?? setup.device, setup.proof), .success, "asked by the other")
        other?.close()
        t.expect(try t.hotReset(setup.device, setup.proof), .success, "one open")
    },
    Case("D.9", "interrupts that are set up outlive PCI_HOT_RESET", on: .translated) { t in
        let (setup, _) = try t.setUpOnBus(neighbour: "vfio-pci")
        let event = try t.eventfd()
        let buffer = try t.buffer(24)
        buffer.store(
            IRQSet(
                argsz: 24, flags: [.dataEventFD, .actionTrigger], index: PCIInterrupt.msi.rawValue, count: 1))
        buffer.store(event.number, at: 20)
        t.expect(setup.device.request(.deviceSetIRQs, buffer), .success, "an eventfd for the message")
        t.expect(try t.hotReset(setup.device, setup.proof), .success, "the reset")
        let config = try t.configuration(of: setup.device)
        t.expect(setup.device.store(UInt16(6), at: config + 4), .value(2), "memory and bus master on")
        // The device's own interrupt, by its register.
        t.expect(setup.device.store(UInt32(1), at: 0x60), .value(4), "an interrupt is raised")
        t.expect(try event.wait(milliseconds: 5000) == 1, "it comes")
        t.expect(setup.device.store(UInt32(1), at: 0x64), .value(4), "and is acknowledged")
    },
    Case("D.9", "a mapping shows the device again after PCI_HOT_RESET", on: .translated) { t in
        let (setup, _) = try t.setUpOnBus(neighbour: "vfio-pci")
        var info = RegionInfo(index: 0)
        try t.require(setup.device.request(.deviceGetRegionInfo, &info), "REGION_INFO")
        guard info.flags.contains(.mmap), info.capabilityOffset == 0 else {
            throw t.skip("the device's registers can't be mapped here")
        }
        let (answer, mapped) = setup.device.map(at: 0, byteCount: 4096)
        t.expect(answer, .success, "the registers are mapped")
        guard let window = mapped else { return }
        defer { setup.device.unmap(window) }
        t.expect(window.load32(0), equals: 0x0100_00ed, "before")
        t.expect(try t.hotReset(setup.device, setup.proof), .success, "the reset")
        t.expect(window.load32(0), equals: 0x0100_00ed, "after")
    },
    Case("D.9", "PCI_HOT_RESET wants the right groups, no more than there are functions", on: .groups) { t in
        let (setup, _) = try t.setUpOnBus(neighbour: "vfio-pci")
        let own = setup.proof[0]
        let stranger = try t.open(t.edu.groupNode)
        t.expect(try t.hotReset(setup.device, [stranger.number]), .errno(.invalid), "another group")
        t.expect(
            try t.hotReset(setup.device, [stranger.number, own]), .success, "another one besides its own")
        t.expect(try t.hotReset(setup.device, [own, own]), .success, "its own, twice")
        t.expect(try t.hotReset(setup.device, [own, own, own]), .errno(.invalid), "three for two functions")
        t.expect(try t.hotReset(setup.device, [-1, -1, -1]), .errno(.invalid), "three that don't exist")
        t.expect(try t.hotReset(setup.device, []), .errno(.invalid), "none")
    },
    Case("D.9", "PCI_HOT_RESET wants groups' descriptors, and the first that is none tells why", on: .groups)
    { t in
        let (setup, _) = try t.setUpOnBus(neighbour: "vfio-pci")
        let own = setup.proof[0]
        guard let container = setup.container else { return }
        let event = try t.eventfd()
        t.expect(try t.hotReset(setup.device, [-1]), .errno(.badDescriptor), "-1")
        t.expect(try t.hotReset(setup.device, [container.number]), .errno(.invalid), "the container")
        t.expect(try t.hotReset(setup.device, [setup.device.number]), .errno(.invalid), "a device")
        t.expect(try t.hotReset(setup.device, [event.number]), .errno(.invalid), "an eventfd")
        t.expect(try t.hotReset(setup.device, [own, -1]), .errno(.badDescriptor), "the right one, and -1")
        t.expect(try t.hotReset(setup.device, [event.number, -1]), .errno(.invalid), "an eventfd, and -1")
        t.expect(
            try t.hotReset(setup.device, [-1, event.number]), .errno(.badDescriptor), "-1, and an eventfd")
    },
    Case("D.9", "PCI_HOT_RESET reads as many descriptors as it is told", on: .groups) { t in
        let (setup, _) = try t.setUpOnBus(neighbour: "vfio-pci")
        let buffer = try t.buffer(atEndOfPage: 16)
        buffer.store(PCIHotReset(argsz: 16, count: 2))
        buffer.store(setup.proof[0], at: 12)
        t.expect(
            setup.device.request(.devicePCIHotReset, buffer), .errno(.badAddress), "memory for one of two")
        buffer.store(PCIHotReset(argsz: 12, count: 1))
        t.expect(setup.device.request(.devicePCIHotReset, buffer), .success, "argsz without the descriptors")
    },
    Case("D.9", "what is said wrongly comes before what is missing for PCI_HOT_RESET", on: .translated) { t in
        let (setup, _) = try t.setUpOnBus(neighbour: nil)
        let wrong: UInt32 = setup.group == nil ? 1 : 0
        t.expect(
            setup.device.request(.devicePCIHotReset, PCIHotReset(argsz: 11)), .errno(.invalid), "argsz 11")
        t.expect(
            setup.device.request(.devicePCIHotReset, PCIHotReset(flags: 2, count: 1 - wrong)),
            .errno(.invalid),
            "flags 2")
        t.expect(
            setup.device.request(.devicePCIHotReset, PCIHotReset(count: wrong)), .errno(.invalid),
            "another proof than this way in has")
        if setup.group != nil {
            t.expect(
                try t.hotReset(setup.device, [-1]), .errno(.badDescriptor),
                "a descriptor that doesn't exist comes before a function without a driver")
        }
    },
    Case(
        "D.9", "through a device's own node, PCI_HOT_RESET goes on with functions of the same iommufd",
        on: .cdev
    ) {
        t in
        let (setup, neighbour) = try t.setUpOnBus(neighbour: "vfio-pci")
        let (other, _) = try t.bind(neighbour, to: setup.iommufd)
        t.expect(try t.hotReset(setup.device, []), .success, "asked by the one")
        t.expect(try t.hotReset(other, []), .success, "asked by the other")
        setup.device.close()
        t.expect(try t.hotReset(other, []), .success, "the one is closed")
    },
    Case("D.9", "GET_INFO and RESET know nothing of a bus with several functions", on: .translated) { t in
        let (setup, _) = try t.setUpOnBus(neighbour: "vfio-pci")
        var info = DeviceInfo()
        try t.require(setup.device.request(.deviceGetInfo, &info), "GET_INFO")
        guard try t.machine.resetMethods(of: setup.record.address).isEmpty else {
            throw t.skip("the device has a reset of its own")
        }
        t.expect(!info.flags.contains(.reset), "no reset is offered")
        t.expect(setup.device.request(.deviceReset), .errno(.invalid), "RESET")
    },
]

extension Setup {
    /// What proves to PCI_HOT_RESET that the devices are one's own: the group, or nothing for a device's own node.
    fileprivate var proof: [Int32] { group.map { [$0.number] } ?? [] }
}

extension File {
    fileprivate func info(_ structure: PCIHotResetInfo) -> Answer {
        request(.deviceGetPCIHotResetInfo, structure)
    }
}

extension Trial {
    /// Opens an edu device below a bridge, with one other function beside it on its bus.
    /// - Parameter neighbour: the other's driver.
    fileprivate func setUpOnBus(neighbour driver: String?) throws -> (setup: Setup, neighbour: DeviceRecord) {
        let (record, neighbour) = try neighbours
        guard record.address.bus != 0, record.address.bus == neighbour.address.bus, record.vendor == 0x1234,
            record.device == 0x11e8
        else { throw skip("it needs an edu device beside another one on a bus below a bridge") }
        try lend(neighbour, to: driver)
        return (try setUp(record), neighbour)
    }

    /// What GET_PCI_HOT_RESET_INFO tells, with room for both.
    fileprivate func dependents(
        _ device: File
    ) throws -> (flags: PCIHotResetFlags, records: [PCIDependentDevice]) {
        let buffer = try buffer(28)
        buffer.store(PCIHotResetInfo(argsz: 28))
        try require(device.request(.deviceGetPCIHotResetInfo, buffer), "GET_PCI_HOT_RESET_INFO")
        let header = buffer.load(PCIHotResetInfo())
        expect(header.count, equals: 2, "count")
        let records = (0..<min(2, Int(header.count))).map {
            buffer.load(PCIDependentDevice(), at: 12 + 8 * $0)
        }
        return (header.flags, records)
    }

    fileprivate func name(of record: PCIDependentDevice) -> String {
        "\(PCIAddress(segment: UInt32(record.segment), bus: record.bus, device: record.deviceFunction >> 3, function: record.deviceFunction & 7))"
    }

    /// PCI_HOT_RESET with descriptors.
    fileprivate func hotReset(_ device: File, _ proofs: [Int32]) throws -> Answer {
        let byteCount = 12 + 4 * proofs.count
        let buffer = try buffer(byteCount)
        buffer.store(PCIHotReset(argsz: UInt32(byteCount), count: UInt32(proofs.count)))
        for (index, number) in proofs.enumerated() { buffer.store(number, at: 12 + 4 * index) }
        return device.request(.devicePCIHotReset, buffer)
    }

    /// Opens a device's own node and binds it.
    fileprivate func bind(_ record: DeviceRecord, to iommufd: File?) throws -> (device: File, id: UInt32) {
        guard let now = try inventory.device(at: record.address), let iommufd else {
            throw skip("\(record.address) has gone")
        }
        let node = try openNode(of: now)
        var request = DeviceBindIOMMUFD(iommufd: iommufd.number)
        try require(node.request(.deviceBindIOMMUFD, &request), "BIND_IOMMUFD")
        return (node, request.deviceID)
    }

    /// Where configuration space begins.
    fileprivate func configuration(of device: File) throws -> UInt64 {
        var info = RegionInfo(index: PCIRegion.config.rawValue)
        try require(device.request(.deviceGetRegionInfo, &info), "REGION_INFO")
        return info.offset
    }

    fileprivate func expect(_ got: [String], _ wanted: [String], _ label: String) {
        expect(got.joined(separator: " "), equals: wanted.joined(separator: " "), label)
    }
}
