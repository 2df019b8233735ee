import LinuxSystem
import VFIOABI

/// D.8: MSI, with one vector that a device really raises.
let messageCases: [Case] = [
    Case("D.8", "MSI that isn't in use can't be disabled or signalled", on: .all) { t in
        let device = try t.openEdu().device
        t.expect(device.disable(.msi), .errno(.invalid), "NONE, count 0")
        t.expect(device.setIRQs(.msi, .loop), .errno(.invalid), "NONE, count 1")
        t.expect(device.setIRQs(.msi, .loopSome, data: [1]), .errno(.invalid), "BOOL 1")
        t.expect(device.setIRQs(.msi, .loopSome, count: 0), .errno(.invalid), "BOOL, count 0")
    },
    Case("D.8", "taking MSI into use with no vector at all is ERANGE", on: .all) { t in
        let device = try t.openEdu().device
        t.expect(device.setEvents(.msi, []), .errno(.outOfRange), "EVENTFD, count 0")
        t.expect(device.setIRQs(.msi, .loop), .errno(.invalid), "MSI isn't in use")
    },
    Case("D.8", "EVENTFD with count 0 changes nothing of MSI in use", on: .all) { t in
        let device = try t.openEdu().device
        let event = try t.event()
        try t.require(device.setEvents(.msi, [event.number]), "MSI")
        t.expect(device.setEvents(.msi, []), .success, "EVENTFD, count 0")
        t.expect(device.setIRQs(.msi, .loopSome, count: 0), .success, "BOOL, count 0")
        t.expect(device.setIRQs(.msi, .loop), .success, "TRIGGER")
        t.expect(event.taken, equals: 1, "signals")
    },
    Case("D.8", "MSI arrives whenever it is raised; nothing masks it", on: .all) { t in
        let edu = try t.openEdu()
        let event = try t.event()
        try t.require(edu.device.setEvents(.msi, [event.number]), "MSI")
        for round: UInt32 in 1...3 {
            edu.raise(round)
            t.expect(event.arrives(), equals: 1, "signals of round \(round)")
        }
        t.expect(try edu.status(), equals: 3, "what the device still tells")
        edu.acknowledge()
    },
    Case("D.8", "signalling MSI by hand: NONE does, BOOL does if it isn't 0", on: .all) { t in
        let device = try t.openEdu().device
        let event = try t.event()
        try t.require(device.setEvents(.msi, [event.number]), "MSI")
        t.expect(device.setIRQs(.msi, .loop), .success, "NONE")
        t.expect(device.setIRQs(.msi, .loopSome, data: [0]), .success, "BOOL 0")
        t.expect(device.setIRQs(.msi, .loopSome, data: [255]), .success, "BOOL 255")
        t.expect(event.taken, equals: 2, "signals")
    },
    Case("D.8", "MSI is in use even if its only vector is a hole", on: .all) { t in
        let device = try t.openEdu().device
        for number: Int32 in [-1, -2] {
            t.expect(device.setEvents(.msi, [number]), .success, "\(number)")
            t.expect(device.setIRQs(.msi, .loop), .success, "a signal that nobody gets")
            t.expect(device.setEvents(.intx, [-1]), .errno(.invalid), "INTx: messages are in use")
            t.expect(device.disable(.msi), .success, "disabling")
        }
    },
    Case("D.8", "a bad eventfd for the first vector leaves MSI unused", on: .all) { t in
        let device = try t.openEdu().device
        let null = try t.notAnEventFD()
        t.expect(device.setEvents(.msi, [closedDescriptor]), .errno(.badDescriptor), "a closed descriptor")
        t.expect(device.setEvents(.msi, [null.number]), .errno(.invalid), "/dev/null")
        t.expect(device.setIRQs(.msi, .loop), .errno(.invalid), "MSI isn't in use")
        t.expect(device.setEvents(.intx, [-1]), .success, "INTx can be used")
    },
    Case("D.8", "a bad eventfd for a vector in use takes the old one away, and MSI stays in use", on: .all) {
        t in
        let edu = try t.openEdu()
        let event = try t.event()
        try t.require(edu.device.setEvents(.msi, [event.number]), "MSI")
        t.expect(
            edu.device.setEvents(.msi, [closedDescriptor]), .errno(.badDescriptor), "a closed descriptor")
        t.expect(edu.device.setIRQs(.msi, .loop), .success, "MSI is in use")
        edu.raise()
        t.expect(event.isSilent(), "silence")
        edu.acknowledge()
        t.expect(edu.device.setEvents(.msi, [event.number]), .success, "a good one again")
        edu.raise()
        t.expect(event.arrives(), equals: 1, "signals")
        edu.acknowledge()
    },
    Case("D.8", "an MSI eventfd is replaced and taken away at once", on: .all) { t in
        let edu = try t.openEdu()
        let (a, b) = (try t.event(), try t.event())
        try t.require(edu.device.setEvents(.msi, [a.number]), "MSI")
        t.expect(edu.device.setEvents(.msi, [b.number]), .success, "another")
        edu.raise()
        t.expect(b.arrives(), equals: 1, "signals of the other")
        t.expect(a.taken, equals: 0, "signals of the first")
        t.expect(edu.device.setEvents(.msi, [-1]), .success, "−1")
        edu.raise()
        t.expect(b.isSilent(), "silence")
        edu.acknowledge()
    },
    Case(
        "D.8",
        "a message sent before its vector had an eventfd is kept for the first one; later ones are lost",
        on: .all
    ) { t in
        let edu = try t.openEdu()
        let event = try t.event()
        guard let msi = try edu.device.capability(5),
            try edu.device.load(UInt16.self, at: Place.configuration(msi + 2)) & 0x100 == 0
        else { throw t.skip("it needs a device whose MSI can't be masked") }
        for round in 1...2 {
            try t.require(edu.device.setEvents(.msi, [-1]), "MSI")
            edu.raise()
            edu.raise(2)
            Clock.sleep(nanoseconds: 40_000_000)
            t.expect(edu.device.setEvents(.msi, [event.number]), .success, "an eventfd, round \(round)")
            t.expect(event.arrives(), equals: 1, "signals of two messages")
            t.expect(edu.device.setEvents(.msi, [-1]), .success, "−1")
            edu.raise()
            Clock.sleep(nanoseconds: 40_000_000)
            t.expect(edu.device.setEvents(.msi, [event.number]), .success, "an eventfd again")
            t.expect(event.isSilent(), "silence")
            edu.acknowledge()
            try t.require(edu.device.disable(.msi), "disabling")
        }
    },
    Case("D.8", "a message that was kept is forgotten when MSI is disabled", on: .all) { t in
        let edu = try t.openEdu()
        let event = try t.event()
        try t.require(edu.device.setEvents(.msi, [-1]), "MSI")
        edu.raise()
        Clock.sleep(nanoseconds: 40_000_000)
        edu.acknowledge()
        try t.require(edu.device.disable(.msi), "disabling")
        t.expect(edu.device.setEvents(.msi, [event.number]), .success, "enabling again")
        t.expect(event.isSilent(), "silence")
    },
    Case("D.8", "MSI is disabled once", on: .all) { t in
        let edu = try t.openEdu()
        let event = try t.event()
        try t.require(edu.device.setEvents(.msi, [event.number]), "MSI")
        t.expect(edu.device.disable(.msi), .success, "disabling")
        t.expect(edu.device.disable(.msi), .errno(.invalid), "disabling again")
        edu.raise()
        t.expect(event.isSilent(), "silence")
        edu.acknowledge()
    },
    Case("D.8", "interrupts that are disabled again and again leave nothing behind") { t in
        let device = try t.openEdu().device
        let event = try t.event()
        for _ in 0..<40 {
            for index in [PCIInterrupt.msi, .intx] {
                try t.require(device.setEvents(index, [event.number]), "enabling")
                try t.require(device.setIRQs(index, .loop), "TRIGGER")
                try t.require(device.disable(index), "disabling")
            }
        }
        t.expect(event.taken, equals: 80, "signals")
    },
]
