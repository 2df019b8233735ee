import DeviceModel
import IOVASpace
import LinuxSystem
import MovedMachine
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@testable import VFIOGuest

/// A device that can only be stopped and copied, as most are.
private final class Plain: DeviceModel, MigratableDevice {
    let function = PCIFunction(
        PCIIdentity(vendor: 0x1234, device: 0x567a, classCode: 0xff0000),
        bars: [0: BAR(.memory32, byteCount: 4096)])
    var word: UInt32 = 0

    var migratable: (any MigratableDevice)? { self }
    var migrationCapabilities: MigrationCapabilities { .stopCopy }
    var stateVersion: UInt16 { 1 }
    var stateByteLimit: Int { 4 }
    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 { UInt64(word) }
    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {
        word = UInt32(truncatingIfNeeded: value)
    }
    func reset(_ kind: ResetKind) { word = 0 }
    func saveState(to writer: inout StateWriter) { writer.append(word) }
    func loadState(from reader: inout StateReader) throws(MigrationError) {
        let word = try reader.next(UInt32.self)
        try reader.finish()
        self.word = word
    }
}

@Suite("A device that is moved")
struct MovableDeviceTests {
    private static func guest(
        _ models: [any DeviceModel], _ names: [String]
    ) throws -> (host: SoftwareHost, memory: GuestMemory, devices: [MovableDevice]) {
        var machine = MachineDescription()
        machine.groups = models.enumerated().map { index, model in
            IOMMUGroup(
                index + 1,
                devices: [PCIDevice(model, at: SmallMachine.address(index), driver: "software-vfio-pci")])
        }
        let host = try SoftwareHost(machine)
        let memory = GuestMemory()
        let system = try MemoryRegion("system", .container, byteCount: 1 << 64, in: memory)
        let space = GuestAddressSpace("memory", showing: system)
        try system.add(MemoryRegion(ram: RAMBlock("ram", byteCount: 4 * pageSize), in: memory), at: 0)
        let owner = GuestDevices(on: host, for: memory, .group)
        var devices: [MovableDevice] = []
        for index in models.indices {
            devices.append(
                MovableDevice(
                    try owner.attach(SmallMachine.address(index), to: space), named: names[index]))
        }
        return (host, memory, devices)
    }

    private final class Idle: GuestProcessors {
        func pause() {}
        func resume() {}
    }

    @Test("2.4 of several devices each has to spare the others; one alone need not")
    func peers() throws {
        let two = try Self.guest([Plain(), Educational.express()], ["plain", "edu"])
        let guest = MovableGuest(two.memory, blocks: [], devices: two.devices, processors: Idle())
        let blockers = guest.blockers()
        #expect(blockers.map(\.object) == ["plain"], "\(blockers)")
        #expect(blockers.first?.cause?.contains("P2P") == true)
        let alone = MovableGuest(two.memory, blocks: [], devices: [two.devices[0]], processors: Idle())
        #expect(alone.blockers() == [])
    }

    @Test("2.4 a device without P2P and pre-copy moves too, when it is stopped")
    func stopAndCopy() throws {
        let models = [Plain(), Plain()]
        let from = try Self.guest([models[0]], ["plain"])
        let to = try Self.guest([models[1]], ["plain"])
        try from.devices[0].device.setMemoryEnabled(true)
        try from.devices[0].device.region(.bar0).store32(0, 0x1234_5678)
        let ends = try Move.pair()
        let error = Box<GuestMigrationError?>(nil)
        let target = MovableGuest(to.memory, blocks: [], devices: to.devices, processors: Idle())
        let thread = Box<WorkerThread?>(
            try WorkerThread {
                do throws(GuestMigrationError) {
                    try GuestMigrationDestination(target)
                        .run(over: UnixSocket(owning: Descriptor(owning: ends.1)))
                } catch let failure {
                    error.value = failure
                }
            })
        try GuestMigrationSource(
            MovableGuest(from.memory, blocks: [], devices: from.devices, processors: Idle())
        ).run(over: UnixSocket(owning: Descriptor(owning: ends.0)))
        thread.value = nil
        #expect(error.value == nil, "\(String(describing: error.value))")
        // COMMAND came along: it answers.
        #expect(try to.devices[0].device.region(.bar0).load32(0) == 0x1234_5678)
    }

    @Test("2.4 a state that can't be set leads to the one to fall back to, or by a reset to running")
    func recovery() throws {
        let guest = try Self.guest([Educational.express()], ["edu"])
        let device = guest.devices[0]
        try device.prepare()
        #expect(device.state == .running)
        // Nothing happens, and nothing is asked.
        let all = guest.host.inject(FaultRule(.request(nil, .inputOutput)))
        try device.go(to: .running)
        guest.host.withdraw(all)
        func failing(_ count: UInt64, _ body: () throws -> Void) -> VFIOGuestError? {
            var error: VFIOGuestError?
            var tokens: [FaultToken] = []
            for number in 1...count {
                tokens.append(guest.host.inject(FaultRule(.request(nil, .inputOutput), .nth(number))))
            }
            do { try body() } catch let failure as VFIOGuestError { error = failure } catch {}
            for token in tokens { guest.host.withdraw(token) }
            return error
        }
        try device.go(to: .preCopy)
        #expect(failing(1) { try device.go(to: .stopCopy, orElse: .stop) }?.errno == .inputOutput)
        #expect(device.state == .stop && !device.wasReset)
        #expect(try device.device.migrationState() == .stop)
        #expect(device.data == nil)
        // The way back fails too.
        #expect(failing(2) { try device.go(to: .running, orElse: .runningP2P) }?.errno == .inputOutput)
        #expect(device.state == .running && device.wasReset && device.lossReason == nil)
        #expect(try device.device.migrationState() == .running)
        // And the reset.
        try device.prepare()
        #expect(failing(3) { try device.go(to: .stop, orElse: .runningP2P) }?.errno == .inputOutput)
        #expect(device.lossReason?.errno == .inputOutput && device.state == .error)
        try device.prepare()
        #expect(device.lossReason == nil && device.state == .running)
    }

    @Test("2.4 what a device has before it stops comes in pieces until nothing is left for now")
    func precopy() throws {
        let guest = try Self.guest([Educational.express()], ["edu"])
        let device = guest.devices[0]
        try device.prepare()
        #expect(device.capabilities == [.stopCopy, .p2p, .preCopy])
        try device.startPrecopy()
        #expect(device.state == .preCopy)
        #expect(try !device.hasSentInitialData(isEmptied: false))
        #expect(try device.estimate(isExact: false, unknown: 9) > 0)
        #expect(try device.estimate(isExact: true, unknown: 9) > 4096)
        var bytes = [UInt8](repeating: 0, count: 64)
        var sum = 0
        while true {
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            let progress = try device.read(into: &raw)
            guard case .bytes(let count) = progress else {
                #expect(progress == .nothingYet)
                break
            }
            sum += count
        }
        #expect(sum > 0)
        #expect(try device.hasSentInitialData(isEmptied: true))
        #expect(try device.estimate(isExact: false, unknown: 9) == 0)
        try device.go(to: .running)
        #expect(device.data == nil)
        #expect(throws: VFIOGuestError.self) { try device.write([1]) }
    }
}

/// A device that writes down what is asked of it.
private final class Spy: DeviceModel, MigratableDevice {
    let function = PCIFunction(
        PCIIdentity(vendor: 0x1234, device: 0x567b, classCode: 0xff0000),
        bars: [0: BAR(.memory32, byteCount: 4096)])
    let name: String
    let heard: Box<[String]>

    init(_ name: String, _ heard: Box<[String]>) {
        self.name = name
        self.heard = heard
    }

    private func hear(_ text: String) { heard.change { $0.append("\(text) \(name)") } }
    var migratable: (any MigratableDevice)? { self }
    var migrationCapabilities: MigrationCapabilities { [.stopCopy, .peerToPeer, .preCopy] }
    var stateVersion: UInt16 { 1 }
    var stateByteLimit: Int { 0 }
    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 { 0 }
    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {}
    func reset(_ kind: ResetKind) {}
    func freeze() { hear("freeze") }
    func thaw() { hear("thaw") }
    func sparePeers(_ spared: Bool) { hear(spared ? "spare" : "unspare") }
    func saveState(to writer: inout StateWriter) { hear("save") }
    func loadState(from reader: inout StateReader) throws(MigrationError) {
        try reader.finish()
        hear("load")
    }
}

private final class SpyProcessors: GuestProcessors {
    let heard: Box<[String]>
    init(_ heard: Box<[String]>) { self.heard = heard }
    func pause() { heard.change { $0.append("pause") } }
    func resume() { heard.change { $0.append("resume") } }
}

extension MovableDeviceTests {
    @Test("2.4 no device stops before all spare the others, and none writes to others before all run again")
    func order() throws {
        let heard = (Box<[String]>([]), Box<[String]>([]))
        let from = try Self.guest([Spy("a", heard.0), Spy("b", heard.0)], ["a", "b"])
        let to = try Self.guest([Spy("a", heard.1), Spy("b", heard.1)], ["a", "b"])
        let ends = try Move.pair()
        let target = MovableGuest(
            to.memory, blocks: [], devices: to.devices, processors: SpyProcessors(heard.1))
        let error = Box<GuestMigrationError?>(nil)
        let thread = Box<WorkerThread?>(
            try WorkerThread {
                do throws(GuestMigrationError) {
                    try GuestMigrationDestination(target)
                        .run(over: UnixSocket(owning: Descriptor(owning: ends.1)))
                } catch let failure {
                    error.value = failure
                }
            })
        heard.0.value = []
        try GuestMigrationSource(
            MovableGuest(
                from.memory, blocks: [], devices: from.devices, processors: SpyProcessors(heard.0))
        ).run(over: UnixSocket(owning: Descriptor(owning: ends.0)))
        thread.value = nil
        #expect(error.value == nil)
        #expect(
            heard.0.value.filter { !$0.hasPrefix("unspare") }
                == ["pause", "spare a", "spare b", "freeze a", "save a", "freeze b", "save b"])
        #expect(
            heard.1.value.suffix(9)
                == [
                    "load a", "load b", "spare a", "thaw a", "spare b", "thaw b", "unspare a", "unspare b",
                    "resume",
                ])
    }
}
