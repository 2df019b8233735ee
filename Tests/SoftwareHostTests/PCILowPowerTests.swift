import DeviceModel
import IOVASpace
import LinuxSystem
import Testing
import VFIOABI

@testable import SoftwareHost

@Suite("PCI driver: low power")
struct PCILowPowerTests {
    private let entry: UInt32 = 3
    private let entryWithWakeUp: UInt32 = 4
    private let exit: UInt32 = 5

    private func open() throws -> Bench {
        let bench = try expressBench()
        try bench.driver.openDevice()
        bench.setConfig(4, 2, 7)
        return bench
    }

    private func powerState(of bench: Bench) -> UInt8 { bench.function.configuration.powerState }

    @Test("It is entered once, and left at any time")
    func once() throws {
        let bench = try open()
        for id in [entry, entryWithWakeUp, exit] {
            #expect(errno { try bench.feature(id, .get) } == .invalid)
            #expect(errno { try bench.feature(id, [.get, .set], isProbe: true) } == .invalid)
            #expect(errno { try bench.feature(id, []) } == .invalid)
            #expect(try bench.feature(id, [], isProbe: true) == 0)
            #expect(try bench.feature(id, .set, isProbe: true, room: 0) == 0)
        }
        #expect(try bench.feature(entry, room: 0) == 0)
        #expect(errno { try bench.feature(entry) } == .invalid)
        let event = try EventDescriptor()
        #expect(errno { try bench.feature(entryWithWakeUp, payload: [event.number, 0]) } == .invalid)
        #expect(try bench.feature(exit) == 0)
        #expect(try bench.feature(exit) == 0)
        #expect(event.taken == 0)
        #expect(errno { try bench.feature(99) } == .noSuchRequest)
    }

    @Test("The eventfd of ENTRY_WITH_WAKEUP is checked before the state")
    func checks() throws {
        let bench = try open()
        let file = try MemoryFile.create("no eventfd", byteCount: 0)
        let event = try EventDescriptor()
        for isAsleep in [false, true] {
            if isAsleep { try bench.feature(entry) }
            #expect(
                errno { try bench.feature(entryWithWakeUp, payload: [event.number, 0], room: 7) } == .invalid)
            #expect(errno { try bench.feature(entryWithWakeUp, payload: [-1, 0]) } == .invalid)
            #expect(errno { try bench.feature(entryWithWakeUp, payload: [9999, 0]) } == .badDescriptor)
            #expect(errno { try bench.feature(entryWithWakeUp, payload: [file.number, 0]) } == .invalid)
        }
    }

    @Test("Requests and accesses wake a device for as long as they last")
    func wakesForUse() throws {
        let bench = try open()
        try bench.feature(entry)
        #expect(powerState(of: bench) == 3)
        var seen: UInt8 = 9
        bench.device.onWrite = { _ in seen = bench.function.configuration.powerState }
        _ = try bench.write(0, 0, [1])
        #expect(seen == 0)
        #expect(powerState(of: bench) == 3)
        #expect(try bench.irqInfo(0).count == 1)
        #expect(powerState(of: bench) == 3)
        // As a user sees it, the device is never asleep.
        let power = try #require(bench.function.configuration.capability(1))
        #expect(bench.config(power + 4, 2) & 3 == 0)
        try bench.feature(exit)
        #expect(powerState(of: bench) == 0)
        bench.device.onWrite = nil
    }

    @Test("Whoever wakes it, the user who asked is told once, and low power is over")
    func told() throws {
        let bench = try open()
        let event = try EventDescriptor()
        try bench.feature(entryWithWakeUp, payload: [event.number, 77])
        #expect(event.taken == 0)
        _ = try bench.read(0, 0, 4)
        #expect(event.taken == 1)
        _ = try bench.read(0, 0, 4)
        #expect(event.taken == 0)
        #expect(powerState(of: bench) == 0)
        try bench.feature(entryWithWakeUp, payload: [event.number, 0])
        // A second one wakes it first, and so is no longer one too many.
        try bench.feature(entryWithWakeUp, payload: [event.number, 0])
        #expect(event.taken == 1)
        #expect(errno { try bench.control(Request(rawValue: 0x7fff)) } == .noSuchRequest)
        #expect(event.taken == 1)
        try bench.feature(entryWithWakeUp, payload: [event.number, 0])
        bench.driver.closeDevice()
        #expect(event.taken == 0)
    }

    @Test("A sleeping device can't reach memory or raise interrupts; what it raised comes when it wakes up")
    func silent() throws {
        let bench = try open()
        let event = try EventDescriptor()
        let space = TestSpace()
        bench.driver.attach(to: space)
        try bench.setEvents(.msix, [event.number])
        try bench.feature(entry)
        bench.function.signal(vector: 0)
        #expect(event.taken == 0)
        #expect(throws: DMAFault.self) { try bench.function.dma.store(UInt64(0), to: IOVA(space.base)) }
        try bench.feature(exit)
        #expect(event.taken == 1)
        try bench.function.dma.store(UInt64(0), to: IOVA(space.base))
    }

    @Test("The line is masked during sleep, unless the user had masked it: then it stays masked")
    func line() throws {
        for isMasked in [false, true] {
            let bench = conventionalBench(noSoftReset: true)
            try bench.driver.openDevice()
            let event = try EventDescriptor()
            try bench.setEvents(.intx, [event.number])
            if isMasked { try bench.setIRQs(.intx, [.dataNone, .actionMask], count: 1) }
            try bench.feature(entry)
            bench.function.setLine(true)
            #expect(event.taken == 0)
            try bench.feature(exit)
            #expect(event.taken == (isMasked ? 0 : 1))
            bench.driver.closeDevice()
        }
    }

    @Test("A device that forgets in D3hot has its interrupts and registers put back")
    func forgetful() throws {
        let bench = conventionalBench()
        try bench.driver.openDevice()
        bench.setConfig(4, 2, 6)
        bench.setConfig(0x0c, 1, 0x20)
        try bench.feature(entry)
        let resets = bench.device.resets.count
        #expect(bench.config(0x0c, 1) == 0x20)
        #expect(bench.device.resets.count == resets + 1)
        #expect(bench.config(4, 2) == 6)
        try bench.feature(exit)
    }

    @Test("A user's own D3hot ends with low power")
    func afterD3() throws {
        let bench = try open()
        let power = try #require(bench.function.configuration.capability(1))
        bench.setConfig(power + 4, 2, 3)
        #expect(errno { try bench.read(0, 0, 4) } == .inputOutput)
        try bench.feature(entry)
        #expect(try bench.read(0, 0, 4).count == 4)
        try bench.feature(exit)
        #expect(bench.config(power + 4, 2) & 3 == 0)
    }

    @Test("Many threads that use a sleeping device never see it asleep")
    func concurrency() throws {
        let bench = try open()
        nonisolated(unsafe) let shared = bench
        let failures = try PCIEvent()
        do {
            let threads = try (0..<3).map { thread in
                try WorkerThread {
                    for round in 0..<300 {
                        if thread == 0 {
                            _ = errno { try unsafe shared.feature(round % 2 == 0 ? 3 : 5) }
                        } else if (try? unsafe shared.write(0, 8, [1]).description) == nil {
                            failures.signal()
                        }
                        _ = try? unsafe shared.irqInfo(2)
                    }
                }
            }
            withExtendedLifetime(threads) {}
        }
        #expect(failures.taken == 0)
        bench.driver.closeDevice()
    }
}
