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

    @Test("E.7 whatever is done to the registers, a reset brings the device back and it can be moved")
    func anything() throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("historic migration seed: \(seed)")
        var random = seed
        func below(_ limit: UInt64) -> UInt64 {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (random >> 33) % limit
        }
        let (_, device) = try open()
        let kind = Region.Kind(type: .migrationDeprecated, subtype: .migrationDeprecated)
        let region = try device.region(of: kind)
        var answered = 0
        for _ in 0..<3000 {
            let width = 1 << Int(below(4))
            let places: [UInt64] = [0, 0, 8, 16, 24, 0x1000, 0x1000 + below(0x10000), below(0x1100)]
            let offset = Int(places[Int(below(8))]) & ~(width - 1)
            do throws(VFIOError) {
                if below(2) == 0 {
                    _ = try region.loadThroughHost(offset, width: width)
                } else {
                    try region.storeThroughHost(offset, below(3) == 0 ? below(70000) : below(8), width: width)
                }
                answered += 1
            } catch {
                #expect(error.errno != nil || error.code == .outOfBounds, "\(error), seed \(seed)")
            }
        }
        #expect(answered > 100)
        try device.reset()
        let way = try #require(try device.historicMigration())
        #expect(try way.state() == .running, "seed \(seed)")
        try way.setState(.saving)
        let state = try way.takeAll()
        try way.setState(.resuming)
        try way.give(state)
        try way.setState(.running)
    }
}
