import LinuxSystem
import VFIOABI

/// D.11: low power.
let lowPowerCases: [Case] = [
    Case("D.11", "low power is entered once, until it is left; leaving it never fails", on: .all) { t in
        let device = try t.openEdu().device
        t.expect(device.feature(.lowPowerExit, .set), .success, "EXIT before any ENTRY")
        t.expect(device.feature(.lowPowerEntry, .set), .success, "ENTRY")
        t.expect(device.feature(.lowPowerEntry, .set), .errno(.invalid), "ENTRY again")
        t.awaitSleep()
        t.expect(device.feature(.lowPowerEntry, .set), .errno(.invalid), "ENTRY again, later")
        t.expect(device.feature(.lowPowerExit, .set), .success, "EXIT")
        t.expect(device.feature(.lowPowerExit, .set), .success, "EXIT again")
        t.expect(device.feature(.lowPowerEntry, .set), .success, "ENTRY after EXIT")
        device.wakeUp()
    },
    Case("D.11", "ENTRY without and with wake-up exclude each other", on: .all) { t in
        let device = try t.openEdu().device
        let event = try t.event()
        t.expect(device.feature(.lowPowerEntry, .set), .success, "ENTRY")
        t.expect(device.sleep(waking: event.number), .errno(.invalid), "ENTRY_WITH_WAKEUP")
        device.wakeUp()
        t.expect(event.taken, equals: 0, "signals")
    },
    Case("D.11", "the eventfd of ENTRY_WITH_WAKEUP is checked before the state", on: .all) { t in
        let device = try t.openEdu().device
        let null = try t.notAnEventFD()
        for isEntered in [false, true] {
            let when = isEntered ? "in low power" : "awake"
            if isEntered { try t.require(device.feature(.lowPowerEntry, .set), "ENTRY") }
            for number: Int32 in [-1, -2, .min] {
                t.expect(device.sleep(waking: number), .errno(.invalid), "\(number), \(when)")
            }
            t.expect(
                device.sleep(waking: closedDescriptor), .errno(.badDescriptor), "a closed descriptor, \(when)"
            )
            t.expect(device.sleep(waking: null.number), .errno(.invalid), "/dev/null, \(when)")
        }
        device.wakeUp()
        t.expect(device.feature(.lowPowerEntry, .set), .success, "ENTRY: none of it was entered")
        device.wakeUp()
    },
    Case("D.11", "the reserved word of ENTRY_WITH_WAKEUP isn't looked at") { t in
        let device = try t.openEdu().device
        let event = try t.event()
        t.expect(device.sleep(waking: event.number, reserved: 0x55), .success, "reserved 85")
        device.wakeUp()
    },
    Case(
        "D.11", "a device in low power answers reads, writes and requests as ever, and stays in low power",
        on: .all
    ) { t in
        let edu = try t.openEdu()
        let device = edu.device
        try t.require(device.feature(.lowPowerEntry, .set), "ENTRY")
        t.awaitSleep()
        t.expect(try device.load(UInt32.self, at: 0), equals: 0x0100_00ed, "a register")
        t.expect(device.store(UInt32(7), at: 4), .value(4), "writing a register")
        t.expect(try device.load(UInt32.self, at: 4), equals: ~7, "reading it back")
        t.expect(
            try device.load(UInt16.self, at: Place.configuration(0)), equals: 0x1234, "configuration space")
        t.expect(try device.load(UInt16.self, at: Place.command) & 6, equals: 6, "COMMAND")
        t.expect(device.irqInfo(.intx).answer, .success, "GET_IRQ_INFO")
        t.expect(device.request(Request(rawValue: 0x3bff)), .errno(.noSuchRequest), "an unknown request")
        t.expect(device.feature(.lowPowerEntry, .set), .errno(.invalid), "ENTRY: it is still in low power")
        device.wakeUp()
    },
    Case("D.11", "interrupts can be set up in low power, and arrive after it", on: .all) { t in
        let edu = try t.openEdu()
        let event = try t.event()
        try t.require(edu.device.feature(.lowPowerEntry, .set), "ENTRY")
        t.awaitSleep()
        t.expect(edu.device.setEvents(.msi, [event.number]), .success, "MSI")
        t.expect(edu.device.setIRQs(.msi, .loop), .success, "TRIGGER")
        t.expect(event.taken, equals: 1, "signals")
        edu.device.wakeUp()
        edu.raise()
        t.expect(event.arrives(), equals: 1, "signals after EXIT")
        edu.acknowledge()
    },
    Case("D.11", "INTx and its mask are after low power what they were before", on: .all) { t in
        let edu = try t.openEdu()
        let event = try t.event()
        for isMasked in [false, true] {
            let name = isMasked ? "masked" : "not masked"
            try t.require(edu.device.setEvents(.intx, [event.number]), "INTx")
            if isMasked { try t.require(edu.device.setIRQs(.intx, .mask), "MASK") }
            try t.require(edu.device.feature(.lowPowerEntry, .set), "ENTRY")
            t.awaitSleep()
            edu.device.wakeUp()
            edu.raise()
            t.expect(isMasked ? event.isSilent() : event.arrives() == 1, name)
            edu.acknowledge()
            try t.require(edu.device.disable(.intx), "disabling")
        }
    },
    Case("D.11", "RESET in low power works and doesn't end it", on: .all) { t in
        let device = try t.openDisk()
        try t.require(device.feature(.lowPowerEntry, .set), "ENTRY")
        t.awaitSleep()
        t.expect(device.request(.deviceReset), .success, "RESET")
        t.expect(device.feature(.lowPowerEntry, .set), .errno(.invalid), "ENTRY again")
        device.wakeUp()
        device.store(UInt16(2), at: Place.command)
        t.expect(device.read(at: 8, count: 4).answer, .value(4), "reading a register after EXIT")
    },
    Case("D.11", "low power ends a D3hot that the user had chosen", on: .all) { t in
        let setup = try t.setUp(t.nvme)
        let device = setup.device
        guard let power = try device.capability(1) else { throw t.skip("it needs power management") }
        guard t.reallySleeps(setup.record) else { throw t.skip("devices don't sleep: no CONFIG_PM") }
        device.store(UInt16(2), at: Place.command)
        device.store(UInt16(3), at: Place.configuration(power + 4))
        t.expect(device.read(at: 8, count: 4).answer, .errno(.inputOutput), "a register in D3hot")
        try t.require(device.feature(.lowPowerEntry, .set), "ENTRY")
        t.awaitSleep()
        t.expect(device.read(at: 8, count: 4).answer, .value(4), "a register in low power")
        device.wakeUp()
        t.expect(try device.load(UInt16.self, at: Place.configuration(power + 4)) & 3, equals: 0, "the state")
    },
    Case(
        "D.11", "a device in low power that is closed isn't in low power when it is opened again",
        on: [.group, .compat, .noIOMMU]
    ) { t in
        let edu = try t.openEdu()
        let event = try t.event()
        try t.require(edu.device.sleep(waking: event.number), "ENTRY_WITH_WAKEUP")
        t.awaitSleep()
        edu.device.close()
        t.expect(event.taken, equals: 0, "signals")
        let again = try t.openAgain(edu.setup)
        t.expect(again.feature(.lowPowerEntry, .set), .success, "ENTRY")
        again.wakeUp()
    },
    Case(
        "D.11", "low power is the device's: what one file enters another leaves",
        on: [.group, .compat, .noIOMMU]
    ) {
        t in
        let edu = try t.openEdu()
        let other = try t.openAgain(edu.setup)
        t.expect(edu.device.feature(.lowPowerEntry, .set), .success, "ENTRY by one")
        t.expect(other.feature(.lowPowerEntry, .set), .errno(.invalid), "ENTRY by the other")
        t.expect(other.feature(.lowPowerExit, .set), .success, "EXIT by the other")
        t.expect(edu.device.feature(.lowPowerEntry, .set), .success, "ENTRY by the one")
        edu.device.close()
        t.expect(other.feature(.lowPowerEntry, .set), .errno(.invalid), "ENTRY by the other, the one closed")
        other.wakeUp()
    },
    Case(
        "D.11", "whatever wakes a sleeping device tells the user who asked, once, and ends low power",
        on: .all
    ) {
        t in
        let edu = try t.openEdu()
        let event = try t.event()
        let sleeps = t.reallySleeps(edu.setup.record)
        try t.require(edu.device.sleep(waking: event.number), "ENTRY_WITH_WAKEUP")
        t.awaitSleep()
        t.expect(event.taken, equals: 0, "signals while it sleeps")
        t.expect(try edu.device.load(UInt32.self, at: 0), equals: 0x0100_00ed, "a register")
        let reason = "a kernel without CONFIG_PM never sends a device to sleep"
        t.expect(event.taken, equals: 1, "signals after reading it", .when(!sleeps, value: 0, reason))
        t.expect(try edu.device.load(UInt32.self, at: 0), equals: 0x0100_00ed, "the register again")
        t.expect(event.taken, equals: 0, "signals after reading it again")
        t.expect(
            edu.device.sleep(waking: event.number), .success, "ENTRY_WITH_WAKEUP again",
            .when(!sleeps, .errno(.invalid), reason))
        edu.device.wakeUp()
    },
    Case(
        "D.11", "a second ENTRY_WITH_WAKEUP of a sleeping device wakes it first, and so is the first again",
        on: .all
    ) { t in
        let edu = try t.openEdu()
        let (a, b) = (try t.event(), try t.event())
        let sleeps = t.reallySleeps(edu.setup.record)
        let reason = "a kernel without CONFIG_PM never sends a device to sleep"
        try t.require(edu.device.sleep(waking: a.number), "ENTRY_WITH_WAKEUP")
        t.awaitSleep()
        t.expect(
            edu.device.sleep(waking: b.number), .success, "ENTRY_WITH_WAKEUP again",
            .when(!sleeps, .errno(.invalid), reason))
        t.expect(a.taken, equals: 1, "signals of the first", .when(!sleeps, value: 0, reason))
        t.expect(b.taken, equals: 0, "signals of the other")
        edu.device.wakeUp()
    },
    Case("D.11", "a request that is refused wakes a sleeping device all the same", on: .all) { t in
        let edu = try t.openEdu()
        let event = try t.event()
        let sleeps = t.reallySleeps(edu.setup.record)
        for (name, request) in [
            ("an unknown request", Request(rawValue: 0x3bff)),
            ("GET_IRQ_INFO with a bad address", .deviceGetIRQInfo),
            ("FEATURE with a bad address", .deviceFeature),
        ] {
            try t.require(edu.device.sleep(waking: event.number), "ENTRY_WITH_WAKEUP")
            t.awaitSleep()
            _ = edu.device.request(request)
            t.expect(
                event.taken, equals: 1, name,
                .when(!sleeps, value: 0, "a kernel without CONFIG_PM never sends a device to sleep"))
            edu.device.wakeUp()
        }
    },
]
