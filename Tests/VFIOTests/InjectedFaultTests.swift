import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@Suite("The typed API on a machine where things go wrong")
struct InjectedFaultTests {
    private func host(_ rules: [FaultRule]) throws -> SoftwareHost {
        var description = MachineDescription()
        description.groups = [IOMMUGroup(26, devices: [PCIDevice(try Bench(), at: benchAddress)])]
        description.faults.rules = rules
        return try SoftwareHost(description)
    }

    @Test(
        "says why memory can't be mapped, and keeps none of it locked", arguments: [RouteChoice.group, .cdev])
    func pinning(choice: RouteChoice) throws {
        let host = try host([FaultRule(.pin(afterPages: 8, .noMemory))])
        let space = try AddressSpace(on: host, choice)
        let device = try Device(opening: benchAddress, in: space)
        let small = try space.allocate(byteCount: 8 * pageSize)
        let error = failure { () throws(VFIOError) in try space.allocate(byteCount: 16 * pageSize) }
        #expect(error?.errno == .noMemory)
        #expect(host.lockedByteCount == UInt64(8 * pageSize))
        try small.release()
        #expect(host.lockedByteCount == 0)
        _ = device
    }

    @Test("goes on with a device that is gone, up to its closing", arguments: [RouteChoice.group, .cdev])
    func vanishing(choice: RouteChoice) throws {
        let host = try host([])
        do {
            let space = try AddressSpace(on: host, choice)
            let device = try Device(opening: benchAddress, in: space)
            let memory = try space.allocate(byteCount: pageSize)
            let registers = try device.region(.bar0)
            let mapped = try device.region(.bar2)
            let interrupts = try device.enableInterrupts(.msix, count: 2)
            host.inject(FaultRule(.device(.vanished), on: .device(benchAddress)))
            #expect(try registers.load32(0) == .max)
            #expect(try mapped.load32(0) == .max)
            try registers.store32(0, 1)
            let error = failure { () throws(VFIOError) in try device.reset() }
            #expect(error?.errno == .noSuchRequest)
            try interrupts.disable()
            try memory.release()
        }
        #expect(host.lockedByteCount == 0)
        let error = failure { () throws(VFIOError) in
            let space = try AddressSpace(on: host, choice)
            _ = try Device(opening: benchAddress, in: space)
        }
        #expect(error != nil)
    }
}
