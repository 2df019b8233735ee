import HostTestSupport
import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOABI

@testable import VFIOGuest

@Suite("Discards of guest RAM, and the devices of a guest")
struct DiscardExemptionTests {
    /// A machine whose second group has a mediated device.
    private func machine(entryLimit: UInt32 = 65535) throws -> GuestMachine {
        try GuestMachine {
            $0.groups[1].isEmulated = true
            $0.parameters.dmaEntryLimit = entryLimit
        }
    }

    @Test("1.19 A mediated device that can live with discards leaves them to others")
    func exempt() throws {
        let machine = try machine()
        try machine.system.add(machine.ram("ram", pages: 1), at: 0)
        let policy = machine.memory.discardPolicy
        // The balloon was there first.
        let balloon = try policy.hold(.needsDiscards, for: "the balloon")
        let devices = machine.devices(.group)
        let device = try devices.attach(GuestMachine.address(2), to: machine.space, allowingDiscards: true)
        #expect(policy.allowsUncoordinatedDiscards && device.container != nil)
        // One that pins everything can't come as long as the balloon is there, and leaves nothing.
        let refused = thrown { () throws(VFIOGuestError) in
            try devices.attach(GuestMachine.address(3), to: machine.space)
        }
        #expect(refused?.errno == .busy && refused?.cause?.contains("the balloon") == true)
        #expect(devices.containers.count == 1)
        balloon.release()
        let other = try devices.attach(GuestMachine.address(3), to: machine.space)
        #expect(!policy.allowsUncoordinatedDiscards)
        device.detach()
        other.detach()
        #expect(policy.allowsUncoordinatedDiscards)
    }

    @Test("1.19 A device that isn't mediated can't be said to live with discards")
    func physical() throws {
        let machine = try machine()
        let devices = machine.devices(.group)
        let error = thrown { () throws(VFIOGuestError) in
            try devices.attach(GuestMachine.address(3), to: machine.space, allowingDiscards: true)
        }
        #expect(error?.code == .notSupported && error?.remedy?.contains("mediated") == true)
        #expect(devices.containers.isEmpty && machine.memory.discardPolicy.allowsUncoordinatedDiscards)
    }

    @Test("1.19 A mediated device of which nothing is said forbids discards as any other")
    func strict() throws {
        let machine = try machine()
        let device = try machine.devices(.group).attach(GuestMachine.address(2), to: machine.space)
        #expect(!machine.memory.discardPolicy.allowsUncoordinatedDiscards)
        device.detach()
        #expect(machine.memory.discardPolicy.allowsUncoordinatedDiscards)
    }

    @Test("1.18 Discards are forbidden before the first page is mapped")
    func beforeMapping() throws {
        let machine = try FaultyMachine()
        try machine.ram(pages: 1, at: 0)
        let policy = machine.machine.memory.discardPolicy
        let allowed = Box<[Bool]>([])
        machine.host.watch(.iommuMapDMA, UInt32(0)) { _ in
            allowed.change { $0.append(policy.allowsUncoordinatedDiscards) }
        }
        machine.host.watch(.iommuUnmapDMA, UInt32(0)) { _ in
            allowed.change { $0.append(policy.allowsUncoordinatedDiscards) }
        }
        try machine.attach().detach()
        #expect(allowed.value == [false, false])
        #expect(policy.allowsUncoordinatedDiscards)
    }

    @Test("1.10 Memory that can come to need more mappings than there are is told of when it comes into view")
    func shortage() throws {
        let demands = Box<[DMAMappingDemand]>([])
        var options = DMAMapper.Options()
        options.memorySlotCount = 8
        options.onShortage = { demand in demands.change { $0.append(demand) } }
        let machine = try machine(entryLimit: 30)
        func plug(_ name: String, at address: UInt64) throws {
            let region = try ramRegion(name, byteCount: 1 << 20, in: machine.memory)
            let blocks = try MemoryBlocks(in: region, blockByteCount: 1 << 16, requestedByteCount: 1 << 20)
            try blocks.plug(0..<1 << 16)
            try machine.system.add(region, at: address)
        }
        try plug("vmem0", at: 1 << 32)
        let device = try machine.attach(0, to: machine.devices(.group, options))
        #expect(demands.value.isEmpty, "16 blocks and 7 other slots are 23")
        try plug("vmem1", at: 2 << 32)
        #expect(demands.value.count == 1)
        let demand = try #require(demands.value.first)
        #expect(demand.sections.map(\.name) == ["vmem0", "vmem1"])
        #expect(demand.mappingCount == 16 + 16 + 6 && demand.limit == 30 && demand.shortfall == 8)
        #expect(demand.description.contains("remedy: vmem0 in blocks of 128 KiB"))
        // Nothing has failed: what is plugged is reached.
        #expect(machine.probers[0].read(at: 2 << 32) != nil)
        // On an iommufd there is no limit.
        demands.value = []
        let other = try machine.attach(3, to: machine.devices(.cdev, options))
        #expect(demands.value.isEmpty)
        device.detach()
        other.detach()
    }
}
