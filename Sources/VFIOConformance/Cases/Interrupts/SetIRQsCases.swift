import LinuxSystem
import VFIOABI

/// A.7: what SET_IRQS checks whatever the index and the state.
let setIRQsCases: [Case] = [
    Case("A.7", "SET_IRQS needs 20 bytes", on: .all) { t in
        let device = try t.openEdu().device
        for size: UInt32 in [0, 16, 19] {
            t.expect(device.setIRQs(.req, .loopSome, argsz: size), .errno(.invalid), "argsz \(size)")
        }
        t.expect(device.setIRQs(.req, .loopSome, data: [0]), .success, "argsz 21 with one byte of data")
    },
    Case("A.7", "SET_IRQS reads 20 bytes before it looks at the size that they declare") { t in
        let device = try t.openEdu().device
        let short = try t.buffer(atEndOfPage: 19)
        short.store(UInt32(8))
        t.expect(device.request(.deviceSetIRQs, short), .errno(.badAddress), "19 bytes, argsz 8")
        t.expect(device.request(.deviceSetIRQs, UInt(4)), .errno(.badAddress), "address 4")
        let exact = try t.buffer(atEndOfPage: 20)
        exact.store(IRQSet(flags: .loop, index: PCIInterrupt.intx.rawValue, count: 0))
        t.expect(device.request(.deviceSetIRQs, exact), .errno(.invalid), "20 bytes at the end of a page")
    },
    Case("A.7", "SET_IRQS with an index beyond the five of PCI is EINVAL, whatever the action", on: .all) {
        t in
        let device = try t.openEdu().device
        for index: UInt32 in [5, 99, .max] {
            t.expect(
                device.setIRQs(PCIInterrupt(rawValue: index), .loop, count: 0), .errno(.invalid),
                "index \(index)")
        }
        t.expect(
            device.setIRQs(PCIInterrupt(rawValue: 5), [.dataNone], count: 0), .errno(.invalid),
            "index 5 without an action")
    },
    Case("A.7", "start must be an interrupt that there is, even where count is 0", on: .all) { t in
        let edu = try t.openEdu()
        let event = try t.event()
        try t.require(edu.device.setEvents(.intx, [event.number]), "INTx")
        t.expect(edu.device.setIRQs(.intx, .loop, start: 1, count: 0), .errno(.invalid), "start 1, count 0")
        t.expect(
            edu.device.setIRQs(.intx, .loop, start: .max, count: 0), .errno(.invalid), "start 4294967295")
        t.expect(edu.device.setIRQs(.intx, .loop), .success, "INTx is still in use")
        t.expect(event.taken, equals: 1, "signals")
    },
    Case("A.7", "start and count may not go beyond the last interrupt", on: .all) { t in
        let device = try t.openDisk()
        let count = device.irqInfo(.msix).info.count
        let events = [Int32](repeating: -1, count: Int(count) + 1)
        t.expect(device.setEvents(.msix, events), .errno(.invalid), "one more than there are")
        t.expect(
            device.setEvents(.msix, start: count - 1, [-1, -1]), .errno(.invalid), "from the last one on")
        t.expect(device.setEvents(.msix, start: count, []), .errno(.invalid), "none, from beyond the last on")
        t.expect(device.setIRQs(.msix, .loop, count: 0), .errno(.invalid), "MSI-X isn't in use")
    },
    Case("A.7", "a count that wraps around with start is EINVAL") { t in
        let device = try t.openDisk()
        for (start, count) in [(0, UInt32.max), (1, .max - 1), (2, .max - 1), (.max, .max)]
            as [(UInt32, UInt32)]
        {
            t.expect(
                device.setIRQs(.msix, .loop, start: start, count: count), .errno(.invalid),
                "start \(start), count \(count)")
        }
    },
    Case("A.7", "SET_IRQS refuses flags that it doesn't know", on: .all) { t in
        let device = try t.openEdu().device
        for bit: UInt32 in [6, 7, 16, 31] {
            t.expect(
                device.setIRQs(.req, IRQSetFlags(rawValue: 0x22 | 1 << bit), data: [0]), .errno(.invalid),
                "bit \(bit)")
        }
    },
    Case("A.7", "SET_IRQS wants exactly one kind of data", on: .all) { t in
        let device = try t.openEdu().device
        for data: UInt32 in [0, 3, 5, 6, 7] {
            t.expect(
                device.setIRQs(.req, IRQSetFlags(rawValue: 0x20 | data), data: [0, 0, 0, 0]),
                .errno(.invalid),
                "data bits \(data)")
        }
    },
    Case("A.7", "no action and several actions are no request at all: ENOTTY", on: .all) { t in
        let device = try t.openEdu().device
        for action: UInt32 in [0, 0x18, 0x28, 0x30, 0x38] {
            for index in [PCIInterrupt.intx, .msi, .req] {
                t.expect(
                    device.setIRQs(index, IRQSetFlags(rawValue: 1 | action)), .errno(.noSuchRequest),
                    "index \(index.rawValue), action bits \(action)")
            }
        }
    },
    Case("A.7", "only INTx can be masked and unmasked: all others answer ENOTTY", on: .all) { t in
        let (edu, disk) = (try t.openEdu().device, try t.openDisk())
        for (name, flags) in [("MASK", IRQSetFlags.mask), ("UNMASK", .unmask)] {
            t.expect(edu.setIRQs(.msi, flags), .errno(.noSuchRequest), "MSI \(name)")
            t.expect(disk.setIRQs(.msix, flags), .errno(.noSuchRequest), "MSI-X \(name)")
            t.expect(disk.setIRQs(.err, flags), .errno(.noSuchRequest), "ERR \(name)")
            t.expect(disk.setIRQs(.req, flags), .errno(.noSuchRequest), "REQ \(name)")
        }
    },
    Case("A.7", "the common checks come before ENOTTY") { t in
        let device = try t.openEdu().device
        t.expect(device.setIRQs(.msi, .mask, start: 1), .errno(.invalid), "MASK of an MSI that doesn't exist")
        t.expect(device.setIRQs(.msi, .mask, count: 2), .errno(.invalid), "MASK of too many MSIs")
        t.expect(
            device.setIRQs(.msi, [.dataEventFD, .actionMask]), .errno(.invalid),
            "MASK of an MSI without the data that it declares")
        t.expect(
            device.setIRQs(.req, [.dataNone, .dataBool, .actionMask]), .errno(.invalid),
            "MASK of REQ with two kinds of data")
    },
    Case("A.7", "argsz has to cover the data of all interrupts named", on: .all) { t in
        let device = try t.openDisk()
        for (name, flags, size) in [("BOOL", IRQSetFlags.loopSome, UInt32(1)), ("EVENTFD", .events, 4)] {
            let data = [UInt8](repeating: 0xff, count: Int(3 * size))
            t.expect(
                device.setIRQs(.msix, flags, count: 3, data: data, argsz: 20 + 3 * size - 1),
                .errno(.invalid),
                "\(name), a byte too few")
            t.expect(
                device.setIRQs(.msix, flags, count: 3, data: data, argsz: 20), .errno(.invalid),
                "\(name), no data")
        }
    },
    Case("A.7", "data beyond argsz isn't needed where there is none, and extra data is ignored", on: .all) {
        t in
        let device = try t.openEdu().device
        let event = try t.event()
        t.expect(
            device.setIRQs(.req, .events, data: bytes(of: [event.number, 77, 88])), .success, "three numbers")
        let exact = try t.buffer(atEndOfPage: 20)
        exact.store(IRQSet(argsz: .max, flags: .loop, index: PCIInterrupt.req.rawValue, count: 1))
        t.expect(device.request(.deviceSetIRQs, exact), .success, "no data, argsz 4294967295")
        t.expect(event.taken, equals: 1, "signals")
    },
    Case("A.7", "data that can't be read is EFAULT", on: .all) { t in
        let device = try t.openDisk()
        let buffer = try t.buffer(atEndOfPage: 26)
        buffer.store(
            IRQSet(argsz: 28, flags: .events, index: PCIInterrupt.msix.rawValue, start: 0, count: 2))
        t.expect(device.request(.deviceSetIRQs, buffer), .errno(.badAddress), "six of eight bytes")
        buffer.store(IRQSet(argsz: 24, flags: .events, index: PCIInterrupt.msix.rawValue, count: 1))
        buffer.store(Int32(-1), at: 20)
        t.expect(device.request(.deviceSetIRQs, buffer), .success, "four of four bytes")
    },
    Case("A.7", "data is read before it matters whether the index can do this now") { t in
        let device = try t.openEdu().device
        let buffer = try t.buffer(atEndOfPage: 20)
        func answer(_ flags: IRQSetFlags, _ index: PCIInterrupt = .intx) -> Answer {
            buffer.store(IRQSet(argsz: 24, flags: flags, index: index.rawValue, count: 1))
            return device.request(.deviceSetIRQs, buffer)
        }
        t.expect(answer([.dataBool, .actionMask]), .errno(.badAddress), "MASK of INTx that isn't in use")
        t.expect(answer([.dataBool, .actionMask], .msi), .errno(.badAddress), "MASK of MSI")
        t.expect(answer(.dataEventFD), .errno(.badAddress), "no action")
    },
    Case("A.7", "an index without interrupts can't even be disabled", on: .all) { t in
        let device = try t.openEdu().device
        for (name, index) in [("MSI-X", PCIInterrupt.msix), ("ERR", .err)] {
            t.expect(device.disable(index), .errno(.invalid), "\(name), NONE count 0")
            t.expect(device.setEvents(index, [-1]), .errno(.invalid), "\(name), EVENTFD −1")
            t.expect(device.setEvents(index, []), .errno(.invalid), "\(name), EVENTFD count 0")
        }
    },
    Case("A.7", "a refused SET_IRQS leaves the interrupts in use as they were") { t in
        let device = try t.openDisk()
        let event = try t.event()
        try t.require(device.setEvents(.msix, [event.number]), "MSI-X")
        let refusals: [(String, Answer, Answer)] = [
            ("argsz", device.setIRQs(.msix, .loop, count: 0, argsz: 19), .errno(.invalid)),
            ("two kinds of data", device.setIRQs(.msix, [.dataBool, .loop], count: 0), .errno(.invalid)),
            (
                "two actions", device.setIRQs(.msix, [.mask, .actionTrigger], count: 0),
                .errno(.noSuchRequest)
            ),
            (
                "an unknown flag", device.setIRQs(.msix, IRQSetFlags(rawValue: 0x61), count: 0),
                .errno(.invalid)
            ),
            ("another kind", device.setEvents(.intx, [event.number]), .errno(.invalid)),
        ]
        for (name, got, wanted) in refusals { t.expect(got, wanted, name) }
        t.expect(device.setIRQs(.msix, .loop), .success, "the vector is signalled")
        t.expect(event.taken, equals: 1, "signals")
    },
]
