import DeviceModel
import IOVASpace
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@Suite("Moving a device of the software kernel")
struct MigrationTests {
    private static let address = PCIAddress(bus: 1, device: 0, function: 0)

    private struct Bench {
        let model = Educational.express()
        let host: SoftwareHost
        let device: Device

        init(driver: String = "software-vfio-pci") throws {
            var machine = MachineDescription()
            machine.groups = [
                IOMMUGroup(1, devices: [PCIDevice(model, at: MigrationTests.address, driver: driver)])
            ]
            host = try SoftwareHost(machine)
            device = try Device(opening: MigrationTests.address, on: host, .group)
            try device.setMemoryEnabled(true)
            try device.setBusMaster(true)
        }
    }

    private func errno(_ body: () throws(VFIOError) -> Void) -> Errno? {
        do throws(VFIOError) {
            try body()
            return nil
        } catch {
            return error.errno
        }
    }

    @Test("E.1 vfio-pci itself moves nothing, and logs nothing; a variant of it does")
    func variants() throws {
        let plain = try Bench(driver: "vfio-pci")
        #expect(try plain.device.migrationCapabilities() == [])
        #expect(try plain.device.migrationDataSize() == nil)
        #expect(try !plain.device.has(.dmaLoggingStart, .set))
        #expect(try !plain.device.enablePrecopyFlags())
        #expect(errno { () throws(VFIOError) in try plain.device.setMigrationState(.stop) } == .noSuchRequest)
        let variant = try Bench()
        #expect(try variant.device.migrationCapabilities() == [.stopCopy, .p2p, .preCopy])
        #expect(try variant.device.migrationState() == .running)
        #expect(try variant.device.has(.dmaLoggingStart, .set))
        #expect(try variant.device.enablePrecopyFlags())
        #expect((try variant.device.migrationDataSize() ?? 0) > 4096)
    }

    @Test("E.3 a device goes on where another one stopped, with the registers of its own machine")
    func moves() throws {
        let from = try Bench()
        let to = try Bench()
        let registers = try from.device.region(.bar0)
        try registers.store32(0x08, 6)
        try registers.store32(0x04, 0x1234)
        let out = try #require(try from.device.setMigrationState(.preCopy))
        #expect((try out.precopyInfo()?.initialBytes ?? 0) > 0)
        var stream = try out.readAll()
        #expect(try out.precopyInfo()?.initialBytes == 0)
        // It works still.
        try registers.store32(0x04, 0x5678)
        #expect(try from.device.setMigrationState(.preCopyP2P) == nil)
        #expect(try from.device.setMigrationState(.stopCopy) == nil, "the same way goes on")
        #expect(try registers.load32(0x04) == .max, "it is stopped")
        #expect(errno { () throws(VFIOError) in _ = try out.precopyInfo() } == .invalid)
        stream += try out.readAll()
        #expect(errno { () throws(VFIOError) in try out.write([1]) } == .badDescriptor)
        #expect(errno { () throws(VFIOError) in try from.device.setMigrationState(.preCopy) } == .invalid)

        let into = try #require(try to.device.setMigrationState(.resuming))
        #expect(errno { () throws(VFIOError) in _ = try into.readAll() } == .badDescriptor)
        try into.write(stream)
        try to.device.configuration.setCommand(.interruptLineDisabled, true)
        try to.device.setMigrationState(.running)
        #expect(try to.device.configuration.command.contains([.memory, .busMaster, .interruptLineDisabled]))
        #expect(try to.device.region(.bar0).load32(0x08) == 720)
        #expect(try to.device.region(.bar0).load32(0x04) == ~UInt32(0x5678))
        #expect(errno { () throws(VFIOError) in try into.write([1]) } == .noDevice, "it is over")

        try from.device.setMigrationState(.running)
        #expect(try registers.load32(0x04) == ~UInt32(0x5678), "the first one can go on too")
        #expect(errno { () throws(VFIOError) in _ = try out.readAll() } == .noDevice)
    }

    @Test("E.3 what isn't the state of such a device is refused, and a reset brings it back to running")
    func refuses() throws {
        let bench = try Bench()
        let into = try #require(try bench.device.setMigrationState(.resuming))
        try into.write([1, 2, 3])
        #expect(errno { () throws(VFIOError) in try bench.device.setMigrationState(.running) } == .invalid)
        #expect(try bench.device.migrationState() == .resuming)
        try bench.device.reset()
        #expect(try bench.device.migrationState() == .running)
        #expect(errno { () throws(VFIOError) in try into.write([1]) } == .noDevice)
        for state: UInt32 in [0, 8, .max] {
            #expect(
                errno { () throws(VFIOError) in
                    try bench.device.setMigrationState(MigrationState(rawValue: state))
                } == .invalid)
        }
    }

    @Test(
        "E.6 a device that failed is brought back to running from everywhere, also where it offers no reset")
    func comesBack() throws {
        for phase: MigrationPhase in [.stopCopy, .preCopy, .resuming, .runningP2P] {
            let bench = try Bench()
            try bench.host.failNextMove(of: Self.address, entering: phase)
            let state = MigrationState(rawValue: phase.rawValue)
            #expect(
                errno { () throws(VFIOError) in try bench.device.setMigrationState(state) } == .inputOutput)
            #expect(try bench.device.migrationState() == .error)
            try bench.device.resetOutOfMigration()
            #expect(try bench.device.migrationState() == .running)
            try bench.device.region(.bar0).store32(0x04, 1)
            #expect(try bench.device.region(.bar0).load32(0x04) == ~UInt32(1), "it works")
        }
        let plain = try Bench(driver: "vfio-pci")
        #expect(errno { () throws(VFIOError) in try plain.device.resetOutOfMigration() } == .noSuchRequest)
        #expect(throws: Errno.noSuchRequest) {
            try plain.host.failNextMove(of: Self.address, entering: .stop)
        }
        #expect(throws: Errno.noDevice) {
            try plain.host.failNextMove(
                of: PCIAddress(bus: 9, device: 0, function: 0), entering: .stop)
        }
    }

    @Test("E.2 a device that may not write to others holds a transfer back until it may, also elsewhere")
    func sparesPeers() throws {
        let from = try Bench()
        let memory = try from.device.addressSpace.allocate(byteCount: pageSize, access: [.read, .write])
        let registers = try from.device.region(.bar0)
        try registers.store64(0x80, 0x40000)
        try registers.store64(0x88, memory.iova.rawValue)
        try registers.store64(0x90, 8)
        memory.window.store64(0, 7)
        try from.device.setMigrationState(.runningP2P)
        try registers.store64(0x98, 3)
        #expect(try registers.load64(0x98) & 1 == 1, "it waits")
        try registers.store64(0x90, 16)
        #expect(try registers.load64(0x90) == 8, "its registers are locked")
        try from.device.setMigrationState(.stop)
        try from.device.setMigrationState(.runningP2P)
        #expect(memory.window.load64(0) == 7)
        let out = try #require(try from.device.setMigrationState(.stopCopy))
        let state = try out.readAll()
        let to = try Bench()
        let other = try to.device.addressSpace.allocate(byteCount: pageSize, access: [.read, .write])
        #expect(other.iova == memory.iova)
        other.window.store64(0, 8)
        let into = try #require(try to.device.setMigrationState(.resuming))
        try into.write(state)
        try to.device.setMigrationState(.runningP2P)
        #expect(other.window.load64(0) == 8)
        try to.device.setMigrationState(.running)
        #expect(other.window.load64(0) == 0, "the buffer's zeros have arrived")
        #expect(memory.window.load64(0) == 7)
        try from.device.setMigrationState(.running)
        #expect(memory.window.load64(0) == 0)
    }

    @Test("E.5 the pages that a device writes are logged, told once, and told again when written again")
    func logs() throws {
        let bench = try Bench()
        let memory = try bench.device.addressSpace.allocate(byteCount: 8 * pageSize, access: [.read, .write])
        let registers = try bench.device.region(.bar0)
        func write(_ offset: UInt64, _ count: UInt64) throws {
            try registers.store64(0x80, 0x40000)
            try registers.store64(0x88, memory.iova.rawValue + offset)
            try registers.store64(0x90, count)
            try registers.store64(0x98, 3)
        }
        let range = try #require(IOVARange(memory.iova, byteCount: UInt64(8 * pageSize)))
        func pages(_ range: IOVARange, _ size: UInt64 = 4096) throws -> [UInt64] {
            try bench.device.takeLoggedPages(in: range, pageSize: size).words
        }
        #expect(errno { () throws(VFIOError) in _ = try bench.device.takeLoggedPages(in: range) } == .invalid)
        try write(0, 8)
        #expect(try bench.device.startDMALogging(of: [range]) == 4096)
        #expect(errno { () throws(VFIOError) in try bench.device.startDMALogging(of: [range]) } == .invalid)
        #expect(try pages(range) == [0])
        try write(4096 - 8, 16)
        try write(5 * 4096, 4096)
        // Reading marks nothing.
        try registers.store64(0x80, memory.iova.rawValue + 7 * 4096)
        try registers.store64(0x88, 0x40000)
        try registers.store64(0x98, 1)
        let first = try #require(IOVARange(memory.iova, byteCount: 4096))
        #expect(try pages(first) == [1])
        #expect(try pages(range) == [0b100010])
        #expect(try pages(range) == [0])
        try write(3 * 4096, 8)
        // Larger pages are told too, and forget no part that wasn't told.
        #expect(try pages(range, 8192) == [0b10])
        try bench.device.stopDMALogging()
        try bench.device.stopDMALogging()
        try bench.device.startDMALogging(of: [range])
        try bench.device.reset()
        #expect(errno { () throws(VFIOError) in _ = try bench.device.takeLoggedPages(in: range) } == .invalid)
    }
}
