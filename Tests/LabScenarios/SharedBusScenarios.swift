import LinuxSystem
import VFIO
import VFIOGuest
import VFIOHost

extension Scenario {
    /// What is done with an `edu` device that shares its bus, below a bridge, and its group with another function;
    /// drivers of VFIO's have both.
    public static let sharedBus: [Scenario] = [
        Scenario("what a hot reset would hit is every function of the bus, with whose it is") { lab in
            let device = try lab.open()
            let scope = try device.hotResetScope()
            let records = try lab.functionsOnBus()
            try expectEqual(
                scope.functions.map(\.address).sorted(), records.map(\.address), "what would be hit")
            for record in records {
                let owner = scope[record.address]?.owner
                switch lab.choice {
                case .cdev where record.address == lab.address:
                    guard case .bound(let id) = owner, id > 0 else {
                        throw Unexpected("the device itself is \(owner.map { "\($0)" } ?? "nobody's")")
                    }
                case .cdev: try expectEqual(owner, .ownGroup, "whose \(record.address) is")
                default: try expectEqual(owner, record.group.map { .group($0) }, "whose \(record.address) is")
                }
            }
        },
        Scenario("a device on a shared bus has no reset of its own, and says so") { lab in
            let device = try lab.open()
            let facts = try device.resetFacts()
            try expect(!facts.isOffered && !device.canReset, "a reset is offered: \(facts)")
            try expect(facts.wantsHotReset, "no hot reset is wanted: \(facts)")
            try expectError(.notSupported, ["no way of being reset"], "the reset") { () throws(VFIOError) in
                try device.reset()
            }
        },
        Scenario("a bus is reset with all that is on it, and the device works as before") { lab in
            let edu = try EduDevice(lab)
            let bar = try edu.device.configuration.load32(0x10)
            let interrupts = try edu.device.enableInterrupts(.msi, count: 1)
            try edu.checkGoodTransfer(31, "before")
            let hit = try edu.device.hotReset()
            try expectEqual(hit.functions.count, try lab.functionsOnBus().count, "functions that were hit")
            try expectEqual(try edu.device.configuration.load32(0x10), bar, "the BAR")
            try expect(
                try edu.device.configuration.command.isSuperset(of: [.memory, .busMaster]),
                "it was turned off")
            try expectEqual(
                try edu.registers.load32(EduDevice.Register.identification), 0x0100_00ed, "identification")
            try edu.checkGoodTransfer(32, "after")
            _ = try interrupts.take(0)
            try edu.registers.store32(EduDevice.Register.interruptRaise, 1)
            try expect(try interrupts.wait(0, milliseconds: lab.patience) != nil, "no interrupt comes")
            try edu.registers.store32(EduDevice.Register.interruptAcknowledge, 1)
        },
        Scenario("a bus is reset with several open devices on it, by each of them") { lab in
            let edu = try EduDevice(lab)
            var others: [Device] = []
            for record in try lab.functionsOnBus() where record.address != lab.address {
                others.append(try Device(opening: record.address, in: edu.space))
            }
            for device in [edu.device] + others {
                try device.hotReset()
                try edu.checkGoodTransfer(33, "after \(device.id) asked for it")
            }
        },
        Scenario("no other iommufd gets a function of the device's group, so that the bus stays one's own") {
            lab in
            guard lab.choice == .cdev else { throw Skipped("a group can't be in two address spaces") }
            let device = try lab.open()
            let records = try lab.functionsOnBus()
            guard let other = records.first(where: { $0.address != lab.address }) else {
                throw Unexpected("it is alone on its bus")
            }
            // A group's devices have one owner.
            try expectError(.permissionDenied, ["\(other.address)"], "the other") { () throws(VFIOError) in
                _ = try Device(opening: other.address, on: lab.host, lab.choice)
            }
            try device.hotReset()
        },
        Scenario("the devices of a guest on one bus are reset together, and are quiet then") { lab in
            try GuestOnBus(lab).checkReset()
        },
        Scenario("a device of a guest isn't reset with its bus while another one is on it") { lab in
            try GuestOnBus(lab).checkSingleReset()
        },
    ]

    /// What is done where nobody drives the other function.
    public static let blockedBus: [Scenario] = [
        Scenario("a function without a driver keeps its bus from being reset, and is named") { lab in
            guard let other = try lab.functionsOnBus().first(where: { $0.driver == nil }) else {
                throw Unexpected("each function of the bus has a driver")
            }
            // A guest's device is one like any other.
            let guest = try GuestOnBus(lab, [lab.address])
            let device = guest.attached[0].device
            let owner = try device.hotResetScope()[other.address]?.owner
            let expected = lab.choice == .cdev ? .stranger : other.group.map { HotResetScope.Owner.group($0) }
            try expectEqual(owner, expected, "whose \(other.address) is")
            try expectError(.noDriver, ["\(other.address)", "vfio-pci"], "the reset") {
                () throws(VFIOError) in
                try device.hotReset()
            }
            let edu = try EduDevice(lab, device)
            try expectEqual(
                try edu.registers.load32(EduDevice.Register.identification), 0x0100_00ed, "identification")
            try expectEqual(
                guest.devices.reset().unreset, [DeviceID(lab.address)], "what of a guest isn't reset")
        }
    ]
}

extension Lab {
    /// The functions on the device's bus, by address.
    func functionsOnBus() throws -> [DeviceRecord] {
        try host.inventory().devices
            .filter { $0.address.segment == address.segment && $0.address.bus == address.bus }
            .sorted { $0.address < $1.address }
    }
}

/// A guest that has every device of the bus.
private struct GuestOnBus {
    let lab: Lab
    let memory = GuestMemory()
    let devices: GuestDevices
    let attached: [GuestDevice]

    init(_ lab: Lab) throws {
        try self.init(lab, lab.functionsOnBus().map(\.address))
    }

    init(_ lab: Lab, _ addresses: [PCIAddress]) throws {
        self.lab = lab
        let system = try MemoryRegion("system", .container, byteCount: 1 << 32, in: memory)
        let ram = try MemoryRegion(ram: RAMBlock("ram", byteCount: 16 * pageSize), in: memory)
        try system.add(ram, at: 1 << 20)
        let space = GuestAddressSpace("memory", showing: system)
        devices = GuestDevices(on: lab.host, for: memory, lab.choice)
        var attached: [GuestDevice] = []
        for address in addresses { attached.append(try devices.attach(address, to: space)) }
        self.attached = attached
    }

    private var edu: GuestDevice {
        get throws {
            guard let edu = attached.first(where: { $0.address == lab.address }) else {
                throw Unexpected("the guest has no \(lab.address)")
            }
            return edu
        }
    }

    func checkReset() throws {
        let edu = try edu
        _ = try EduDevice(lab, edu.device)
        let report = devices.reset()
        try expect(report.errors.isEmpty, "\(report.errors)")
        try expectEqual(report.unreset, [], "what isn't reset")
        let asked = attached[0].id
        try expectEqual(
            report.devices.map(\.method), attached.map { _ in .together(by: asked) }, "how they are reset")
        // Other bits are the machine's: Linux lets devices below a bridge report errors (SERR#).
        let command = try edu.device.configuration.command
        try expect(
            command.isDisjoint(with: [.ports, .memory, .busMaster, .interruptLineDisabled]),
            "the command register is \(command)")
        try expectEqual(try edu.device.configuration.load32(0x10) & ~0xf, 0, "the BAR")
        let driven = try EduDevice(lab, edu.device)
        try expectEqual(
            try driven.registers.load32(EduDevice.Register.identification), 0x0100_00ed, "identification")
    }

    func checkSingleReset() throws {
        let edu = try edu
        guard let other = attached.first(where: { $0 !== edu }) else { throw Unexpected("it is alone") }
        try expectError(.notSupported, ["\(other.id) of the same guest"], "the reset") {
            () throws(VFIOError) in
            try edu.reset()
        }
        for device in attached where device !== edu { device.detach() }
        try expectEqual(try edu.reset().method, .bus, "how it is reset alone")
    }
}
