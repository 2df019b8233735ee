import DeviceModel
import IOVASpace
import LinuxSystem
import SoftwareDevices
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

private func node(_ compatible: String = "test,device") -> BusIdentity {
    .platform(FirmwareNode(compatible: [compatible]))
}

/// A handler that only counts.
private final class Counter {
    var count = 0
    var error: Errno?

    func handler(for compatible: String = "test,device") -> PlatformResetHandler {
        PlatformResetHandler(for: compatible) { [self] (_) throws(Errno) in
            count += 1
            if let error { throw error }
        }
    }
}

private func bench(
    _ device: TestBusDevice, _ counter: Counter = Counter()
) throws(Errno) -> BusBench {
    let driver = try PlatformBusDriver(device, DeviceFaults(), handlers: [counter.handler()])
    try driver.openDevice()
    return BusBench(driver: driver)
}

@Suite struct PlatformTests {
    @Test func aPlatformDeviceTellsWhatItHas() throws {
        let device = TestBusDevice(
            BusResources(
                node(),
                regions: [
                    BusRegion(at: 0x1000_0000, byteCount: 0x2000),
                    BusRegion(at: 0x1001_0100, byteCount: 0x80, isReadOnly: true),
                    BusRegion(.ports, at: 0x3f8, byteCount: 8),
                ], lines: [.level, .edge]))
        let bench = try bench(device)
        let info = try bench.info
        #expect(info.flags == [.platform, .reset])
        #expect(info.regionCount == 3 && info.irqCount == 2)
        let regions = try (0..<3).map { try bench.driver.regionInfo(index: $0) }
        #expect(regions.map { $0.flags } == [3, 1, 0])
        #expect(regions.map { $0.size } == [0x2000, 0x80, 8])
        #expect(regions.map { $0.offset } == [0, 1 << 40, 2 << 40])
        #expect(errno { _ = try bench.driver.regionInfo(index: 3) } == .invalid)
        #expect(try bench.interrupt(0).flags == [.eventFD, .maskable, .automasked])
        #expect(try bench.interrupt(1).flags == .eventFD)
        #expect(try bench.interrupt(1).count == 1)
        #expect(errno { _ = try bench.interrupt(2) } == .invalid)
    }

    @Test func registersAreAccessedByAlignedPiecesOfAtMostFourBytes() throws {
        let device = TestBusDevice(
            BusResources(
                node(),
                regions: [
                    BusRegion(at: 0, byteCount: 0x1000), BusRegion(at: 0, byteCount: 16, isReadOnly: true),
                    BusRegion(.ports, at: 0, byteCount: 8),
                ]))
        let bench = try bench(device)
        #expect(try bench.read(0, 0x101, 16).count == 16)
        #expect(device.reads.map { $0.width } == [1, 2, 4, 4, 4, 1])
        #expect(try bench.read(0, 0xffc, 16).count == 4, "it ends with the region")
        #expect(errno { _ = try bench.read(0, 0x1000, 1) } == .invalid)
        #expect(errno { _ = try bench.write(1, 0, [1]) } == .invalid, "read only")
        #expect(errno { _ = try bench.read(2, 0, 1) } == .invalid, "ports")
        #expect(errno { _ = try bench.read(3, 0, 1) } == .invalid, "no such region")
        #expect(errno { _ = try bench.read(0xff_ffff, 0, 1) } == .invalid)
        #expect(try bench.write(0, 4, [1, 2, 3, 4]) == 4)
        #expect(device.registers[4] == 0x0403_0201)
    }

    @Test func onlyPlainMemoryOfWholePagesIsMapped() throws {
        let page = UInt64(pageSize)
        let memory = try TestMemory(byteCount: 2 * pageSize)
        let plain = BusRegion.Memory(window: memory.mapping.window, descriptor: memory.file.number)
        let device = TestBusDevice(
            BusResources(
                node(),
                regions: [
                    BusRegion(at: 0x10000, byteCount: 2 * page, memory: plain),
                    BusRegion(at: 0x20010, byteCount: 2 * page, memory: plain),
                    BusRegion(at: 0x30000, byteCount: 2 * page, isReadOnly: true, memory: plain),
                    BusRegion(at: 0x40000, byteCount: 2 * page),
                ]))
        let driver = try bench(device).driver
        #expect(try (0..<4).map { try driver.regionInfo(index: $0).flags & 4 } == [4, 0, 4, 0])
        let window = try driver.map(at: page, byteCount: pageSize, protection: [.read, .write])
        window.store32(0, 0x1234_5678)
        #expect(memory.mapping.window.load32(pageSize) == 0x1234_5678)
        driver.unmap(window)
        let readWrite: Mapping.Protection = [.read, .write]
        #expect(
            errno { _ = try driver.map(at: page, byteCount: 2 * pageSize, protection: .read) } == .invalid)
        #expect(errno { _ = try driver.map(at: 1 << 40, byteCount: pageSize, protection: .read) } == .invalid)
        #expect(
            errno { _ = try driver.map(at: 2 << 40, byteCount: pageSize, protection: readWrite) } == .invalid)
        #expect(errno { _ = try driver.map(at: 3 << 40, byteCount: pageSize, protection: .read) } == .invalid)
        #expect(errno { _ = try driver.map(at: 4 << 40, byteCount: pageSize, protection: .read) } == .invalid)
    }

    @Test func aLevelMasksItselfAndComesAgainWhenItIsUnmasked() throws {
        let device = TestBusDevice(
            BusResources(node(), regions: [], lines: [.level, .edge]))
        let bench = try bench(device)
        let event = try EventDescriptor()
        try bench.setEvent(0, event.number)
        device.resources.setLine(0, true)
        device.resources.setLine(0, false)
        device.resources.setLine(0, true)
        #expect(try event.take() == 1, "masked after the first")
        try bench.setIRQs(0, [.dataNone, .actionUnmask], count: 1)
        #expect(try event.take() == 1, "still asserted")
        device.resources.setLine(0, false)
        try bench.setIRQs(0, [.dataBool, .actionUnmask], count: 1, data: [0])
        device.resources.setLine(0, true)
        #expect(try event.take() == 0, "a Boolean that isn't set unmasks nothing")
        try bench.setIRQs(0, [.dataBool, .actionUnmask], count: 1, data: [1])
        #expect(try event.take() == 1)
    }

    @Test func aMaskOutlivesTheEventfd() throws {
        let device = TestBusDevice(BusResources(node(), regions: [], lines: [.level]))
        let bench = try bench(device)
        let event = try EventDescriptor()
        try bench.setIRQs(0, [.dataNone, .actionMask], count: 1)
        try bench.setEvent(0, event.number)
        device.resources.setLine(0, true)
        #expect(try event.take() == 0)
        try bench.setEvent(0, -1)
        try bench.setIRQs(0, [.dataNone, .actionUnmask], count: 1)
        try bench.setEvent(0, event.number)
        #expect(try event.take() == 1, "asserted and no longer masked")
        try bench.setIRQs(0, [.dataNone, .actionTrigger], count: 0)
        try bench.setIRQs(0, [.dataNone, .actionUnmask], count: 1)
        #expect(try event.take() == 0, "the line is off")
    }

    @Test func aUsersTriggerRunsTheHandler() throws {
        let device = TestBusDevice(BusResources(node(), regions: [], lines: [.level, .edge]))
        let bench = try bench(device)
        let level = try EventDescriptor()
        let edge = try EventDescriptor()
        try bench.setEvent(0, level.number)
        try bench.setEvent(1, edge.number)
        for _ in 0..<3 {
            try bench.setIRQs(0, [.dataNone, .actionTrigger], count: 1)
            try bench.setIRQs(1, [.dataBool, .actionTrigger], count: 1, data: [1])
            try bench.setIRQs(1, [.dataBool, .actionTrigger], count: 1, data: [0])
        }
        #expect(try level.take() == 1, "masked, unlike on PCI")
        #expect(try edge.take() == 3)
        device.resources.pulseLine(1)
        #expect(try edge.take() == 1)
    }

    @Test func eventfdsMaskAndUnmask() throws {
        let device = TestBusDevice(BusResources(node(), regions: [], lines: [.level]))
        let bench = try bench(device)
        let event = try EventDescriptor()
        let mask = try EventDescriptor()
        let unmask = try EventDescriptor()
        try bench.setEvent(0, event.number)
        try bench.setEvent(0, unmask.number, .actionUnmask)
        try bench.setEvent(0, mask.number, .actionMask)
        #expect(errno { try bench.setEvent(0, event.number, .actionUnmask) } == .busy)
        device.resources.setLine(0, true)
        #expect(try event.wait(milliseconds: 10_000) == 1)
        unmask.signal()
        #expect(try event.wait(milliseconds: 10_000) == 1, "still asserted")
        device.resources.setLine(0, false)
        unmask.signal()
        mask.signal()
        #expect(eventually { !mask.isSignalled && !unmask.isSignalled })
        try bench.setEvent(0, -1, .actionMask)
        try bench.setEvent(0, -1, .actionUnmask)
        try bench.setEvent(0, event.number, .actionUnmask)
        bench.driver.closeDevice()
    }

    @Test func wrongInterruptRequestsAreNamed() throws {
        let device = TestBusDevice(BusResources(node(), regions: [], lines: [.level, .edge]))
        let bench = try bench(device)
        let event = try EventDescriptor()
        #expect(errno { try bench.setEvent(2, event.number) } == .invalid, "no such index")
        #expect(errno { try bench.setEvent(0, event.number, start: 1) } == .invalid, "one for each index")
        #expect(errno { try bench.setEvent(0, 0x7000_0000) } == .badDescriptor)
        #expect(
            errno { try bench.setIRQs(0, [.dataNone, .actionTrigger], count: 2) } == .invalid,
            "within the bound, but each index has one only")
        #expect(errno { try bench.setIRQs(0, [.dataNone, .actionMask], count: 0) } == .invalid)
        #expect(errno { try bench.setIRQs(1, [.dataNone, .actionMask], count: 1) } == .invalid, "an edge")
        #expect(errno { try bench.setIRQs(1, [.dataNone, .actionUnmask], count: 1) } == .invalid)
        #expect(errno { try bench.setIRQs(0, .dataNone, count: 1) } == .noSuchRequest, "no action")
        #expect(
            errno { try bench.setIRQs(0, [.dataNone, .actionMask, .actionUnmask], count: 1) }
                == .noSuchRequest)
        #expect(
            errno { try bench.setIRQs(0, [.dataBool, .dataNone, .actionMask], count: 1) } == .invalid)
        #expect(
            errno { try bench.setIRQs(0, [.dataNone, .actionMask], count: 1, argsz: 19) } == .invalid)
    }

    @Test func randomInterruptRequestsNeverTrap() throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("platform SET_IRQS fuzz seed: \(seed)")
        var random = SplitMix(state: seed)
        let event = try EventDescriptor()
        let drivers = [
            try bench(TestBusDevice(BusResources(node(), regions: [], lines: [.level, .edge, .level]))),
            BusBench(
                driver: CDXBusDriver(
                    TestBusDevice(
                        BusResources(
                            .cdx(CDXIdentity(vendor: 1, device: 1)), regions: [], messageCount: 3)),
                    DeviceFaults())),
            BusBench(driver: FSLMCBusDriver(ManagementContainer(), DeviceFaults())),
        ]
        let words = [0, 1, 2, 3, 0xffff_fffe, UInt32.max]
        for bench in drivers {
            for _ in 0..<3000 {
                let numbers = (0..<Int(random.next() % 4)).map { _ in
                    [event.number, -1, -2, 9999][Int(random.next() % 4)]
                }
                let isWild = random.next() % 4 == 0
                let flags = IRQSetFlags(
                    rawValue: isWild
                        ? UInt32(random.next() % 128)
                        : UInt32(1) << UInt32(random.next() % 3) | UInt32(8) << UInt32(random.next() % 3))
                _ = errno {
                    try bench.setIRQs(
                        UInt32(random.next() % 4), flags,
                        start: isWild ? words[Int(random.next() % 6)] : UInt32(random.next() % 3),
                        count: isWild ? words[Int(random.next() % 6)] : UInt32(numbers.count),
                        data: Bench.bytes(numbers))
                }
                bench.driver.resources.setLine(Int(random.next() % 5) - 1, random.next() % 2 == 0)
                bench.driver.resources.pulseLine(Int(random.next() % 5) - 1)
                bench.driver.resources.signal(message: Int(random.next() % 5) - 1)
            }
            bench.driver.closeDevice()
            _ = try event.take()
            for index in 0..<3 {
                bench.driver.resources.setLine(index, false)
                bench.driver.resources.setLine(index, true)
                bench.driver.resources.pulseLine(index)
                bench.driver.resources.signal(message: index)
            }
            #expect(try event.take() == 0, "all is off")
        }
    }

    @Test func openingAndClosingResetTheDevice() throws {
        let counter = Counter()
        let device = TestBusDevice(BusResources(node(), regions: [], lines: [.level]))
        let bench = try bench(device, counter)
        #expect(counter.count == 1)
        try bench.reset()
        #expect(counter.count == 2)
        let event = try EventDescriptor()
        try bench.setEvent(0, event.number)
        bench.driver.closeDevice()
        #expect(counter.count == 3 && device.quiesced == 1)
        device.resources.setLine(0, true)
        #expect(try event.take() == 0)
    }

    @Test func whatCantBeResetCantBeBound() throws {
        func bind(
            _ identity: BusIdentity, required: Bool = true, _ counter: Counter = Counter()
        ) throws(Errno) -> PlatformBusDriver {
            let driver = try PlatformBusDriver(
                TestBusDevice(BusResources(identity, regions: [])), DeviceFaults(),
                handlers: [counter.handler()])
            var parameters = ModuleParameters()
            parameters.platformResetRequired = required
            try driver.admit(parameters)
            return driver
        }
        #expect(errno { _ = try bind(node("other,device")) } == .noSuchEntry)
        #expect(errno { _ = try bind(.platform(FirmwareNode(compatible: []))) } == .invalid)
        #expect(
            errno { _ = try bind(.platform(FirmwareNode(acpiID: "TEST0001", hasReset: false))) }
                == .noSuchEntry)
        let unresettable = BusBench(driver: try bind(node("other,device"), required: false))
        try unresettable.driver.openDevice()
        #expect(try unresettable.info.flags == .platform)
        #expect(errno { try unresettable.reset() } == .invalid)
        // AMBA's devices never have to be reset.
        let primeCell = BusBench(
            driver: try bind(.amba(0x0004_1011, FirmwareNode(compatible: ["arm,pl011"]))))
        try primeCell.driver.openDevice()
        #expect(try primeCell.info.flags == .amba)
        let failing = Counter()
        failing.error = .timedOut
        let refused = try bind(node(), failing)
        #expect(errno { try refused.openDevice() } == .timedOut)
    }

    @Test func acpiResets() throws {
        let device = TestBusDevice(
            BusResources(.platform(FirmwareNode(acpiID: "TEST0001", hasReset: true)), regions: []))
        let bench = BusBench(driver: try PlatformBusDriver(device, DeviceFaults()))
        try bench.driver.openDevice()
        try bench.reset()
        #expect(device.resets == 2)
        device.resetError = .timedOut
        #expect(errno { try bench.reset() } == .invalid)
    }
}

@Suite struct PlatformResetHandlerTests {
    @Test func calxedasControllerStops() throws {
        let device = CalxedaXGMAC()
        let bench = BusBench(driver: try PlatformBusDriver(device, DeviceFaults()))
        try bench.driver.openDevice()
        try bench.store(0x1_0041, at: CalxedaXGMAC.Register.interruptEnable)
        try bench.store(0x2000 | 0x2 | 0x40, at: CalxedaXGMAC.Register.dmaControl)
        try bench.store(0x8 | 0x4 | 0x400, at: CalxedaXGMAC.Register.macControl)
        try bench.reset()
        #expect(try bench.load(at: CalxedaXGMAC.Register.interruptEnable) == 0)
        #expect(try bench.load(at: CalxedaXGMAC.Register.dmaControl) == 0x40, "only the start bits go")
        #expect(try bench.load(at: CalxedaXGMAC.Register.macControl) == 0x400)
    }

    @Test func amdsControllerIsResetWithItsPHY() throws {
        let device = SeattleXGBE(resetReads: 3)
        let bench = BusBench(driver: try PlatformBusDriver(device, DeviceFaults()))
        try bench.driver.openDevice()
        func phy(_ register: UInt32) throws -> UInt64 {
            try bench.store(register >> 8, at: SeattleXGBE.Register.pageSelect, region: 1)
            return UInt64(register & 0xff) << 2
        }
        let event = try EventDescriptor()
        try bench.setEvent(UInt32(SeattleXGBE.Line.negotiation), event.number)
        try bench.store(1, at: phy(SeattleXGBE.PHYRegister.negotiationInterruptMask), region: 1)
        try bench.store(0x1200, at: phy(SeattleXGBE.PHYRegister.negotiationControl), region: 1)
        #expect(try event.take() == 1)
        #expect(try bench.load(at: phy(SeattleXGBE.PHYRegister.negotiationInterrupt), region: 1) == 1)
        try bench.store(0x77, at: 0x110)
        try bench.reset()
        #expect(try bench.load(at: phy(SeattleXGBE.PHYRegister.codingControl), region: 1) == 0)
        #expect(try bench.load(at: phy(SeattleXGBE.PHYRegister.negotiationControl), region: 1) == 0)
        #expect(try bench.load(at: phy(SeattleXGBE.PHYRegister.negotiationInterruptMask), region: 1) == 0)
        #expect(try bench.load(at: phy(SeattleXGBE.PHYRegister.negotiationInterrupt), region: 1) == 0)
        #expect(try bench.load(at: SeattleXGBE.Register.dmaMode) == 0)
        #expect(try bench.load(at: 0x110) == 0, "the MAC was reset")
    }

    @Test func everyRingOfBroadcomsManagerIsFlushed() throws {
        let device = FlexRM(ringCount: 3)
        let driver = try PlatformBusDriver(device, DeviceFaults())
        try driver.openDevice()
        #expect(device.flushes == [0, 1, 2], "the last place holds no ring")
        device.stuckRing = 1
        #expect(errno { try driver.reset() } == .timedOut)
        #expect(device.flushes == [0, 1, 2, 0, 1, 2], "also those after the one that is stuck")
    }
}

/// A ring manager: rings of 64 KiB, one place after them without a ring.
private final class FlexRM: BusDeviceModel {
    let resources: BusResources
    private let ringCount: Int
    private var isFlushing: [Bool]
    var flushes: [Int] = []
    var stuckRing: Int?

    init(ringCount: Int) {
        self.ringCount = ringCount
        isFlushing = [Bool](repeating: false, count: ringCount)
        resources = BusResources(
            .platform(FirmwareNode(compatible: ["brcm,iproc-flexrm-mbox"])),
            regions: [BusRegion(at: 0x6700_0000, byteCount: UInt64(ringCount + 1) << 16)])
    }

    func readRegister(region: Int, offset: UInt64, width: Int) -> UInt64 {
        let ring = Int(offset >> 16)
        guard ring < ringCount else { return 0 }
        switch offset & 0xffff {
        case 0: return 0x7630_3031
        case 0x38: return isFlushing[ring] && ring != stuckRing ? 1 : 0
        default: return 0
        }
    }

    func writeRegister(region: Int, offset: UInt64, width: Int, value: UInt64) {
        let ring = Int(offset >> 16)
        guard ring < ringCount, offset & 0xffff == 0x34 else { return }
        isFlushing[ring] = value & 0x20 != 0
        if isFlushing[ring] { flushes.append(ring) }
    }

    func reset() throws(Errno) {}
}
