import LinuxSystem
import VFIOABI

/// D.8: INTx with interrupts that a device really raises.
let lineCases: [Case] = [
    Case("D.8", "INTx arrives and masks itself: what comes then waits until it is unmasked", on: .all) { t in
        let edu = try t.openEdu()
        let event = try t.event()
        try t.require(edu.device.setEvents(.intx, [event.number]), "INTx")
        edu.raise()
        t.expect(event.arrives(), equals: 1, "signals of the first")
        edu.acknowledge()
        edu.raise(2)
        t.expect(event.isSilent(), "the second waits")
        t.expect(edu.device.setIRQs(.intx, .unmask), .success, "UNMASK")
        t.expect(event.arrives(), equals: 1, "signals of the second")
        edu.acknowledge()
        t.expect(edu.device.setIRQs(.intx, .unmask), .success, "UNMASK")
        t.expect(event.isSilent(), "nothing is left")
    },
    Case("D.8", "a line that stays asserted signals again at every unmasking", on: .all) { t in
        let edu = try t.openEdu()
        let event = try t.event()
        try t.require(edu.device.setEvents(.intx, [event.number]), "INTx")
        edu.raise()
        t.expect(event.arrives(), equals: 1, "signals")
        for round in 1...3 {
            t.expect(edu.device.setIRQs(.intx, .unmask), .success, "UNMASK \(round)")
            t.expect(event.arrives(), equals: 1, "signals of unmasking \(round)")
        }
        edu.acknowledge()
        t.expect(edu.device.setIRQs(.intx, .unmask), .success, "UNMASK of an acknowledged line")
        t.expect(event.isSilent(), "silence")
    },
    Case("D.8", "unmasking by BOOL asks for a byte that isn't 0", on: .all) { t in
        let edu = try t.openEdu()
        let event = try t.event()
        try t.require(edu.device.setEvents(.intx, [event.number]), "INTx")
        edu.raise()
        t.expect(event.arrives(), equals: 1, "signals")
        t.expect(edu.device.setIRQs(.intx, [.dataBool, .actionUnmask], data: [0]), .success, "BOOL 0")
        t.expect(event.isSilent(), "it is still masked")
        t.expect(edu.device.setIRQs(.intx, [.dataBool, .actionUnmask], data: [1]), .success, "BOOL 1")
        t.expect(event.arrives(), equals: 1, "signals")
        edu.acknowledge()
    },
    Case("D.8", "a line that its user masked is silent; what it asserts comes with the unmasking", on: .all) {
        t in
        let edu = try t.openEdu()
        let event = try t.event()
        try t.require(edu.device.setEvents(.intx, [event.number]), "INTx")
        t.expect(edu.device.setIRQs(.intx, [.dataBool, .actionMask], data: [0]), .success, "MASK, BOOL 0")
        t.expect(edu.device.setIRQs(.intx, [.dataBool, .actionMask], data: [1]), .success, "MASK, BOOL 1")
        edu.raise()
        t.expect(event.isSilent(), "silence")
        t.expect(edu.device.setIRQs(.intx, .unmask), .success, "UNMASK")
        t.expect(event.arrives(), equals: 1, "signals")
        edu.acknowledge()
    },
    Case("D.8", "a masked line whose cause is gone has nothing to tell when it is unmasked", on: .all) { t in
        let edu = try t.openEdu()
        let event = try t.event()
        try t.require(edu.device.setEvents(.intx, [event.number]), "INTx")
        t.expect(edu.device.setIRQs(.intx, .mask), .success, "MASK")
        edu.raise()
        edu.acknowledge()
        t.expect(edu.device.setIRQs(.intx, .unmask), .success, "UNMASK")
        t.expect(event.isSilent(), "silence")
    },
    Case(
        "D.8",
        "a line that was asserted before INTx was taken into use signals, at the next unmasking at last",
        on: .all
    ) { t in
        let edu = try t.openEdu()
        let event = try t.event()
        edu.raise()
        t.expect(edu.device.setEvents(.intx, [event.number]), .success, "enabling")
        // A matter of the interrupt controller: QEMU's forgets what was asserted before it was set up.
        t.note(!event.isSilent(), "whether it signals at once")
        t.expect(edu.device.setIRQs(.intx, .mask), .success, "MASK")
        t.expect(edu.device.setIRQs(.intx, .unmask), .success, "UNMASK")
        t.expect(event.arrives(), equals: 1, "signals")
        edu.acknowledge()
    },
    Case("D.8", "INTx begins unmasked, however it ended before", on: .all) { t in
        let edu = try t.openEdu()
        let event = try t.event()
        try t.require(edu.device.setEvents(.intx, [event.number]), "INTx")
        t.expect(edu.device.setIRQs(.intx, .mask), .success, "MASK")
        try t.require(edu.device.disable(.intx), "disabling")
        try t.require(edu.device.setEvents(.intx, [event.number]), "INTx again")
        edu.raise()
        t.expect(event.arrives(), equals: 1, "signals")
        edu.acknowledge()
    },
    Case("D.8", "once INTx is disabled its interrupts are lost", on: .all) { t in
        let edu = try t.openEdu()
        let event = try t.event()
        try t.require(edu.device.setEvents(.intx, [event.number]), "INTx")
        try t.require(edu.device.disable(.intx), "disabling")
        edu.raise()
        t.expect(event.isSilent(), "silence")
        t.expect(try edu.status(), equals: 1, "the device has raised it")
        edu.acknowledge()
    },
    Case(
        "D.8", "what comes while INTx has no eventfd is masked and lost; another eventfd doesn't unmask",
        on: .all
    ) {
        t in
        let edu = try t.openEdu()
        let event = try t.event()
        try t.require(edu.device.setEvents(.intx, [-1]), "INTx without an eventfd")
        edu.raise()
        Clock.sleep(nanoseconds: 40_000_000)
        t.expect(edu.device.setEvents(.intx, [event.number]), .success, "an eventfd")
        t.expect(event.isSilent(), "silence")
        t.expect(edu.device.setIRQs(.intx, .unmask), .success, "UNMASK")
        t.expect(event.arrives(), equals: 1, "signals: it is still asserted")
        edu.acknowledge()
    },
    Case("D.8", "INTx stays masked when its eventfd is replaced", on: .all) { t in
        let edu = try t.openEdu()
        let (a, b) = (try t.event(), try t.event())
        try t.require(edu.device.setEvents(.intx, [a.number]), "INTx")
        edu.raise()
        t.expect(a.arrives(), equals: 1, "signals of the first eventfd")
        t.expect(edu.device.setEvents(.intx, [b.number]), .success, "another eventfd")
        t.expect(b.isSilent(), "silence")
        t.expect(edu.device.setIRQs(.intx, .unmask), .success, "UNMASK")
        t.expect(b.arrives(), equals: 1, "signals of the other")
        t.expect(a.taken, equals: 0, "signals of the first")
        edu.acknowledge()
    },
    Case(
        "D.8", "INTx begins masked where COMMAND's Interrupt Disable is set, until that is cleared", on: .all
    ) { t in
        let edu = try t.openEdu()
        let event = try t.event()
        edu.setCommand(0x406)
        t.expect(edu.device.setEvents(.intx, [event.number]), .success, "enabling")
        edu.raise()
        t.expect(event.isSilent(), "silence")
        t.expect(edu.device.setIRQs(.intx, .unmask), .success, "UNMASK")
        t.expect(event.isSilent(), "silence after UNMASK")
        t.expect(edu.device.setIRQs(.intx, .loop), .success, "TRIGGER")
        t.expect(event.isSilent(), "silence after TRIGGER")
        edu.setCommand(0x6)
        t.expect(event.arrives(), equals: 1, "signals once Interrupt Disable is cleared")
        edu.acknowledge()
    },
    Case(
        "D.8", "setting Interrupt Disable masks INTx; clearing it unmasks, even what the user had masked",
        on: .all
    ) {
        t in
        let edu = try t.openEdu()
        let event = try t.event()
        try t.require(edu.device.setEvents(.intx, [event.number]), "INTx")
        edu.setCommand(0x406)
        edu.raise()
        t.expect(event.isSilent(), "silence")
        edu.setCommand(0x6)
        t.expect(event.arrives(), equals: 1, "signals")
        edu.acknowledge()
        t.expect(edu.device.setIRQs(.intx, .mask), .success, "MASK")
        edu.setCommand(0x406)
        edu.setCommand(0x6)
        edu.raise()
        t.expect(event.arrives(), equals: 1, "signals after MASK and both changes")
        edu.acknowledge()
    },
    Case("D.8", "writing Interrupt Disable without changing it leaves INTx as it is", on: .all) { t in
        let edu = try t.openEdu()
        let event = try t.event()
        try t.require(edu.device.setEvents(.intx, [event.number]), "INTx")
        t.expect(edu.device.setIRQs(.intx, .mask), .success, "MASK")
        edu.setCommand(0x6)
        edu.raise()
        t.expect(event.isSilent(), "it is still masked")
        edu.acknowledge()
    },
    Case("D.8", "an eventfd unmasks INTx whenever it is signalled, and its counter is taken", on: .all) { t in
        let edu = try t.openEdu()
        let (event, unmask) = (try t.event(), try t.event())
        try t.require(edu.device.setEvents(.intx, [event.number]), "INTx")
        try t.require(edu.device.setUnmaskEvent(unmask.number), "UNMASK EVENTFD")
        edu.raise()
        t.expect(event.arrives(), equals: 1, "signals")
        for round: UInt64 in 1...3 {
            unmask.signal(round)
            t.expect(event.arrives(), equals: 1, "signals after \(round)")
        }
        t.expect(unmask.isSignalled, equals: false, "whether the counter holds anything")
        edu.acknowledge()
        unmask.signal()
        t.expect(event.isSilent(), "an acknowledged line is silent")
    },
    Case(
        "D.8",
        "an eventfd that has been signalled before it is attached unmasks at once, and keeps its counter",
        on: .all
    ) { t in
        let edu = try t.openEdu()
        let event = try t.event()
        let unmask = try t.event(signalled: 5)
        try t.require(edu.device.setEvents(.intx, [event.number]), "INTx")
        edu.raise()
        t.expect(event.arrives(), equals: 1, "signals")
        t.expect(edu.device.setUnmaskEvent(unmask.number), .success, "UNMASK EVENTFD")
        t.expect(event.arrives(), equals: 1, "signals after attaching")
        t.expect(unmask.isSignalled, equals: true, "whether the counter holds anything")
        unmask.signal()
        t.expect(event.arrives(), equals: 1, "signals after the next")
        t.expect(unmask.isSignalled, equals: false, "whether the counter holds anything after it")
        edu.acknowledge()
    },
    Case("D.8", "an eventfd that was detached unmasks no more", on: .all) { t in
        let edu = try t.openEdu()
        let (event, unmask) = (try t.event(), try t.event())
        try t.require(edu.device.setEvents(.intx, [event.number]), "INTx")
        try t.require(edu.device.setUnmaskEvent(unmask.number), "UNMASK EVENTFD")
        try t.require(edu.device.setUnmaskEvent(-1), "detaching")
        edu.raise()
        t.expect(event.arrives(), equals: 1, "signals")
        unmask.signal()
        t.expect(event.isSilent(), "silence")
        t.expect(unmask.taken, equals: 1, "its counter")
        edu.acknowledge()
    },
]
