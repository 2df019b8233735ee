import LinuxSystem
import VFIOABI
import VFIOHost

/// D.9: RESET.
let resetCases: [Case] = [
    Case("D.9", "a device that has no reset says so, and RESET is EINVAL", on: .all) { t in
        let edu = try t.openEdu()
        let reason = "a server resets its device whatever ways PCI has"
        t.expect(
            flags(of: edu.device).contains(.reset), equals: false, "the flag RESET",
            .remote(value: true, reason))
        t.expect(
            edu.device.request(.deviceReset), .errno(.invalid), "RESET", .remote(.success, reason))
        t.expect(try edu.device.load(UInt32.self, at: 0), equals: 0x0100_00ed, "the device is as it was")
    },
    Case("D.9", "a device that can be reset says so, and is, as often as asked", on: .all) { t in
        let device = try t.openDisk()
        t.expect(flags(of: device).contains(.reset), equals: true, "the flag RESET")
        t.expect(device.request(.deviceReset), .success, "RESET")
        t.expect(device.request(.deviceReset), .success, "RESET again")
        t.expect(
            device.request(.deviceReset, UInt(4)), .success, "RESET with an argument that points nowhere")
    },
    Case("D.9", "RESET brings the device's registers to their beginning", on: .all) { t in
        let device = try t.openDisk()
        device.store(UInt16(2), at: Place.command)
        Disk.setUpRegister(device)
        t.expect(try device.load(UInt32.self, at: Disk.register), equals: Disk.value, "a register")
        t.expect(device.request(.deviceReset), .success, "RESET")
        t.expect(try device.load(UInt32.self, at: Disk.register), equals: 0, "the register afterwards")
    },
    Case("D.9", "RESET leaves configuration space as the user set it up", on: .all) { t in
        let device = try t.openDisk()
        device.store(UInt16(0x406), at: Place.command)
        device.store(UInt8(0x5a), at: Place.configuration(0x3c))
        device.store(UInt8(0x10), at: Place.configuration(0x0c))
        let before = device.read(at: Place.configuration(0), count: 64).bytes
        t.expect(device.request(.deviceReset), .success, "RESET")
        let after = device.read(at: Place.configuration(0), count: 64).bytes
        t.expect(try device.load(UInt16.self, at: Place.command) & 0x406 == 0x406, "COMMAND")
        t.expect(after[0x3c], equals: 0x5a, "the interrupt line")
        t.expect(after[0x0c], equals: 0x10, "the cache line size")
        t.expect(after[0x10..<0x28] == before[0x10..<0x28], "the BARs")
        t.expect(after == before, "all of the header")
    },
    Case("D.9", "RESET of a device whose memory is off leaves it off", on: .all) { t in
        let device = try t.openDisk()
        device.store(UInt16(0), at: Place.command)
        t.expect(device.request(.deviceReset), .success, "RESET")
        t.expect(try device.load(UInt16.self, at: Place.command) & 6, equals: 0, "COMMAND")
        t.expect(device.read(at: 0x24, count: 4).answer, .errno(.inputOutput), "reading a register")
        device.store(UInt16(2), at: Place.command)
        t.expect(device.read(at: 0x24, count: 4).answer, .value(4), "reading it with the memory on")
    },
    Case("D.9", "RESET brings a device that its user sent to D3hot back to D0", on: .all) { t in
        let device = try t.openDisk()
        guard let power = try device.capability(1) else { throw t.skip("it needs power management") }
        device.store(UInt16(2), at: Place.command)
        device.store(UInt16(3), at: Place.configuration(power + 4))
        t.expect(try device.load(UInt16.self, at: Place.configuration(power + 4)) & 3, equals: 3, "D3hot")
        t.expect(device.read(at: 0x24, count: 4).answer, .errno(.inputOutput), "reading a register")
        t.expect(device.request(.deviceReset), .success, "RESET")
        t.expect(try device.load(UInt16.self, at: Place.configuration(power + 4)) & 3, equals: 0, "D0")
        t.expect(device.read(at: 0x24, count: 4).answer, .value(4), "reading it again")
    },
    Case("D.9", "interrupts survive RESET: MSI-X and the notices are in use as before", on: .all) { t in
        let device = try t.openDisk()
        let (vector, notice) = (try t.event(), try t.event())
        try t.require(device.setEvents(.msix, [-1, vector.number]), "MSI-X")
        try t.require(device.setEvents(.err, [notice.number]), "ERR")
        try t.require(device.setEvents(.req, [notice.number]), "REQ")
        t.expect(device.request(.deviceReset), .success, "RESET")
        t.expect(device.setIRQs(.msix, .loop, count: 2), .success, "MSI-X")
        t.expect(device.setIRQs(.err, .loop), .success, "ERR")
        t.expect(device.setIRQs(.req, .loop), .success, "REQ")
        t.expect([vector, notice].map(\.taken), equals: [1, 2], "signals")
        t.expect(device.setEvents(.intx, [-1]), .errno(.invalid), "INTx: messages are in use")
        guard let msix = try device.capability(0x11) else { return }
        let control = try device.load(UInt16.self, at: Place.configuration(msix + 2))
        t.expect(control & 0xc000, equals: 0x8000, "MSI-X is enabled and not masked in the device, too")
    },
    Case("D.9", "INTx and its mask survive RESET", on: .all) { t in
        let device = try t.openDisk()
        let event = try t.event()
        guard device.irqInfo(.intx).info.count == 1 else { throw t.skip("the disk has no line") }
        try t.require(device.setEvents(.intx, [event.number]), "INTx")
        try t.require(device.setIRQs(.intx, .mask), "MASK")
        t.expect(device.request(.deviceReset), .success, "RESET")
        t.expect(device.setIRQs(.intx, .loop), .success, "TRIGGER")
        t.expect(event.taken, equals: 1, "signals")
        t.expect(device.setIRQs(.intx, .unmask), .success, "UNMASK")
        t.expect(event.isSilent(), "silence")
        t.expect(device.disable(.intx), .success, "disabling")
    },
    Case("D.9", "what is mapped for DMA survives RESET") { t in
        let setup = try t.setUp(t.nvme)
        let memory = try t.memory(pages: 2)
        try t.map(memory, at: 0x10_0000, for: setup)
        t.expect(setup.device.request(.deviceReset), .success, "RESET")
        var unmap = DMAUnmap(iova: 0x10_0000, size: memory.size)
        t.expect(setup.container?.request(.iommuUnmapDMA, &unmap) ?? .success, .success, "UNMAP_DMA")
        t.expect(unmap.size == memory.size, "all of it was there")
    },
    Case("D.9", "RESET by one file resets the device of all", on: [.group, .compat, .noIOMMU]) { t in
        let setup = try t.setUp(t.nvme)
        let other = try t.openAgain(setup)
        setup.device.store(UInt16(2), at: Place.command)
        Disk.setUpRegister(setup.device)
        t.expect(other.request(.deviceReset), .success, "RESET")
        t.expect(try setup.device.load(UInt32.self, at: Disk.register), equals: 0, "a register")
    },
    Case(
        "D.9", "a device is reset when it is closed for good, and its COMMAND begins anew",
        on: [.group, .compat, .noIOMMU]
    ) { t in
        let setup = try t.setUp(t.nvme)
        setup.device.store(UInt16(6), at: Place.command)
        Disk.setUpRegister(setup.device)
        setup.device.close()
        let again = try t.openAgain(setup)
        t.expect(try again.load(UInt16.self, at: Place.command) & 4, equals: 0, "bus mastering")
        again.store(UInt16(2), at: Place.command)
        t.expect(try again.load(UInt32.self, at: Disk.register), equals: 0, "a register")
    },
    Case("D.9", "without a reset method left RESET is ENOTTY, and works again with one", on: .all) { t in
        let record = try t.nvme
        let machine = try t.machine
        let device = try t.setUp(record).device
        try machine.setResetMethods("", of: record.address)
        defer { try? machine.setResetMethods("default", of: record.address) }
        t.expect(device.request(.deviceReset), .errno(.noSuchRequest), "RESET")
        t.expect(flags(of: device).contains(.reset), equals: true, "the flag RESET: it worked at opening")
        try machine.setResetMethods("default", of: record.address)
        t.expect(device.request(.deviceReset), .success, "RESET with the usual methods")
    },
    Case(
        "D.9", "a device that is opened without a reset method can't be reset until it is opened anew",
        on: [.group, .compat, .noIOMMU]
    ) { t in
        let record = try t.nvme
        let machine = try t.machine
        try machine.setResetMethods("", of: record.address)
        defer { try? machine.setResetMethods("default", of: record.address) }
        let setup = try t.setUp(record)
        t.expect(flags(of: setup.device).contains(.reset), equals: false, "the flag RESET")
        t.expect(setup.device.request(.deviceReset), .errno(.invalid), "RESET")
        try machine.setResetMethods("default", of: record.address)
        t.expect(setup.device.request(.deviceReset), .errno(.invalid), "RESET with the usual methods")
        setup.device.close()
        let again = try t.openAgain(setup)
        t.expect(flags(of: again).contains(.reset), equals: true, "the flag RESET after opening anew")
        t.expect(again.request(.deviceReset), .success, "RESET after opening anew")
    },
    Case("D.9", "reset_method takes methods that the device has; anything else is EINVAL and changes nothing")
    { t in
        let record = try t.nvme
        let machine = try t.machine
        let before = try machine.resetMethods(of: record.address)
        defer { try? machine.setResetMethods("default", of: record.address) }
        guard let first = before.split(separator: " ").first else { throw t.skip("the disk has no reset") }
        func set(_ text: String) -> Answer {
            .of { () throws(Errno) in
                try machine.setResetMethods(text, of: record.address)
                return 0
            }
        }
        for bad in ["nonsense", "\(first) nonsense", "af_flr", "\(first) default", "FLR"] {
            t.expect(set(bad), .errno(.invalid), "\"\(bad)\"")
        }
        t.expect(try machine.resetMethods(of: record.address) == before, "the methods are as they were")
        t.expect(set("  \(first)  \(first)\n"), .success, "one twice, with spaces")
        t.expect(try machine.resetMethods(of: record.address) == "\(first) \(first)", "it is there twice")
        t.expect(
            set([String](repeating: String(first), count: 8).joined(separator: " ")), .errno(.invalid),
            "eight methods")
        t.expect(set("default"), .success, "\"default\"")
        t.expect(try machine.resetMethods(of: record.address) == before, "the usual methods")
    },
    Case(
        "D.9", "the reset bit of PCI Express goes through reset_method like RESET, and always reads 0",
        on: .all
    ) { t in
        let record = try t.nvme
        let machine = try t.machine
        let device = try t.setUp(record).device
        guard let express = try device.capability(0x10),
            try device.load(UInt32.self, at: Place.configuration(express + 4)) & 1 << 28 != 0
        else { throw t.skip("it needs function level reset") }
        device.store(UInt16(2), at: Place.command)
        let control = try device.load(UInt16.self, at: Place.configuration(express + 8))
        t.expect(control & 0x8000, equals: 0, "the bit")
        try machine.setResetMethods("", of: record.address)
        defer { try? machine.setResetMethods("default", of: record.address) }
        for (methods, value) in [("", Disk.value), ("default", 0)] {
            try machine.setResetMethods(methods, of: record.address)
            Disk.setUpRegister(device)
            t.expect(
                device.store(control | 0x8000, at: Place.configuration(express + 8)), .value(2), "writing it")
            t.expect(
                try device.load(UInt32.self, at: Disk.register), equals: value,
                "a register, with \(methods.isEmpty ? "no methods" : "the usual methods")")
            t.expect(
                try device.load(UInt16.self, at: Place.configuration(express + 8)) == control,
                "the control reads as before")
            t.expect(try device.load(UInt16.self, at: Place.command) & 2, equals: 2, "COMMAND")
        }
    },
    Case("D.9", "a reset behind the user's back leaves configuration space and interrupts in use", on: .all) {
        t in
        let record = try t.nvme
        let machine = try t.machine
        let device = try t.setUp(record).device
        let event = try t.event()
        device.store(UInt16(6), at: Place.command)
        Disk.setUpRegister(device)
        try t.require(device.setEvents(.msix, [event.number]), "MSI-X")
        try machine.reset(record.address)
        t.expect(try device.load(UInt16.self, at: Place.command) & 6, equals: 6, "COMMAND")
        t.expect(try device.load(UInt32.self, at: Disk.register), equals: 0, "a register")
        t.expect(device.setIRQs(.msix, .loop), .success, "TRIGGER")
        t.expect(event.taken, equals: 1, "signals")
    },
]

/// What GET_INFO says of a device.
private func flags(of device: File) -> DeviceFlags {
    var info = DeviceInfo()
    guard device.request(.deviceGetInfo, &info) == .success else { return [] }
    return info.flags
}
