import HostTestSupport
import IOVASpace
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@Suite("Who tells which pages were written")
struct WriteTrackingTests {
    private final class Bench {
        let host: FaultyHost
        var devices: [Device] = []
        let space: AddressSpace
        let memory: DMAMemory
        var range: IOVARange { IOVARange(memory.iova, byteCount: UInt64(8 * pageSize)) ?? .all }

        /// Devices with these drivers, in one address space.
        init(_ drivers: [String]) throws {
            var machine = MachineDescription()
            for (index, driver) in drivers.enumerated() {
                let address = PCIAddress(bus: UInt8(index + 1), device: 0, function: 0)
                machine.groups.append(
                    IOMMUGroup(
                        index + 1, devices: [PCIDevice(Educational.express(), at: address, driver: driver)]))
            }
            host = FaultyHost(try SoftwareHost(machine))
            space = try AddressSpace(on: host, .group)
            for index in drivers.indices {
                let address = PCIAddress(bus: UInt8(index + 1), device: 0, function: 0)
                let device = try Device(opening: address, in: space)
                try device.setMemoryEnabled(true)
                try device.setBusMaster(true)
                devices.append(device)
            }
            memory = try space.allocate(byteCount: 8 * pageSize, access: [.read, .write])
        }

        /// Lets a device write a few bytes.
        func write(_ device: Int, page: UInt64) throws {
            let registers = try devices[device].region(.bar0)
            try registers.store64(0x80, 0x40000)
            try registers.store64(0x88, memory.iova.rawValue + page * 4096)
            try registers.store64(0x90, 8)
            try registers.store64(0x98, 3)
        }
    }

    @Test("the devices' own logs are asked where all of them keep one, and put together")
    func devices() throws {
        let bench = try Bench(["software-vfio-pci", "software-vfio-pci"])
        let tracking = try bench.space.trackWrites(by: bench.devices, in: [bench.range])
        #expect(tracking.source == .devices)
        #expect(tracking.ranges == [bench.range])
        #expect(try tracking.takeWrittenPages(in: bench.range).words == [0])
        try bench.write(0, page: 1)
        try bench.write(1, page: 1)
        try bench.write(1, page: 6)
        #expect(try tracking.takeWrittenPages(in: bench.range).words == [0b0100_0010])
        #expect(try tracking.takeWrittenPages(in: bench.range).words == [0])
        let other = try #require(IOVARange(IOVA(1 << 30), byteCount: 4096 * 65))
        #expect(try tracking.takeWrittenPages(in: other).words == [.max, 1], "it isn't watched")
        tracking.stop()
        tracking.stop()
        // The logs are free again.
        let again = try bench.space.trackWrites(by: bench.devices, in: [bench.range])
        #expect(again.source == .devices)
    }

    @Test("the IOMMU is asked where a device keeps no log")
    func iommu() throws {
        let bench = try Bench(["software-vfio-pci", "vfio-pci"])
        let tracking = try bench.space.trackWrites(by: bench.devices, in: [bench.range])
        #expect(tracking.source == .iommu)
        #expect(try tracking.takeWrittenPages(in: bench.range).count == 8, "what type 1 says of pinned pages")
        tracking.stop()
        #expect(try bench.devices[0].startDMALogging(of: [bench.range]) == 4096, "its log wasn't touched")
    }

    @Test("where nobody knows, everything was written")
    func everything() throws {
        let bench = try Bench(["vfio-pci"])
        bench.host.fail(.control(UInt32(Request.iommuDirtyPages.rawValue)), with: .noSuchRequest)
        let tracking = try bench.space.trackWrites(by: bench.devices, in: [bench.range])
        #expect(tracking.source == .everything)
        for _ in 0..<2 { #expect(try tracking.takeWrittenPages(in: bench.range).words == [0xff]) }
        let half = try #require(IOVARange(bench.range.first, byteCount: 100))
        #expect(throws: VFIOError.self) { try tracking.takeWrittenPages(in: half) }
        #expect(throws: VFIOError.self) { try tracking.takeWrittenPages(in: .all) }
        #expect(throws: VFIOError.self) { try bench.space.trackWrites(by: bench.devices, in: [half]) }
    }

    @Test("it ends when it goes, and a log that was begun is not left behind where another can't be had")
    func ends() throws {
        let bench = try Bench(["software-vfio-pci", "software-vfio-pci"])
        try bench.devices[1].startDMALogging(of: [bench.range])
        var tracking: WriteTracking? = try bench.space.trackWrites(by: bench.devices, in: [bench.range])
        #expect(tracking?.source == .iommu)
        try bench.devices[1].stopDMALogging()
        tracking = nil
        tracking = try bench.space.trackWrites(by: bench.devices, in: [bench.range])
        #expect(tracking?.source == .devices)
        withExtendedLifetime(tracking) {}
    }
}
