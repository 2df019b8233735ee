import DeviceModel
import IOVASpace
import LinuxSystem
import SoftwareHost
import VFIO
import VFIOHost

@testable import VFIOGuest

/// A function that notes how it was reset, and in which order with others.
final class ResettableModel: DeviceModel, @unchecked Sendable {
    /// What it can be reset by, besides its bus.
    enum Kind {
        case none, functionLevel, power
    }

    let function: PCIFunction
    private let log: Box<[String]>
    private let name: String
    private let stored = Box<[ResetKind]>([])
    /// Called when it is reset.
    let onReset = Box<(@Sendable () -> Void)?>(nil)

    init(_ name: String, _ kind: Kind, _ log: Box<[String]>) {
        self.name = name
        self.log = log
        function = PCIFunction(
            PCIIdentity(vendor: 0x1234, device: 0x5682, classCode: 0xff0000),
            bars: [0: BAR(.memory32, byteCount: 4096), 2: BAR(.memory32, byteCount: 4096)],
            interruptPin: 1, isExpress: true)
        switch kind {
        case .none: function.addPowerManagement()
        case .functionLevel: function.addExpress()
        case .power: function.addPowerManagement(noSoftReset: false)
        }
        function.addMSIX(vectors: 4, table: (2, 0), pending: (2, 0x800))
    }

    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 { 0x77 }
    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {
        if offset == 0 { function.setLine(value != 0) }
    }
    func reset(_ kind: ResetKind) {
        stored.change { $0.append(kind) }
        log.change { $0.append("\(name) \(kind)") }
        onReset.value?()
    }
    func quiesce() {}

    var resets: [ResetKind] { stored.value }
}

/// A machine whose functions are reset in different ways, each in a group of its own (10, 11 …), and a guest.
struct ResetMachine {
    let log = Box<[String]>([])
    let models: [ResettableModel]
    let addresses: [PCIAddress]
    let host: SoftwareHost
    let memory = GuestMemory()
    let space: GuestAddressSpace
    let devices: GuestDevices

    /// - Parameter functions: where each sits, what it can be reset by, and whether VFIO drives it.
    init(
        _ functions: [(address: String, kind: ResettableModel.Kind, isDriven: Bool)],
        _ choice: RouteChoice = .group
    ) throws {
        let log = log
        let models = functions.map { ResettableModel($0.address, $0.kind, log) }
        let addresses = functions.map { PCIAddress($0.address)! }
        var machine = MachineDescription()
        machine.groups = functions.indices.map {
            IOMMUGroup(
                10 + $0,
                devices: [
                    PCIDevice(
                        models[$0], at: addresses[$0], driver: functions[$0].isDriven ? "vfio-pci" : nil)
                ])
        }
        self.models = models
        self.addresses = addresses
        host = try SoftwareHost(machine)
        space = GuestAddressSpace(
            "memory", showing: try MemoryRegion("system", .container, byteCount: 1 << 64, in: memory))
        devices = GuestDevices(on: host, for: memory, choice)
    }

    init(_ functions: [(String, ResettableModel.Kind)], _ choice: RouteChoice = .group) throws {
        try self.init(functions.map { ($0.0, $0.1, true) }, choice)
    }

    /// Gives devices to the guest, which uses them.
    func attach(_ indices: Int...) throws -> [GuestDevice] {
        try indices.map { index in
            let device = try devices.attach(addresses[index], to: space)
            try device.device.setBusMaster(true)
            try device.device.setMemoryEnabled(true)
            return device
        }
    }

    /// How each function has been reset.
    var resets: [[ResetKind]] { models.map(\.resets) }

    /// Forgets what happened so far: opening a device resets it.
    func begin() -> [Int] { models.map { $0.resets.count } }

    /// How each function has been reset since.
    func resets(since counts: [Int]) -> [[ResetKind]] {
        zip(models, counts).map { Array($0.resets.dropFirst($1)) }
    }
}

/// Notes what it is told of resets.
final class ResetWitness: GuestResetParticipant, @unchecked Sendable {
    let told = Box<[String]>([])
    let onBegin: @Sendable () throws(VFIOGuestError) -> Void
    let onEnd: @Sendable () throws(VFIOGuestError) -> Void

    init(
        onBegin: @escaping @Sendable () throws(VFIOGuestError) -> Void = {},
        onEnd: @escaping @Sendable () throws(VFIOGuestError) -> Void = {}
    ) {
        self.onBegin = onBegin
        self.onEnd = onEnd
    }

    func resetBegins() throws(VFIOGuestError) {
        told.change { $0.append("begins") }
        try onBegin()
    }

    func resetEnds(succeeded: Bool) throws(VFIOGuestError) {
        told.change { $0.append(succeeded ? "ends" : "ends in vain") }
        try onEnd()
    }
}
