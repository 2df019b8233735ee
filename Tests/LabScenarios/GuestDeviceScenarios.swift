import LinuxSystem
import VFIO
import VFIOABI
import VFIOGuest
import VFIOHost

extension Scenario {
    static let guestDevices: [Scenario] = [
        Scenario("a guest reaches a device's registers, directly and one access at a time") { lab in
            let guest = try RegisterGuest(lab)
            for isMapped in [true, false, true] {
                guest.region.setMapped(isMapped)
                try expectEqual(
                    guest.region.isMapped, isMapped && lab.host.kind == .linux, "whether it is mapped")
                let shows = guest.space.section(at: GuestAddress(RegisterGuest.base))?.region.isRAMDevice
                try expectEqual(shows, guest.region.isMapped, "whether device memory is seen")
                try expectEqual(
                    try guest.load(EduDevice.Register.identification), 0x0100_00ed, "identification")
                try guest.store(EduDevice.Register.liveness, 0x1234_5678)
                try expectEqual(
                    try guest.load(EduDevice.Register.liveness), ~0x1234_5678, "the complement")
            }
            // Only those that are carried out one by one are counted.
            let count = Counter()
            guest.region.setAccessHook { count.add() }
            guest.region.setMapped(false)
            try guest.store(EduDevice.Register.factorial, 5)
            _ = try guest.load(EduDevice.Register.liveness)
            try expectEqual(count.value, 2, "accesses")
        },
        Scenario("a guest's interrupt line comes again until an access to the registers acknowledges it") {
            lab in
            let guest = try RegisterGuest(lab)
            let trigger = try EventDescriptor()
            let line = try GuestLine(guest.device, trigger: trigger.number, regions: [guest.region])
            for round: UInt32 in 1...2 {
                try guest.store(EduDevice.Register.interruptRaise, round)
                try guest.expectSignal(trigger, "round \(round)")
                line.raised()
                try expect(line.isRaised && !guest.region.isMapped, "accesses aren't carried out one by one")
                // The host keeps the line masked until then: this access alone lets it through again, and since the
                // device still has a cause it comes at once.
                try expectEqual(
                    try guest.load(EduDevice.Register.interruptStatus), round, "the cause, round \(round)")
                try expect(!line.isRaised, "the access hasn't acknowledged")
                try guest.expectSignal(trigger, "a line that isn't served, round \(round)")
                line.raised()
                try guest.store(EduDevice.Register.interruptAcknowledge, round)
                try guest.expectSilence(trigger, "a line that was served, round \(round)")
            }
            try line.disable()
            try expectEqual(guest.region.isMapped, lab.host.kind == .linux, "whether it is mapped at the end")
            try guest.store(EduDevice.Register.interruptRaise, 4)
            try guest.expectSilence(trigger, "a line that is off")
            try guest.store(EduDevice.Register.interruptAcknowledge, 4)
        },
        Scenario("a guest's interrupt line is let through again by the hypervisor's eventfd") { lab in
            let guest = try RegisterGuest(lab)
            let trigger = try EventDescriptor()
            let resample = try EventDescriptor()
            let line = try GuestLine(guest.device, trigger: trigger.number, resample: resample.number)
            try guest.store(EduDevice.Register.interruptRaise, 1)
            try guest.expectSignal(trigger, "the line")
            for round in 1...2 {
                resample.signal()
                try guest.expectSignal(trigger, "a line that isn't served, round \(round)")
            }
            try guest.store(EduDevice.Register.interruptAcknowledge, 1)
            resample.signal()
            try guest.expectSilence(trigger, "a line that was served")
            try guest.store(EduDevice.Register.interruptRaise, 2)
            try guest.expectSignal(trigger, "the line, after all")
            try guest.store(EduDevice.Register.interruptAcknowledge, 2)
            try line.disable()
        },
        Scenario("a guest has a message of a device as long as it uses the vector") { lab in
            let guest = try RegisterGuest(lab)
            let messages = try GuestMessages(.msi, of: guest.device)
            try expectEqual(messages.limit, 1, "vectors")
            let event = try EventDescriptor()
            try messages.use(0, event.number)
            try guest.store(EduDevice.Register.interruptRaise, 1)
            try guest.expectSignal(event, "a message")
            try guest.store(EduDevice.Register.interruptAcknowledge, 1)
            try messages.release(0)
            try guest.store(EduDevice.Register.interruptRaise, 1)
            try guest.expectSilence(event, "a vector that isn't used")
            try guest.store(EduDevice.Register.interruptAcknowledge, 1)
            let other = try EventDescriptor()
            try messages.use(0, other.number)
            try guest.store(EduDevice.Register.interruptRaise, 1)
            try guest.expectSignal(other, "a message to another eventfd")
            try guest.expectSilence(event, "the eventfd before")
            try guest.store(EduDevice.Register.interruptAcknowledge, 1)
            try expectError(.tooFewVectors, ["the device has 1"], "a second vector") { () throws(VFIOError) in
                try messages.use(1, event.number)
            }
            try messages.disable()
            try expectEqual(messages.enabledCount, 0, "vectors in the end")
        },
        Scenario("a guest uses messages of a disk one after the other, and those in use stay so") { lab in
            let guest = try LabGuest(lab)
            let low = try guest.addRAM("low", pages: DiskDevice.pageCount, at: 0)
            let attached = try guest.devices.attach(try lab.diskAddress(), to: guest.space)
            let disk = try DiskDevice(lab, attached.device)
            let messages = try GuestMessages(.msix, of: attached.device)
            try expect(messages.limit > 3, "only \(messages.limit) vectors")
            let events = try (0..<3).map { _ in try SharedEvent() }
            func check(_ vector: Int, _ event: Int) throws {
                _ = try attached.device.setInterrupts(
                    [.dataNone, .actionTrigger], .msix, start: vector, count: 1)
                try expect(
                    try events[event].descriptor.wait(milliseconds: lab.patience) == 1, "vector \(vector)")
            }
            try messages.use(0, events[0].descriptor.number)
            try check(0, 0)
            // The disk's own completions come by the first one.
            func checkCompletion(_ what: String) throws {
                _ = try events[0].descriptor.take()
                try disk.expectIdentifies(in: low, at: 0, what)
                try expect(
                    try events[0].descriptor.wait(milliseconds: lab.patience) != nil, "\(what): no message")
            }
            try checkCompletion("with one vector")
            try messages.use(3, events[1].descriptor.number)
            try expectEqual(messages.enabledCount, 4, "vectors with the fourth")
            try check(3, 1)
            try checkCompletion("with four vectors")
            try messages.use(2, events[2].descriptor.number)
            try check(2, 2)
            try check(3, 1)
            try messages.release(3)
            try check(2, 2)
            try expectEqual(try events[1].descriptor.take(), 0, "signals of the one that isn't used any more")
            try messages.disable()
        },
    ]
}

/// An eventfd that can be kept in an array.
private final class SharedEvent {
    let descriptor: EventDescriptor
    init() throws { descriptor = try EventDescriptor() }
}

/// Something that is counted on any thread.
private final class Counter: @unchecked Sendable {
    private let lock = Lock()
    // Guarded by `lock`.
    private var count = 0
    func add() { lock.withLock { count += 1 } }
    var value: Int { lock.withLock { count } }
}

/// A guest with the device's registers in its memory.
private struct RegisterGuest {
    static let base: UInt64 = 0xe000_0000
    let lab: Lab
    let device: Device
    let region: GuestRegion
    let space: GuestAddressSpace

    init(_ lab: Lab) throws {
        self.lab = lab
        device = try lab.open()
        try device.setMemoryEnabled(true)
        try device.setBusMaster(true)
        let memory = GuestMemory()
        region = try GuestRegion(.bar0, of: device, in: memory)
        let system = try MemoryRegion("system", .container, byteCount: 1 << 64, in: memory)
        try system.add(region.memory, at: Self.base)
        space = GuestAddressSpace("memory", showing: system)
    }

    func load(_ register: Int) throws -> UInt32 {
        try space.load(UInt32.self, at: GuestAddress(Self.base + UInt64(register)))
    }
    func store(_ register: Int, _ value: UInt32) throws {
        try space.store(value, at: GuestAddress(Self.base + UInt64(register)))
    }

    func expectSignal(_ event: borrowing EventDescriptor, _ what: String) throws {
        let count = try event.wait(milliseconds: lab.patience)
        try expectEqual(count, 1, "\(what): how often it was signalled")
    }

    /// Looks for a while. A signal that comes later would be missed, one that comes is always an error.
    func expectSilence(_ event: borrowing EventDescriptor, _ what: String) throws {
        try expect(try event.wait(milliseconds: 50) == nil, "\(what): signalled")
    }
}
