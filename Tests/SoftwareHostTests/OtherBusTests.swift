import DeviceModel
import IOVASpace
import LinuxSystem
import SoftwareDevices
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

private let bytesOfNumber = [UInt8](repeating: 0, count: 4)

@Suite struct CDXTests {
    private func bench(_ device: TestBusDevice) throws(Errno) -> BusBench {
        let driver = CDXBusDriver(device, DeviceFaults())
        try driver.openDevice()
        return BusBench(driver: driver)
    }

    private func device(messages: Int = 3, hasBusMaster: Bool = true) -> TestBusDevice {
        TestBusDevice(
            BusResources(
                .cdx(CDXIdentity(vendor: 0x10ee, device: 1)), regions: [BusRegion(at: 0, byteCount: 4096)],
                messageCount: messages, hasBusMaster: hasBusMaster))
    }

    @Test func itsRegionsCantBeReadOrWritten() throws {
        let bench = try bench(device())
        #expect(try bench.info.flags == [.cdx, .reset])
        #expect(try bench.info.irqCount == 1)
        #expect(errno { _ = try bench.read(0, 0, 4) } == .invalid)
        #expect(errno { _ = try bench.write(0, 0, [0]) } == .invalid)
        let memory = try TestMemory(byteCount: pageSize)
        let readOnly = CDXBusDriver(
            TestBusDevice(
                BusResources(
                    .cdx(CDXIdentity(vendor: 0x10ee, device: 1)),
                    regions: [
                        BusRegion(
                            at: 0, byteCount: UInt64(pageSize), isReadOnly: true,
                            memory: .init(window: memory.mapping.window, descriptor: memory.file.number))
                    ])), DeviceFaults())
        #expect(
            errno { _ = try readOnly.map(at: 0, byteCount: pageSize, protection: [.read, .write]) }
                == .notPermitted)
        let window = try readOnly.map(at: 0, byteCount: pageSize, protection: .read)
        readOnly.unmap(window)
    }

    @Test func theFirstEventfdEnablesAllMessages() throws {
        let device = device()
        let bench = try bench(device)
        let info = try bench.interrupt(0)
        #expect(info.count == 3 && info.flags == [.eventFD, .noResize])
        #expect(errno { _ = try bench.interrupt(1) } == .invalid)
        #expect(errno { try bench.setIRQs(0, [.dataNone, .actionTrigger], count: 1) } == .invalid, "none on")
        try bench.setIRQs(0, [.dataNone, .actionTrigger], count: 0)
        let events = try (0..<2).map { _ in Event(try EventDescriptor()) }
        try bench.setEvent(0, events[0].event.number, start: 2)
        try bench.setEvent(0, events[1].event.number, start: 0)
        device.resources.signal(message: 2)
        device.resources.signal(message: 0)
        device.resources.signal(message: 1)
        try bench.setIRQs(0, [.dataBool, .actionTrigger], count: 3, data: [0, 1, 1])
        #expect(try events.map { try $0.event.take() } == [2, 1])
        #expect(
            errno {
                try bench.setIRQs(
                    0, [.dataEventFD, .actionTrigger], count: 2,
                    data: Bench.bytes([events[0].event.number, 0x7000_0000]))
            } == .badDescriptor)
        device.resources.signal(message: 0)
        #expect(try events.map { try $0.event.take() } == [0, 0], "what was set up before it failed is gone")
        #expect(errno { try bench.setIRQs(0, [.dataNone, .actionMask], count: 1) } == .invalid)
        #expect(errno { try bench.setEvent(0, events[0].event.number, start: 3) } == .invalid)
    }

    @Test func withoutMessagesThereIsNoIndex() throws {
        let bench = try bench(device(messages: 0))
        #expect(try bench.info.irqCount == 0)
        #expect(errno { _ = try bench.interrupt(0) } == .invalid)
        #expect(errno { try bench.setIRQs(0, [.dataNone, .actionTrigger], count: 0) } == .invalid)
    }

    @Test func theFeatureLetsItStartTransactions() throws {
        let device = device()
        let driver = try bench(device).driver
        func set(_ operation: UInt32, room: UInt32 = 4) throws(Errno) {
            var value = operation
            var failure: Errno?
            unsafe withUnsafeMutableBytes(of: &value) { bytes in
                do throws(Errno) {
                    _ = try driver.feature(
                        10, .set, isProbe: false,
                        payload: HostAddress(rawValue: UInt(bitPattern: bytes.baseAddress)), room: room)
                } catch {
                    failure = error
                }
            }
            if let failure { throw failure }
        }
        #expect(!device.resources.isBusMaster)
        try set(1)
        #expect(device.resources.isBusMaster)
        try set(0)
        #expect(!device.resources.isBusMaster)
        #expect(errno { try set(2) } == .invalid)
        #expect(errno { try set(1, room: 3) } == .invalid)
        try set(1)
        try driver.reset()
        #expect(!device.resources.isBusMaster, "a reset forbids it")
        let address = HostAddress(rawValue: 0)
        #expect(
            errno { _ = try driver.feature(10, .get, isProbe: true, payload: address, room: 0) } == .invalid)
        #expect(try driver.feature(10, .set, isProbe: true, payload: address, room: 0) == 0)
        #expect(
            errno { _ = try driver.feature(9, .set, isProbe: true, payload: address, room: 0) }
                == .noSuchRequest)
        let other = try bench(self.device(hasBusMaster: false)).driver
        #expect(
            errno { _ = try other.feature(10, .set, isProbe: true, payload: address, room: 0) }
                == .noSuchRequest)
    }
}

/// An eventfd in an array.
private final class Event {
    let event: EventDescriptor
    init(_ event: consuming EventDescriptor) { self.event = event }
}

@Suite struct FSLMCTests {
    private func command(_ id: UInt16, token: UInt16 = 0, _ words: [UInt64] = []) -> [UInt8] {
        var all = [UInt64(id) << 48 | UInt64(token) << 32 | 1 << 16] + words
        while all.count < 8 { all.append(0) }
        return all.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(8 * $0)) } }
    }

    private func words(_ bytes: [UInt8]) -> [UInt64] {
        (0..<8).map { word in (0..<8).reversed().reduce(0) { $0 << 8 | UInt64(bytes[8 * word + $1]) } }
    }

    @Test func aContainerCarriesOutCommands() throws {
        let bench = BusBench(driver: FSLMCBusDriver(ManagementContainer(), DeviceFaults()))
        try bench.driver.openDevice()
        #expect(try bench.info.flags == [.fslMC, .reset])
        func carryOut(_ bytes: [UInt8]) throws -> [UInt64] {
            #expect(try bench.write(0, 0, bytes) == 64)
            return words(try bench.read(0, 0, 64))
        }
        let opened = try carryOut(command(ManagementContainer.Command.open))
        #expect(opened[0] >> 16 & 0xff == 0)
        let token = UInt16(truncatingIfNeeded: opened[0] >> 32)
        #expect(token == ManagementContainer.token)
        let count = try carryOut(command(ManagementContainer.Command.objectCount, token: token))
        #expect(count[1] >> 32 == 3)
        let object = try carryOut(command(ManagementContainer.Command.object, token: token, [1]))
        #expect(object[1] >> 32 == 4)
        #expect(object[4] == 0x6f69_7064, "dpio")
        #expect(
            try carryOut(command(ManagementContainer.Command.object, token: token, [3]))[0] >> 16 & 0xff == 6)
        #expect(try carryOut(command(ManagementContainer.Command.objectCount))[0] >> 16 & 0xff == 3)
        #expect(try carryOut(command(0x1234, token: token))[0] >> 16 & 0xff == 0xb)
    }

    @Test func aPortalTakesNothingButCommands() throws {
        let container = ManagementContainer()
        let driver = FSLMCBusDriver(container, DeviceFaults())
        let bench = BusBench(driver: driver)
        try driver.openDevice()
        #expect(errno { _ = try bench.read(0, 0, 8) } == .invalid)
        #expect(errno { _ = try bench.read(0, 8, 64) } == .invalid)
        #expect(errno { _ = try bench.write(0, 0, bytesOfNumber) } == .invalid)
        #expect(errno { _ = try bench.read(1, 0, 64) } == .invalid)
        container.isStuck = true
        driver.patience = 3
        #expect(
            errno { _ = try bench.write(0, 0, command(ManagementContainer.Command.version)) } == .timedOut)
        try bench.reset()
        #expect(container.resetCount == 1)
    }

    @Test func itsInterruptsAreOnlyTriggered() throws {
        let container = ManagementContainer()
        let bench = BusBench(driver: FSLMCBusDriver(container, DeviceFaults()))
        try bench.driver.openDevice()
        #expect(try bench.interrupt(0).flags == .eventFD)
        let event = try EventDescriptor()
        try bench.setEvent(0, event.number)
        container.announceChange()
        try bench.setIRQs(0, [.dataNone, .actionTrigger], count: 1)
        #expect(try event.take() == 2)
        #expect(errno { try bench.setIRQs(0, [.dataNone, .actionMask], count: 1) } == .invalid)
        #expect(errno { try bench.setEvent(1, event.number) } == .invalid)
        try bench.setIRQs(0, [.dataNone, .actionTrigger], count: 0)
        container.announceChange()
        #expect(try event.take() == 0)
    }

    @Test func anObjectCanBeResetButDoesntSaySo() throws {
        let device = TestBusDevice(
            BusResources(
                .fslMC(FSLMCIdentity(type: "dpni")), regions: [BusRegion(at: 0, byteCount: 4096)]))
        let bench = BusBench(driver: FSLMCBusDriver(device, DeviceFaults()))
        try bench.driver.openDevice()
        #expect(try bench.info.flags == .fslMC)
        try bench.reset()
        #expect(device.resets == 1)
    }
}
