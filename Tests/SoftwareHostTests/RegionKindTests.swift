import DeviceModel
import LinuxSystem
import SoftwareDevices
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

/// A device with a region of every kind, opened without the core.
private struct SamplerBench {
    let model: RegionSampler
    let driver: PCIBusDriver

    init(isVGA: Bool = false, _ parameters: ModuleParameters = ModuleParameters()) throws {
        model = try RegionSampler(isVGA: isVGA)
        driver = PCIBusDriver(model: model, address: PCIAddress(bus: 0, device: 5, function: 0))
        driver.parameters.value = parameters
        try driver.openDevice()
    }

    func read(_ region: UInt64, _ offset: UInt64, _ count: Int) throws(Errno) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xcc, count: count)
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        let done = try driver.read(at: region << 40 | offset, into: &raw)
        return Array(bytes[..<done])
    }

    func write(_ region: UInt64, _ offset: UInt64, _ bytes: [UInt8]) throws(Errno) -> Int {
        try driver.write(at: region << 40 | offset, bytes.span.bytes)
    }
}

@Suite("Regions of every kind are reached as in Linux")
struct RegionKindTests {
    @Test("ports are read and written in pieces of 4 bytes at most; memory may be off, they may not")
    func ports() throws {
        let bench = try SamplerBench()
        let info = try bench.driver.regionInfo(index: 1)
        #expect(info.size == 32 && info.flags == 3)
        #expect(try bench.write(7, 4, [1, 0]) == 2)
        #expect(try bench.write(1, 3, Array(1...9)) == 9)
        #expect(try bench.read(1, 3, 9) == Array(1...9))
        #expect(try bench.write(7, 4, [0, 0]) == 2)
        #expect(try bench.write(1, 3, [0]) == 1 && bench.read(1, 3, 2) == [0xff, 0xff])
        #expect(try bench.write(7, 4, [1, 0]) == 2)
        #expect(try bench.read(1, 3, 2) == [1, 2])
        #expect(try bench.read(1, 30, 9).count == 2)
        #expect(throws: Errno.invalid) { try bench.read(1, 32, 1) }
        #expect(throws: Errno.inputOutput) { try bench.read(0, 0, 4) }
        #expect(throws: Errno.invalid) {
            try bench.driver.map(at: 1 << 40, byteCount: 4096, protection: .read)
        }
    }

    @Test("a BAR that is shorter than a page is read and written, and mapped only with a page to itself")
    func small() throws {
        let bench = try SamplerBench()
        let info = try bench.driver.regionInfo(index: 5)
        #expect(info.size == 256 && info.flags == 3)
        #expect(try bench.write(5, 250, Array(1...20)) == 6)
        #expect(try bench.read(5, 250, 20) == Array(1...6))
        for (isAlone, wanted) in [(true, UInt32(7)), (false, 3)] {
            let memory = try TestMemory(byteCount: 256)
            let bars: [Int: BAR] =
                isAlone
                ? [0: BAR(.memory32, byteCount: 256)]
                : [0: BAR(.memory32, byteCount: 256), 1: BAR(.memory32, byteCount: 256)]
            let function = PCIFunction(
                PCIIdentity(vendor: 0x1234, device: 1, classCode: 0xff_0000), bars: bars)
            function.addMemory(memory.part(bar: 0, at: 0))
            let driver = PCIBusDriver(
                model: TestDevice(function), address: PCIAddress(bus: 0, device: 6, function: 0))
            try driver.openDevice()
            #expect(try driver.regionInfo(index: 0).flags == wanted)
            guard isAlone else {
                #expect(throws: Errno.invalid) {
                    try driver.map(at: 0, byteCount: pageSize, protection: .read)
                }
                continue
            }
            let window = try driver.map(at: 0, byteCount: pageSize, protection: .read)
            memory.mapping.window.store32(8, 77)
            #expect(window.load32(8) == 77)
            driver.unmap(window)
        }
    }

    @Test("memory is mapped as a whole or in parts, and told so")
    func memory() throws {
        let bench = try SamplerBench()
        #expect(try bench.driver.regionInfo(index: 2).flags == 7)
        let whole = try bench.driver.regionInfo(index: 4)
        #expect(whole.flags == 7 && whole.isMSIXMappable && whole.sparseAreas.isEmpty)
        let parts = try bench.driver.regionInfo(index: 0)
        #expect(
            parts.sparseAreas.map { $0.offset } == [0x1000] && parts.sparseAreas.map { $0.size } == [0x2000])
        let window = try bench.driver.map(
            at: 0x1000, byteCount: 0x2000, protection: [.read, .write])
        window.store32(0x10, 0x1234_5678)
        #expect(try bench.read(0, 0x1010, 4) == [0x78, 0x56, 0x34, 0x12])
        bench.driver.unmap(window)
        #expect(throws: Errno.invalid) {
            try bench.driver.map(at: 0, byteCount: 4096, protection: .read)
        }
    }

    @Test("the ROM shows its image, and nothing behind it")
    func rom() throws {
        let bench = try SamplerBench()
        let info = try bench.driver.regionInfo(index: 6)
        #expect(info.size == 2048 && info.flags == 1)
        #expect(try bench.read(6, 0, 2) == [0x55, 0xaa])
        #expect(
            try bench.read(6, 1022, 4) == [
                UInt8(truncatingIfNeeded: 1022 * 7), UInt8(truncatingIfNeeded: 1023 * 7), 0xff, 0xff,
            ])
        #expect(throws: Errno.invalid) { try bench.write(6, 0, [1]) }
    }

    @Test("Vital Product Data is read through its two registers")
    func productData() throws {
        let bench = try SamplerBench()
        let at = UInt64(try #require(bench.driver.configuration.capability(0x03)))
        #expect(try bench.write(7, at + 2, [0, 0]) == 2)
        let flag = try bench.read(7, at + 2, 2)
        #expect(flag[1] & 0x80 != 0)
        #expect(try bench.read(7, at + 4, 1) == [0x82])
    }

    @Test("the legacy windows of a VGA device are reached, unless a parameter says otherwise")
    func legacyVGA() throws {
        let bench = try SamplerBench(isVGA: true)
        let info = try bench.driver.regionInfo(index: 8)
        #expect(info.size == 0xc0000 && info.flags == 3)
        #expect(try bench.write(8, 0xa0001, Array(1...7)) == 7)
        #expect(try bench.read(8, 0xa0001, 7) == Array(1...7))
        #expect(try bench.read(8, 0xbffff, 9).count == 1)
        #expect(try bench.write(8, 0x3c2, [1, 2]) == 2)
        #expect(try bench.read(8, 0x3c0, 64).count == 32)
        for outside in [0, 0x3af, 0x3bc, 0x3e0, 0x9ffff, 0xc0000] as [UInt64] {
            #expect(throws: Errno.invalid, "at \(outside)") { try bench.read(8, outside, 1) }
        }
        #expect(throws: Errno.invalid) {
            try bench.driver.map(at: 8 << 40 | 0xa0000, byteCount: 4096, protection: .read)
        }
        var parameters = ModuleParameters()
        parameters.disableVGA = true
        for without in [try SamplerBench(isVGA: true, parameters), try SamplerBench()] {
            #expect(throws: Errno.invalid) { try without.driver.regionInfo(index: 8) }
            #expect(throws: Errno.invalid) { try without.read(8, 0xa0000, 1) }
        }
    }
}

@Suite("vfio-pci refuses devices that it knows")
struct PCIDenylistTests {
    /// A device by its identity, with a line.
    private func model(_ vendor: UInt16, _ device: UInt16, _ classCode: UInt32 = 0xff_0000) -> TestDevice {
        TestDevice(PCIFunction(PCIIdentity(vendor: vendor, device: device, classCode: classCode), bars: [:]))
    }

    private static let address = PCIAddress(bus: 0, device: 5, function: 0)

    @Test("that are known to be unsafe, unless a parameter says otherwise")
    func denied() throws {
        let host = try SoftwareHost {
            IOMMUGroup(1) { PCIDevice(model(0x8086, 0x37c8), at: Self.address, driver: nil) }
        }
        #expect(throws: Errno.invalid) { try host.bind(Self.address, to: "vfio-pci") }
        host.parameters.disableDenylist = true
        try host.bind(Self.address, to: "vfio-pci")
    }

    @Test("and bridges, whose neighbours can be used")
    func bridges() throws {
        let host = try SoftwareHost {
            IOMMUGroup(1) {
                PCIDevice(bridgeAt: "0000:00:1c.0")
                PCIDevice(PlainModel(), at: Self.address)
            }
        }
        #expect(try host.inventory().blockers(ofGroup: 1).isEmpty)
        let bridge = PCIAddress(bus: 0, device: 0x1c, function: 0)
        try host.bind(bridge, to: nil)
        #expect(throws: Errno.invalid) { try host.bind(bridge, to: "vfio-pci") }
    }

    @Test("A device whose line can't be masked is used without its line, unless a parameter says otherwise")
    func brokenLine() throws {
        for (isTrusted, count) in [(false, Int32(0)), (true, 1)] {
            let host = try SoftwareHost {
                IOMMUGroup(1) { PCIDevice(model(0x8086, 0x1572), at: Self.address, driver: nil) }
            }
            host.parameters.noINTxMask = isTrusted
            try host.bind(Self.address, to: "vfio-pci")
            let bus = try #require(host.core.lock.withLock { host.core.devices[0].bus?.pci })
            try bus.openDevice()
            var info = IRQInfo(index: 0)
            try withUnsafeMutablePointer(to: &info) { place throws(Errno) in
                _ = try bus.control(
                    UInt32(Request.deviceGetIRQInfo.rawValue), UInt(bitPattern: place))
            }
            #expect(info.count == UInt32(count))
            #expect(bus.configuration.command & 0x400 != 0 || isTrusted)
        }
    }

    @Test("Functions in one place say in their headers that there are several")
    func multifunction() throws {
        let models = [PlainModel(), PlainModel(), PlainModel()]
        _ = try SoftwareHost {
            IOMMUGroup(1) {
                PCIDevice(models[0], at: "0000:00:05.0")
                PCIDevice(models[1], at: "0000:00:05.1")
            }
            IOMMUGroup(2) { PCIDevice(models[2], at: "0000:00:06.0") }
        }
        #expect(models.map { $0.function.configuration.value(at: 0x0e, width: 1) } == [0x80, 0x80, 0])
    }
}
