import LinuxSystem
import VFIOABI
import VFIOHost

extension File {
    /// IOEVENTFD
    func eventWrite(
        _ number: Int32, at offset: UInt64 = 4, _ data: UInt64 = 1,
        _ flags: DeviceIOEventFDFlags = .bits32, argsz: UInt32 = 32
    ) -> Answer {
        request(
            .deviceIOEventFD,
            DeviceIOEventFD(argsz: argsz, flags: flags, offset: offset, data: data, fd: number))
    }
}

/// D.10: what IOEVENTFD accepts.
let eventWriteCases: [Case] = [
    Case("D.10", "IOEVENTFD wants 28 bytes", on: .all) { t in
        let device = try t.openEdu().device
        t.expect(device.request(.deviceIOEventFD, 0), .errno(.badAddress), "no address")
        t.expect(device.eventWrite(-2, argsz: 27), .errno(.invalid), "argsz 27")
        let buffer = try t.buffer(atEndOfPage: 28)
        buffer.store(UInt32(28))
        buffer.store(DeviceIOEventFDFlags.bits32.rawValue, at: 4)
        buffer.store(UInt64(4), at: 8)
        buffer.store(Int32(-1), at: 24)
        t.expect(device.request(.deviceIOEventFD, buffer), .errno(.noDevice), "28 bytes")
        t.expect(
            device.request(.deviceIOEventFD, try t.buffer(atEndOfPage: 27)), .errno(.badAddress), "27 bytes")
    },
    Case("D.10", "an ioeventfd has one width, of 1, 2 or 4 bytes", on: .all) { t in
        let device = try t.openEdu().device
        let event = try t.event()
        for flags: UInt32 in [0, 3, 6, 15, 16, 4 | 16, 4 | 1 << 31] {
            t.expect(
                device.eventWrite(event.number, 1, .init(rawValue: flags)), .errno(.invalid), "flags \(flags)"
            )
        }
        t.expect(
            device.eventWrite(event.number, at: 0x80, 1, .bits64), .errno(.invalid), "8 bytes",
            .before(7, 2, .success, "8 bytes could be written once"))
    },
    Case("D.10", "a descriptor below −1 is EINVAL, −1 takes away what must be there", on: .all) { t in
        let device = try t.openEdu().device
        t.expect(device.eventWrite(-2), .errno(.invalid), "−2")
        t.expect(device.eventWrite(-1), .errno(.noDevice), "−1")
    },
    Case("D.10", "an ioeventfd lies in a BAR that is there, up to its last byte", on: .all) { t in
        let device = try t.openEdu().device
        let event = try t.event()
        for (offset, name) in [
            (Place.region(1), "no BAR"), (Place.region(6), "ROM"), (Place.configuration(4), "configuration"),
            (Place.region(8) + 0xa0000, "VGA"), (Place.region(9), "region 9"),
            ((1 << 20) - 3, "across the end"), (1 << 20, "behind the end"), ((1 << 40) - 1, "far behind it"),
            // No offset with its uppermost bit: Linux takes it for a negative BAR, and looks before the first.
        ] as [(UInt64, String)] {
            t.expect(device.eventWrite(event.number, at: offset), .errno(.invalid), name)
        }
        t.expect(device.eventWrite(event.number, at: (1 << 20) - 4), .success, "the last four bytes")
    },
    Case("D.10", "an ioeventfd needn't be aligned", on: .all) { t in
        let device = try t.openEdu().device
        let event = try t.event()
        t.expect(device.eventWrite(event.number, at: 0x1001), .success, "four bytes at an odd place")
        t.expect(device.eventWrite(-1, at: 0x1001), .success, "taking it away")
    },
    Case("D.10", "no ioeventfd touches the MSI-X table", on: .all) { t in
        let device = try t.openDisk()
        let table = try t.vectorTable(of: device)
        let event = try t.event()
        t.expect(device.eventWrite(event.number, at: table.offset), .errno(.invalid), "its begin")
        t.expect(
            device.eventWrite(event.number, at: table.offset + table.byteCount - 1), .errno(.invalid),
            "its last byte")
        t.expect(device.eventWrite(-1, at: table.offset), .errno(.invalid), "taking one away there")
    },
    Case("D.10", "an ioeventfd is an eventfd", on: .all) { t in
        let device = try t.openEdu().device
        let null = try t.notAnEventFD()
        t.expect(device.eventWrite(closedDescriptor), .errno(.badDescriptor), "a closed descriptor")
        t.expect(device.eventWrite(null.number), .errno(.invalid), "/dev/null")
        t.expect(device.eventWrite(-1), .errno(.noDevice), "nothing is there")
    },
    Case(
        "D.10", "the same write exists once, whatever its eventfd; another width or data is another", on: .all
    ) { t in
        let device = try t.openEdu().device
        let (a, b) = (try t.event(), try t.event())
        t.expect(device.eventWrite(a.number), .success, "the first")
        t.expect(device.eventWrite(a.number), .errno(.exists), "again")
        t.expect(device.eventWrite(b.number), .errno(.exists), "another eventfd")
        t.expect(device.eventWrite(closedDescriptor), .errno(.exists), "a closed descriptor")
        t.expect(device.eventWrite(b.number, 2), .success, "other data")
        t.expect(device.eventWrite(b.number, 1 << 32 | 1), .success, "data that differs above the width")
        t.expect(device.eventWrite(b.number, 1, .bits16), .success, "another width")
        t.expect(device.eventWrite(b.number, at: 8), .success, "another place")
    },
    Case("D.10", "an ioeventfd is taken away by all that it is", on: .all) { t in
        let device = try t.openEdu().device
        let event = try t.event()
        try t.require(device.eventWrite(event.number), "IOEVENTFD")
        t.expect(device.eventWrite(-1, 2), .errno(.noDevice), "other data")
        t.expect(device.eventWrite(-1, 1, .bits16), .errno(.noDevice), "another width")
        t.expect(device.eventWrite(-1, at: 8), .errno(.noDevice), "another place")
        t.expect(device.eventWrite(-1), .success, "this one")
        t.expect(device.eventWrite(-1), .errno(.noDevice), "again")
        t.expect(device.eventWrite(event.number), .success, "it can come again")
    },
    Case("D.10", "a device has a thousand ioeventfds at most", on: .all) { t in
        let device = try t.openEdu().device
        let event = try t.event()
        for index in UInt64(0)..<1000 {
            try t.require(device.eventWrite(event.number, at: 4, index), "number \(index)")
        }
        t.expect(device.eventWrite(event.number, at: 4, 1000), .errno(.noSpace), "one more")
        t.expect(device.eventWrite(closedDescriptor, at: 4, 1000), .errno(.noSpace), "a closed descriptor")
        t.expect(device.eventWrite(event.number, at: 4, 7), .errno(.exists), "one that is there")
        t.expect(device.eventWrite(-1, at: 4, 7), .success, "taking one away")
        t.expect(device.eventWrite(event.number, at: 4, 1000), .success, "then one more")
    },
    Case("D.10", "ioeventfds go when the device is closed", on: .groups) { t in
        let setup = try t.setUp(t.edu)
        let event = try t.event()
        try t.require(setup.device.eventWrite(event.number), "IOEVENTFD")
        setup.device.close()
        guard let group = setup.group, let again = t.getDevice(setup.record.name, from: group).file else {
            throw Halt.broken("opening again")
        }
        t.expect(again.eventWrite(-1), .errno(.noDevice), "taking it away")
        t.expect(again.eventWrite(event.number), .success, "the same again")
    },
]

/// D.10: what ioeventfds do.
let eventWriteEffectCases: [Case] = [
    Case("D.10", "a signal writes the register, and is taken", on: .all) { t in
        let device = try t.openEdu().device
        let event = try t.event()
        device.store(0 as UInt32, at: 4)
        try t.require(device.eventWrite(event.number, at: 4, 0xabcd_0123), "IOEVENTFD")
        event.signal()
        t.expect(device.liveness(becomes: 0xabcd_0123), "the register")
        device.store(0 as UInt32, at: 4)
        event.signal(5)
        t.expect(device.liveness(becomes: 0xabcd_0123), "the register, a second time")
    },
    Case("D.10", "a signal writes one, two or four bytes, anywhere, and none beside them", on: .all) { t in
        let bar = try t.openBAR(.memory, "a device with memory")
        let blank = [UInt8](repeating: 0xee, count: 16)
        for (flags, width, place) in [
            (.bits8, 1, 3), (.bits16, 2, 4), (.bits16, 2, 7), (.bits32, 4, 8), (.bits32, 4, 5),
        ] as [(DeviceIOEventFDFlags, Int, Int)] {
            let event = try t.event()
            t.expect(bar.device.write(at: bar.start + 0x40, blank), .value(16), "16 bytes before")
            let there = bar.start + 0x40 + UInt64(place)
            // What is beyond the width isn't written.
            let data: UInt64 = 0x8877_6655_4433_2211
            try t.require(bar.device.eventWrite(event.number, at: there, data, flags), "IOEVENTFD")
            event.signal()
            var wanted = blank
            for index in 0..<width {
                wanted[place + index] = UInt8(truncatingIfNeeded: data >> UInt64(8 * index))
            }
            t.expect(
                bar.device.eventually { bar.device.read(at: bar.start + 0x40, count: 16).bytes == wanted },
                "\(width) bytes at \(place)")
            try t.require(bar.device.eventWrite(-1, at: there, data, flags), "taking it away")
        }
    },
    Case("D.10", "a signal from before writes at once, and stays in the counter", on: .all) { t in
        let device = try t.openEdu().device
        let event = try t.event(signalled: 3)
        device.store(0 as UInt32, at: 4)
        try t.require(device.eventWrite(event.number, at: 4, 0x77), "IOEVENTFD")
        t.expect(try device.load(UInt32.self, at: 4) == ~0x77, "the register")
        t.expect(event.taken, equals: 3, "the counter")
    },
    Case("D.10", "a signal while memory is off is lost", on: .all) { t in
        let edu = try t.openEdu()
        let event = try t.event()
        edu.device.store(0x11 as UInt32, at: 4)
        try t.require(edu.device.eventWrite(event.number, at: 4, 0x22), "IOEVENTFD")
        edu.setCommand(0)
        event.signal()
        t.expect(edu.device.eventually { !event.isSignalled }, "the counter is taken")
        edu.setCommand(0x6)
        t.expect(try edu.device.load(UInt32.self, at: 4) == ~0x11, "the register")
    },
    Case("D.10", "after it was taken away, a signal writes nothing and stays", on: .all) { t in
        let device = try t.openEdu().device
        let event = try t.event()
        device.store(0x11 as UInt32, at: 4)
        try t.require(device.eventWrite(event.number, at: 4, 0x22), "IOEVENTFD")
        try t.require(device.eventWrite(-1, at: 4, 0x22), "taking it away")
        event.signal()
        Clock.sleep(nanoseconds: 40_000_000)
        t.expect(try device.load(UInt32.self, at: 4) == ~0x11, "the register")
        t.expect(event.taken, equals: 1, "the counter")
    },
    Case("D.10", "one eventfd sets off all writes that it was given for", on: .all) { t in
        let edu = try t.openEdu()
        let event = try t.event()
        edu.device.store(0 as UInt32, at: 4)
        edu.acknowledge()
        try t.require(edu.device.eventWrite(event.number, at: 4, 0x22), "the first")
        try t.require(edu.device.eventWrite(event.number, at: 0x60, 0x40), "the second")
        event.signal()
        t.expect(edu.device.liveness(becomes: 0x22), "the first register")
        t.expect(edu.device.eventually { (try? edu.status()) == 0x40 }, "the second register")
        edu.acknowledge()
    },
]

extension File {
    /// Whether edu's liveness register is written soon: it reads as the complement.
    fileprivate func liveness(becomes value: UInt32) -> Bool {
        eventually { (try? load(UInt32.self, at: 4)) == ~value }
    }

    /// Whether something becomes so within ten seconds: busy machines are slow.
    fileprivate func eventually(_ condition: () -> Bool) -> Bool {
        for _ in 0..<2000 {
            if condition() { return true }
            Clock.sleep(nanoseconds: 5_000_000)
        }
        return condition()
    }
}
