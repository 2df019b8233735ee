import LinuxSystem
import SoftwareDevices
import VFIO
import VFIOGuest
import VFIOHost

/// The virtual machine of `vfio demo --guest`: its memory, and what its program does with it.
///
/// A machine of processors there is none: what a guest's program would do, the demo does, through the guest's own
/// memory map.
final class DemoGuest {
    static let ramByteCount = 64 << 20
    static let romAddress: UInt64 = 0xfffc_0000
    /// Where the firmware puts the devices' registers.
    static let registerAddress: UInt64 = 0xe000_0000

    let memory = GuestMemory()
    let system: MemoryRegion
    /// What the guest's processors see.
    let space: GuestAddressSpace
    let ram: RAMBlock
    let rom: RAMBlock

    init() throws {
        system = try MemoryRegion("system", .container, byteCount: 1 << 64, in: memory)
        space = GuestAddressSpace("memory", showing: system)
        ram = try RAMBlock("RAM", byteCount: Self.ramByteCount)
        rom = try RAMBlock("firmware", byteCount: 256 << 10)
        try system.add(MemoryRegion(ram: ram, in: memory), at: 0)
        let firmware = try MemoryRegion(
            "firmware", .rom(rom), byteCount: UInt128(rom.byteCount), in: memory)
        try system.add(firmware, at: Self.romAddress)
    }

    /// Puts a device's registers into the guest's memory, as its firmware would: on every machine in the same place.
    /// - Returns: the guest's driver of it.
    func addEngine(_ device: GuestDevice, slot: Int) throws -> DemoEngine {
        try device.device.setMemoryEnabled(true)
        try device.device.setBusMaster(true)
        let region = try GuestRegion(.bar0, of: device.device, in: memory)
        let address = Self.registerAddress + UInt64(slot) * region.region.byteCount
        try system.add(region.memory, at: address)
        return DemoEngine(device: device, region: region, space: space, address: address)
    }

    /// Writes text where the guest's program would.
    func write(_ text: String, at address: UInt64) throws {
        // SAFETY: a UInt8 has no padding.
        try space.write(unsafe Array(text.utf8).span.bytes, at: GuestAddress(address))
    }

    /// Reads as many bytes as a text has, as text.
    func read(_ byteCount: Int, at address: UInt64) throws -> String {
        var bytes = [UInt8](repeating: 0, count: byteCount)
        var span = bytes.mutableSpan
        // SAFETY: any bit pattern is a UInt8.
        var raw = unsafe span.mutableBytes
        try space.read(at: GuestAddress(address), into: &raw)
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// A guest's driver of QEMU's `edu` device: a device that copies up to 4096 bytes from memory, and to memory.
struct DemoEngine {
    let device: GuestDevice
    let region: GuestRegion
    let space: GuestAddressSpace
    /// Where its registers are.
    let address: UInt64

    /// Has the device copy bytes from one place of memory to another, both as the device sees them.
    func copy(_ byteCount: Int, from source: UInt64, to target: UInt64) throws {
        try take(byteCount, from: source)
        try put(byteCount, at: target)
    }

    /// Has the device read into its buffer.
    func take(_ byteCount: Int, from source: UInt64) throws {
        try transfer(byteCount, source, Educational.bufferAddress, 0)
    }

    /// Has the device write what is in its buffer.
    func put(_ byteCount: Int, at target: UInt64) throws {
        try transfer(byteCount, Educational.bufferAddress, target, Educational.Command.toMemory)
    }

    private func transfer(_ byteCount: Int, _ source: UInt64, _ target: UInt64, _ flags: UInt64) throws {
        try store(source, Educational.Register.source)
        try store(target, Educational.Register.destination)
        try store(UInt64(byteCount), Educational.Register.count)
        try store(Educational.Command.start | flags, Educational.Register.command)
    }

    private func store(_ value: UInt64, _ register: UInt64) throws {
        try space.store(value, at: GuestAddress(address + register))
    }
}
