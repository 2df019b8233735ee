import LinuxSystem
import VFIOABI

/// D.8: ERR and REQ, the two interrupts that don't come from the device.
let noticeCases: [Case] = [
    Case("D.8", "ERR and REQ without an eventfd: NONE is EINVAL, BOOL is nothing", on: .all) { t in
        let device = try t.openDisk()
        for (name, index) in notices {
            t.expect(device.setIRQs(index, .loop), .errno(.invalid), "\(name), NONE")
            t.expect(device.disable(index), .errno(.invalid), "\(name), NONE, count 0")
            t.expect(device.setIRQs(index, .loopSome, data: [1]), .success, "\(name), BOOL 1")
            t.expect(device.setIRQs(index, .loopSome, data: [0]), .success, "\(name), BOOL 0")
            t.expect(device.setEvents(index, [-1]), .success, "\(name), EVENTFD −1")
        }
    },
    Case("D.8", "ERR and REQ with count 0: only NONE, which takes the eventfd away", on: .all) { t in
        let device = try t.openDisk()
        let event = try t.event()
        for (name, index) in notices {
            t.expect(device.setEvents(index, []), .errno(.invalid), "\(name), EVENTFD without one")
            t.expect(
                device.setIRQs(index, .loopSome, count: 0), .errno(.invalid), "\(name), BOOL without one")
            try t.require(device.setEvents(index, [event.number]), name)
            t.expect(device.setEvents(index, []), .errno(.invalid), "\(name), EVENTFD")
            t.expect(device.setIRQs(index, .loopSome, count: 0), .errno(.invalid), "\(name), BOOL")
            t.expect(device.disable(index), .success, "\(name), NONE")
            t.expect(device.disable(index), .errno(.invalid), "\(name), NONE again")
            t.expect(event.taken, equals: 0, "signals")
        }
    },
    Case("D.8", "ERR and REQ are signalled by hand by NONE, and by BOOL if it isn't 0", on: .all) { t in
        let device = try t.openDisk()
        for (name, index) in notices {
            let event = try t.event()
            t.expect(device.setEvents(index, [event.number]), .success, name)
            t.expect(device.setIRQs(index, .loop), .success, "\(name), NONE")
            t.expect(device.setIRQs(index, .loopSome, data: [0]), .success, "\(name), BOOL 0")
            t.expect(device.setIRQs(index, .loopSome, data: [2]), .success, "\(name), BOOL 2")
            t.expect(event.taken, equals: 2, "signals")
        }
    },
    Case("D.8", "the eventfd of ERR and REQ is replaced by another, and taken away by −1", on: .all) { t in
        let device = try t.openDisk()
        for (name, index) in notices {
            let (a, b) = (try t.event(), try t.event())
            t.expect(device.setEvents(index, [a.number]), .success, "\(name), the first")
            t.expect(device.setEvents(index, [b.number]), .success, "\(name), another")
            t.expect(device.setIRQs(index, .loop), .success, "\(name), NONE")
            t.expect([a, b].map(\.taken), equals: [0, 1], "signals")
            t.expect(device.setEvents(index, [-1]), .success, "\(name), −1")
            t.expect(device.setIRQs(index, .loop), .errno(.invalid), "\(name), NONE after it")
            t.expect(b.taken, equals: 0, "signals")
        }
    },
    Case("D.8", "of the numbers below 0 ERR and REQ take only −1", on: .all) { t in
        let device = try t.openDisk()
        let event = try t.event()
        for (name, index) in notices {
            try t.require(device.setEvents(index, [event.number]), name)
            for number: Int32 in [-2, .min] {
                t.expect(
                    device.setEvents(index, [number]), .errno(.invalid), "\(name), \(number)",
                    .before(6, 12, .success, "it was accepted, and nothing done"))
            }
            t.expect(device.setIRQs(index, .loop), .success, "\(name), NONE")
            t.expect(event.taken, equals: 1, "signals: the eventfd is still there")
        }
    },
    Case("D.8", "ERR and REQ keep their eventfd if the one to replace it is no good", on: .all) { t in
        let device = try t.openDisk()
        let event = try t.event()
        let null = try t.notAnEventFD()
        for (name, index) in notices {
            try t.require(device.setEvents(index, [event.number]), name)
            t.expect(
                device.setEvents(index, [closedDescriptor]), .errno(.badDescriptor), "\(name), a closed one")
            t.expect(device.setEvents(index, [null.number]), .errno(.invalid), "\(name), /dev/null")
            t.expect(device.setIRQs(index, .loop), .success, "\(name), NONE")
            t.expect(event.taken, equals: 1, "signals")
        }
    },
    Case("D.8", "ERR and REQ have nothing to do with the kind of interrupts in use", on: .all) { t in
        let device = try t.openDisk()
        let (notice, vector) = (try t.event(), try t.event())
        for (name, index) in notices { try t.require(device.setEvents(index, [notice.number]), name) }
        t.expect(device.setEvents(.msix, [vector.number]), .success, "MSI-X into use")
        for (name, index) in notices { t.expect(device.setIRQs(index, .loop), .success, name) }
        t.expect(device.disable(.msix), .success, "MSI-X out of use")
        for (name, index) in notices { t.expect(device.setIRQs(index, .loop), .success, name) }
        t.expect([notice, vector].map(\.taken), equals: [4, 0], "signals")
    },
    Case("D.8", "ERR and REQ have one interrupt each", on: .all) { t in
        let device = try t.openDisk()
        for (name, index) in notices {
            t.expect(device.setEvents(index, [-1, -1]), .errno(.invalid), "\(name), two")
            t.expect(device.setEvents(index, start: 1, [-1]), .errno(.invalid), "\(name), the second")
        }
    },
]

private let notices: [(String, PCIInterrupt)] = [("ERR", .err), ("REQ", .req)]
