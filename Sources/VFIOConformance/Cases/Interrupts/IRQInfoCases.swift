import LinuxSystem
import VFIOABI

/// D.7: what a device tells of its interrupts.
let irqInfoCases: [Case] = [
    Case("D.7", "GET_IRQ_INFO needs 16 bytes", on: .all) { t in
        let device = try t.openEdu().device
        for size: UInt32 in [0, 8, 15] {
            t.expect(
                device.request(.deviceGetIRQInfo, IRQInfo(argsz: size)), .errno(.invalid), "argsz \(size)")
        }
        t.expect(device.request(.deviceGetIRQInfo, IRQInfo(argsz: 16)), .success, "argsz 16")
        t.expect(device.request(.deviceGetIRQInfo, IRQInfo(argsz: .max)), .success, "argsz 4294967295")
    },
    Case("D.7", "GET_IRQ_INFO reads 16 bytes before it looks at the size that they declare") { t in
        let device = try t.openEdu().device
        let short = try t.buffer(atEndOfPage: 12)
        short.store(UInt32(8))
        t.expect(device.request(.deviceGetIRQInfo, short), .errno(.badAddress), "12 bytes, argsz 8")
        t.expect(device.request(.deviceGetIRQInfo), .errno(.badAddress), "address 0")
        let exact = try t.buffer(atEndOfPage: 16)
        exact.store(IRQInfo(index: 4))
        t.expect(device.request(.deviceGetIRQInfo, exact), .success, "16 bytes at the end of a page")
    },
    Case("D.7", "GET_IRQ_INFO into memory that can't be written is EFAULT") { t in
        let device = try t.openEdu().device
        let pages = try t.memory(pages: 1)
        pages.window.store(IRQInfo(index: 4), at: 0)
        try pages.protect(.read)
        t.expect(
            device.request(.deviceGetIRQInfo, UInt(pages.vaddr)), .errno(.badAddress), "read-only memory")
        pages.window.load32(0) == 16
            ? t.expect(true, "argsz is as it was") : t.expect(false, "argsz is as it was")
        try pages.protect([.read, .write])
        pages.window.store32(8, 99)
        try pages.protect(.read)
        t.expect(
            device.request(.deviceGetIRQInfo, UInt(pages.vaddr)), .errno(.invalid),
            "an unknown index in read-only memory")
    },
    Case("D.7", "GET_IRQ_INFO writes its 16 bytes and nothing behind them, whatever argsz says") { t in
        let device = try t.openEdu().device
        let buffer = try t.buffer(32)
        buffer.fill(0xaa)
        buffer.store(IRQInfo(argsz: 32, index: 0))
        t.expect(device.request(.deviceGetIRQInfo, buffer), .success, "argsz 32")
        t.expect(buffer.load(UInt32(0)), equals: 32, "argsz afterwards")
        t.expect(buffer.bytes[16...].allSatisfy { $0 == 0xaa }, "the bytes behind it are untouched")
    },
    Case("D.7", "what flags and count hold before GET_IRQ_INFO doesn't matter") { t in
        let device = try t.openEdu().device
        var info = IRQInfo(flags: IRQFlags(rawValue: .max), index: 0, count: .max)
        t.expect(device.request(.deviceGetIRQInfo, &info), .success, "all bits set")
        t.expect(info.flags.rawValue, equals: 7, "flags")
        t.expect(info.count, equals: 1, "count")
        t.expect(info.index, equals: 0, "index")
    },
    Case("D.7", "an index beyond the five of PCI is EINVAL", on: .all) { t in
        let device = try t.openEdu().device
        for index: UInt32 in [5, 6, 0x8000_0000, .max] {
            t.expect(
                device.request(.deviceGetIRQInfo, IRQInfo(index: index)), .errno(.invalid), "index \(index)")
        }
    },
    Case("D.7", "a refused GET_IRQ_INFO changes nothing of the structure") { t in
        let device = try t.openEdu().device
        var info = IRQInfo(flags: IRQFlags(rawValue: 0x55), index: 5, count: 0x66)
        t.expect(device.request(.deviceGetIRQInfo, &info), .errno(.invalid), "index 5")
        t.expect(info.flags.rawValue, equals: 0x55, "flags")
        t.expect(info.count, equals: 0x66, "count")
    },
    Case("D.7", "INTx signals eventfds, can be masked and masks itself", on: .all) { t in
        let (answer, info) = try t.openEdu().device.irqInfo(.intx)
        t.expect(answer, .success, "INTx")
        t.expect(info.flags.rawValue, equals: 7, "flags")
        t.expect(info.count, equals: 1, "count")
    },
    Case("D.7", "INTx's count follows the interrupt pin that configuration space shows") { t in
        for record in [try t.edu, try t.nvme] {
            let device = try t.setUp(record).device
            let pin = try device.load(UInt8.self, at: Place.configuration(0x3d))
            t.expect(device.irqInfo(.intx).info.count == (pin == 0 ? 0 : 1), "\(record.name)")
        }
    },
    Case("D.7", "MSI has as many vectors as its capability, and can't grow while it is in use", on: .all) {
        t in
        let device = try t.openEdu().device
        let (answer, info) = device.irqInfo(.msi)
        guard let msi = try device.capability(5) else { throw t.skip("it needs a device with MSI") }
        let control = try device.load(UInt16.self, at: Place.configuration(msi + 2))
        t.expect(answer, .success, "MSI")
        t.expect(info.flags.rawValue, equals: 9, "flags")
        t.expect(info.count == 1 << UInt32(control >> 1 & 7), "the count is that of the capability")
    },
    Case("D.7", "MSI on a device without it has no vectors") { t in
        let device = try t.openDisk()
        if try device.capability(5) != nil { throw t.skip("the disk has MSI") }
        let (answer, info) = device.irqInfo(.msi)
        t.expect(answer, .success, "MSI")
        t.expect(info.flags.rawValue, equals: 9, "flags")
        t.expect(info.count, equals: 0, "count")
    },
    Case("D.7", "MSI-X has as many vectors as its table, and may grow while it is in use", on: .all) { t in
        let device = try t.openDisk()
        let (answer, info) = device.irqInfo(.msix)
        guard let msix = try device.capability(0x11) else { throw t.skip("it needs a device with MSI-X") }
        let control = try device.load(UInt16.self, at: Place.configuration(msix + 2))
        t.expect(answer, .success, "MSI-X")
        t.expect(
            info.flags.rawValue, equals: 1, "flags",
            .before(6, 5, value: 9, "vectors could not be added while others were in use"))
        t.expect(info.count == UInt32(control & 0x7ff) + 1, "the count is the table's")
    },
    Case("D.7", "MSI-X on a device without it has no vectors, and so can't grow") { t in
        let (answer, info) = try t.openEdu().device.irqInfo(.msix)
        t.expect(answer, .success, "MSI-X")
        t.expect(info.flags.rawValue, equals: 9, "flags")
        t.expect(info.count, equals: 0, "count")
    },
    Case("D.7", "a PCI Express device has an interrupt for errors", on: .all) { t in
        let (answer, info) = try t.openDisk().irqInfo(.err)
        t.expect(answer, .success, "ERR")
        t.expect(info.flags.rawValue, equals: 9, "flags")
        t.expect(info.count, equals: 1, "count")
    },
    Case("D.7", "a conventional device has no interrupt for errors, not even one with count 0", on: .all) {
        t in
        t.expect(try t.openEdu().device.irqInfo(.err).answer, .errno(.invalid), "ERR")
    },
    Case("D.7", "every device has an interrupt for requests to give it back", on: .all) { t in
        for record in [try t.edu, try t.nvme] {
            let (answer, info) = try t.setUp(record).device.irqInfo(.req)
            t.expect(answer, .success, "REQ")
            t.expect(info.flags.rawValue, equals: 9, "flags")
            t.expect(info.count, equals: 1, "count")
        }
    },
    Case("D.7", "what is told of interrupts doesn't depend on which of them are in use") { t in
        let edu = try t.openEdu()
        let event = try t.event()
        func told() -> String {
            [PCIInterrupt.intx, .msi, .msix, .req].map { index in
                let info = edu.device.irqInfo(index).info
                return "\(info.flags.rawValue):\(info.count)"
            }.joined(separator: " ")
        }
        let before = told()
        for index in [PCIInterrupt.intx, .msi] {
            t.expect(edu.device.setEvents(index, [event.number]), .success, "index \(index.rawValue) on")
            t.expect(told() == before, "the same with index \(index.rawValue) in use")
            t.expect(edu.device.disable(index), .success, "index \(index.rawValue) off")
        }
    },
]
