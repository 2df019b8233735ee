import DeviceModel
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@testable import VFIOGuest

/// A device with registers that count, an interrupt line, MSI and MSI-X.
private final class Counter: DeviceModel, @unchecked Sendable {
    let function: PCIFunction
    let accesses = Box<[String]>([])

    init(msix: Int = 8, msi: Int = 4) throws {
        function = PCIFunction(
            PCIIdentity(vendor: 0x1234, device: 0x5680, classCode: 0xff0000),
            bars: [0: BAR(.memory32, byteCount: 4096), 2: BAR(.memory32, byteCount: 4096)])
        function.addMSI(vectors: msi)
        function.addMSIX(vectors: msix, table: (2, 0), pending: (2, 0x800))
    }

    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 {
        accesses.change { $0.append("r\(width)@\(offset)") }
        return 0x1122_3344
    }
    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {
        accesses.change { $0.append("w\(width)@\(offset)=\(value)") }
        if offset == 0x10 { function.setLine(value != 0) }
    }
    func reset(_ kind: ResetKind) {}
    func quiesce() {}
}

@Suite("A device's regions and interrupts as a guest has them")
struct GuestRegionTests {
    private let memory = GuestMemory()
    private let address = PCIAddress(bus: 1, device: 0, function: 0)

    private func open(_ model: any DeviceModel) throws -> (host: SoftwareHost, device: Device) {
        let address = self.address
        let host = try SoftwareHost { IOMMUGroup(1) { PCIDevice(model, at: address) } }
        let device = try Device(opening: address, on: host, .group)
        try device.setMemoryEnabled(true)
        return (host, device)
    }

    @Test("1.2 Registers are reached through the guest's memory map, in the guest's widths")
    func trapped() throws {
        let model = try Counter()
        let (host, device) = try open(model)
        let region = try GuestRegion(.bar0, of: device, in: memory)
        let space = GuestAddressSpace(
            "memory", showing: try MemoryRegion("system", .container, byteCount: 1 << 64, in: memory))
        try space.root.add(region.memory, at: 0xe000_0000)
        let hooks = Box((accesses: 0, failures: 0))
        region.setAccessHook { hooks.change { $0.accesses += 1 } }
        region.setFailureHook { _ in hooks.change { $0.failures += 1 } }
        #expect(try space.load(UInt32.self, at: GuestAddress(0xe000_0004)) == 0x1122_3344)
        try space.store(UInt16(7), at: GuestAddress(0xe000_0006))
        #expect(model.accesses.value == ["r4@4", "w2@6=7"])
        #expect(hooks.value == (2, 0))
        // A failed read gives ones, a failed write is lost; both count as accesses.
        host.inject(FaultRule(.read(.inputOutput), .nth(1)))
        host.inject(FaultRule(.write(.inputOutput), .nth(1)))
        #expect(try space.load(UInt32.self, at: GuestAddress(0xe000_0004)) == .max)
        try space.store(UInt8(1), at: GuestAddress(0xe000_0000))
        #expect(hooks.value == (4, 2))
    }

    @Test(
        "1.13 What can be mapped lies as device memory over the registers, and can be taken away and put back"
    )
    func sparse() throws {
        let (_, device) = try open(RegionSampler())
        var found = false
        for index in [RegionIndex.bar0, .bar1, .bar2, .bar3, .bar4, .bar5] {
            guard let region = try? GuestRegion(index, of: device, in: memory) else { continue }
            let areas = region.region.mappedAreas
            #expect(region.memory.subregions.count == areas.count)
            let space = GuestAddressSpace("\(index)", showing: region.memory)
            for area in areas {
                found = true
                let section = try #require(space.section(at: GuestAddress(UInt64(area.offset))))
                #expect(section.region.isRAMDevice)
                try space.store(UInt32(0xfeed), at: GuestAddress(UInt64(area.offset)))
                #expect(try region.region.load32(area.offset) == 0xfeed)
                region.setMapped(false)
                #expect(space.sections.allSatisfy { !$0.region.isRAMDevice })
                #expect(try space.load(UInt32.self, at: GuestAddress(UInt64(area.offset))) == 0xfeed)
                region.setMapped(true)
            }
            let trapped = try GuestRegion(index, of: device, in: memory, mapped: false)
            #expect(trapped.memory.subregions.isEmpty && !trapped.isMapped)
        }
        #expect(found, "the device has something to map")
        #expect(throws: VFIOGuestError.self) {
            try GuestRegion(RegionIndex(rawValue: 99), of: device, in: memory)
        }
    }

    @Test("1.2 The line is masked when raised, and let through again by the next access to the registers")
    func line() throws {
        let model = try Counter()
        let (_, device) = try open(model)
        let region = try GuestRegion(.bar0, of: device, in: memory)
        let trigger = try EventDescriptor()
        let line = try GuestLine(device, trigger: trigger.number, regions: [region])
        try region.region.store32(0x10, 1)
        #expect(trigger.taken() == 1)
        line.raised()
        #expect(line.isRaised)
        // Still raised when it is acknowledged: it comes once more.
        let space = GuestAddressSpace("memory", showing: region.memory)
        _ = try space.load(UInt32.self, at: GuestAddress(0))
        #expect(!line.isRaised)
        #expect(trigger.taken() == 1)
        line.raised()
        try region.region.store32(0x10, 0)
        _ = try space.load(UInt32.self, at: GuestAddress(0))
        #expect(trigger.taken() == nil)
        try line.disable()
        try region.region.store32(0x10, 1)
        #expect(trigger.taken() == nil)
    }

    @Test("with a resampling eventfd the hypervisor lets the line through again")
    func resample() throws {
        let model = try Counter()
        let (_, device) = try open(model)
        let trigger = try EventDescriptor()
        let resample = try EventDescriptor()
        let line = try GuestLine(device, trigger: trigger.number, resample: resample.number)
        let region = try device.region(.bar0)
        try region.store32(0x10, 1)
        #expect(trigger.taken() == 1)
        resample.signal()
        let deadline = Clock.now + 10_000_000_000
        var again: UInt64?
        while again == nil && Clock.now < deadline { again = trigger.taken() }
        #expect(again == 1)
        try line.disable()
    }

    @Test(
        "MSI-X vectors are added one by one; MSI's are ended and enabled anew",
        arguments: [InterruptIndex.msix, .msi])
    func messages(index: InterruptIndex) throws {
        let model = try Counter()
        let (host, device) = try open(model)
        let messages = try GuestMessages(index, of: device)
        #expect(messages.limit == (index == .msix ? 8 : 4))
        #expect(messages.isFixedSize == (index == .msi))
        let events = try EventBoxes(4)
        try messages.use(1, events[1])
        #expect(messages.enabledCount == 2)
        try device.interruptSelfTest(index, 1)
        #expect(events.take(1) == 1)
        try messages.use(3, events[3])
        #expect(messages.enabledCount == 4)
        for vector in [1, 3] {
            try device.interruptSelfTest(index, vector)
            #expect(events.take(vector) == 1, "vector \(vector)")
        }
        try messages.release(1)
        try device.interruptSelfTest(index, 1)
        #expect(events.take(1) == nil)
        try messages.use(1, events[0])
        try device.interruptSelfTest(index, 1)
        #expect(events.take(0) == 1)
        #expect(throws: VFIOGuestError.self) { try messages.use(messages.limit, events[0]) }
        try messages.disable()
        // A refusal leaves what was in use in use.
        try messages.use(0, events[0])
        host.inject(
            FaultRule(.request(.deviceSetIRQs, .noMemory), .nth(index == .msi ? 2 : 1)))
        let error = #expect(throws: VFIOGuestError.self) { try messages.use(2, events[2]) }
        #expect(error?.errno == .noMemory)
        #expect(messages.enabledCount == 1)
        try device.interruptSelfTest(index, 0)
        #expect(events.take(0) == 1)
    }

    @Test("1.1 An error says what was done to which vector, and the errno that it met")
    func layers() throws {
        let (host, device) = try open(try Counter())
        host.inject(FaultRule(.request(.deviceSetIRQs, .busy), .always))
        let event = try EventDescriptor()
        let setUp = #expect(throws: VFIOGuestError.self) {
            try device.setSignalling(.trigger, .msix, 3, event.number)
        }
        #expect(
            "\(try #require(setUp))".hasPrefix(
                "0000:01:00.0: can't set up TRIGGER signalling of MSI-X, vector 3: VFIO_DEVICE_SET_IRQS failed"
            ))
        #expect(setUp?.errno == .busy)
        let tearDown = #expect(throws: VFIOGuestError.self) {
            try device.setSignalling(.unmask, .intx, 0, nil)
        }
        #expect("\(try #require(tearDown))".contains("tear down UNMASK signalling of INTx, vector 0"))
    }
}

/// Some eventfds.
private final class EventBoxes {
    private let boxes: [Box]
    private final class Box {
        let event: EventDescriptor
        init() throws { event = try EventDescriptor() }
    }
    init(_ count: Int) throws { boxes = try (0..<count).map { _ in try Box() } }
    subscript(_ index: Int) -> Int32 { boxes[index].event.number }
    func take(_ index: Int) -> UInt64? { boxes[index].event.taken() }
}

extension Device {
    /// Has the host raise an interrupt by itself.
    fileprivate func interruptSelfTest(_ index: InterruptIndex, _ vector: Int) throws {
        _ = try setInterrupts([.dataNone, .actionTrigger], index, start: vector, count: 1)
    }
}

extension EventDescriptor {
    /// How often it was signalled; nil if it wasn't.
    fileprivate func taken() -> UInt64? {
        guard let count = try? take(), count > 0 else { return nil }
        return count
    }
}
