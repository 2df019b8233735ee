import LinuxSystem
import VFIOABI
import VFIOHost

private let ways: Routes = [.group, .compat, .cdev]

/// G.7: the serial card of Linux's sample driver mtty.
let serialCardCases: [Case] = [
    Case("G.7", "what a serial card is, and its regions", on: ways) { t in
        for (type, ports) in [("mtty-1", 1), ("mtty-2", 2)] {
            let bench = try t.mediated(type)
            let (answer, info) = bench.meet()
            t.expect(answer, .success, "\(type) GET_INFO")
            t.expect(info.flags == .pci, "\(type): a PCI device, and nothing about resets")
            t.expect(info.regionCount, equals: 9, "\(type): regions")
            t.expect(info.irqCount, equals: 5, "\(type): kinds of interrupts")
            for index in UInt32(0)..<9 {
                let (answer, info) = bench.device.regionInfo(index)
                t.expect(answer, .success, "\(type) region \(index)")
                let size: UInt64 = index == 7 ? 255 : index < ports ? 8 : 0
                t.expect(info.size, equals: size, "\(type) region \(index): size")
                t.expect(info.flags == [.read, .write], "\(type) region \(index): read and write")
                t.expect(info.offset == UInt64(index) << 40, "\(type) region \(index): where")
            }
            t.expect(bench.device.regionInfo(9).answer, .errno(.invalid), "\(type) region 9")
            t.closeAll()
            try t.mediatedDevices.removeMediatedDevice(bench.name)
        }
    },
    Case("G.7", "interrupts are unknown until the device was asked what it is", on: ways) { t in
        let bench = try t.mediated("mtty-1")
        t.expect(bench.device.irqInfo(.intx).answer, .errno(.invalid), "GET_IRQ_INFO before GET_INFO")
        t.expect(bench.device.disable(.intx), .errno(.invalid), "SET_IRQS before GET_INFO")
        _ = bench.meet()
        let (line, lineInfo) = bench.device.irqInfo(.intx)
        t.expect(line, .success, "INTx")
        t.expect(lineInfo.flags == [.eventFD, .maskable, .automasked], "INTx: a line")
        t.expect(lineInfo.count, equals: 1, "INTx: count")
        let (message, messageInfo) = bench.device.irqInfo(.msi)
        t.expect(message, .success, "MSI")
        t.expect(messageInfo.flags == [.eventFD, .noResize], "MSI: a message")
        for index in [PCIInterrupt.msix, .err, .req] {
            t.expect(bench.device.irqInfo(index).answer, .errno(.invalid), "index \(index.rawValue)")
        }
        t.expect(bench.device.irqInfo(PCIInterrupt(rawValue: 5)).answer, .errno(.invalid), "index 5")
    },
    Case("G.7", "the line is masked when it arrives, and unmasking doesn't raise it again", on: ways) { t in
        let bench = try t.mediated("mtty-1")
        _ = bench.meet()
        let event = try t.event()
        let device = bench.device
        t.expect(device.setIRQs(.intx, .unmask), .errno(.invalid), "UNMASK without an eventfd")
        t.expect(device.setEvents(.intx, [event.number]), .success, "TRIGGER")
        // An interrupt whenever nothing is left to be sent.
        t.expect(device.write(at: 1, [2]), .value(1), "IER")
        t.expect(event.taken, equals: 1, "raised")
        _ = device.read(at: 0, count: 1)
        t.expect(!event.isSignalled, "masked now")
        t.expect(device.setIRQs(.intx, .unmask), .success, "UNMASK")
        t.expect(!event.isSignalled, "what came meanwhile is forgotten")
        _ = device.read(at: 0, count: 1)
        t.expect(event.taken, equals: 1, "raised again")
        t.expect(device.setIRQs(.intx, .unmask), .success, "UNMASK")
        t.expect(device.setIRQs(.intx, .mask), .success, "MASK")
        t.expect(device.setIRQs(.intx, .loop), .success, "TRIGGER in the device's place")
        t.expect(!event.isSignalled, "masked")
        t.expect(device.setUnmaskEvent(event.number), .errno(.noSuchRequest), "UNMASK by eventfd")
        t.expect(
            device.setIRQs(.intx, [.dataEventFD, .actionMask], data: bytes(of: [event.number])),
            .errno(.noSuchRequest), "MASK by eventfd")
        t.expect(device.setEvents(.msi, [event.number]), .errno(.invalid), "MSI meanwhile")
        t.expect(device.disable(.intx), .success, "disable")
        t.expect(device.setIRQs(.intx, .loop), .errno(.invalid), "TRIGGER without an eventfd")
    },
    Case("G.7", "messages are never masked", on: ways) { t in
        let bench = try t.mediated("mtty-1")
        _ = bench.meet()
        let event = try t.event()
        let device = bench.device
        t.expect(device.setEvents(.msi, [event.number]), .success, "TRIGGER")
        t.expect(device.write(at: 1, [2]), .value(1), "IER")
        _ = device.read(at: 0, count: 1)
        _ = device.read(at: 0, count: 1)
        t.expect(event.taken, equals: 3, "raised three times")
        t.expect(device.setIRQs(.msi, .mask), .errno(.noSuchRequest), "MASK")
        t.expect(device.setIRQs(.msi, .loop), .success, "TRIGGER in the device's place")
        t.expect(event.taken, equals: 1, "raised")
        t.expect(device.setEvents(.msi, [closedDescriptor]), .errno(.badDescriptor), "no descriptor")
        t.expect(device.setIRQs(.msi, .loop), .errno(.invalid), "the eventfd before is gone")
        t.expect(
            device.setEvents(.msi, [try t.notAnEventFD().release()]), .errno(.invalid), "no eventfd")
        t.expect(device.setEvents(.msi, start: 1, [event.number]), .errno(.invalid), "a second message")
        t.expect(device.setEvents(.msi, [-1]), .success, "-1")
        for index in [PCIInterrupt.msix, .err, .req] {
            t.expect(
                device.setEvents(index, [event.number]), .errno(.noSuchRequest), "index \(index.rawValue)")
        }
        t.expect(device.setEvents(PCIInterrupt(rawValue: 5), [event.number]), .errno(.invalid), "index 5")
        t.expect(device.setIRQs(.intx, .dataNone), .success, "no action")
        t.expect(
            device.setIRQs(.intx, [.dataNone, .actionMask, .actionTrigger]), .success, "two actions")
    },
    Case("G.7", "a port is a 16550 that hears what it says", on: ways) { t in
        let bench = try t.mediated("mtty-2")
        let device = bench.device
        for base in [UInt64(0), 1 << 40] {
            let port = "port at \(base >> 40)"
            func read(_ register: UInt64) throws -> UInt8 { try device.load(UInt8.self, at: base + register) }
            func write(_ register: UInt64, _ value: UInt8) { device.store(value, at: base + register) }
            t.expect(try read(5), equals: 0x60, "\(port): LSR, empty")
            for byte in UInt8(1)...15 { write(0, byte) }
            t.expect(try read(5), equals: 0x01, "\(port): LSR, something")
            t.expect(
                try (1...15).map { _ in Int(try read(0)) }.reduce(0, +), equals: 120, "\(port): what was sent"
            )
            t.expect(try read(5), equals: 0x60, "\(port): LSR, empty again")
            write(2, 0)
            write(0, 1)
            write(0, 2)
            t.expect(try read(5), equals: 0x03, "\(port): LSR, one of one waits and one is lost")
            write(1, 0x05)
            t.expect(try read(2), equals: 0xc6, "\(port): IIR, lost and received")
            t.expect(try read(0), equals: 1, "\(port): the one that waits")
            write(1, 0)
            t.expect(try read(2), equals: 0xc1, "\(port): IIR, nothing")
            write(3, 0x83)
            write(0, 0x0c)
            write(1, 0x02)
            t.expect(try read(0), equals: 0x0c, "\(port): divisor, low")
            t.expect(try read(1), equals: 0x02, "\(port): divisor, high")
            write(3, 0x03)
            t.expect(try read(3), equals: 0x03, "\(port): LCR")
            write(4, 0x0b)
            t.expect(try read(4), equals: 0x0b, "\(port): MCR")
            t.expect(try read(6), equals: 0xb3, "\(port): MSR")
            write(7, 0x5a)
            t.expect(try read(7), equals: 0x5a, "\(port): SCR")
            write(2, 0x07)
        }
        t.expect(device.request(.deviceReset), .success, "RESET")
        t.expect(try device.load(UInt8.self, at: 7), equals: 0x5a, "SCR: a reset leaves the ports alone")
    },
    Case("G.7", "configuration space takes addresses and the line's number, and nothing else", on: ways) {
        t in
        let bench = try t.mediated("mtty-1")
        let device = bench.device
        func word(_ offset: UInt64) throws -> String {
            "0x" + String(try device.load(UInt32.self, at: Place.configuration(offset)), radix: 16)
        }
        t.expect(try word(0), equals: "0x32534348", "identity")
        t.expect(try word(4), equals: "0x2000001", "command and status")
        t.expect(try word(8), equals: "0x7000210", "class")
        t.expect(try word(0x2c), equals: "0x32534348", "subsystem")
        t.expect(try word(0x34), equals: "0x0", "no capabilities")
        t.expect(try word(0x60), equals: "0x20494350", "text")
        for offset: UInt64 in [0, 4, 8, 0x10, 0x14, 0x18, 0x24, 0x40] {
            device.store(UInt32.max, at: Place.configuration(offset))
        }
        t.expect(try word(0), equals: "0x32534348", "identity")
        t.expect(try word(4), equals: "0x2000001", "command and status")
        t.expect(try word(0x10), equals: "0xfffffff9", "BAR 0: eight ports")
        t.expect(try word(0x14), equals: "0x0", "BAR 1")
        t.expect(try word(0x24), equals: "0x0", "BAR 5")
        device.store(UInt32(0xc000), at: Place.configuration(0x10))
        t.expect(try word(0x10), equals: "0xc001", "BAR 0")
        device.store(UInt8(11), at: Place.configuration(0x3c))
        t.expect(try word(0x3c), equals: "0x10b", "line and pin")
    },
    Case("G.7", "accesses that go nowhere fail with EFAULT, and nothing can be mapped", on: ways) { t in
        let bench = try t.mediated("mtty-1")
        let device = bench.device
        t.expect(device.read(at: 8 << 40, count: 4).answer, .errno(.badAddress), "region 8")
        t.expect(device.read(at: 6 << 40, count: 4).answer, .errno(.badAddress), "the ROM")
        t.expect(device.write(at: 9 << 40, [1]), .errno(.badAddress), "region 9")
        t.expect(device.read(at: 0, count: 0).answer, .success, "nothing")
        t.expect(device.read(at: Place.configuration(1), count: 6).answer, .value(6), "6 bytes from 1")
        t.expect(device.map(at: 0, byteCount: pageSize).answer, .errno(.invalid), "map BAR 0")
        t.expect(device.request(.deviceQueryGFXPlane, 0), .errno(.noSuchRequest), "QUERY_GFX_PLANE")
        t.expect(device.request(.deviceGetGFXDMABuf, 0), .errno(.noSuchRequest), "GET_GFX_DMABUF")
        t.expect(device.request(.deviceIOEventFD, 0), .errno(.noSuchRequest), "IOEVENTFD")
        t.expect(device.feature(.lowPowerEntry, .set), .errno(.noSuchRequest), "LOW_POWER_ENTRY")
    },
]
