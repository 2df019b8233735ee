import IOVASpace
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Testing
import VFIO
import VFIOHost

/// A driver that lets the device copy bytes: into its buffer and out of it again.
final class Edu {
    /// Why a copy failed.
    enum Failure: Error, Equatable {
        case gone
        case timeout
        case notCopied
    }

    let device: Device
    let registers: Region
    let interrupts: Interrupts
    let memory: DMAMemory

    init(_ address: PCIAddress, on host: any Host) throws {
        device = try Device(opening: address, on: host)
        try device.setMemoryEnabled(true)
        try device.setBusMaster(true)
        registers = try device.region(.bar0)
        interrupts = try device.enableInterrupts(.msi, count: 1)
        memory = try device.addressSpace.allocate(byteCount: 8192, below: IOVA(1 << 28))
    }

    /// Copies at most 4096 bytes.
    func copy(_ bytes: [UInt8]) throws -> [UInt8] {
        memory.window.zero(at: 0, byteCount: 8192)
        memory.window.write(bytes.span.bytes, at: 0)
        let place = UInt32(memory.iova.rawValue)
        try transfer(from: place, to: 0x40000, bytes.count, command: 1 | 4)
        try transfer(from: 0x40000, to: place + 4096, bytes.count, command: 1 | 2 | 4)
        let copy = (0..<bytes.count).map { memory.window.load8(4096 + $0) }
        // The device completes a transfer that was refused as if all were well.
        guard copy == bytes else { throw Failure.notCopied }
        return copy
    }

    private func transfer(from: UInt32, to: UInt32, _ byteCount: Int, command: UInt32) throws {
        try registers.store32(0x80, from)
        try registers.store32(0x88, to)
        try registers.store32(0x90, UInt32(byteCount))
        Fence.beforeDoorbell()
        try registers.store32(0x98, command)
        try waitUntilDone()
        Fence.afterCompletion()
    }

    /// An interrupt may get lost: what counts is the register, which is looked at now and then as well.
    private func waitUntilDone() throws {
        for _ in 0..<10 {
            _ = try interrupts.wait(0, milliseconds: 20)
            let command = try registers.load32(0x98)
            guard command != .max else { throw Failure.gone }  // nobody answers: all ones
            guard command & 1 == 0 else { continue }
            try registers.store32(0x64, try registers.load32(0x24))
            return
        }
        throw Failure.timeout
    }
}

@Suite("The driver of the educational device")
struct EduTests {
    let address = PCIAddress(bus: 1, device: 0, function: 0)
    let host: SoftwareHost
    let text = Array("all of it, or an error".utf8)

    init() throws {
        host = try SoftwareHost {
            IOMMUGroup(1) { PCIDevice(Educational(), at: "0000:01:00.0") }
        }
    }

    /// Opens the device, copies, and lets go of everything.
    func use() throws -> [UInt8] { try Edu(address, on: host).copy(text) }

    @Test("copies")
    func copies() throws {
        #expect(try use() == text)
        #expect(host.lockedByteCount == 0)
    }
}

extension EduTests {
    @Test("says why there is no memory for DMA")
    func memory() throws {
        host.inject(FaultRule(.pin(afterPages: 0, .noMemory)))
        let error = #expect(throws: VFIOError.self) { try use() }
        #expect(error?.errno == .noMemory)
        #expect(host.lockedByteCount == 0)
    }

    @Test("does without interrupts that get lost")
    func lostInterrupts() throws {
        let token = host.inject(FaultRule(.interrupt(vector: nil, .dropped)))
        #expect(try use() == text)
        #expect(host.faultCount(of: token)?.fired == 2)
    }

    @Test("notices what the IOMMU refuses", arguments: [Fault.dmaRead, .dmaWrite(byteCount: nil, .refused)])
    func refused(_ fault: Fault) throws {
        host.inject(FaultRule(fault))
        #expect(throws: Edu.Failure.notCopied) { try use() }
    }

    @Test("notices bits that flip on their way to memory")
    func flipped() throws {
        host.inject(FaultRule(.dmaWrite(byteCount: nil, .flipped(byte: nil, bits: nil)), .nth(1)))
        #expect(throws: Edu.Failure.notCopied) { try use() }
    }
}

extension EduTests {
    @Test("leaves nothing behind, whatever request fails")
    func everyRequest() throws {
        let counter = host.inject(FaultRule(.request(nil, .inputOutput), .nth(.max)))  // only counts
        _ = try use()
        let steps = try #require(host.faultCount(of: counter)).events
        #expect(steps > 5)
        for step in 1...steps {
            let token = host.inject(FaultRule(.request(nil, .inputOutput), .nth(step)))
            do {
                #expect(try use() == text, "request \(step)")
            } catch let error as VFIOError {
                #expect(error.errno == .inputOutput, "request \(step): \(error)")
            }
            host.withdraw(token)
            #expect(host.lockedByteCount == 0, "request \(step)")
            #expect(try use() == text, "after request \(step)")
        }
    }

    @Test("ends with an error, whenever the device is pulled out")
    func pulledOut() throws {
        let counter = host.inject(FaultRule(.device(.vanished), .nth(.max)))
        _ = try use()
        let steps = try #require(host.faultCount(of: counter)).events
        for step in 1...steps {
            let host = try EduTests().host
            host.inject(FaultRule(.device(.vanished), .nth(step)))
            do {
                #expect(try Edu(address, on: host).copy(text) == text, "access \(step)")
            } catch is VFIOError {
            } catch let error as Edu.Failure {
                #expect(error == .gone, "access \(step)")
            }
            #expect(host.lockedByteCount == 0, "access \(step)")
        }
    }
}

extension EduTests {
    @Test(
        "copies or says why, with everything going wrong at times", arguments: 1...20 as ClosedRange<UInt64>)
    func atRandom(seed: UInt64) throws {
        var machine = MachineDescription {
            IOMMUGroup(1) { PCIDevice(Educational(), at: "0000:01:00.0") }
        }
        machine.faults = FaultPlan(
            seed: seed,
            rules: [
                FaultRule(.request(nil, .inputOutput), .probability(0.02)),
                FaultRule(.interrupt(vector: nil, .dropped), .probability(0.2)),
                FaultRule(.dmaWrite(byteCount: nil, .dropped), .probability(0.2)),
            ])
        let host = try SoftwareHost(machine)
        for _ in 0..<20 {
            do {
                #expect(try Edu(address, on: host).copy(text) == text)
            } catch is VFIOError, is Edu.Failure {}
        }
        #expect(host.lockedByteCount == 0)
    }
}
