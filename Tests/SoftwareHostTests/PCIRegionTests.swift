import DeviceModel
import IOVASpace
import LinuxSystem
import Testing
import VFIOABI

@testable import SoftwareHost

@Suite("PCI driver: device and regions")
struct PCIRegionTests {
    @Test("A device tells that it is PCI, whether it can be reset, and its numbers")
    func info() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        var info = DeviceInfo()
        #expect(try bench.control(.deviceGetInfo, &info) == 0)
        #expect(info.flags == [.pci, .reset])
        #expect(info.regionCount == 9 && info.irqCount == 5 && info.capabilityOffset == 0)

        var short = [UInt8](repeating: 0xaa, count: 24)
        short[0] = 16
        short[1...3] = [0, 0, 0]
        #expect(try bench.control(.deviceGetInfo, &short) == 0)
        #expect(Array(short[16...]) == [UInt8](repeating: 0xaa, count: 8))
        short[0] = 15
        #expect(errno { try bench.control(.deviceGetInfo, &short) } == .invalid)
        #expect(errno { try bench.driver.control(UInt32(Request.deviceGetInfo.rawValue), 8) } == .badAddress)
        #expect(errno { try bench.driver.control(0x3b8f, 0) } == .noSuchRequest)
    }

    @Test("A device without a reset says so")
    func noReset() throws {
        let bench = conventionalBench(noSoftReset: true)
        try bench.driver.openDevice()
        var info = DeviceInfo()
        _ = try bench.control(.deviceGetInfo, &info)
        #expect(info.flags == .pci)
        #expect(errno { try bench.driver.control(UInt32(Request.deviceReset.rawValue), 0) } == .invalid)
    }

    @Test("Every region is described as Linux does")
    func descriptions() throws {
        let bench = try expressBench()
        let driver = bench.driver
        try driver.openDevice()
        let regions = try (UInt32(0)..<8).map { try driver.regionInfo(index: $0) }
        #expect(regions.map(\.size) == [0x1_0000, 0, 0x4000, 0, 32, 0, 2048, 4096])
        #expect(regions.map(\.flags) == [7, 0, 7, 0, 3, 0, 1, 3])
        #expect(regions.map(\.offset) == (UInt64(0)..<8).map { $0 << 40 })
        #expect(regions[0].sparseAreas.map { $0.offset } == [0x4000])
        #expect(regions[0].sparseAreas.map { $0.size } == [0x4000])
        #expect(!regions[0].isMSIXMappable)
        #expect(regions[2].sparseAreas.isEmpty)
        #expect(errno { try driver.regionInfo(index: 8) } == .invalid)
        #expect(errno { try driver.regionInfo(index: 9) } == .invalid)
        #expect(errno { try driver.regionInfo(index: .max) } == .invalid)
    }

    @Test("A BAR that is all memory and holds the MSI-X table says that it can be mapped all the same")
    func msixMappable() throws {
        let memory = try TestMemory(byteCount: 0x2000)
        let function = PCIFunction(
            PCIIdentity(vendor: 1, device: 2, classCode: 0), bars: [0: BAR(.memory32, byteCount: 0x2000)])
        function.addMSIX(vectors: 2, table: (bar: 0, offset: 0x1000), pending: (bar: 0, offset: 0x1800))
        function.addMemory(memory.part(bar: 0, at: 0))
        let bench = Bench(TestDevice(function), keeping: [memory])
        try bench.driver.openDevice()
        let region = try bench.driver.regionInfo(index: 0)
        #expect(region.flags == 7 && region.isMSIXMappable && region.sparseAreas.isEmpty)
    }

    @Test("A ROM without its signature has no region, and can't be read")
    func brokenROM() throws {
        let function = PCIFunction(
            PCIIdentity(vendor: 1, device: 2, classCode: 0), bars: [:], rom: [1, 2, 3])
        let bench = Bench(TestDevice(function))
        try bench.driver.openDevice()
        let region = try bench.driver.regionInfo(index: 6)
        #expect(region.size == 0 && region.flags == 0)
        #expect(errno { try bench.read(6, 2040, 100) } == .noMemory)
    }

    @Test("Accesses are split into the widest aligned units")
    func units() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        #expect(try bench.read(0, 1, 19).count == 19)
        #expect(bench.device.reads.map { $0.offset } == [1, 2, 4, 8, 16])
        #expect(bench.device.reads.map { $0.width } == [1, 2, 4, 8, 4])
        #expect(try bench.write(4, 0, [UInt8](repeating: 9, count: 8)) == 8)
        #expect(bench.device.writes.map { $0.width } == [4, 4])
    }

    @Test("Values arrive in the order of their bytes")
    func values() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        for width in [1, 2, 4, 8] {
            let bytes = (1...UInt8(width)).map { $0 }
            #expect(try bench.write(0, 0x100, bytes) == width)
            #expect(bench.device.writes.last?.width == width)
            #expect(
                bench.device.writes.last?.value == 0x0807_0605_0403_0201 & (.max >> UInt64(64 - 8 * width)))
            #expect(try bench.read(0, 0x100, width) == bytes)
        }
    }

    @Test("An access is clipped at a BAR's end, and none begins there")
    func clipping() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        #expect(try bench.read(0, 0xfffc, 16).count == 4)
        #expect(try bench.write(4, 30, [1, 2, 3, 4]) == 2)
        #expect(errno { try bench.read(0, 0x1_0000, 4) } == .invalid)
        #expect(errno { try bench.read(1, 0, 4) } == .invalid)
        #expect(errno { try bench.write(5, 0, [0]) } == .invalid)
        #expect(errno { try bench.read(8, 0xa0000, 1) } == .invalid)
        #expect(errno { try bench.read(9, 0, 1) } == .invalid)
        #expect(try bench.read(9, 0, 0) == [])
        #expect(
            errno { try bench.write((1 << 24) - 1, (1 << 40) - 1, [0, 0]) } == .invalid
        )
    }

    @Test("The MSI-X table reads as all ones and keeps its contents; what lies around it is reached")
    func table() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        bench.device.registers[0x1ff8] = 0x1122_3344_5566_7788
        let bytes = try bench.read(0, 0x1ff8, 0x90)
        #expect(Array(bytes[0..<8]) == [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11])
        #expect(Array(bytes[8..<0x88]) == [UInt8](repeating: 0xff, count: 128))
        #expect(Array(bytes[0x88...]) == [UInt8](repeating: 0, count: 8))
        #expect(bench.device.reads.map { $0.offset } == [0x1ff8, 0x2080])
        #expect(try bench.write(0, 0x2000, [UInt8](repeating: 0, count: 16)) == 16)
        #expect(bench.device.loadBAR(0, offset: 0x200c, width: 4) == 1)
    }

    @Test("With memory off only accesses that reach the device fail")
    func memoryOff() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        bench.setConfig(4, 2, 1)
        #expect(errno { try bench.read(0, 0, 4) } == .inputOutput)
        #expect(errno { try bench.write(2, 0, [1]) } == .inputOutput)
        #expect(try bench.read(0, 0x2010, 4) == [0xff, 0xff, 0xff, 0xff])
        #expect(try bench.write(0, 0x2010, [0, 0, 0, 0]) == 4)
        #expect(errno { try bench.read(0, 0x1ffc, 8) } == .inputOutput)
        #expect(errno { try bench.read(6, 0, 2) } == .noMemory)
        #expect(try bench.read(4, 0, 4).count == 4)
        bench.setConfig(4, 2, 3)
        #expect(try bench.read(0, 0, 4).count == 4)
    }

    @Test("The ROM is read up to its BAR's end and can't be written")
    func rom() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        #expect(try bench.read(6, 0, 3) == [0x55, 0xaa, 0x11])
        #expect(try bench.read(6, 1000, 4) == [0x11, 0x11, 0xff, 0xff])
        #expect(try bench.read(6, 2040, 100).count == 8)
        #expect(errno { try bench.write(6, 0, [1]) } == .invalid)
        #expect(errno { try conventionalBench().read(6, 0, 1) } == .invalid)
    }

    @Test("Plain memory is the same through a mapping and through reads and writes")
    func mapping() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        let window = try bench.driver.map(at: 2 << 40 | 0x1000, byteCount: 100, protection: [.read, .write])
        #expect(window.byteCount == pageSize)
        window.store32(8, 0xcafe_f00d)
        #expect(try bench.read(2, 0x1008, 4) == [0x0d, 0xf0, 0xfe, 0xca])
        #expect(try bench.write(2, 0x1ffc, [1, 2, 3, 4]) == 4)
        #expect(window.load32(pageSize - 4) == 0x0403_0201)
        let part = try bench.driver.map(at: 0x4000, byteCount: 0x4000, protection: .read)
        #expect(try bench.write(0, 0x5000, [7]) == 1)
        #expect(part.load8(0x1000) == 7)
        bench.driver.unmap(window)
        bench.driver.unmap(part)
        #expect(bench.driver.mappings.isEmpty)
    }

    @Test("What isn't plain memory can't be mapped")
    func mappingRefused() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        func attempt(_ region: UInt64, _ offset: UInt64, _ count: Int) -> Errno? {
            errno { try bench.driver.map(at: region << 40 | offset, byteCount: count, protection: .read) }
        }
        #expect(attempt(0, 0, 0x1000) == .invalid)
        #expect(attempt(0, 0x3000, 0x2000) == .invalid)
        #expect(attempt(0, 0x7000, 0x2000) == .invalid)
        #expect(attempt(2, 0, 0x5000) == .invalid)
        #expect(attempt(2, 0x4000, 0x1000) == .invalid)
        #expect(attempt(2, 1, 0x1000) == .invalid)
        #expect(attempt(2, 0, 0) == .invalid)
        #expect(attempt(2, 0, .max) == .invalid)
        for region in [1, 3, 4, 5, 6, 7, 8, 9] { #expect(attempt(UInt64(region), 0, 0x1000) == .invalid) }
    }

    /// Whether a byte of this process's memory can be read: a system call answers, where a load would trap.
    private func isReachable(_ window: MemoryWindow) -> Bool {
        errno { try UserMemory.load(UInt8(0), from: window.address) } == nil
    }

    @Test(
        "A mapping is gone while memory is off, in D3hot and in low power, and comes back with its contents")
    func zapping() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        let window = try bench.driver.map(at: 2 << 40, byteCount: 0x4000, protection: [.read, .write])
        window.store32(0, 42)
        bench.setConfig(4, 2, 1)
        #expect(!isReachable(window))
        let late = try bench.driver.map(at: 2 << 40, byteCount: 0x1000, protection: .read)
        #expect(!isReachable(late))
        bench.setConfig(4, 2, 3)
        #expect(isReachable(window) && isReachable(late))
        #expect(window.load32(0) == 42)
        let power = try #require(bench.function.configuration.capability(1))
        bench.setConfig(power + 4, 2, 3)
        #expect(!isReachable(window))
        bench.setConfig(power + 4, 2, 0)
        #expect(isReachable(window))
        #expect(try bench.driver.feature(3, .set, isProbe: false, payload: .null, room: 0) == 0)
        #expect(!isReachable(window))
        #expect(try bench.read(2, 0, 4) == [42, 0, 0, 0])
        #expect(!isReachable(window))
        #expect(try bench.driver.feature(5, .set, isProbe: false, payload: .null, room: 0) == 0)
        #expect(isReachable(window))
        bench.driver.unmap(window)
        bench.driver.unmap(late)
    }

    @Test("DMA needs bus mastering and an address space; what is refused is counted")
    func dma() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        let space = TestSpace()
        let dma = try #require(bench.function.dma)
        func reason(_ iova: UInt64) -> DMAFault.Reason? {
            do throws(DMAFault) {
                try dma.store(UInt64(5), to: IOVA(iova))
                return nil
            } catch {
                return error.reason
            }
        }
        #expect(reason(space.base) == .busMasterDisabled)
        bench.setConfig(4, 2, 7)
        #expect(reason(space.base) == .notAttached)
        bench.driver.attach(to: space)
        #expect(reason(space.base) == nil)
        #expect(try dma.load(UInt64(0), from: IOVA(space.base)) == 5)
        #expect(reason(0) == .notMapped)
        bench.driver.attach(to: nil)
        #expect(reason(space.base) == .notAttached)
        #expect(bench.driver.refusedDMACount == 4)
        #expect(
            bench.driver.lastDMAFault
                == DMAFault(iova: IOVA(space.base), access: .write, reason: .notAttached))
    }

    @Test("Closing ends DMA, quiesces and resets the device, and puts its addresses back")
    func close() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        let before = (0..<16).map { bench.function.configuration.value(at: 4 * $0, width: 4) }
        let resets = bench.device.resets.count
        bench.setConfig(4, 2, 7)
        bench.setConfig(0x0c, 1, 0x20)
        try bench.setEvents(.msix, [-1])
        bench.driver.closeDevice()
        #expect(bench.device.quiesced == 1)
        #expect(bench.device.resets.count == resets + 1)
        #expect(!bench.function.isBusMasterEnabled)
        #expect(bench.function.msix?.isEnabled == false)
        #expect((0..<16).map { bench.function.configuration.value(at: 4 * $0, width: 4) } == before)
        try bench.driver.openDevice()
        #expect(bench.config(4, 2) == 3)
        #expect(try bench.irqInfo(2).count == 8)
    }

    @Test("RESET resets the device, keeps what the user set up, and mappings live on")
    func reset() throws {
        let bench = try expressBench()
        try bench.driver.openDevice()
        let event = try EventDescriptor()
        bench.setConfig(4, 2, 7)
        try bench.setEvents(.msix, [-1, event.number])
        let window = try bench.driver.map(at: 2 << 40, byteCount: 0x1000, protection: .read)
        let resets = bench.device.resets.count
        #expect(try bench.driver.control(UInt32(Request.deviceReset.rawValue), 0) == 0)
        #expect(bench.device.resets.count == resets + 1)
        #expect(bench.config(4, 2) == 7)
        #expect(window.load8(0) == 0)
        bench.function.signal(vector: 1)
        #expect(event.taken == 1)
        bench.driver.unmap(window)
    }

    @Test("A function alone below a bridge is reset with its bus where it has no reset of its own")
    func busReset() throws {
        let bench = conventionalBench(isAloneOnBus: true, noSoftReset: true)
        try bench.driver.openDevice()
        #expect(bench.device.resets == [.bus])
        let power = conventionalBench(isAloneOnBus: true)
        try power.driver.openDevice()
        #expect(power.device.resets == [.power])
    }

    @Test("Random reads and writes of all regions never trap")
    func fuzz() throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("region fuzz seed: \(seed)")
        var random = SplitMix(state: seed)
        let bench = try expressBench()
        try bench.driver.openDevice()
        for _ in 0..<20_000 {
            let region = random.next() % 11
            let limit = [0x1_0010, 0x20, 0x1010, 0x30][Int(random.next() % 4)]
            let offset = random.next() % 64 == 0 ? random.next() : random.next() % UInt64(limit)
            let count = Int(random.next() % 64)
            if random.next() % 2 == 0 {
                let read = try? bench.read(region & 0xff, offset & 0xff_ffff_ffff, count)
                #expect((read?.count ?? 0) <= count)
            } else {
                let bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
                let written = try? bench.write(region & 0xff, offset & 0xff_ffff_ffff, bytes)
                #expect((written ?? 0) <= count)
            }
        }
        #expect(bench.device.reads.allSatisfy { $0.offset % UInt64($0.width) == 0 })
        #expect(bench.device.writes.allSatisfy { $0.offset % UInt64($0.width) == 0 })
    }
}
