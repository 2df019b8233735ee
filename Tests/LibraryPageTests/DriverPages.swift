import LinuxSystem
import NVMeController
import NVMeDriver
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOGuest
import VFIOHost
import VFIOOperator

@Suite("The pages about drivers and guests")
struct DriverPages {
    func machine() throws -> SoftwareHost {
        let disk = NVMeController([try NVMeNamespace(try MemoryStore(byteCount: 1 << 20))])
        return try SoftwareHost {
            IOMMU(.type1, pageSizes: [.kib4, .mib2])
            IOMMUGroup(26) { PCIDevice(disk, at: "0000:01:00.0") }
        }
    }

    @Test("one call does it all")
    func calls() throws {
        let host = try machine()
        let ssd = try Controller(opening: "0000:01:00.0", on: host)
        var blocks = try ssd.read(blocks: 0..<8)
        blocks[0] ^= 1
        try ssd.write(blocks: 0..<8, from: blocks)
        try ssd.flush()
        try ssd.close()  // shut down, reset, given back in order
        #expect(blocks.count == 4096)
    }

    @Test("a queue with requests in flight")
    func queue() throws {
        let ssd = try Controller(opening: "0000:01:00.0", on: try machine())
        let namespace = try ssd.defaultNamespace()
        let memory = try ssd.allocate(byteCount: 32 * 4096)
        // For this thread, with 32 requests in flight.
        var queue = try ssd.makeQueuePair(entryCount: 33)
        for index in 0..<32 {
            let first = UInt64(index) * 8
            let segment = memory.segment(at: index * 4096, byteCount: 4096)
            try queue.read(
                first..<first + 8, of: namespace, into: segment,
                RequestOptions(tag: UInt64(index)))
        }
        // Rings the doorbell, once for all.
        var failures = 0
        while let done = try queue.wait() {
            if !done.isSuccess { failures += 1 }  // done.tag says which
        }
        #expect(failures == 0)
        let left = queue.inFlightCount
        #expect(left == 0)
    }

    @Test("a guest's memory, and a device that sees it")
    func guest() throws {
        let host = try machine()
        let address = PCIAddress(bus: 1, device: 0, function: 0)
        let memory = GuestMemory()
        let system = try MemoryRegion(
            "system", .container, byteCount: 1 << 64, in: memory)
        let ram = try RAMBlock("RAM", byteCount: 1 << 20)
        try system.add(MemoryRegion(ram: ram, in: memory), at: 0)
        let space = GuestAddressSpace("memory", showing: system)

        let devices = GuestDevices(on: host, for: memory)
        // All of the guest's RAM is mapped for the device's DMA.
        let device = try devices.attach(address, to: space)
        #expect(device.container?.iommu.mappedByteCount == 1 << 20)
        let more = try RAMBlock("more RAM", byteCount: 1 << 20)
        try system.add(MemoryRegion(ram: more, in: memory), at: 1 << 32)
        // It is mapped too.
        print(device.container?.iommu.mappedByteCount ?? 0)
        #expect(device.container?.iommu.mappedByteCount == 2 << 20)
    }

    @Test("what is in the way on this machine")
    func doctor() {
        let doctor = Doctor(SystemRoots(), plan: Doctor.Plan(memory: 16 << 30), qemu: nil)
        for finding in doctor.checks() where finding.result != .ok {
            print(finding.title, finding.summary)
            for remedy in finding.remedies { print("  ", remedy.command ?? remedy.advice ?? "") }
        }
        #expect(!doctor.checks().isEmpty)
    }
    /// Gives a device to vfio-pci, or throws all that is in the way.
    func bind(_ device: DeviceID, remembering file: String) throws -> Bool {
        let binder = Binder(SystemRoots(), remembering: BindingStore(file))
        let plan = try binder.planBinding([device])
        for step in plan.moves.flatMap(\.steps) { print(step.write.shell) }
        return try binder.carryOut(plan).isComplete
    }

    @Test("a device that isn't there is refused with the reason")
    func binding() throws {
        let device = try #require(DeviceID("ffff:ff:1f.7"))
        #expect(throws: BindRefusal.self) { try bind(device, remembering: "/nonexistent/bindings.json") }
    }
}
