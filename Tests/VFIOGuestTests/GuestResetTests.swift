import DeviceModel
import IOVASpace
import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@testable import VFIOGuest

@Suite("The devices of a guest are reset with the machine, and one by one")
struct GuestResetTests {
    private static let routes: [RouteChoice] = [.group, .cdev]

    @Test(
        "1.14 what has no reset worth its name is reset with its bus, everything else by itself, and each once",
        arguments: routes)
    func twoPasses(route: RouteChoice) throws {
        let machine = try ResetMachine(
            [
                ("0000:02:00.0", .none), ("0000:02:00.1", .functionLevel), ("0000:03:00.0", .functionLevel),
                ("0000:03:00.1", .functionLevel), ("0000:04:00.0", .power), ("0000:04:00.1", .power),
            ], route)
        let attached = try machine.attach(0, 1, 2, 3, 4, 5)
        defer { withExtendedLifetime(attached) {} }
        let before = machine.begin()
        let report = machine.devices.reset()
        #expect(report.errors == [] && report.unreset == [])
        #expect(
            machine.resets(since: before) == [[.bus], [.bus], [.function], [.function], [.bus], [.bus]])
        #expect(
            report.devices.map(\.method) == [
                .together(by: DeviceID(machine.addresses[0])), .together(by: DeviceID(machine.addresses[0])),
                .alone, .alone,
                .together(by: DeviceID(machine.addresses[4])), .together(by: DeviceID(machine.addresses[4])),
            ])
        #expect(report.devices.map(\.id.address) == machine.addresses)
    }

    @Test("1.14 the groups of all containers prove that a bus is the guest's")
    func severalContainers() throws {
        let machine = try ResetMachine([("0000:02:00.0", .none), ("0000:02:00.1", .none)])
        let other = GuestAddressSpace(
            "behind the IOMMU",
            showing: try MemoryRegion("other", .container, byteCount: 1 << 32, in: machine.memory))
        let first = try machine.attach(0)
        let second = try machine.devices.attach(machine.addresses[1], to: other)
        #expect(machine.devices.containers.count == 2)
        let before = machine.begin()
        #expect(machine.devices.reset().unreset == [])
        #expect(machine.resets(since: before) == [[.bus], [.bus]])
        withExtendedLifetime((first, second)) {}
    }

    @Test("1.14 a device that is alone on its bus is reset with it, without anybody else", arguments: routes)
    func aloneOnBus(route: RouteChoice) throws {
        let machine = try ResetMachine(
            [("0000:02:00.0", .none), ("0000:03:00.0", .power), ("0000:00:05.0", .power)], route)
        let attached = try machine.attach(0, 1, 2)
        let before = machine.begin()
        let report = machine.devices.reset()
        // Where the bus can't be reset, going through D3hot is better than nothing.
        #expect(machine.resets(since: before) == [[.bus], [.bus], [.power]])
        #expect(report.devices.map(\.method) == [.alone, .bus, .alone])
        #expect(report.errors == [])
        withExtendedLifetime(attached) {}
    }

    @Test(
        "1.14 a device whose bus has a function of somebody else's is named as not reset, and the others are",
        arguments: routes)
    func othersDevice(route: RouteChoice) throws {
        let machine = try ResetMachine(
            [("0000:02:00.0", .none), ("0000:02:00.1", .none), ("0000:03:00.0", .functionLevel)], route)
        let attached = try machine.attach(0, 2)
        let stranger = try Device(opening: machine.addresses[1], on: machine.host, route)
        let before = machine.begin()
        let report = machine.devices.reset()
        #expect(report.unreset == [DeviceID(machine.addresses[0])])
        #expect(machine.resets(since: before) == [[], [], [.function]])
        let text = report.devices[0].errors.map(\.description).joined()
        #expect(text.contains("0000:02:00.1") && report.devices[1].errors == [])
        // What can't be reset is quiet at least.
        #expect(try attached[0].device.configuration.command == [])
        withExtendedLifetime(stranger) {}
    }

    @Test("1.14 a function that nobody drives keeps its bus from being reset", arguments: routes)
    func undriven(route: RouteChoice) throws {
        let machine = try ResetMachine(
            [("0000:02:00.0", .none, true), ("0000:02:00.1", .none, false), ("0000:02:00.2", .power, true)],
            route)
        let attached = try machine.attach(0, 2)
        let before = machine.begin()
        let report = machine.devices.reset()
        #expect(report.unreset == [DeviceID(machine.addresses[0])])
        #expect(report.devices[1].method == .alone)
        #expect(machine.resets(since: before) == [[], [], [.power]])
        let text = report.devices[0].errors.map(\.description).joined()
        #expect(text.contains("0000:02:00.1") && text.contains("vfio-pci"))
        withExtendedLifetime(attached) {}
    }

    @Test("1.14 all devices are quiet before the first one is reset")
    func quietFirst() throws {
        let machine = try ResetMachine(
            [("0000:02:00.0", .functionLevel), ("0000:03:00.0", .functionLevel), ("0000:04:00.0", .none)])
        let ram = try MemoryRegion(ram: RAMBlock("ram", byteCount: pageSize), in: machine.memory)
        try machine.space.root.add(ram, at: 0)
        let attached = try machine.attach(0, 1, 2)
        let functions = machine.models.map(\.function)
        #expect(functions.allSatisfy { (try? $0.dma.store(UInt64(1), to: IOVA(0))) != nil })
        let reached = Box<[Bool]>([])
        let last = machine.models[2]
        let trySibling = { @Sendable in
            reached.change { $0.append((try? last.function.dma.store(UInt64(2), to: IOVA(0))) != nil) }
        }
        for model in machine.models.prefix(2) { model.onReset.value = trySibling }
        #expect(machine.devices.reset().unreset == [])
        for model in machine.models { model.onReset.value = nil }
        #expect(reached.value == [false, false])
        #expect(attached.allSatisfy { $0.container != nil })
    }

    @Test(
        "1.14 afterwards the device answers at no BAR, may do no DMA, and has full power", arguments: routes)
    func afterwards(route: RouteChoice) throws {
        let machine = try ResetMachine([("0000:02:00.0", .functionLevel), ("0000:03:00.0", .power)], route)
        let attached = try machine.attach(0, 1)
        let configuration = attached[1].device.configuration
        let power = try #require(try configuration.capability(1))
        for device in attached { try device.device.configuration.store32(0x10, 0xe000_0000) }
        try configuration.setCommand(.interruptLineDisabled, true)
        try configuration.store16(power + 4, 3)
        #expect(try configuration.load16(power + 4) & 3 == 3)
        #expect(machine.devices.reset().errors == [])
        for device in attached {
            #expect(try device.device.configuration.command == [])
            #expect(try device.device.configuration.load32(0x10) & ~0xf == 0)
        }
        #expect(try configuration.load16(power + 4) & 3 == 0)
        // The guest's firmware sets it up again.
        try attached[1].device.setMemoryEnabled(true)
        #expect(try attached[1].device.region(.bar0).load32(0) == 0x77)
    }

    @Test("1.14 one device is reset by itself, without its neighbour", arguments: routes)
    func single(route: RouteChoice) throws {
        let machine = try ResetMachine(
            [
                ("0000:02:00.0", .functionLevel), ("0000:02:00.1", .none), ("0000:03:00.0", .power),
                ("0000:04:00.0", .none),
            ], route)
        let attached = try machine.attach(0, 1, 2, 3)
        var before = machine.begin()
        #expect(try attached[0].reset().method == .alone)
        #expect(machine.resets(since: before) == [[.function], [], [], []])
        before = machine.begin()
        #expect(try attached[2].reset().method == .bus)
        #expect(machine.resets(since: before) == [[], [], [.bus], []])
        // The other one would be reset with it.
        before = machine.begin()
        let error = #expect(throws: VFIOGuestError.self) { try attached[1].reset() }
        #expect(error?.code == .notSupported)
        #expect(error?.cause?.contains("0000:02:00.0 of the same guest") == true)
        #expect(machine.resets(since: before) == [[], [], [], []])
        #expect(try attached[1].device.configuration.command == [])
        // It had been touched, and is reset without it now.
        #expect(try attached[0].device.configuration.command == [])
        attached[0].detach()
        #expect(try attached[1].reset().method == .bus)
    }

    @Test("1.14 a device whose own reset fails is reset with its bus")
    func fallsBack() throws {
        let machine = try ResetMachine([("0000:02:00.0", .functionLevel)])
        let attached = try machine.attach(0)
        let before = machine.begin()
        machine.host.inject(FaultRule(.request(.deviceReset, .again), .always))
        let result = try attached[0].reset()
        #expect(result.method == .bus)
        #expect(result.errors.map(\.code) == [.busy])
        #expect(machine.resets(since: before) == [[.bus]])
        machine.host.inject(
            FaultRule(.request(.devicePCIHotReset, .busy), on: .init(files: .devices), .always))
        let error = #expect(throws: VFIOGuestError.self) { try attached[0].reset() }
        #expect(error?.code == .refused && error?.errno == .busy)
        #expect(machine.devices.reset().unreset == machine.addresses.map { DeviceID($0) })
    }

    @Test(
        "1.14 whatever step fails, all devices are looked after, and those not reset are named",
        arguments: routes)
    func everyStepFails(route: RouteChoice) throws {
        let faults: [Fault] = [.request(nil, .inputOutput), .read(.inputOutput), .write(.inputOutput)]
        for fault in faults {
            var fired = 0
            for failing in 1...200 {
                let machine = try ResetMachine(
                    [
                        ("0000:02:00.0", .none), ("0000:02:00.1", .functionLevel),
                        ("0000:03:00.0", .functionLevel), ("0000:04:00.0", .power),
                    ], route)
                let attached = try machine.attach(0, 1, 2, 3)
                let witnesses = attached.map { device in
                    let witness = ResetWitness()
                    device.addResetParticipant(witness)
                    return witness
                }
                let before = machine.begin()
                let token = machine.host.inject(FaultRule(fault, .nth(UInt64(failing))))
                let report = machine.devices.reset()
                let hasFired = (machine.host.faultCount(of: token)?.fired ?? 0) > 0
                machine.host.withdraw(token)
                let resets = machine.resets(since: before)
                #expect(report.devices.map(\.succeeded) == resets.map { !$0.isEmpty }, "\(fault) \(failing)")
                #expect(
                    zip(witnesses, report.devices).allSatisfy {
                        $0.told.value == ["begins", $1.succeeded ? "ends" : "ends in vain"]
                    })
                // All of it goes well the next time.
                #expect(machine.devices.reset().unreset == [], "\(fault) \(failing)")
                if !hasFired {
                    #expect(report.errors == [])
                    break
                }
                fired += 1
            }
            #expect(fired > 3 && fired < 200, "\(fault)")
        }
    }

    @Test("1.14 those who are to know are told before and after, and may fail")
    func participants() throws {
        let machine = try ResetMachine([("0000:02:00.0", .functionLevel)])
        let attached = try machine.attach(0)
        let failure = VFIOGuestError(operation: "stop", object: "a test")
        let model = machine.models[0]
        let before = machine.begin()[0]
        let seen = Box<[Int]>([])
        let note = { @Sendable () throws(VFIOGuestError) in
            seen.change { $0.append(model.resets.count - before) }
            throw failure
        }
        let witness = ResetWitness(onBegin: note, onEnd: note)
        let second = ResetWitness()
        attached[0].addResetParticipant(witness)
        attached[0].addResetParticipant(witness)
        attached[0].addResetParticipant(second)
        do {
            let passing = ResetWitness()
            attached[0].addResetParticipant(passing)
        }
        let report = machine.devices.reset()
        #expect(report.errors == [failure, failure] && report.unreset == [])
        #expect(witness.told.value == ["begins", "ends"] && second.told.value == ["begins", "ends"])
        #expect(seen.value == [0, 1])
        attached[0].removeResetParticipant(witness)
        #expect(try attached[0].reset().errors == [])
        #expect(witness.told.value.count == 2 && second.told.value.count == 4)
    }

    @Test("1.14 a guest without devices is reset at once")
    func empty() throws {
        let machine = try ResetMachine([("0000:02:00.0", .functionLevel)])
        #expect(machine.devices.reset().devices == [])
        let attached = try machine.attach(0)
        attached[0].detach()
        #expect(machine.devices.reset().devices == [])
    }
}
