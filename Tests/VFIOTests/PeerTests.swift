import DeviceModel
import IOVASpace
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOHost

@Suite("Memory of one device that another reaches")
struct PeerTests {
    private let peer = PCIAddress(bus: 2, device: 0, function: 0)

    private func host() throws -> SoftwareHost {
        let sampler = try RegionSampler()
        let edu = Educational()
        return try SoftwareHost {
            IOMMUGroup(1) { PCIDevice(edu, at: benchAddress) }
            IOMMUGroup(2) { PCIDevice(sampler, at: peer) }
        }
    }

    /// Has edu copy eight bytes from one address to another.
    private func copy(_ edu: Region, from source: IOVA, to target: IOVA) throws {
        for (from, to, command) in [
            (source.rawValue, 0x40000, 1), (0x40000, target.rawValue, 3),
        ] as [(UInt64, UInt64, UInt64)] {
            try edu.store64(0x80, from)
            try edu.store64(0x88, to)
            try edu.store64(0x90, 8)
            try edu.store64(0x98, command)
            while try edu.load64(0x98) & 1 != 0 { Clock.sleep(nanoseconds: 100_000) }
        }
    }

    @Test("gets what is written, until it is taken back, and again once it is mapped anew")
    func write() throws {
        let space = try AddressSpace(on: try host(), .cdev)
        let device = try Device(opening: benchAddress, in: space)
        let other = try Device(opening: peer, in: space)
        try device.setBusMaster(true)
        try device.setMemoryEnabled(true)
        try other.setMemoryEnabled(true)
        let registers = try device.region(.bar0)
        // Through the host: what is mapped is gone while memory is off.
        let memory = try other.region(.bar2, mapped: false)
        let exported = try other.exportMemory(of: .bar2, [0x1000..<0x2000])
        let ours = try space.allocate(byteCount: pageSize, at: IOVA(0x20_0000))
        ours.window.store64(0, 0x1122_3344_5566_7788)
        var mapping: PeerMapping? = try space.map(exported, at: IOVA(0x10_0000))
        #expect(mapping?.range.byteCount == 0x1000)
        try copy(registers, from: IOVA(0x20_0000), to: IOVA(0x10_0000))
        #expect(try memory.load64(0x1000) == 0x1122_3344_5566_7788)

        try memory.store64(0x1000, 0)
        try other.setMemoryEnabled(false)
        let refused = failure { () throws(VFIOError) in try space.map(exported, at: IOVA(0x30_0000)) }
        #expect(refused?.errno == .noDevice)
        try other.setMemoryEnabled(true)
        try copy(registers, from: IOVA(0x20_0000), to: IOVA(0x10_0000))
        #expect(try memory.load64(0x1000) == 0, "it was taken back for good")

        mapping = nil
        mapping = try space.map(exported, at: IOVA(0x10_0000))
        try copy(registers, from: IOVA(0x20_0000), to: IOVA(0x10_0000))
        #expect(try memory.load64(0x1000) == 0x1122_3344_5566_7788)
        withExtendedLifetime(mapping) {}
        withExtendedLifetime(ours) {}
    }

    @Test("can be given to no container, and not twice to one place")
    func refused() throws {
        let host = try host()
        for choice in [RouteChoice.group, .cdev] {
            let space = try AddressSpace(on: host, choice)
            let device = try Device(opening: peer, in: space)
            try device.setMemoryEnabled(true)
            let exported = try device.exportMemory(of: .bar2, [0..<0x2000])
            if choice == .group {
                let failure = failure { () throws(VFIOError) in try space.map(exported, at: IOVA(0x10_0000)) }
                #expect(failure?.code == .notSupported)
                continue
            }
            let mapping = try space.map(exported, at: IOVA(0x10_0000))
            let again = failure { () throws(VFIOError) in try space.map(exported, at: IOVA(0x10_1000)) }
            #expect(again?.code == .overlap)
            withExtendedLifetime(mapping) {}
        }
    }

    @Test("outlives its descriptor, its device and its mapping in any order", arguments: 0..<4)
    func lifetimes(order: Int) throws {
        let host = try host()
        let space = try AddressSpace(on: host, .cdev)
        let device = try Device(opening: benchAddress, in: space)
        try device.setBusMaster(true)
        try device.setMemoryEnabled(true)
        let registers = try device.region(.bar0)
        let ours = try space.allocate(byteCount: pageSize, at: IOVA(0x20_0000))
        var other: Device? = try Device(opening: peer, in: space)
        try other?.setMemoryEnabled(true)
        var mapping: PeerMapping?
        if let exported = try other?.exportMemory(of: .bar2, [0..<0x1000]) {
            mapping = try space.map(exported, at: IOVA(0x10_0000))
            if order % 2 == 0 { other = nil }
        }
        if order < 2 { mapping = nil }
        try copy(registers, from: IOVA(0x20_0000), to: IOVA(0x10_0000))
        other = nil
        try copy(registers, from: IOVA(0x20_0000), to: IOVA(0x10_0000))
        withExtendedLifetime(mapping) {}
        withExtendedLifetime(ours) {}
    }
}
