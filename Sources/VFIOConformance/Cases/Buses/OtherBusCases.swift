import LinuxSystem
import VFIOABI
import VFIOHost

extension File {
    /// BUS_MASTER
    fileprivate func setMaster(_ operation: BusMasterOperation) -> Answer {
        let payload = BusMasterFeature(operation: operation)
        // SAFETY: a structure of plain integers without padding.
        return feature(.busMaster, .set, payload: unsafe withUnsafeBytes(of: payload) { unsafe Array($0) })
    }
}

/// G.2: vfio-cdx.
let cdxCases: [Case] = [
    Case("G.2", "a CDX device can be reset, and its regions only mapped", on: protectedRoutes) { t in
        let device = try t.open(t.other(.cdx, "vfio-cdx", "a CDX device"))
        let (answer, info) = device.info
        t.expect(answer, .success, "GET_INFO")
        t.expect(info.flags == [DeviceFlags.cdx, .reset], "a CDX device that can be reset")
        t.expect(info.irqCount <= 1, "one index at most")
        t.expect(device.file.read(at: 0, count: 4).answer, .errno(.invalid), "read")
        t.expect(device.file.write(at: 0, [0, 0, 0, 0]), .errno(.invalid), "write")
        t.expect(device.file.regionInfo(info.regionCount).answer, .errno(.invalid), "one region too many")
        let region = device.file.regionInfo(0).info
        if region.flags.contains(.mmap) {
            let (got, window) = device.file.map(at: region.offset, byteCount: pageSize)
            t.expect(got, .success, "map")
            if let window { device.file.unmap(window) }
        }
        t.expect(device.file.request(.deviceReset), .success, "RESET")
    },
    Case("G.2", "a CDX device's messages are enabled all at once", on: protectedRoutes) { t in
        let device = try t.open(t.other(.cdx, "vfio-cdx", "a CDX device"))
        guard device.info.info.irqCount == 1 else { throw t.skip("it has no messages") }
        let (answer, info) = device.interrupt(0)
        t.expect(answer, .success, "GET_IRQ_INFO")
        t.expect(info.flags == [.eventFD, .noResize], "eventfds, and no more later")
        t.expect(device.interrupt(1).answer, .errno(.invalid), "index 1")
        t.expect(device.setIRQs(0, .loop, count: 0), .success, "disable what isn't enabled")
        let event = try t.event()
        t.expect(device.setEvent(0, event.number, start: info.count - 1), .success, "the last")
        t.expect(device.setIRQs(0, .loop, start: info.count - 1), .success, "trigger it")
        t.expect(event.taken, equals: 1, "once")
        t.expect(device.setIRQs(0, .loop), .success, "trigger one without eventfd")
        t.expect(device.setIRQs(0, .mask), .errno(.invalid), "mask")
        t.expect(device.setIRQs(0, .unmask), .errno(.invalid), "unmask")
        t.expect(device.setEvent(0, event.number, start: info.count), .errno(.invalid), "one too many")
        t.expect(device.setEvent(0, closedDescriptor), .errno(.badDescriptor), "a closed descriptor")
        t.expect(device.setIRQs(0, .loop, count: 0), .success, "disable")
    },
    Case("G.2", "a CDX device starts no transactions until it is let", on: protectedRoutes) { t in
        let summary = try t.other(named: "cdx-00:01", on: .cdx, "the mailbox (cdx-00:01)")
        let setup = try t.open(summary)
        let device = setup.file
        let memory = try t.memory(pages: 1)
        try t.map(memory, at: 0x10_0000, for: setup)
        let (answer, window) = device.map(at: 0, byteCount: pageSize)
        guard let window else { throw Halt.broken("the mailbox can't be mapped: \(answer)") }
        defer { device.unmap(window) }
        let done = try t.event()
        let failed = try t.event()
        try t.require(setup.setEvent(0, done.number), "SET_IRQS")
        try t.require(setup.setEvent(0, failed.number, start: 1), "SET_IRQS")
        func order(_ number: UInt64) {
            window.store64(0x08, 0x10_0000)
            window.store64(0x10, 64)
            window.store64(0x18, number)
            Fence.beforeDoorbell()
            window.store64(0x00, number)
        }
        order(1)
        t.expect(failed.arrives(), equals: 1, "an order that fails")
        t.expect(device.setMaster(.set), .success, "SET_MASTER")
        order(2)
        t.expect(done.arrives(), equals: 1, "an order that is carried out")
        t.expect(memory.window.load8(63), equals: 2, "what it wrote")
        t.expect(device.setMaster(.clear), .success, "CLEAR_MASTER")
        order(3)
        t.expect(failed.arrives(), equals: 1, "another one that fails")
        t.expect(device.setMaster(BusMasterOperation(rawValue: 2)), .errno(.invalid), "operation 2")
        t.expect(device.feature(.busMaster, .set, payload: [1, 0, 0]), .errno(.invalid), "argsz one short")
        t.expect(device.feature(.busMaster, [.set, .probe]), .success, "probe")
        t.expect(device.feature(.busMaster, [.get, .probe]), .errno(.invalid), "probe for GET")
        t.expect(device.feature(.migration, [.get, .probe]), .errno(.noSuchRequest), "another feature")
    },
]

/// G.3: vfio-fsl-mc.
let managementCases: [Case] = [
    Case("G.3", "a container of the management complex carries out commands of 64 bytes", on: protectedRoutes)
    { t in
        let summary = try t.other(.fslMC, "vfio-fsl-mc", "a container of a management complex")
        guard summary.id.name.hasPrefix("dprc") else { throw t.skip("\(summary.id) isn't a container") }
        let device = try t.open(summary)
        t.expect(device.info.info.flags == [DeviceFlags.fslMC, .reset], "a container can be reset")
        let region = device.file.regionInfo(0).info
        t.expect(region.flags == [.read, .write], "its portal can't be mapped")
        // DPRC's own version: a command that needs no token.
        let header: UInt64 = 0xa051 << 48 | 1 << 16
        var bytes = (0..<8).map { UInt8(truncatingIfNeeded: header >> UInt64(8 * $0)) }
        bytes += [UInt8](repeating: 0, count: 56)
        t.expect(device.file.write(at: region.offset, bytes), .value(64), "a command")
        let (answer, reply) = device.file.read(at: region.offset, count: 64)
        t.expect(answer, .value(64), "its answer")
        t.expect(reply[2], equals: 0, "its state")
        t.expect(device.file.read(at: region.offset, count: 63).answer, .errno(.invalid), "63 bytes")
        t.expect(device.file.read(at: region.offset + 64, count: 64).answer, .errno(.invalid), "not at 0")
        t.expect(
            device.file.write(at: region.offset, [UInt8](bytes.dropLast())), .errno(.invalid), "write 63")
        t.expect(device.file.map(at: region.offset, byteCount: pageSize).answer, .errno(.invalid), "map")
    },
    Case("G.3", "an interrupt of the management complex can be triggered, and no more", on: protectedRoutes) {
        t in
        let device = try t.open(t.other(.fslMC, "vfio-fsl-mc", "an object of a management complex"))
        guard device.info.info.irqCount > 0 else { throw t.skip("it has no interrupts") }
        t.expect(device.interrupt(0).info.flags == .eventFD, "eventfds only")
        t.expect(device.interrupt(device.info.info.irqCount).answer, .errno(.invalid), "one index too many")
        let event = try t.event()
        t.expect(device.setEvent(0, event.number), .success, "an eventfd")
        t.expect(device.setIRQs(0, .loop), .success, "trigger")
        t.expect(device.setIRQs(0, .loop), .success, "trigger")
        t.expect(event.taken, equals: 2, "twice")
        t.expect(device.setIRQs(0, .mask), .errno(.invalid), "mask")
        t.expect(device.setIRQs(0, .loop, count: 0), .success, "disable")
    },
]
