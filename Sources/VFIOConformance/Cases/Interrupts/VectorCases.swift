import LinuxSystem
import VFIOABI

/// D.8: MSI-X and its many vectors, signalled by hand.
let vectorCases: [Case] = [
    Case("D.8", "signalling MSI-X by hand reaches the vectors that have an eventfd", on: .all) { t in
        let device = try t.openDisk()
        let events = [try t.event(), try t.event(), try t.event()]
        try t.require(device.setEvents(.msix, [events[0].number, -1, events[2].number]), "MSI-X with a hole")
        t.expect(device.setIRQs(.msix, .loop, count: 3), .success, "NONE, count 3")
        t.expect(events.map(\.taken), equals: [1, 0, 1], "signals")
        t.expect(device.setIRQs(.msix, .loop, start: 2), .success, "NONE, the third")
        t.expect(events.map(\.taken), equals: [0, 0, 1], "signals")
        t.expect(device.setIRQs(.msix, .loop, start: 1), .success, "NONE, the hole")
        t.expect(events.map(\.taken), equals: [0, 0, 0], "signals")
    },
    Case("D.8", "signalling MSI-X by BOOL picks vectors", on: .all) { t in
        let device = try t.openDisk()
        let events = [try t.event(), try t.event(), try t.event()]
        try t.require(device.setEvents(.msix, events.map(\.number)), "MSI-X")
        t.expect(device.setIRQs(.msix, .loopSome, count: 3, data: [1, 0, 7]), .success, "1, 0, 7")
        t.expect(events.map(\.taken), equals: [1, 0, 1], "signals")
        t.expect(
            device.setIRQs(.msix, .loopSome, start: 1, count: 2, data: [1, 0]), .success, "from the second")
        t.expect(events.map(\.taken), equals: [0, 1, 0], "signals")
    },
    Case("D.8", "signalling vectors beyond those in use is no error") { t in
        let device = try t.openDisk()
        let event = try t.event()
        let count = device.irqInfo(.msix).info.count
        guard count >= 3 else { throw t.skip("it needs three vectors") }
        try t.require(device.setEvents(.msix, [event.number]), "MSI-X")
        let reason = "only the vectors that were taken into use at first could be named"
        t.expect(
            device.setIRQs(.msix, .loop, start: 1), .success, "the second",
            .before(6, 5, .errno(.invalid), reason))
        t.expect(
            device.setIRQs(.msix, .loop, count: count), .success, "all of the table",
            .before(6, 5, .errno(.invalid), reason))
        t.expect(event.taken, equals: 1, "signals", .before(6, 5, value: 0, reason))
    },
    Case("D.8", "one eventfd for several vectors counts them all", on: .all) { t in
        let device = try t.openDisk()
        let event = try t.event()
        try t.require(device.setEvents(.msix, [event.number, event.number, event.number]), "MSI-X")
        t.expect(device.setIRQs(.msix, .loop, count: 3), .success, "NONE, count 3")
        t.expect(event.taken, equals: 3, "signals")
    },
    Case("D.8", "MSI-X isn't in use before the first EVENTFD") { t in
        let device = try t.openDisk()
        t.expect(device.disable(.msix), .errno(.invalid), "NONE, count 0")
        t.expect(device.setIRQs(.msix, .loop), .errno(.invalid), "NONE, count 1")
        t.expect(device.setIRQs(.msix, .loopSome, data: [0]), .errno(.invalid), "BOOL 0")
        t.expect(
            device.setIRQs(.msix, .loop, start: 1, count: 0), .errno(.invalid), "NONE, count 0 from 1 on")
    },
    Case("D.8", "MSI-X with nothing but holes is in use", on: .all) { t in
        let device = try t.openDisk()
        t.expect(device.setEvents(.msix, [-1, -2, .min]), .success, "three holes")
        t.expect(device.setIRQs(.msix, .loop, count: 3), .success, "signals that nobody gets")
        t.expect(device.setEvents(.intx, [-1]), .errno(.invalid), "INTx: messages are in use")
        t.expect(device.disable(.msix), .success, "disabling")
    },
    Case("D.8", "the first EVENTFD may begin behind the first vector") { t in
        let device = try t.openDisk()
        let event = try t.event()
        t.expect(device.setEvents(.msix, start: 2, [event.number]), .success, "the third only")
        t.expect(device.setIRQs(.msix, .loop, count: 3), .success, "NONE, count 3")
        t.expect(event.taken, equals: 1, "signals")
        t.expect(device.setEvents(.msix, [event.number]), .success, "the first later")
        t.expect(device.setIRQs(.msix, .loop, count: 3), .success, "NONE, count 3")
        t.expect(event.taken, equals: 2, "signals")
    },
    Case("D.8", "EVENTFD with count 0 takes the vectors before start into use, all of them holes") { t in
        let device = try t.openDisk()
        t.expect(device.setEvents(.msix, []), .errno(.outOfRange), "start 0: not even one")
        t.expect(device.setIRQs(.msix, .loop), .errno(.invalid), "MSI-X isn't in use")
        let older = Exception.before(
            6, 5, .errno(.invalid), "start had to be one of the vectors taken into use by the request")
        t.expect(device.setEvents(.msix, start: 1, []), .success, "start 1", older)
        t.expect(device.setIRQs(.msix, .loop), .success, "MSI-X is in use", older)
        t.expect(device.disable(.msix), .success, "disabling", older)
    },
    Case("D.8", "MSI-X grows while it is in use", on: .all) { t in
        let device = try t.openDisk()
        let (first, late) = (try t.event(), try t.event())
        let count = device.irqInfo(.msix).info.count
        guard count >= 5 else { throw t.skip("it needs five vectors") }
        let reason = "vectors could not be added while others were in use"
        let older = Exception.before(6, 5, .errno(.invalid), reason)
        try t.require(device.setEvents(.msix, [first.number]), "MSI-X")
        t.expect(device.setEvents(.msix, start: 3, [late.number]), .success, "the fourth", older)
        t.expect(device.setEvents(.msix, start: count - 1, [late.number]), .success, "the last", older)
        t.expect(device.setIRQs(.msix, .loop, count: count), .success, "NONE, all of the table", older)
        t.expect(first.taken, equals: 1, "signals of the first", .before(6, 5, value: 0, reason))
        t.expect(late.taken, equals: 2, "signals of the others", .before(6, 5, value: 0, reason))
    },
    Case("D.8", "taking away vectors that aren't there is no error", on: .all) { t in
        let device = try t.openDisk()
        let event = try t.event()
        try t.require(device.setEvents(.msix, [event.number]), "MSI-X")
        t.expect(
            device.setEvents(.msix, start: 1, [-1]), .success, "one never in use",
            .before(6, 5, .errno(.invalid), "only the vectors taken into use at first could be named"))
        t.expect(device.setEvents(.msix, [-1]), .success, "one in use")
        t.expect(device.setEvents(.msix, [-1]), .success, "the same again")
        t.expect(device.setEvents(.intx, [-1]), .errno(.invalid), "INTx: messages are still in use")
        t.expect(device.setIRQs(.msix, .loop), .success, "a signal that nobody gets")
        t.expect(event.taken, equals: 0, "signals")
    },
    Case("D.8", "all vectors of the table can be used at once", on: .all) { t in
        let device = try t.openDisk()
        let event = try t.event()
        let count = device.irqInfo(.msix).info.count
        let numbers = [Int32](repeating: event.number, count: Int(count))
        t.expect(device.setEvents(.msix, numbers), .success, "as many as there are")
        t.expect(device.setIRQs(.msix, .loop, count: count), .success, "NONE, all of them")
        t.expect(event.taken == UInt64(count), "every vector signals")
        t.expect(device.setEvents(.msix, numbers), .success, "all of them again")
        t.expect(device.setIRQs(.msix, .loop, start: count - 1), .success, "the last")
        t.expect(event.taken, equals: 1, "signals")
    },
    Case("D.8", "replacing an eventfd doesn't touch the other vectors", on: .all) { t in
        let device = try t.openDisk()
        let (a, b, other) = (try t.event(), try t.event(), try t.event())
        try t.require(device.setEvents(.msix, [a.number, b.number]), "MSI-X")
        t.expect(device.setEvents(.msix, start: 1, [other.number]), .success, "another for the second")
        t.expect(device.setIRQs(.msix, .loop, count: 2), .success, "NONE, count 2")
        t.expect([a, b, other].map(\.taken), equals: [1, 0, 1], "signals")
    },
    Case("D.8", "a bad eventfd takes away all vectors of its request up to itself, and no others", on: .all) {
        t in
        let device = try t.openDisk()
        let old = [try t.event(), try t.event(), try t.event(), try t.event()]
        let new = try t.event()
        try t.require(device.setEvents(.msix, old.map(\.number)), "MSI-X")
        t.expect(
            device.setEvents(.msix, start: 1, [new.number, closedDescriptor, new.number]),
            .errno(.badDescriptor), "a closed descriptor in the middle")
        t.expect(device.setIRQs(.msix, .loop, count: 4), .success, "MSI-X is in use")
        t.expect(old.map(\.taken), equals: [1, 0, 0, 1], "signals of the old eventfds")
        t.expect(new.taken, equals: 0, "signals of the new one")
    },
    Case("D.8", "a bad eventfd in the first request leaves MSI-X unused", on: .all) { t in
        let device = try t.openDisk()
        let event = try t.event()
        let null = try t.notAnEventFD()
        t.expect(
            device.setEvents(.msix, [event.number, null.number]), .errno(.invalid), "/dev/null as the second")
        t.expect(device.setIRQs(.msix, .loop), .errno(.invalid), "MSI-X isn't in use")
        t.expect(device.setEvents(.intx, [-1]), .success, "INTx can be used")
    },
    Case("D.8", "NONE with count 0 disables all of MSI-X, wherever it begins") { t in
        let device = try t.openDisk()
        let event = try t.event()
        try t.require(device.setEvents(.msix, [event.number, event.number]), "MSI-X")
        t.expect(device.setIRQs(.msix, .loop, start: 1, count: 0), .success, "from the second on")
        t.expect(device.setIRQs(.msix, .loop), .errno(.invalid), "MSI-X isn't in use")
        t.expect(device.setEvents(.intx, [-1]), .success, "INTx can be used")
    },
    Case("D.8", "MSI-X's own enable bit is set exactly while it is in use", on: .all) { t in
        let device = try t.openDisk()
        guard let msix = try device.capability(0x11) else { throw t.skip("it needs a device with MSI-X") }
        func isEnabled() throws -> Bool {
            try device.load(UInt16.self, at: Place.configuration(msix + 2)) & 0x8000 != 0
        }
        t.expect(try isEnabled(), equals: false, "before")
        try t.require(device.setEvents(.msix, [-1]), "MSI-X")
        t.expect(try isEnabled(), equals: true, "in use")
        try t.require(device.disable(.msix), "disabling")
        t.expect(try isEnabled(), equals: false, "afterwards")
    },
    Case("D.8", "MSI-X is enabled where the device's memory is off", on: .all) { t in
        let device = try t.openDisk()
        let event = try t.event()
        device.store(UInt16(0), at: Place.command)
        t.expect(device.setEvents(.msix, [event.number, -1]), .success, "enabling")
        t.expect(device.setIRQs(.msix, .loop), .success, "TRIGGER")
        t.expect(event.taken, equals: 1, "signals")
        t.expect(try device.load(UInt16.self, at: Place.command) & 2 == 0, "the memory is still off")
        t.expect(device.disable(.msix), .success, "disabling")
    },
    Case("D.8", "a full eventfd doesn't hold up whoever signals it") { t in
        let device = try t.openDisk()
        let event = try t.event(signalled: .max - 1)
        try t.require(device.setEvents(.msix, [event.number]), "MSI-X")
        t.expect(device.setIRQs(.msix, .loop), .success, "TRIGGER")
        let reason = "only a kernel brings an eventfd beyond what write(2) can"
        t.expect(
            event.taken, equals: UInt64.max, "the counter", .software(value: UInt64.max - 1, reason),
            .remote(value: UInt64.max - 1, reason))
    },
    Case("D.8", "an eventfd that its user closes goes on being one vector's, without effect", on: .all) { t in
        let device = try t.openDisk()
        let other = try t.event()
        do {
            let event = try t.event()
            try t.require(device.setEvents(.msix, [event.number, other.number]), "MSI-X")
            withExtendedLifetime(event) {}
        }
        t.expect(device.setIRQs(.msix, .loop, count: 2), .success, "NONE, count 2")
        t.expect(other.taken, equals: 1, "signals of the other")
        t.expect(device.setEvents(.msix, [other.number]), .success, "another in its place")
        t.expect(device.setIRQs(.msix, .loop), .success, "TRIGGER")
        t.expect(other.taken, equals: 1, "signals")
    },
    Case("D.8", "an eventfd that waits for its reader is signalled like any other") { t in
        let device = try t.openDisk()
        let event = try t.event(signalled: .max - 2)
        let copy = try Descriptor(duplicating: event.number)
        try t.require(device.setEvents(.msix, [copy.number, copy.number]), "MSI-X")
        t.expect(device.setIRQs(.msix, .loop), .success, "TRIGGER")
        t.expect(event.taken, equals: UInt64.max - 1, "the counter")
        try copy.close()
        t.expect(device.setIRQs(.msix, .loop, count: 2), .success, "TRIGGER after the copy was closed")
        t.expect(event.taken, equals: 2, "signals")
    },
    Case("D.8", "MSI on a device that has only MSI-X can't be used") { t in
        let device = try t.openDisk()
        if try device.capability(5) != nil { throw t.skip("the disk has MSI") }
        let event = try t.event()
        t.expect(device.setEvents(.msi, [event.number]), .errno(.invalid), "EVENTFD")
        t.expect(device.disable(.msi), .errno(.invalid), "NONE, count 0")
        try t.require(device.setEvents(.msix, [event.number]), "MSI-X")
        t.expect(device.setIRQs(.msi, .loop), .errno(.invalid), "NONE while MSI-X is in use")
    },
    Case("D.8", "messages can't be taken into use in D3hot, the line can", on: .all) { t in
        let device = try t.openDisk()
        guard let power = try device.capability(1) else { throw t.skip("it needs power management") }
        device.store(UInt16(3), at: Place.configuration(power + 4))
        t.expect(device.setEvents(.msix, []), .errno(.outOfRange), "MSI-X, EVENTFD, count 0")
        t.expect(device.setEvents(.msix, [-1]), .errno(.invalid), "MSI-X with a hole")
        t.expect(device.setEvents(.msix, [closedDescriptor]), .errno(.invalid), "MSI-X, a closed descriptor")
        if device.irqInfo(.intx).info.count == 1 {
            t.expect(device.setEvents(.intx, [-1]), .success, "INTx")
            t.expect(device.disable(.intx), .success, "disabling it")
        }
        device.store(UInt16(0), at: Place.configuration(power + 4))
        t.expect(device.setEvents(.msix, [-1]), .success, "MSI-X back in D0")
    },
    Case("D.8", "messages in use can be signalled, changed and disabled in D3hot", on: .all) { t in
        let device = try t.openDisk()
        let (a, b) = (try t.event(), try t.event())
        guard let power = try device.capability(1) else { throw t.skip("it needs power management") }
        try t.require(device.setEvents(.msix, [a.number, a.number]), "MSI-X")
        device.store(UInt16(3), at: Place.configuration(power + 4))
        t.expect(device.setIRQs(.msix, .loop, count: 2), .success, "TRIGGER")
        t.expect(device.setEvents(.msix, start: 1, [b.number]), .success, "another eventfd")
        t.expect(device.setIRQs(.msix, .loop, count: 2), .success, "TRIGGER")
        device.store(UInt16(0), at: Place.configuration(power + 4))
        t.expect(device.setIRQs(.msix, .loop, count: 2), .success, "TRIGGER back in D0")
        t.expect([a, b].map(\.taken), equals: [4, 2], "signals")
        device.store(UInt16(3), at: Place.configuration(power + 4))
        t.expect(device.disable(.msix), .success, "disabling")
        t.expect(device.setIRQs(.msix, .loop), .errno(.invalid), "MSI-X isn't in use")
        device.store(UInt16(0), at: Place.configuration(power + 4))
        t.expect(device.setEvents(.msix, [a.number]), .success, "enabling in D0")
    },
]
