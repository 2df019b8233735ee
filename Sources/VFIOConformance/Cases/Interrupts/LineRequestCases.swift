import LinuxSystem
import VFIOABI

/// D.8: what SET_IRQS answers for INTx, without an interrupt of the device.
let lineRequestCases: [Case] = [
    Case("D.8", "INTx that isn't in use can't be masked, unmasked or signalled", on: .all) { t in
        let device = try t.openEdu().device
        for (name, flags) in [("MASK", IRQSetFlags.mask), ("UNMASK", .unmask), ("TRIGGER", .loop)] {
            t.expect(device.setIRQs(.intx, flags), .errno(.invalid), "\(name) NONE")
        }
        for action in [IRQSetFlags.actionMask, .actionUnmask, .actionTrigger] {
            for byte: UInt8 in [0, 1] {
                t.expect(
                    device.setIRQs(.intx, [.dataBool, action], data: [byte]), .errno(.invalid),
                    "action \(action.rawValue), BOOL \(byte)")
            }
        }
        t.expect(device.setUnmaskEvent(-1), .errno(.invalid), "UNMASK EVENTFD −1")
        t.expect(device.setUnmaskEvent(closedDescriptor), .errno(.invalid), "UNMASK with a closed descriptor")
    },
    Case("D.8", "INTx that isn't in use can't be disabled", on: .all) { t in
        let device = try t.openEdu().device
        t.expect(device.disable(.intx), .errno(.invalid), "NONE, count 0")
        t.expect(device.setEvents(.intx, []), .errno(.invalid), "EVENTFD, count 0")
        t.expect(device.setIRQs(.intx, .loopSome, count: 0), .errno(.invalid), "BOOL, count 0")
    },
    Case("D.8", "INTx in use is disabled by NONE with count 0 only, and once", on: .all) { t in
        let device = try t.openEdu().device
        let event = try t.event()
        t.expect(device.setEvents(.intx, [event.number]), .success, "enabling")
        t.expect(device.setEvents(.intx, []), .errno(.invalid), "EVENTFD, count 0")
        t.expect(device.setIRQs(.intx, .loopSome, count: 0), .errno(.invalid), "BOOL, count 0")
        t.expect(device.setIRQs(.intx, .mask, count: 0), .errno(.invalid), "MASK, count 0")
        t.expect(device.setIRQs(.intx, .unmask, count: 0), .errno(.invalid), "UNMASK, count 0")
        t.expect(device.setIRQs(.intx, .loop), .success, "it is still in use")
        t.expect(device.disable(.intx), .success, "NONE, count 0")
        t.expect(device.disable(.intx), .errno(.invalid), "NONE, count 0, again")
        t.expect(event.taken, equals: 1, "signals")
    },
    Case("D.8", "an INTx eventfd must be one", on: .all) { t in
        let device = try t.openEdu().device
        let null = try t.notAnEventFD()
        t.expect(device.setEvents(.intx, [closedDescriptor]), .errno(.badDescriptor), "a closed descriptor")
        t.expect(device.setEvents(.intx, [null.number]), .errno(.invalid), "/dev/null")
        t.expect(device.setIRQs(.intx, .mask), .errno(.invalid), "MASK: INTx isn't in use")
    },
    Case("D.8", "INTx is taken into use without an eventfd by any number below 0", on: .all) { t in
        let device = try t.openEdu().device
        for number: Int32 in [-1, -2, .min] {
            t.expect(device.setEvents(.intx, [number]), .success, "\(number)")
            t.expect(device.setIRQs(.intx, .mask), .success, "MASK: it is in use")
            t.expect(device.setIRQs(.intx, .loop), .success, "a signal that nobody gets")
            t.expect(device.disable(.intx), .success, "disabling")
        }
    },
    Case("D.8", "signalling INTx by hand: NONE does, BOOL does if it isn't 0", on: .all) { t in
        let device = try t.openEdu().device
        let event = try t.event()
        try t.require(device.setEvents(.intx, [event.number]), "INTx")
        t.expect(device.setIRQs(.intx, .loop), .success, "NONE")
        t.expect(event.taken, equals: 1, "signals of NONE")
        t.expect(device.setIRQs(.intx, .loopSome, data: [0]), .success, "BOOL 0")
        t.expect(event.taken, equals: 0, "signals of BOOL 0")
        t.expect(device.setIRQs(.intx, .loopSome, data: [0x80]), .success, "BOOL 128")
        t.expect(event.taken, equals: 1, "signals of BOOL 128")
    },
    Case("D.8", "signalling INTx by hand doesn't ask for its mask, and doesn't mask", on: .all) { t in
        let edu = try t.openEdu()
        let event = try t.event()
        try t.require(edu.device.setEvents(.intx, [event.number]), "INTx")
        t.expect(edu.device.setIRQs(.intx, .mask), .success, "MASK")
        t.expect(edu.device.setIRQs(.intx, .loop), .success, "TRIGGER")
        t.expect(event.taken, equals: 1, "signals while it is masked")
        t.expect(edu.device.setIRQs(.intx, .unmask), .success, "UNMASK")
        t.expect(edu.device.setIRQs(.intx, .loop), .success, "TRIGGER")
        t.expect(event.taken, equals: 1, "signals")
        edu.raise()
        t.expect(event.arrives(), equals: 1, "then an interrupt of the device")
        edu.acknowledge()
    },
    Case("D.8", "masking INTx twice and unmasking it twice is the same as once", on: .all) { t in
        let device = try t.openEdu().device
        let event = try t.event()
        try t.require(device.setEvents(.intx, [event.number]), "INTx")
        for (name, flags) in [("MASK", IRQSetFlags.mask), ("UNMASK", .unmask)] {
            t.expect(device.setIRQs(.intx, flags), .success, name)
            t.expect(device.setIRQs(.intx, flags), .success, "\(name) again")
        }
        t.expect(event.taken, equals: 0, "signals")
    },
    Case("D.8", "masking INTx by an eventfd doesn't exist: ENOTTY, whatever the descriptor", on: .all) { t in
        let device = try t.openEdu().device
        let event = try t.event()
        func mask(_ number: Int32) -> Answer {
            device.setIRQs(.intx, [.dataEventFD, .actionMask], data: bytes(of: [number]))
        }
        t.expect(mask(event.number), .errno(.invalid), "INTx isn't in use")
        try t.require(device.setEvents(.intx, [event.number]), "INTx")
        for number in [event.number, -1, closedDescriptor] {
            t.expect(mask(number), .errno(.noSuchRequest), number < 0 ? "−1" : "a number")
        }
    },
    Case("D.8", "INTx gets another eventfd without ending its use; the former one is silent", on: .all) { t in
        let device = try t.openEdu().device
        let (a, b) = (try t.event(), try t.event())
        t.expect(device.setEvents(.intx, [a.number]), .success, "the first")
        t.expect(device.setEvents(.intx, [b.number]), .success, "another")
        t.expect(device.setIRQs(.intx, .loop), .success, "TRIGGER")
        t.expect(a.taken, equals: 0, "signals of the first")
        t.expect(b.taken, equals: 1, "signals of the other")
        t.expect(device.setEvents(.intx, [-1]), .success, "−1")
        t.expect(device.setIRQs(.intx, .loop), .success, "TRIGGER")
        t.expect(b.taken, equals: 0, "signals without an eventfd")
    },
    Case("D.8", "INTx keeps its eventfd if the one to replace it is no good", on: .all) { t in
        let device = try t.openEdu().device
        let event = try t.event()
        let null = try t.notAnEventFD()
        try t.require(device.setEvents(.intx, [event.number]), "INTx")
        t.expect(device.setEvents(.intx, [closedDescriptor]), .errno(.badDescriptor), "a closed descriptor")
        t.expect(device.setEvents(.intx, [null.number]), .errno(.invalid), "/dev/null")
        t.expect(device.setIRQs(.intx, .loop), .success, "TRIGGER")
        t.expect(event.taken, equals: 1, "signals")
    },
    Case("D.8", "while messages are in use INTx is EINVAL, whatever is asked", on: .all) { t in
        let device = try t.openEdu().device
        let event = try t.event()
        try t.require(device.setEvents(.msi, [event.number]), "MSI")
        t.expect(device.setEvents(.intx, [event.number]), .errno(.invalid), "EVENTFD")
        t.expect(
            device.setEvents(.intx, [closedDescriptor]), .errno(.invalid), "EVENTFD, a closed descriptor")
        t.expect(device.disable(.intx), .errno(.invalid), "NONE, count 0")
        t.expect(device.setIRQs(.intx, .loop), .errno(.invalid), "NONE")
        t.expect(device.setIRQs(.intx, .mask), .errno(.invalid), "MASK")
        t.expect(device.setIRQs(.intx, .unmask), .errno(.invalid), "UNMASK")
        t.expect(device.setIRQs(.msi, .loop), .success, "MSI is still in use")
        t.expect(event.taken, equals: 1, "signals")
    },
    Case("D.8", "while INTx is in use messages are EINVAL, whatever is asked", on: .all) { t in
        let (edu, disk) = (try t.openEdu().device, try t.openDisk())
        let event = try t.event()
        for (name, device, index) in [("MSI", edu, PCIInterrupt.msi), ("MSI-X", disk, .msix)] {
            try t.require(device.setEvents(.intx, [event.number]), "INTx")
            t.expect(device.setEvents(index, [event.number]), .errno(.invalid), "\(name), EVENTFD")
            t.expect(device.setEvents(index, [closedDescriptor]), .errno(.invalid), "\(name), a closed one")
            t.expect(device.setEvents(index, []), .errno(.invalid), "\(name), EVENTFD, count 0")
            t.expect(device.disable(index), .errno(.invalid), "\(name), NONE, count 0")
            t.expect(device.setIRQs(index, .loop), .errno(.invalid), "\(name), NONE")
            t.expect(device.setIRQs(index, .loopSome, data: [1]), .errno(.invalid), "\(name), BOOL")
            t.expect(device.setIRQs(.intx, .loop), .success, "INTx is still in use")
            t.expect(event.taken, equals: 1, "signals")
        }
    },
    Case("D.8", "one kind after the other may be used", on: .all) { t in
        let device = try t.openEdu().device
        let event = try t.event()
        for index in [PCIInterrupt.intx, .msi, .intx, .msi] {
            t.expect(device.setEvents(index, [event.number]), .success, "index \(index.rawValue)")
            t.expect(device.setIRQs(index, .loop), .success, "TRIGGER")
            t.expect(event.taken, equals: 1, "signals")
            t.expect(device.disable(index), .success, "disabling")
        }
    },
    Case("D.8", "unmasking by an eventfd: what is wrong with it comes before EBUSY", on: .all) { t in
        let device = try t.openEdu().device
        let (event, unmask) = (try t.event(), try t.event())
        let null = try t.notAnEventFD()
        try t.require(device.setEvents(.intx, [event.number]), "INTx")
        for isBusy in [false, true] {
            if isBusy { t.expect(device.setUnmaskEvent(unmask.number), .success, "the first") }
            let when = isBusy ? "with one attached" : "with none attached"
            t.expect(
                device.setUnmaskEvent(closedDescriptor), .errno(.badDescriptor),
                "a closed descriptor, \(when)")
            t.expect(device.setUnmaskEvent(null.number), .errno(.invalid), "/dev/null, \(when)")
        }
        t.expect(device.setUnmaskEvent(unmask.number), .errno(.busy), "the same again")
        t.expect(device.setUnmaskEvent(event.number), .errno(.busy), "another")
    },
    Case(
        "D.8", "an eventfd that unmasks is detached by any number below 0, also where there is none", on: .all
    ) {
        t in
        let device = try t.openEdu().device
        let (event, unmask) = (try t.event(), try t.event())
        try t.require(device.setEvents(.intx, [event.number]), "INTx")
        t.expect(device.setUnmaskEvent(-1), .success, "−1 with none attached")
        for number: Int32 in [-1, -2] {
            t.expect(device.setUnmaskEvent(unmask.number), .success, "attaching")
            t.expect(device.setUnmaskEvent(number), .success, "\(number)")
        }
        t.expect(device.setUnmaskEvent(unmask.number), .success, "attaching")
    },
    Case("D.8", "an eventfd that unmasks goes when INTx is disabled", on: .all) { t in
        let device = try t.openEdu().device
        let (event, unmask) = (try t.event(), try t.event())
        for round in 1...2 {
            try t.require(device.setEvents(.intx, [event.number]), "INTx")
            t.expect(device.setUnmaskEvent(unmask.number), .success, "round \(round)")
            try t.require(device.disable(.intx), "disabling")
        }
        unmask.signal()
        t.expect(unmask.taken, equals: 1, "nobody takes its counter any more")
    },
    Case("D.8", "an eventfd that unmasks makes room for another when it is closed", on: .all) { t in
        let device = try t.openEdu().device
        let event = try t.event()
        try t.require(device.setEvents(.intx, [event.number]), "INTx")
        do {
            let unmask = try t.event()
            let copy = try Descriptor(duplicating: unmask.number)
            t.expect(device.setUnmaskEvent(unmask.number), .success, "the first")
            withExtendedLifetime(unmask) {}
            t.expect(device.setUnmaskEvent(event.number), .errno(.busy), "while a copy of it is open")
            try copy.close()
        }
        t.expect(
            device.setUnmaskEvent(event.number), .success, "once it is closed",
            .remote(.errno(.busy), "the server keeps it open, so nobody sees its user close it"))
        t.expect(device.setUnmaskEvent(-1), .success, "detaching")
    },
    Case(
        "D.8", "INTx is the device's: what one file sets up another masks and ends",
        on: [.group, .compat, .noIOMMU]
    ) { t in
        let edu = try t.openEdu()
        let other = try t.openAgain(edu.setup)
        let event = try t.event()
        t.expect(edu.device.setEvents(.intx, [event.number]), .success, "enabled by one")
        t.expect(other.setIRQs(.intx, .mask), .success, "masked by the other")
        edu.device.close()
        t.expect(other.setIRQs(.intx, .loop), .success, "signalled by the other after the one was closed")
        t.expect(event.taken, equals: 1, "signals")
        t.expect(other.disable(.intx), .success, "disabled by the other")
    },
    Case("D.8", "interrupts end when the last file of the device is closed", on: [.group, .compat, .noIOMMU])
    { t in
        let edu = try t.openEdu()
        let event = try t.event()
        try t.require(edu.device.setEvents(.intx, [event.number]), "INTx")
        try t.require(edu.device.setEvents(.req, [event.number]), "REQ")
        edu.device.close()
        let again = Edu(
            setup: Setup(
                record: edu.setup.record, container: edu.setup.container, group: edu.setup.group,
                iommufd: edu.setup.iommufd, ioas: nil, device: try t.openAgain(edu.setup)))
        again.setCommand(0x6)
        again.raise()
        t.expect(event.isSilent(), "an interrupt of the device isn't signalled")
        again.acknowledge()
        t.expect(again.device.setIRQs(.intx, .mask), .errno(.invalid), "INTx isn't in use")
        t.expect(again.device.setIRQs(.req, .loop), .errno(.invalid), "REQ has no eventfd")
    },
]
