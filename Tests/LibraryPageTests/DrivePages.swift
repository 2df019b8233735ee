import DeviceModel
import IOVASpace
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOHost

@Suite("The pages about driving a device")
struct DrivePages {
    func machine(_ faults: FaultPlan = FaultPlan()) throws -> SoftwareHost {
        let host = try SoftwareHost {
            IOMMU(.type1, pageSizes: [.kib4, .mib2])
            IOMMUGroup(26) { PCIDevice(Educational(), at: "0000:01:00.0") }
        }
        for rule in faults.rules { host.inject(rule) }
        return host
    }
    let address = PCIAddress(bus: 1, device: 0, function: 0)
    /// Lets QEMU's educational device compute, on whatever host it is.
    func factorial(
        of number: UInt32, by address: PCIAddress, on host: any Host
    ) throws -> UInt32 {
        let device = try Device(opening: address, on: host)
        try device.setMemoryEnabled(true)
        let registers = try device.region(.bar0)
        try registers.store32(0x08, number)
        // Its status says that it computes.
        while try registers.load32(0x20) & 1 != 0 { spinHint() }
        return try registers.load32(0x08)
    }

    @Test("registers")
    func registers() throws { #expect(try factorial(of: 5, by: address, on: machine()) == 120) }

    @Test("DMA and interrupts")
    func transfer() throws {
        let host = try machine()
        let space = try AddressSpace(on: host)
        let device = try Device(opening: address, in: space)
        try device.setMemoryEnabled(true)
        try device.setBusMaster(true)

        // This device has 28 address bits.
        let memory = try space.allocate(byteCount: 4096, below: IOVA(1 << 28))
        memory.window.store64(0, 0x1234)
        let interrupts = try device.enableInterrupts(.msi, count: 1)

        let registers = try device.region(.bar0)
        // From there into its buffer, 8 bytes.
        try registers.store64(0x80, memory.iova.rawValue)
        try registers.store64(0x88, 0x40000)
        try registers.store64(0x90, 8)
        // Start, and interrupt when done.
        Fence.beforeDoorbell()
        try registers.store64(0x98, 0x01 | 0x04)
        guard try interrupts.wait(0, milliseconds: 1000) != nil else { return }
        #expect(try registers.load32(0x24) == 0x100)
        try memory.release()
        try interrupts.disable()
    }

    @Test("a hot register")
    func hot() throws {
        let device = try Device(opening: address, on: machine())
        try device.setMemoryEnabled(true)
        // Checked here, once.
        let status = try device.region(.bar0).register32(at: 0x20)
        // One load each where the region is mapped, which it isn't on a software machine.
        while status.load() & 1 != 0 { spinHint() }
        print(status.isMapped)
        #expect(!status.isMapped && status.load() == 0)
    }
    /// Opens a device; nil if another driver has a part of its group.
    func open(_ address: PCIAddress, on host: any Host) throws(VFIOError) -> Device? {
        do throws(VFIOError) {
            return try Device(opening: address, on: host)
        } catch {
            guard error.code == .notViable else { throw error }
            print(error)  // says who is in the way, and what to do about it
            return nil
        }
    }

    @Test("an error tells what to do")
    func errors() throws {
        let sound = PCIIdentity(vendor: 0x1234, device: 1, classCode: 0x04_0300)
        let host = try SoftwareHost {
            IOMMUGroup(26) {
                PCIDevice(Educational(), at: "0000:01:00.0")
                PCIDevice(bystander: sound, at: "0000:01:00.1", driver: "snd_hda_intel")
            }
        }
        #expect(try open(address, on: host) == nil)
        #expect(try open(address, on: machine()) != nil)
    }
}
