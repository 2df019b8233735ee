import IOVASpace
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOHost

@Suite("A device that does DMA")
struct DeviceDMATests {
    /// Lets the educational device copy from or to memory, and waits for its interrupt.
    private func transfer(
        _ region: Region, _ interrupts: borrowing Interrupts, from source: UInt64, to destination: UInt64,
        byteCount: Int, toMemory: Bool
    ) throws {
        typealias Register = Educational.Register
        typealias Command = Educational.Command
        try region.store64(Int(Register.source), source)
        try region.store64(Int(Register.destination), destination)
        try region.store64(Int(Register.count), UInt64(byteCount))
        let command = Command.start | Command.interruptWhenDone | (toMemory ? Command.toMemory : 0)
        try region.store64(Int(Register.command), command)
        #expect(try interrupts.wait(0, milliseconds: 10_000) != nil)
        try region.store32(
            Int(Register.interruptAcknowledge), try region.load32(Int(Register.interruptStatus)))
    }

    @Test(
        "reads and writes memory through the IOMMU, and reaches nothing else",
        arguments: [
            RouteChoice.group, .cdev,
        ])
    func roundTrip(choice: RouteChoice) throws {
        let address = PCIAddress(bus: 2, device: 0, function: 0)
        let model = Educational()
        let host = try SoftwareHost {
            IOMMU(.type1, pageSizes: [.kib4, .mib2])
            IOMMUGroup(7) { PCIDevice(model, at: address) }
        }
        let device = try Device(opening: address, on: host, choice)
        let space = device.addressSpace
        // It drives 28 bits of an address.
        let out = try space.allocate(byteCount: 4096, access: .read, below: IOVA(1 << 28))
        let back = try space.allocate(byteCount: 4096, access: .write, below: IOVA(1 << 28))
        for index in 0..<512 { out.window.store64(index * 8, UInt64(index) &* 0x9e37_79b9) }
        let region = try device.region(.bar0)
        #expect(try region.load32(Int(Educational.Register.identification)) == 0x0100_00ed)
        try device.setBusMaster(true)
        let interrupts = try device.enableInterrupts(.msi, count: 1)
        let buffer = Educational.bufferAddress
        try transfer(
            region, interrupts, from: out.iova.rawValue, to: buffer, byteCount: 4096, toMemory: false)
        try transfer(
            region, interrupts, from: buffer, to: back.iova.rawValue, byteCount: 4096, toMemory: true)
        #expect((0..<512).allSatisfy { back.window.load64($0 * 8) == UInt64($0) &* 0x9e37_79b9 })
        #expect(host.dmaFaults.count == 0)

        // Memory that may only be read isn't written.
        let before = out.window.load64(0)
        try region.store64(Int(Educational.Register.source), buffer)
        try region.store64(Int(Educational.Register.destination), out.iova.rawValue)
        try region.store64(Int(Educational.Register.count), 8)
        try region.store64(
            Int(Educational.Register.command), Educational.Command.start | Educational.Command.toMemory)
        #expect(model.refusedTransferCount == 1)
        #expect(out.window.load64(0) == before)

        // Memory that was released isn't reached any more.
        let gone = back.iova.rawValue
        try back.release()
        try region.store64(Int(Educational.Register.destination), gone)
        try region.store64(
            Int(Educational.Register.command), Educational.Command.start | Educational.Command.toMemory)
        #expect(model.refusedTransferCount == 2)
    }
}
