import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOGuest
import VFIOHost

@Suite("The page about giving devices to a guest")
struct PassthroughMachineTests {
    /// The text of a file of the package.
    private func text(_ path: String) throws -> String {
        // This file is in Tests/VFIOGuestTests.
        let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
        let bytes = try FileSystem.bytes(of: root.joined(separator: "/") + "/" + path, limit: 1 << 20)
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test("shows the whole machine that is compiled here")
    func quoted() throws {
        let code = try text("Tests/VFIOGuestTests/PassthroughMachine.swift")
        #expect(try text("Documentation/GivingDevicesToAGuest.md").contains("```swift\n\(code)```\n"))
    }

    @Test("has a machine whose guest drives the device: registers, DMA, memory that comes later, reset")
    func works() throws {
        let host = try SoftwareHost {
            IOMMU(.type1, pageSizes: [.kib4])
            IOMMUGroup(3) { PCIDevice(Educational(), at: "0000:01:00.0") }
        }
        let failures = Box(0)
        let machine = try PassthroughMachine(on: host, ramByteCount: 1 << 20)
        try machine.add(PCIAddress(bus: 1, device: 0, function: 0)) { _ in failures.change { $0 += 1 } }
        try machine.placeRegisters(at: 0xe000_0000)
        try machine.device?.device.setBusMaster(true)
        let later = try RAMBlock("more RAM", byteCount: 1 << 20)
        try machine.system.add(MemoryRegion(ram: later, in: machine.memory), at: 1 << 32)

        func store(_ value: UInt64, _ register: UInt64) throws {
            try machine.space.store(value, at: GuestAddress(0xe000_0000 + register))
        }
        // The guest's driver has the device copy a word from the one to the other.
        try machine.space.store(UInt64(0x1234_5678), at: GuestAddress(0x2000))
        for (source, target, command) in [
            (UInt64(0x2000), Educational.bufferAddress, UInt64(0)),
            (Educational.bufferAddress, 1 << 32, Educational.Command.toMemory),
        ] {
            try store(source, Educational.Register.source)
            try store(target, Educational.Register.destination)
            try store(8, Educational.Register.count)
            try store(Educational.Command.start | command, Educational.Register.command)
        }
        #expect(try machine.space.load(UInt64.self, at: GuestAddress(1 << 32)) == 0x1234_5678)
        #expect(later.window.load64(0) == 0x1234_5678)
        #expect(machine.device?.container?.iommu.mappingCount == 2)

        let report = machine.reset()
        #expect(report.unreset == [] && report.devices.count == 1)
        #expect(failures.value == 0)
    }
}
