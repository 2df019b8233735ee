import DeviceModel
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@Suite("Moving a device by version 1 of migration")
struct HistoricMigrationTests {
    private static let address = PCIAddress(bus: 1, device: 0, function: 0)

    private func open(driver: String = "historic-vfio-pci") throws -> (SoftwareHost, Device) {
        var machine = MachineDescription()
        machine.groups = [
            IOMMUGroup(1, devices: [PCIDevice(Educational.express(), at: Self.address, driver: driver)])
        ]
        let host = try SoftwareHost(machine)
        let device = try Device(opening: Self.address, on: host, .group)
        try device.setMemoryEnabled(true)
        return (host, device)
    }

    @Test("E.7 a device goes on where another one stopped, with what changed while its state went out")
    func moves() throws {
        let (_, source) = try open()
        let (_, target) = try open()
        let from = try #require(try source.historicMigration())
        let to = try #require(try target.historicMigration())
        #expect(try source.migrationCapabilities() == [], "it has no version 2")
        #expect(try from.state() == .running)
        let registers = try source.region(.bar0)
        try registers.store32(0x08, 5)
        try from.setState([.running, .saving])
        var state = try from.takeAll()
        #expect(!state.isEmpty)
        try registers.store32(0x08, 6)
        try from.setState(.saving)
        #expect(try registers.load32(0x08) == .max, "it is stopped")
        state += try from.takeAll()
        #expect(try from.pendingByteCount() == 0)
        try from.setState(.stop)
        try to.setState(.resuming)
        try to.give(state)
        try to.setState(.running)
        #expect(try target.region(.bar0).load32(0x08) == 720)
    }

    @Test("E.7 a device that wasn't made for it says that it can't be moved so")
    func none() throws {
        for driver in ["vfio-pci", "software-vfio-pci"] {
            let (_, device) = try open(driver: driver)
            #expect(try device.historicMigration() == nil)
        }
    }

    @Test("E.7 a failed device is told from one that refused, and a reset brings it back")
    func failures() throws {
        let (host, device) = try open()
        let way = try #require(try device.historicMigration())
        for state: LegacyMigrationState in [[.running, .resuming], [.saving, .resuming], .mask] {
            #expect(throws: VFIOError.self) { try way.setState(state) }
        }
        #expect(try way.state() == .running)
        try host.failNextMove(of: Self.address, entering: .stopCopy)
        do throws(VFIOError) {
            try way.setState(.saving)
            Issue.record("it didn't fail")
        } catch {
            #expect(error.errno == .inputOutput && error.remedy == "reset it")
        }
        #expect(try way.state().isError)
        try device.reset()
        #expect(try way.state() == .running)
        try way.setState(.resuming)
        try way.give([1, 2, 3])
        do throws(VFIOError) {
            try way.setState(.running)
            Issue.record("it took what isn't a state")
        } catch {
            #expect(error.errno == .invalid && error.remedy == nil)
        }
        #expect(try way.state() == .resuming)
    }

    @Test("E.7 a state longer than the device's window goes in packets")
    func packets() throws {
        let (_, device) = try open()
        let way = try #require(try device.historicMigration())
        try way.setState(.resuming)
        // More than the window, and more than a state has: refused where it becomes too much.
        do throws(VFIOError) {
            try way.give([UInt8](repeating: 0, count: 200_000))
            Issue.record("it took what isn't a state")
        } catch {
            #expect(error.errno == .noMemory || error.errno == .invalid)
        }
        #expect(try way.state() == .resuming)
    }
}
