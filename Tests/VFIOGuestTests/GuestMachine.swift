import DeviceModel
import IOVASpace
import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOHost

@testable import VFIOGuest

/// A device whose DMA a test makes itself.
final class Prober: DeviceModel, @unchecked Sendable {
    let function: PCIFunction

    init() {
        function = PCIFunction(
            PCIIdentity(vendor: 0x1234, device: 0x5679, classCode: 0xff0000),
            bars: [0: BAR(.memory32, byteCount: 4096)])
    }

    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 { 0 }
    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {}
    func reset(_ kind: ResetKind) {}
    func quiesce() {}

    /// Writes a word to memory; whether it got there.
    func write(_ value: UInt64, at address: UInt64) -> Bool {
        (try? function.dma.store(value, to: IOVA(address))) != nil
    }

    /// Reads a word from memory; nil if there is none.
    func read(at address: UInt64) -> UInt64? { try? function.dma.load(UInt64(0), from: IOVA(address)) }
}

/// A host with three groups, two devices in the first, and a guest with nothing in it yet.
struct GuestMachine {
    let probers = [Prober(), Prober(), Prober(), Prober()]
    let host: SoftwareHost
    let memory = GuestMemory()
    let system: MemoryRegion
    let space: GuestAddressSpace

    static func address(_ index: Int) -> PCIAddress {
        PCIAddress(bus: UInt8([1, 1, 2, 3][index]), device: 0, function: UInt8(index == 1 ? 1 : 0))
    }

    init(_ change: (inout MachineDescription) -> Void = { _ in }) throws {
        var machine = MachineDescription()
        machine.groups = [
            IOMMUGroup(
                1,
                devices: [
                    PCIDevice(probers[0], at: Self.address(0)), PCIDevice(probers[1], at: Self.address(1)),
                ]),
            IOMMUGroup(2, devices: [PCIDevice(probers[2], at: Self.address(2))]),
            IOMMUGroup(3, devices: [PCIDevice(probers[3], at: Self.address(3))]),
        ]
        change(&machine)
        host = try SoftwareHost(machine)
        system = try MemoryRegion("system", .container, byteCount: 1 << 64, in: memory)
        space = GuestAddressSpace("memory", showing: system)
    }

    func ram(_ name: String, pages: Int) throws -> MemoryRegion {
        try MemoryRegion(ram: RAMBlock(name, byteCount: pages * pageSize), in: memory)
    }

    func devices(
        _ choice: RouteChoice = .automatic, _ options: DMAMapper.Options = .init()
    ) -> GuestDevices { GuestDevices(on: host, for: memory, choice, options) }

    /// Gives the guest a device that may do DMA.
    func attach(
        _ index: Int, to devices: GuestDevices, _ space: GuestAddressSpace? = nil,
        onFailure: (@Sendable (DMAMapper.Failure) -> Void)? = nil
    ) throws -> GuestDevice {
        let device = try devices.attach(
            Self.address(index), to: space ?? self.space, onFailure: onFailure)
        try device.device.setBusMaster(true)
        return device
    }
}

/// Something that several threads, or a callback, change.
final class Box<Value>: @unchecked Sendable {
    private let lock = Lock()
    private var stored: Value
    init(_ value: Value) { stored = value }
    var value: Value {
        get { lock.withLock { stored } }
        set { lock.withLock { stored = newValue } }
    }
    func change(_ body: (inout Value) -> Void) { lock.withLock { body(&stored) } }
}
