import DeviceModel
import Glibc
import IOVASpace
import LinuxSystem
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

/// A machine with a real bus driver: a device with a register BAR, one of plain memory, MSI-X and a reset.
private final class AbsenceRig {
    static let address = PCIAddress(bus: 1, device: 0, function: 0)
    let host: SoftwareHost
    let model: TestDevice
    let memory: TestMemory
    let dma: Mapping
    private(set) var device: Int32 = -1
    private var handles: [Int32] = []

    init(_ rules: FaultRule...) throws {
        memory = try TestMemory(byteCount: pageSize)
        let function = PCIFunction(
            PCIIdentity(vendor: 0x1234, device: 0x5678, classCode: 0xff0000),
            bars: [
                0: BAR(.memory32, byteCount: 4096), 1: BAR(.memory32, byteCount: UInt64(pageSize)),
                2: BAR(.memory32, byteCount: 4096),
            ], isExpress: true)
        function.addExpress()
        function.addMSIX(vectors: 4, table: (2, 0), pending: (2, 0x800))
        function.addMemory(memory.part(bar: 1, at: 0))
        model = TestDevice(function)
        dma = try Mapping(anonymous: 4 * pageSize)
        var machine = MachineDescription()
        machine.groups = [IOMMUGroup(26, devices: [PCIDevice(model, at: Self.address)])]
        machine.faults.rules = rules
        machine.releaseRequestMilliseconds = 20
        host = try SoftwareHost(machine)
    }

    func ask<T>(_ handle: Int32, _ request: Request, _ value: T) -> Int32 {
        var value = value
        return withUnsafeMutablePointer(to: &value) { ask(handle, request, UInt(bitPattern: $0)) }
    }

    func ask(_ handle: Int32, _ request: Request, _ argument: UInt = 0) -> Int32 {
        do throws(Errno) {
            return try host.control(handle, UInt32(truncatingIfNeeded: request.rawValue), argument)
        } catch {
            return -error.rawValue
        }
    }

    func getDevice() -> Int32 {
        "0000:01:00.0".withCString { ask(handles[1], .groupGetDeviceFD, UInt(bitPattern: $0)) }
    }

    /// Opens the device, maps memory at 0 for it, lets it do DMA and gives vector 0 an eventfd.
    func open() throws {
        let container = try host.open(.container)
        let group = try host.open(.group(26))
        handles = [container, group]
        #expect(ask(group, .groupSetContainer, container) == 0 && ask(container, .setIOMMU, UInt(1)) == 0)
        device = getDevice()
        #expect(device >= 0)
        let map = DMAMap(
            flags: [.read, .write], vaddr: UInt64(dma.window.address.rawValue), iova: 0,
            size: UInt64(dma.window.byteCount))
        #expect(ask(container, .iommuMapDMA, map) == 0)
        #expect(write(7, 4, [6, 0]) == 2)
    }

    func close() {
        host.close(device)
        for handle in handles { host.close(handle) }
    }

    func read(_ region: UInt64, _ offset: UInt64, _ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0xcc, count: count)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        guard let done = try? host.read(device, at: region << 40 | offset, into: &raw) else { return nil }
        return Array(bytes[..<done])
    }

    func write(_ region: UInt64, _ offset: UInt64, _ bytes: [UInt8]) -> Int32 {
        do throws(Errno) {
            return Int32(try host.write(device, at: region << 40 | offset, bytes.span.bytes))
        } catch {
            return -error.rawValue
        }
    }

    func setEvent(_ index: PCIInterrupt, _ event: borrowing EventDescriptor) -> Int32 {
        struct Request {
            var set = IRQSet(
                argsz: 24, flags: [.dataEventFD, .actionTrigger], index: 0, start: 0, count: 1)
            var number: Int32 = -1
        }
        var request = Request()
        request.set.index = index.rawValue
        request.number = event.number
        return ask(device, .deviceSetIRQs, request)
    }

    var canDoDMA: Bool { (try? model.function.dma.load(UInt32(0), from: IOVA(0))) != nil }
}

@Suite("A device that doesn't answer")
struct AbsentDeviceTests {
    @Test(
        "reads as all ones and loses writes; requests that don't reach it go on",
        arguments: [DeviceFault.vanished, .silent])
    func registers(fault: DeviceFault) throws {
        let rig = try AbsenceRig()
        try rig.open()
        let window = try rig.host.map(
            rig.device, at: 1 << 40, byteCount: pageSize, protection: [.read, .write])
        window.store32(0, 0x1111)
        #expect(rig.write(0, 0, [1, 2, 3, 4]) == 4)
        let event = try EventDescriptor()
        #expect(rig.setEvent(fault == .vanished ? .req : .err, event) == 0)
        let token = rig.host.inject(FaultRule(.device(fault), on: .device(AbsenceRig.address)))
        #expect(try event.take() >= 1)
        #expect(rig.host.faultCount(of: token)?.fired == 1)
        // It is asked for again and again, while an error is told once.
        if fault == .vanished {
            for _ in 0..<3 { #expect(try event.wait(milliseconds: 60_000) != nil) }
        } else {
            #expect(try event.take() == 0)
        }

        #expect(rig.read(0, 0, 4) == [0xff, 0xff, 0xff, 0xff])
        #expect(rig.read(0, 4094, 8) == [0xff, 0xff])
        #expect(rig.read(0, 4096, 1) == nil)
        #expect(rig.read(3, 0, 1) == nil)
        let writes = rig.model.writes.count
        #expect(rig.write(0, 0, [9, 9, 9, 9]) == 4)
        #expect(rig.model.writes.count == writes)
        // The driver answers some of configuration space from its own memory, as always.
        #expect(rig.read(7, 0, 4) == [0x34, 0x12, 0x78, 0x56])
        #expect(rig.read(7, 6, 2).map { $0[1] } == 0xff)
        #expect(rig.read(7, 4096, 1) == nil)
        #expect(window.load32(0) == 0xffff_ffff)
        #expect(!rig.canDoDMA)
        #expect(rig.ask(rig.device, .deviceReset) == -ENOTTY)
        #expect(rig.ask(rig.device, .deviceGetInfo, DeviceInfo(argsz: 24)) == 0)
        // Memory off is the driver's own knowledge.
        #expect(rig.write(7, 4, [0, 0]) == 2)
        #expect(rig.read(0, 0, 4) == nil)
        #expect(rig.write(7, 4, [6, 0]) == 2)
        #expect(rig.read(0, 0, 4) == [0xff, 0xff, 0xff, 0xff])

        #expect(rig.host.withdraw(token))
        if fault == .silent {
            #expect(rig.read(0, 0, 4) == [1, 2, 3, 4])
            #expect(window.load32(0) == 0x1111)
            #expect(rig.ask(rig.device, .deviceReset) == 0)
        } else {
            #expect(rig.read(0, 0, 4) == [0xff, 0xff, 0xff, 0xff])
        }
        rig.host.unmap(window)
        rig.close()
        #expect(rig.host.lockedByteCount == 0)
    }

    @Test(
        "may disappear at any access, and raises no interrupt afterwards; one that was pulled out is gone for good"
    )
    func later() throws {
        let rig = try AbsenceRig()
        try rig.open()
        let event = try EventDescriptor()
        #expect(rig.setEvent(.msix, event) == 0)
        rig.model.function.signal(vector: 0)
        #expect(try event.take() == 1)
        rig.host.inject(FaultRule(.device(.vanished), .nth(3)))
        #expect(rig.read(0, 0, 1) == [0])
        #expect(rig.ask(rig.device, .deviceReset) == 0)
        #expect(rig.read(0, 0, 1) == [0xff])
        rig.model.function.signal(vector: 0)
        #expect(try event.take() == 0)
        #expect(rig.getDevice() == -ENODEV)
        #expect(try rig.host.inventory().devices.count == 1)
        rig.close()
        #expect(try rig.host.inventory().devices.isEmpty)
        #expect(try rig.host.inventory().groups.isEmpty)
    }

    @Test("from the start is opened and closed all the same, if its link is dead")
    func fromTheStart() throws {
        let rig = try AbsenceRig(FaultRule(.device(.silent)))
        let container = try rig.host.open(.container)
        rig.host.close(container)
        try rig.open()
        #expect(rig.read(0, 0, 2) == [0xff, 0xff])
        rig.close()
    }
}

@Suite("What a device sends")
struct DeviceTrafficFaultTests {
    @Test("to memory may be refused, lost or changed")
    func memory() throws {
        let rig = try AbsenceRig()
        try rig.open()
        let dma = rig.model.function.dma!
        func store(_ value: UInt32) -> Bool {
            rig.dma.window.store32(0, 0)
            do throws(DMAFault) { try dma.store(value, to: IOVA(0)) } catch { return false }
            return true
        }
        let flip = rig.host.inject(
            FaultRule(.dmaWrite(byteCount: 4, .flipped(byte: 2, bits: 0x81)), .nth(2)))
        #expect(store(1) && rig.dma.window.load32(0) == 1)
        #expect(store(1) && rig.dma.window.load32(0) == 0x81_0001)
        #expect(store(1) && rig.dma.window.load32(0) == 1)
        try dma.store(UInt64(5), to: IOVA(0))
        #expect(rig.host.faultCount(of: flip) == FaultCount(events: 3, fired: 1))
        rig.host.withdraw(flip)

        let anywhere = rig.host.inject(FaultRule(.dmaWrite(byteCount: nil, .flipped(byte: nil, bits: nil))))
        for _ in 0..<50 {
            #expect(store(0))
            #expect(rig.dma.window.load32(0).nonzeroBitCount == 1)
        }
        rig.host.withdraw(anywhere)

        let drop = rig.host.inject(FaultRule(.dmaWrite(byteCount: nil, .dropped)))
        #expect(store(7) && rig.dma.window.load32(0) == 0)
        // Lent memory as well.
        try dma.withMemory(IOVA(0), byteCount: 8, for: .write) { window in
            window.store64(0, 99)
            return true
        }
        #expect(rig.dma.window.load64(0) == 0)
        rig.host.withdraw(drop)

        let change = rig.host.inject(FaultRule(.dmaWrite(byteCount: nil, .flipped(byte: 9, bits: 1))))
        try dma.withMemory(IOVA(UInt64(pageSize) - 8), byteCount: 16, for: .write) { window in
            for offset in stride(from: 0, to: window.byteCount, by: 8) { window.store64(offset, 4) }
            return true
        }
        #expect(rig.dma.window.load64(pageSize - 8) == 4)
        #expect(rig.dma.window.load64(pageSize) == 0x104)
        rig.host.withdraw(change)

        rig.host.inject(FaultRule(.dmaRead, on: .device(AbsenceRig.address), .nth(1)))
        rig.host.inject(FaultRule(.dmaWrite(byteCount: nil, .refused), .nth(1)))
        #expect(!rig.canDoDMA && rig.canDoDMA)
        #expect(!store(3) && store(3))
        rig.close()
    }

    @Test("as interrupts may get lost, of one vector or of all")
    func droppedInterrupts() throws {
        let rig = try AbsenceRig()
        try rig.open()
        let event = try EventDescriptor()
        #expect(rig.setEvent(.msix, event) == 0)
        let other = rig.host.inject(FaultRule(.interrupt(vector: 1, .dropped)))
        rig.model.function.signal(vector: 0)
        #expect(try event.take() == 1)
        rig.host.withdraw(other)
        rig.host.inject(FaultRule(.interrupt(vector: 0, .dropped), .every(2)))
        for _ in 0..<10 { rig.model.function.signal(vector: 0) }
        #expect(try event.take() == 5)
        // What the user lets happen himself isn't the device's.
        rig.close()
    }

    @Test("as interrupts may come late, but not after the device was closed, and not without end")
    func lateInterrupts() throws {
        let rig = try AbsenceRig()
        try rig.open()
        let event = try EventDescriptor()
        #expect(rig.setEvent(.msix, event) == 0)
        let token = rig.host.inject(FaultRule(.interrupt(vector: nil, .delayed(milliseconds: 30))))
        let start = Clock.now
        rig.model.function.signal(vector: 0)
        #expect(try event.wait(milliseconds: 60_000) == 1)
        #expect(Clock.now - start >= 30_000_000)
        rig.host.withdraw(token)
        rig.host.inject(FaultRule(.interrupt(vector: nil, .delayed(milliseconds: 3_600_000))))
        for _ in 0..<SoftwareHost.delayedInterruptLimit + 5 { rig.model.function.signal(vector: 0) }
        #expect(try event.take() == 5)
        rig.close()
        // And the host ends without waiting for an hour.
    }

    @Test("by the line may come late: never after the device took it back")
    func lateLine() throws {
        let rig = try AbsenceRig()
        try rig.open()
        let event = try EventDescriptor()
        #expect(rig.setEvent(.intx, event) == 0)
        rig.host.inject(FaultRule(.interrupt(vector: nil, .delayed(milliseconds: 700))))
        rig.model.function.setLine(true)
        rig.model.function.setLine(false)
        #expect(try event.wait(milliseconds: 900) == nil)
        rig.model.function.setLine(true)
        #expect(try event.wait(milliseconds: 60_000) == 1)
        rig.close()
    }
}
