import DeviceModel
import Glibc
import IOVASpace
import LinuxSystem
import NVMeController
import NVMeDriver
import Testing
import VFIO
import VFIOABI
import VFIOHost

@testable import VFIOUser

@Suite("A host behind a socket")
struct HostTests {
    /// A test device behind a server, opened by the typed API.
    private final class Bench {
        let model: TestDevice
        let running: RunningServer
        let host: VFIOUserHost
        let device: Device

        init() throws {
            model = try TestDevice()
            running = try RunningServer(try Server(model, at: unusedSocketPath()))
            host = try VFIOUserHost(connecting: try #require(running.server.path))
            device = try Device(opening: VFIOUserHost.deviceAddress, on: host)
            try device.setMemoryEnabled(true)
            try device.setBusMaster(true)
        }
    }

    @Test("shows its device in an inventory, and opens it by container and group")
    func opening() throws {
        let bench = try Bench()
        let inventory = try bench.host.inventory()
        #expect(inventory.devices.map(\.vendor) == [0x1234])
        #expect(inventory.devices.map(\.device) == [0x4242])
        #expect(inventory.devices.map(\.classCode) == [0xff0000])
        #expect(bench.device.route.kind == .group)
        #expect(bench.device.canReset)
        #expect(throws: Errno.busy) { _ = try bench.host.open(.group(0)) }
        #expect(throws: Errno.noSuchEntry) { _ = try bench.host.open(.group(1)) }
        #expect(throws: Errno.noSuchEntry) { _ = try bench.host.open(.iommu) }
    }

    @Test("reads and writes registers by messages, and maps what the server shares")
    func regions() throws {
        let bench = try Bench()
        let registers = try bench.device.region(.bar0)
        try registers.store32(0x40, 0xcafe_f00d)
        #expect(try registers.load32(0x40) == 0xcafe_f00d)
        let shared = try bench.device.region(.bar2)
        #expect(shared.mappedAreas.map(\.offset) == [0xe000])
        try shared.store32(0xe010, 77)
        #expect(bench.model.memory.mapping.window.load32(0xe010) == 77, "the same memory")
        #expect(!bench.model.accesses.contains { $0.hasPrefix("write 2:") }, "without a message")
    }

    @Test("lets the device reach memory that was allocated for it, until it is released")
    func dma() throws {
        let bench = try Bench()
        let registers = try bench.device.region(.bar0)
        let memory = try bench.device.addressSpace.allocate(byteCount: 8192)
        memory.window.store64(8, 0x1234_5678_9abc_def0)
        try registers.store64(Int(TestDevice.Trigger.address), memory.iova.rawValue + 8)
        try registers.store32(Int(TestDevice.Trigger.load), 1)
        #expect(try registers.load64(Int(TestDevice.Trigger.data)) == 0x1234_5678_9abc_def0)
        try registers.store64(Int(TestDevice.Trigger.store), 42)
        #expect(memory.window.load64(8) == 42)
        try memory.release()
        try registers.store32(Int(TestDevice.Trigger.load), 1)
        #expect(bench.model.faults.count == 1)
    }

    @Test("delivers interrupts, also where a message of the protocol hasn't room for all eventfds")
    func interrupts() throws {
        let bench = try Bench()
        let registers = try bench.device.region(.bar0)
        let interrupts = try bench.device.enableInterrupts(.msix, count: 70)
        for vector in [0, 15, 16, 69] {
            try registers.store32(Int(TestDevice.Trigger.vector), UInt32(vector))
            #expect(try interrupts.wait(vector, milliseconds: 5000) == 1)
        }
        #expect(throws: VFIOError.self) { _ = try bench.device.enableInterrupts(.msi, count: 1) }
    }

    @Test("resets the device when it is opened and when it is closed, which takes its interrupts away")
    func closing() throws {
        let model = try TestDevice()
        let running = try RunningServer(try Server(model, at: unusedSocketPath()))
        let host = try VFIOUserHost(connecting: try #require(running.server.path))
        do {
            let device = try Device(opening: VFIOUserHost.deviceAddress, on: host)
            let interrupts = try device.enableInterrupts(.msix, count: 1)
            try interrupts.trigger(0)
            let memory = try device.addressSpace.allocate(byteCount: 4096)
            #expect(host.device.mappings.count == 1)
            #expect(memory.byteCount == 4096)
        }
        #expect(model.resets == [.function, .function])
        #expect(host.device.mappings.count == 0)
        _ = try Device(opening: VFIOUserHost.deviceAddress, on: host)
    }

    @Test("refuses what Linux refuses, by the same errnos")
    func refusals() throws {
        let running = try RunningServer(try Server(try TestDevice(), at: unusedSocketPath()))
        let host = try VFIOUserHost(connecting: try #require(running.server.path))
        let container = try Container(on: host)
        #expect(throws: Errno.invalid) { try container.setIOMMU(.type1v2) }
        #expect(throws: Errno.invalid) { _ = try container.info() }
        let group = try Group(0, on: host)
        #expect(throws: Errno.invalid) { _ = try group.openDevice("0000:00:00.0") }
        try group.setContainer(container)
        try container.setIOMMU(.type1v2)
        #expect(throws: Errno.noDevice) { _ = try group.openDevice("0000:00:00.1") }
        let memory = try Mapping(anonymous: 2 * pageSize)
        let range = try #require(IOVARange(IOVA(0x10000), byteCount: UInt64(2 * pageSize)))
        let first = try #require(IOVARange(IOVA(0x10000), byteCount: UInt64(pageSize)))
        #expect(throws: Errno.badAddress) {
            try container.map(HostAddress(rawValue: 0x1000), to: range, [.read])
        }
        try container.map(memory.window.address, to: range, [.read, .write])
        #expect(throws: Errno.exists) { try container.map(memory.window.address, to: first, [.read]) }
        #expect(throws: Errno.invalid) { _ = try container.unmap(first) }
        let device = try group.openDevice("0000:00:00.0")
        #expect(throws: Errno.busy) { try group.unsetContainer() }
        #expect(try device.control(UInt32(Request.deviceReset.rawValue)) == 0)
        #expect(throws: Errno.badAddress) {
            _ = try device.control(UInt32(Request.deviceGetInfo.rawValue), 8)
        }
        #expect(throws: Errno.noSuchRequest) {
            _ = try device.control(UInt32(Request.iommuMapDMA.rawValue) + 90)
        }
        #expect(try container.unmap(range) == UInt64(2 * pageSize))
        #expect(throws: Errno.badDescriptor) { _ = try host.control(9999, 0, 0) }
    }

    @Test(
        "drives an NVMe disk: what is written is read back, by interrupts and by polling",
        arguments: [ControllerOptions.InterruptChoice.msix, .pin, .polling])
    func nvme(_ choice: ControllerOptions.InterruptChoice) throws {
        let disk = NVMeController([try NVMeNamespace(try MemoryStore(byteCount: 4 << 20))])
        let running = try RunningServer(try Server(disk, at: unusedSocketPath()))
        let host = try VFIOUserHost(connecting: try #require(running.server.path))
        var options = ControllerOptions()
        options.interrupts = choice
        let ssd = try Controller(opening: "0000:00:00.0", on: host, options)
        let bytes = (0..<100 * 512).map { UInt8(truncatingIfNeeded: $0 / 5) }
        try ssd.write(blocks: 17..<117, from: bytes)
        #expect(try ssd.read(blocks: 17..<117) == bytes)
        #expect(try ssd.read(blocks: 117..<118) == [UInt8](repeating: 0, count: 512))
        try ssd.close()
    }

    @Test("tells once that the server has gone, and sets everything up again in one that comes back")
    func reconnecting() throws {
        let path = unusedSocketPath()
        var running: RunningServer? = try RunningServer(try Server(try TestDevice(), at: path))
        let host = try VFIOUserHost(connecting: path)
        let device = try Device(opening: VFIOUserHost.deviceAddress, on: host)
        let memory = try device.addressSpace.allocate(byteCount: 4096)
        let interrupts = try device.enableInterrupts(.msix, count: 20)
        let registers = try device.region(.bar0)
        let shared = try device.region(.bar2)
        running?.stop()
        running = nil
        func reason(_ body: () throws(VFIOError) -> Void) -> Errno? {
            do throws(VFIOError) {
                try body()
                return nil
            } catch {
                return error.errno
            }
        }
        func load() throws(VFIOError) { _ = try registers.load32(0x40) }
        #expect(reason(load) == .connectionReset)
        #expect(reason(load) == .noSuchEntry, "nobody is there")
        let model = try TestDevice()
        running = try RunningServer(try Server(model, at: path))
        #expect(reason(load) == nil)
        try device.setMemoryEnabled(true)
        try device.setBusMaster(true)
        try registers.store64(Int(TestDevice.Trigger.address), memory.iova.rawValue)
        try registers.store64(Int(TestDevice.Trigger.store), 99)
        #expect(memory.window.load64(0) == 99)
        try registers.store32(Int(TestDevice.Trigger.vector), 19)
        #expect(try interrupts.wait(19, milliseconds: 5000) == 1)
        try shared.store32(0xe000, 5)
        #expect(model.memory.mapping.window.load32(0xe000) == 5, "the new server's memory")
        withExtendedLifetime(running) {}
    }

    @Test("doesn't take another device for the one that was there")
    func exchanged() throws {
        let path = unusedSocketPath()
        var running: RunningServer? = try RunningServer(try Server(try TestDevice(), at: path))
        let host = try VFIOUserHost(connecting: path)
        let device = try Device(opening: VFIOUserHost.deviceAddress, on: host)
        running?.stop()
        running = nil
        running = try RunningServer(try Server(try TestDevice(vectors: 3), at: path))
        #expect(throws: VFIOError.self) { try device.reset() }
        do throws(VFIOError) {
            try device.reset()
            Issue.record("it was taken")
        } catch {
            #expect(error.errno == .noDevice)
        }
        withExtendedLifetime(running) {}
    }
}
