import HostTestSupport
import LinuxSystem
import Testing
import VFIO
import VFIOABI
import VFIOHost

@Suite("A host that refuses")
struct FaultTests {
    /// Everything that a driver does at its start.
    private func use(_ host: FaultyHost, _ choice: RouteChoice) throws(VFIOError) {
        let space = try AddressSpace(on: host, choice)
        let device = try Device(opening: benchAddress, in: space)
        let memory = try space.allocate(byteCount: 64 << 10)
        let region = try device.region(.bar2)
        _ = try region.load32(0)
        let registers = try device.region(.bar0)
        try registers.store32(0, 1)
        try device.setBusMaster(true)
        let interrupts = try device.enableInterrupts(.msix, count: 2)
        try interrupts.trigger(0)
        _ = try interrupts.take(0)
        try interrupts.disable()
        try device.reset()
        try memory.release()
    }

    @Test(
        "at any step leaves nothing open, mapped or enabled, and says what it refused",
        arguments: [
            RouteChoice.group, .cdev,
        ])
    func everyStep(choice: RouteChoice) throws {
        let host = try machine()
        try use(host, choice)
        let steps = host.callCount
        #expect(steps > 15)
        for step in 1...steps {
            host.fail(call: step, with: .inputOutput)
            let error = failure { () throws(VFIOError) in try use(host, choice) }
            host.healAll()
            // What isn't needed (a capability that can't be read) may be done without; what fails is told.
            if let error {
                #expect(error.operation.isEmpty == false && error.object.isEmpty == false, "step \(step)")
                #expect(error.description.contains("can't"), "step \(step): \(error)")
            }
            #expect(host.openCount == 0, "step \(step): \(error?.description ?? "no error")")
            #expect(host.mappingCount == 0, "step \(step)")
            // The host is as before: all of it works again.
            try use(host, choice)
        }
    }

    @Test("memory is kept when the host unmaps another size, and the error says so")
    func unmappedSize() throws {
        let host = try machine()
        let device = try Device(opening: benchAddress, on: host, .group)
        let allocated = try device.addressSpace.allocate(byteCount: 8192)
        let window = allocated.window
        var memory: DMAMemory? = allocated
        host.answer(.iommuUnmapDMA) { argument in
            // A host that claims success and unmaps nothing.
            try? UserMemory.store(DMAUnmap(size: 0), to: HostAddress(rawValue: argument))
            return .success(0)
        }
        let error = failure { () throws(VFIOError) in try memory.take()?.release() }
        #expect(error?.code == .unmappedSizeDiffers)
        #expect(error?.says("unmapped 0 bytes where 8192 were mapped", "stays allocated") == true)
        // Still there: reading it doesn't fault.
        #expect(window.load64(0) == 0)
        #expect(device.addressSpace.mappedByteCount == 8192)
    }

    @Test("fewer vectors than asked for are an error that names how many there are")
    func shortGrant() throws {
        let host = try machine()
        let device = try Device(opening: benchAddress, on: host)
        host.answer(.deviceSetIRQs) { _ in .success(1) }
        let error = failure { () throws(VFIOError) in try device.enableInterrupts(.msix, count: 3).disable() }
        #expect(error?.code == .tooFewVectors)
        #expect(error?.says("only 1 of the 3 vectors is available", "ask for 1") == true)
        host.healAll()
        try device.enableInterrupts(.msix, count: 3).disable()
    }

    @Test("1.12 A region whose capabilities loop is refused")
    func loopingCapabilities() throws {
        let host = try machine()
        let device = try Device(opening: benchAddress, on: host)
        host.answer(.deviceGetRegionInfo) { argument in
            let address = HostAddress(rawValue: argument)
            guard let asked = try? UserMemory.load(RegionInfo(), from: address) else { return nil }
            var answer = RegionInfo(flags: [.read, .caps], index: asked.index, size: 4096)
            answer.argsz = max(asked.argsz, 64)
            if asked.argsz >= 64 {
                answer.argsz = asked.argsz
                answer.capabilityOffset = 32
                let header = CapabilityHeader(id: 3, version: 1, next: 32)
                try? UserMemory.store(header, to: address + 32)
            }
            try? UserMemory.store(answer, to: address)
            return .success(0)
        }
        let error = failure { () throws(VFIOError) in try device.region(.bar0) }
        #expect(error?.code == .malformed)
        #expect(error?.says("BAR 0 of 0000:01:00.0", "capability at byte 32") == true)
    }

    @Test("1.12 A host that always wants more room isn't asked for ever")
    func endlessRoom() throws {
        let host = try machine()
        let device = try Device(opening: benchAddress, on: host)
        let before = host.callCount
        host.answer(.deviceGetRegionInfo) { argument in
            let address = HostAddress(rawValue: argument)
            guard let asked = try? UserMemory.load(RegionInfo(), from: address) else { return nil }
            try? UserMemory.store(asked.argsz + 64, to: address)
            return .success(0)
        }
        let error = failure { () throws(VFIOError) in try device.region(.bar0) }
        #expect(error?.errno == .messageSize)
        #expect(host.callCount - before < 10)
    }
}
