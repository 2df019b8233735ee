import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOGuest
import VFIOHost

@Suite("A platform device in a guest")
struct PlatformGuestTests {
    @Test(
        "is found by its node, driven through the guest's memory, and interrupts until the guest acknowledges"
    )
    func works() throws {
        typealias Register = CalxedaXGMAC.Register
        typealias Descriptor = CalxedaXGMAC.Descriptor
        let id = try #require(DeviceID(.platform, CalxedaXGMAC.name))
        let host = try SoftwareHost {
            IOMMU(.type1)
            IOMMUGroup(3) { BusDevice(CalxedaXGMAC(), id) }
        }
        let memory = GuestMemory()
        let system = try MemoryRegion("system", .container, byteCount: 1 << 64, in: memory)
        let space = GuestAddressSpace("memory", showing: system)
        let ram = try RAMBlock("RAM", byteCount: 1 << 20)
        try system.add(MemoryRegion(ram: ram, in: memory), at: 0x4000_0000)
        let devices = GuestDevices(on: host, for: memory)
        let guest = try devices.attach(id, to: space)
        defer { withExtendedLifetime(guest) {} }
        let region = try GuestRegion(0, of: guest.device, in: memory)
        let firmware = try #require(try host.inventory().summary(of: id)?.firmware)
        let node = try PlatformDeviceNode(
            guest.device, firmware,
            at: PlatformPlacement(
                regionAddresses: [0xc00_0000], interrupts: [.shared(112), .shared(113), .shared(114)])
        ).node
        // The guest's kernel goes where the node tells.
        let base = UInt64(try #require(node.cells("reg"))[1])
        #expect(base == 0xc00_0000 && node.cells("interrupts")?[1] == 112)
        try system.add(region.memory, at: base)
        let trigger = try EventDescriptor()
        let resample = try EventDescriptor()
        let line = try GuestLine(guest.device, trigger: trigger.number, resample: resample.number, index: 0)
        guest.addResetParticipant(line)

        func store(_ value: UInt32, _ register: UInt64) throws {
            try space.store(value, at: GuestAddress(base + register))
        }
        for index in 0..<64 {
            try space.store(UInt8(index), at: GuestAddress(0x4000_0100 + UInt64(index)))
        }
        let whole = Descriptor.firstSegment | Descriptor.lastSegment | Descriptor.transmitRingEnd
        for (place, words) in [
            (0x4000_0000, [Descriptor.owned | whole, 64, 0x4000_0100]),
            (0x4000_0040, [Descriptor.owned, Descriptor.receiveRingEnd | 2048, 0x4000_0800]),
        ] as [(UInt64, [UInt32])] {
            for (index, word) in words.enumerated() {
                try space.store(word, at: GuestAddress(place + 4 * UInt64(index)))
            }
        }
        try store(0x4000_0000, Register.transmitBase)
        try store(0x4000_0040, Register.receiveBase)
        try store(
            CalxedaXGMAC.Status.received | CalxedaXGMAC.Status.normalSummary, Register.interruptEnable)
        try store(0xc, Register.macControl)
        try store(0x2002, Register.dmaControl)
        try store(1, Register.transmitPoll)
        #expect(try trigger.take() == 1)
        #expect(
            try (0..<64).allSatisfy {
                try space.load(UInt8.self, at: GuestAddress(0x4000_0800 + UInt64($0))) == UInt8($0)
            })
        // Acknowledged before its cause was dealt with: it comes again.
        resample.signal()
        #expect(try trigger.wait(milliseconds: 20_000) == 1)
        try store(.max, Register.status)
        resample.signal()
        try guest.device.reset()
        #expect(try space.load(UInt32.self, at: GuestAddress(base + Register.macControl)) == 0)
        try line.disable()
    }
}
