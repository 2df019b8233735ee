import LinuxSystem
import VFIO
import VFIOGuest
import VFIOHost

/// The part of a VMM that gives a guest a device of the host's.
final class PassthroughMachine {
    let memory = GuestMemory()
    let ram: RAMBlock
    let system: MemoryRegion
    let space: GuestAddressSpace
    let devices: GuestDevices
    private(set) var device: GuestDevice?
    private var registers: GuestRegion?
    private var messages: GuestMessages?

    init(on host: any Host, ramByteCount: Int, kvm: KVMDevice? = nil) throws {
        ram = try RAMBlock("RAM", byteCount: ramByteCount)
        system = try MemoryRegion("system", .container, byteCount: 1 << 64, in: memory)
        try system.add(MemoryRegion(ram: ram, in: memory), at: 0)
        space = GuestAddressSpace("memory", showing: system)
        devices = GuestDevices(on: host, for: memory, machine: kvm)
    }

    /// Gives the guest a device: its DMA reaches all of the guest's RAM, now and as that changes.
    func add(_ address: PCIAddress, onFailure: @escaping @Sendable (DMAMapper.Failure) -> Void) throws {
        device = try devices.attach(address, to: space, onFailure: onFailure)
    }

    /// The guest put BAR 0 somewhere: accesses go straight to the device where the host can map it.
    func placeRegisters(at address: UInt64) throws {
        guard let device = device?.device else { return }
        try device.setMemoryEnabled(true)
        let region = try GuestRegion(.bar0, of: device, in: memory)
        try system.add(region.memory, at: address)
        registers = region
    }

    /// The guest enabled a vector: its messages signal an eventfd, best an irqfd of KVM's.
    func useVector(_ vector: Int, _ event: Int32) throws {
        guard let device = device?.device else { return }
        if messages == nil { messages = try GuestMessages(.msix, of: device) }
        try messages?.use(vector, event)
    }

    func reset() -> GuestResetReport { devices.reset() }
}
