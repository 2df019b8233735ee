import LinuxSystem
import NVMe
import SoftwareHost
import Testing
import VFIO
import VFIOHost

@testable import NVMeDriver

// A driver that hangs would wait for ever: the time limit is for that only.
@Suite("The driver on a machine where things go wrong", .timeLimit(.minutes(5)))
struct InjectedFaultTests {
    private static let address = PCIAddress(bus: 1, device: 0, function: 0)

    /// Opens, writes, reads, flushes and closes; short timeouts.
    private func use(_ bench: Bench, timeout: Int = 100) throws(NVMeError) {
        let ssd = try bench.open {
            $0.timeout = timeout
            $0.adminTimeout = timeout
            $0.queuePairCount = 2
        }
        let bytes = [UInt8](repeating: 0x5a, count: 8 * 512)
        try ssd.write(blocks: 0..<8, from: bytes)
        _ = try ssd.read(blocks: 0..<8)
        try ssd.flush()
        try ssd.close()
    }

    /// What has to hold after a failure, once nothing goes wrong any more.
    private func checkNothingIsLeft(_ bench: Bench, _ what: String) {
        #expect(bench.host.lockedByteCount == 0, "\(what)")
        #expect(failure { () throws(NVMeError) in try use(bench, timeout: 5000) } == nil, "\(what)")
    }

    @Test("does without interrupts that get lost, and waits for those that come late")
    func interrupts() throws {
        let bench = try Bench()
        let dropped = bench.host.inject(FaultRule(.interrupt(vector: nil, .dropped)))
        try use(bench, timeout: 5000)
        #expect(bench.host.faultCount(of: dropped).map { $0.fired > 3 } == true)
        bench.host.withdraw(dropped)
        bench.host.inject(FaultRule(.interrupt(vector: nil, .delayed(milliseconds: 3)), .every(2)))
        try use(bench, timeout: 5000)
    }

    @Test("tells any request that fails while it opens, works and closes, and leaves nothing behind")
    func requests() throws {
        let bench = try Bench()
        let counter = bench.host.inject(FaultRule(.request(nil, .inputOutput), .nth(.max)))
        try use(bench)
        let steps = try #require(bench.host.faultCount(of: counter)).events
        #expect(steps > 12)
        for step in 1...steps {
            let token = bench.host.inject(FaultRule(.request(nil, .inputOutput), .nth(step)))
            let error = failure { () throws(NVMeError) in try use(bench) }
            if let error { #expect(error.description.contains("0000:01:00.0"), "request \(step): \(error)") }
            bench.host.withdraw(token)
            checkNothingIsLeft(bench, "request \(step)")
        }
    }

    @Test(
        "tells when the device disappears, at whatever access, and leaves nothing behind",
        arguments: [DeviceFault.vanished, .silent])
    func disappearing(_ fault: DeviceFault) throws {
        let first = try Bench()
        let counter = first.host.inject(FaultRule(.device(fault), .nth(.max)))
        try use(first)
        let steps = try #require(first.host.faultCount(of: counter)).events
        #expect(steps > 40)
        for step in 1...steps {
            let bench = try Bench()
            let token = bench.host.inject(FaultRule(.device(fault), on: .device(Self.address), .nth(step)))
            let error = failure { () throws(NVMeError) in try use(bench) }
            if let error {
                #expect(error.description.contains("0000:01:00.0"), "access \(step): \(error)")
            } else {
                // Only the last steps of closing need no answer.
                #expect(step > steps / 2, "access \(step) went unnoticed")
            }
            #expect(bench.host.lockedByteCount == 0, "access \(step): \(error?.description ?? "no error")")
            if fault == .silent {
                bench.host.withdraw(token)
                checkNothingIsLeft(bench, "access \(step)")
            }
        }
    }

    @Test(
        "survives completions with any bit of queue, command, phase and status inverted",
        arguments: 8..<16)
    func completions(byte: Int) throws {
        for bit in 0..<8 {
            for moment in [FaultMoment.nth(1), .nth(4), .nth(12), .every(5)] {
                let bench = try Bench()
                let token = bench.host.inject(
                    FaultRule(
                        .dmaWrite(byteCount: 16, .flipped(byte: byte, bits: 1 << UInt8(bit))), moment))
                let error = failure { () throws(NVMeError) in try use(bench, timeout: 20) }
                if let error { #expect(error.description.contains("0000:01:00.0"), "\(error)") }
                bench.host.withdraw(token)
                checkNothingIsLeft(bench, "byte \(byte), bit \(bit), \(moment)")
            }
        }
    }

    @Test("survives completions that never arrive, and DMA that is refused")
    func lostCompletions() throws {
        for step in UInt64(1)...20 {
            for fault in [
                Fault.dmaWrite(byteCount: 16, .dropped), .dmaWrite(byteCount: 16, .refused), .dmaRead,
            ] {
                let bench = try Bench()
                let token = bench.host.inject(FaultRule(fault, .nth(step)))
                let error = failure { () throws(NVMeError) in try use(bench, timeout: 20) }
                if let error { #expect(error.description.contains("0000:01:00.0"), "\(error)") }
                bench.host.withdraw(token)
                checkNothingIsLeft(bench, "\(fault) at \(step)")
            }
        }
    }

    @Test("goes on after a reset when commands time out, whatever the seed")
    func recovery() throws {
        let bench = try Bench()
        try recover(bench)
        #expect(bench.host.lockedByteCount == 0)
    }

    private func recover(_ bench: Bench) throws {
        let ssd = try bench.open {
            $0.timeout = 20
            $0.adminTimeout = 200
        }
        var random = TestRandom("recovery")
        var failures = 0
        var model = [UInt8](repeating: 0, count: 64 * 512)
        for _ in 0..<60 {
            let kind = random.below(3)
            let fault: Fault =
                switch kind {
                case 0: .dmaWrite(byteCount: 16, .dropped)
                case 1: .interrupt(vector: nil, .dropped)
                default: .dmaWrite(byteCount: 16, .flipped(byte: 12, bits: 0x80))
                }
            let token = bench.host.inject(FaultRule(fault, .nth(UInt64(1 + random.below(3)))))
            let bytes = random.bytes(64 * 512)
            let error = failure { () throws(NVMeError) in try ssd.write(blocks: 0..<64, from: bytes) }
            bench.host.withdraw(token)
            if error != nil {
                failures += 1
                // Whether stopped or not, a reset brings it back.
                try ssd.reset()
                try ssd.write(blocks: 0..<64, from: bytes)
            }
            model = bytes
            #expect(try ssd.read(blocks: 0..<64) == model)
        }
        #expect(failures > 0)
        try ssd.close()
    }
}
