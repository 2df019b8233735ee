import LinuxSystem
import VFIOABI
import VFIOHost

/// G.1: interrupts of platform devices.
let platformLineCases: [Case] = [
    Case("G.1", "each line of a platform device is an index of one interrupt", on: protectedRoutes) { t in
        let device = try t.open(t.networkController)
        for index in 0..<3 as Range<UInt32> {
            let (answer, info) = device.interrupt(index)
            t.expect(answer, .success, "index \(index)")
            t.expect(info.count, equals: 1, "interrupts of index \(index)")
            t.expect(info.flags == [.eventFD, .maskable, .automasked], "index \(index) is a level")
        }
        t.expect(device.interrupt(3).answer, .errno(.invalid), "index 3")
        var short = IRQInfo(argsz: 15)
        t.expect(device.file.request(.deviceGetIRQInfo, &short), .errno(.invalid), "argsz 15")
    },
    Case("G.1", "a level masks itself, also where a user triggers it", on: protectedRoutes) { t in
        let device = try t.open(t.networkController)
        let event = try t.event()
        t.expect(device.setEvent(0, event.number), .success, "an eventfd")
        for _ in 0..<3 { t.expect(device.setIRQs(0, .loop), .success, "trigger") }
        t.expect(event.taken, equals: 1, "once")
        t.expect(device.setIRQs(0, .unmask), .success, "unmask")
        t.expect(device.setIRQs(0, .loop), .success, "trigger")
        t.expect(event.taken, equals: 1, "once more")
    },
    Case("G.1", "a mask outlives the eventfd of its line", on: protectedRoutes) { t in
        let device = try t.open(t.networkController)
        let event = try t.event()
        t.expect(device.setIRQs(0, .mask), .success, "mask")
        t.expect(device.setEvent(0, event.number), .success, "an eventfd")
        t.expect(device.setIRQs(0, .loop), .success, "trigger")
        t.expect(event.taken, equals: 0, "masked")
        t.expect(device.setEvent(0, -1), .success, "no eventfd")
        t.expect(device.setIRQs(0, .unmask), .success, "unmask")
        t.expect(device.setEvent(0, event.number), .success, "an eventfd again")
        t.expect(device.setIRQs(0, .loop), .success, "trigger")
        t.expect(event.taken, equals: 1, "not masked")
    },
    Case("G.1", "eventfds mask a line as well as unmask it", on: protectedRoutes) { t in
        let device = try t.open(t.networkController)
        let mask = try t.event()
        let unmask = try t.event()
        let maskEvent: IRQSetFlags = [.dataEventFD, .actionMask]
        t.expect(device.setEvent(0, mask.number, maskEvent), .success, "mask")
        t.expect(device.setEvent(0, mask.number, maskEvent), .errno(.busy), "a second one")
        t.expect(device.setEvent(0, -1, maskEvent), .success, "none")
        t.expect(device.setEvent(0, unmask.number, .unmaskEvent), .success, "unmask")
        let event = try t.event()
        t.expect(device.setEvent(0, event.number), .success, "the line's")
        t.expect(device.setIRQs(0, .loop), .success, "trigger")
        t.expect(event.taken, equals: 1, "it masks itself")
        unmask.signal()
        // A kernel, and the software host's thread, take the signal a moment later.
        var counts: UInt64 = 0
        for _ in 0..<500 where counts == 0 {
            Clock.sleep(nanoseconds: 10_000_000)
            _ = device.setIRQs(0, .loop)
            counts = event.taken
        }
        t.expect(counts, equals: 1, "unmasked")
    },
    Case("G.1", "wrong requests about a platform device's lines are refused", on: protectedRoutes) { t in
        let device = try t.open(t.networkController)
        let event = try t.event()
        let null = try t.notAnEventFD()
        t.expect(device.setEvent(3, event.number), .errno(.invalid), "index 3")
        t.expect(device.setEvent(0, event.number, start: 1), .errno(.invalid), "start 1")
        t.expect(device.setEvent(0, event.number, start: 3), .errno(.invalid), "start 3")
        t.expect(device.setEvent(0, closedDescriptor), .errno(.badDescriptor), "a closed descriptor")
        t.expect(device.setEvent(0, null.number), .errno(.invalid), "no eventfd")
        t.expect(device.setIRQs(0, .loop, count: 2), .errno(.invalid), "two of one")
        t.expect(device.setIRQs(0, .mask, count: 0), .errno(.invalid), "mask none")
        t.expect(device.setIRQs(0, .loop, count: 0), .success, "disable what isn't enabled")
        t.expect(device.setIRQs(0, .dataNone), .errno(.noSuchRequest), "no action")
        t.expect(
            device.setIRQs(0, [.dataNone, .actionMask, .actionTrigger]), .errno(.noSuchRequest), "two actions"
        )
        t.expect(
            device.setIRQs(0, [.dataNone, .dataBool, .actionMask]), .errno(.invalid), "two kinds of data")
        let zero = PCIInterrupt(rawValue: 0)
        t.expect(device.file.setIRQs(zero, .mask, argsz: 19), .errno(.invalid), "argsz 19")
        t.expect(
            device.file.setIRQs(zero, .events, count: 1, data: [0, 0, 0]), .errno(.invalid), "half an eventfd"
        )
    },
]
