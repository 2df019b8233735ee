import HostTestSupport
import IOVASpace
import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOABI

@testable import VFIOGuest

/// The faults of chapter 1.22 that are about sections that come and go; a test for the absence of each.
@Suite("Sections that fail, go as they came")
struct SectionFaultTests {
    private func bar(_ machine: FaultyMachine) throws -> MemoryRegion {
        try MemoryRegion(
            "bar", .ramDevice(RAMBlock("bar", byteCount: pageSize)), byteCount: UInt128(pageSize),
            in: machine.machine.memory)
    }

    private func outcomes(_ device: GuestDevice) -> [String] {
        (device.container?.mapper.outcomes ?? []).map { section, outcome in
            switch outcome {
            case .mapped: "\(section.region.name): mapped"
            case .skipped(let reason): "\(section.region.name): \(reason)"
            case .unreachable(let error): "\(section.region.name): unreachable, \(error.code)"
            case .failed(let error): "\(section.region.name): failed, \(error.code)"
            case .followed: "\(section.region.name): followed"
            }
        }
    }

    @Test(
        "Fault 5: What is known of a device that can't be reached goes with its section, however often it comes"
    )
    func errorsGo() throws {
        let machine = try FaultyMachine()
        let device = try machine.attach { _ in Issue.record("not a failure") }
        machine.host.fail(.control(UInt32(Request.iommuMapDMA.rawValue)), with: .badAddress)
        let bar = try bar(machine)
        for _ in 0..<100 {
            try machine.machine.system.add(bar, at: 0x8000)
            #expect(outcomes(device) == ["bar: unreachable, badMemory"])
            try machine.machine.system.remove(bar)
            #expect(outcomes(device) == [])
        }
    }

    @Test("Fault 6: Device memory outside the windows goes as quietly as it came")
    func deviceOutsideWindow() throws {
        let machine = try FaultyMachine()
        let device = try machine.attach { _ in Issue.record("not a failure") }
        let bar = try bar(machine)
        for place in [0xfee0_0000, 0x1_0000_0000_0000] as [UInt64] {
            try machine.machine.system.add(bar, at: place)
            #expect(outcomes(device) == ["bar: unreachable, outsideAperture"])
            try machine.machine.system.remove(bar)
        }
        #expect(machine.maps.value.isEmpty && machine.unmaps.value.isEmpty)
        try machine.machine.system.add(bar, at: 0x8000)
        #expect(outcomes(device) == ["bar: mapped"])
    }

    @Test("Fault 7: A section that fails is let go exactly once: the memory lives until its last owner goes")
    func references() throws {
        let machine = try FaultyMachine()
        let failures = Box(0)
        let device = try machine.attach { _ in failures.value += 1 }
        weak var block: RAMBlock?
        weak var region: MemoryRegion?
        do {
            let ram = try machine.machine.ram("ram", pages: 1)
            block = ram.block
            region = ram
            for round in 0..<10 {
                // Fails before anything is mapped, by the host, and not at all.
                if round % 3 == 1 {
                    machine.host.fail(.control(UInt32(Request.iommuMapDMA.rawValue)), with: .noMemory)
                }
                try machine.machine.system.add(ram, at: round % 3 == 0 ? 0xfee0_0000 : 0x4000)
                #expect(region?.block === ram.block)
                try machine.machine.system.remove(ram)
                #expect(ram.block?.window.load64(0) == 0)
                machine.host.healAll()
            }
            try machine.machine.system.add(ram, at: 0x4000)
        }
        #expect(block != nil && region != nil, "what is mapped stays")
        #expect(machine.machine.probers[0].write(1, at: 0x4000))
        if let last = machine.machine.system.subregions.first { try machine.machine.system.remove(last) }
        #expect(block == nil && region == nil)
        #expect(failures.value == 7)
        withExtendedLifetime(device) {}
    }

    @Test("Fault 9: Windows are the host's, asked for anew by each connection, and none is left over")
    func windows() throws {
        let machine = try FaultyMachine()
        var counts: [Int] = []
        for _ in 0..<5 {
            let device = try machine.attach()
            counts.append(try #require(device.container).mapper.windows.count)
            device.detach()
        }
        #expect(counts == [2, 2, 2, 2, 2])
        // One with other windows than before.
        machine.amendInfo { $0.capabilityOffset = 0 }
        #expect(try machine.attach().container?.mapper.windows.count == 1)
        #expect(machine.isIdle)
    }

    @Test(
        "Fault 15: Of a mapping that is tried again the second answer is told, not that of the clearing in between",
        arguments: [Errno.busy, .exists])
    func retried(errno: Errno) throws {
        let machine = try FaultyMachine()
        try machine.ram(pages: 1, at: 0x4000)
        let count = Box(0)
        machine.host.answer(.iommuMapDMA) { _ in
            count.value += 1
            return .failure(count.value == 1 ? errno : .noSpace)
        }
        machine.host.fail(.control(UInt32(Request.iommuUnmapDMA.rawValue)), with: .inputOutput)
        let error = thrown { () throws(VFIOGuestError) in
            try machine.devices.attach(GuestMachine.address(0), to: machine.machine.space)
        }
        #expect(error?.errno == .noSpace)
        #expect(machine.maps.value.map(\.iova) == [0x4000, 0x4000])
        #expect(machine.unmaps.value == [DMAUnmap(iova: 0x4000, size: 4096)])
    }

    @Test("1.4 A place that the host calls taken is cleared and tried once more; other answers are final")
    func onlyWhereTaken() throws {
        for errno in [Errno.noMemory, .noSpace, .invalid, .badAddress] {
            let machine = try FaultyMachine()
            try machine.ram(pages: 1, at: 0x4000)
            machine.host.fail(.control(UInt32(Request.iommuMapDMA.rawValue)), with: errno)
            let error = thrown { () throws(VFIOGuestError) in
                try machine.devices.attach(GuestMachine.address(0), to: machine.machine.space)
            }
            #expect(error?.errno == errno)
            #expect(machine.host.allCalls.count { $0 == .control(UInt32(Request.iommuMapDMA.rawValue)) } == 1)
        }
    }

    /// RAM that is plugged in blocks, some of which are.
    private func blocks(_ machine: FaultyMachine) throws -> (region: MemoryRegion, blocks: MemoryBlocks) {
        let region = try ramRegion(byteCount: 1 << 20, in: machine.machine.memory)
        let blocks = try MemoryBlocks(in: region, blockByteCount: 1 << 16, requestedByteCount: 1 << 20)
        try blocks.plug(0..<3 << 16)
        return (region, blocks)
    }

    /// Lets every mapping but the first ones fail.
    private func refuse(_ machine: FaultyMachine, after count: Int) {
        let done = Box(0)
        machine.host.answer(.iommuMapDMA) { _ in
            done.value += 1
            return done.value > count ? .failure(.noMemory) : nil
        }
    }

    @Test("Fault 20: Plugged memory that can't be mapped on the way in fails the connection")
    func populateAtConnection() throws {
        let machine = try FaultyMachine()
        let (region, _) = try blocks(machine)
        try machine.machine.system.add(region, at: 1 << 32)
        refuse(machine, after: 2)
        let error = thrown { () throws(VFIOGuestError) in
            try machine.devices.attach(GuestMachine.address(0), to: machine.machine.space)
        }
        #expect(error?.errno == .noMemory && error?.object.contains("vmem0") == true)
        #expect(region.discardManager?.listenerCount == 0 && machine.isIdle)
    }

    @Test(
        "Fault 20: Plugged memory that can't be mapped when it is moved into view is told, and nothing of it stays"
    )
    func populateAtRunTime() throws {
        let machine = try FaultyMachine()
        let (region, blocks) = try blocks(machine)
        let failures = Box<[DMAMapper.Failure]>([])
        let device = try machine.attach { failure in failures.change { $0.append(failure) } }
        refuse(machine, after: 2)
        try machine.machine.system.add(region, at: 1 << 32)
        #expect(failures.value.map(\.error.errno) == [.noMemory])
        #expect(failures.value.first?.section.region === region)
        #expect(device.container?.iommu.mappingCount == 0)
        #expect(region.discardManager?.listenerCount == 0)
        machine.host.healAll()
        try machine.machine.system.remove(region)
        try machine.machine.system.add(region, at: 1 << 32)
        #expect(machine.machine.probers[0].read(at: 1 << 32) != nil)
        try blocks.unplugAll()
    }
}
