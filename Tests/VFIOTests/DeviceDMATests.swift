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

    @Test("through its own node, an IOMMU that notes writes tells which pages it wrote")
    func writtenPages() throws {
        let addresses = [
            PCIAddress(bus: 2, device: 0, function: 0), PCIAddress(bus: 3, device: 0, function: 0),
        ]
        let host = try SoftwareHost {
            IOMMU(.type1, tracksDirtyPages: true)
            IOMMUGroup(7) { PCIDevice(Educational(), at: addresses[0]) }
            IOMMUGroup(8) { PCIDevice(Educational(), at: addresses[1]) }
        }
        let first = try Device(opening: addresses[0], on: host, .cdev)
        let space = first.addressSpace
        var second: Device? = try Device(opening: addresses[1], in: space)
        let memory = try space.allocate(byteCount: 8 * pageSize, at: IOVA(0x10000))
        let behind = try space.allocate(byteCount: 4 * pageSize, at: IOVA(0x20000))
        let range = try #require(IOVARange(first: IOVA(0x10000), last: IOVA(0x23fff)))
        let unasked = failure { () throws(VFIOError) in try space.dirtyPages(in: range) }
        #expect(unasked?.says("tracking isn't on") == true)
        func write(_ device: Device, _ iova: UInt64, _ byteCount: Int) throws {
            try device.setBusMaster(true)
            let region = try device.region(.bar0)
            let interrupts = try device.enableInterrupts(.msi, count: 1)
            try transfer(
                region, interrupts, from: Educational.bufferAddress, to: iova, byteCount: byteCount,
                toMemory: true)
        }
        try write(first, 0x10000, 8)
        try space.startDirtyTracking()
        #expect(try space.dirtyPages(in: range).count == 0, "what was written before doesn't count")
        try write(first, 0x12ffc, 8)
        try write(try #require(second), 0x23000, 8)
        // Starting again loses nothing.
        try space.startDirtyTracking()
        // A range with a hole in the middle.
        let pages = try space.dirtyPages(in: range)
        #expect(pages.count == 3)
        for iova in [0x12000, 0x13000, 0x23000] as [UInt64] { #expect(pages.contains(IOVA(iova))) }
        #expect(try space.dirtyPages(in: range).count == 0, "each is told once")
        try write(try #require(second), 0x21000, 8)
        second = nil
        #expect(try space.dirtyPages(in: range).contains(IOVA(0x21000)), "of a device that has gone")
        try space.stopDirtyTracking()
        #expect(failure { () throws(VFIOError) in try space.dirtyPages(in: range) } != nil)
        #expect(memory.byteCount == 8 * pageSize)
        #expect(behind.byteCount == 4 * pageSize)
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
