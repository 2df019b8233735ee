import DeviceModel
import LinuxSystem
import SoftwareDevices
import Testing
import VFIOABI

@testable import SoftwareHost

/// What the driver of mediated devices answers, asked directly.
struct MediatedDriverTests {
    /// A driver and the calls of a user. Answers are the result, or the negative error number.
    final class Bench {
        let driver: MediatedBusDriver

        init(_ device: any MediatedDevice) {
            driver = MediatedBusDriver(device)
        }

        /// Asks what it is, as every user does first.
        func meet() -> DeviceInfo {
            var info = DeviceInfo()
            _ = ask(.deviceGetInfo, &info)
            return info
        }

        func answer(_ body: () throws(Errno) -> Int32) -> Int32 {
            do throws(Errno) { return try body() } catch { return -error.rawValue }
        }

        func ask<T>(_ request: Request, _ value: inout T) -> Int32 {
            withUnsafeMutablePointer(to: &value) { pointer in
                answer { () throws(Errno) in
                    try driver.control(
                        UInt32(truncatingIfNeeded: request.rawValue), UInt(bitPattern: pointer))
                }
            }
        }

        func ask(_ request: Request) -> Int32 {
            answer { () throws(Errno) in
                try driver.control(UInt32(truncatingIfNeeded: request.rawValue), 0)
            }
        }

        func irqs(_ flags: UInt32, _ index: UInt32, _ start: UInt32, _ count: UInt32, _ data: [Int32] = [])
            -> Int32
        {
            var words: [UInt32] = [UInt32(20 + 4 * data.count), flags, index, start, count]
            words += data.map { UInt32(bitPattern: $0) }
            return words.withUnsafeMutableBufferPointer { buffer in
                answer { () throws(Errno) in
                    try driver.control(
                        UInt32(truncatingIfNeeded: Request.deviceSetIRQs.rawValue),
                        UInt(bitPattern: buffer.baseAddress))
                }
            }
        }

        func read(_ offset: UInt64, _ count: Int) throws(Errno) -> [UInt8] {
            var bytes = [UInt8](repeating: 0xcc, count: count)
            var span = bytes.mutableSpan
            var raw = unsafe span.mutableBytes
            let done = try driver.read(at: offset, into: &raw)
            return Array(bytes[0..<done])
        }

        @discardableResult
        func write(_ offset: UInt64, _ bytes: [UInt8]) throws(Errno) -> Int {
            try unsafe driver.write(at: offset, bytes.span.bytes)
        }

        func info(_ index: UInt32) -> (answer: Int32, info: IRQInfo) {
            var info = IRQInfo(index: index)
            let answer = ask(.deviceGetIRQInfo, &info)
            return (answer, info)
        }
    }

    /// An eventfd that can be asked within an expectation.
    final class Event {
        private let descriptor: EventDescriptor
        init() throws(Errno) { descriptor = try EventDescriptor() }
        var number: Int32 { descriptor.number }
        var isSignalled: Bool { descriptor.isSignalled }
        func take() throws(Errno) -> UInt64 { try descriptor.take() }
    }

    @Test func `A serial card has the regions and interrupts that Linux's sample tells of`() throws {
        let bench = Bench(SerialCard(portCount: 2))
        #expect(bench.info(0).answer == -Errno.invalid.rawValue)
        let info = bench.meet()
        #expect(info.flags == .pci && info.regionCount == 9 && info.irqCount == 5)
        let sizes: [UInt64] = [8, 8, 0, 0, 0, 0, 0, 255, 0]
        for (index, size) in sizes.enumerated() {
            let region = try bench.driver.regionInfo(index: UInt32(index))
            #expect(region.size == size && region.flags == 3)
            #expect(region.offset == UInt64(index) << 40)
        }
        #expect(throws: Errno.invalid) { try bench.driver.regionInfo(index: 9) }
        #expect(bench.info(0).info.flags == [.eventFD, .maskable, .automasked])
        #expect(bench.info(1).info.flags == [.eventFD, .noResize])
        #expect(bench.info(1).info.count == 1)
        for index in UInt32(2)..<6 { #expect(bench.info(index).answer == -Errno.invalid.rawValue) }
    }

    @Test func `An access is cut into naturally aligned pieces of which the first byte counts`() throws {
        let bench = Bench(SerialCard(portCount: 1))
        try bench.write(7, [0x5a])
        #expect(try bench.read(7, 1) == [0x5a])
        #expect(try bench.read(4, 4) == [0, 0, 0, 0])
        #expect(try bench.read(7 << 40, 4) == [0x48, 0x43, 0x53, 0x32])
        #expect(throws: Errno.badAddress) { try bench.read(8, 1) }
        #expect(throws: Errno.badAddress) { try bench.read(6 << 40, 1) }
        #expect(throws: Errno.badAddress) { try bench.write(.max, [1]) }
        #expect(throws: Errno.badAddress) { try bench.read(7 << 40 | 0xff, 1) }
        #expect(throws: Errno.invalid) {
            try bench.driver.map(at: 0, byteCount: pageSize, protection: .read)
        }
    }

    @Test func `The line is masked when it arrives, and what came meanwhile isn't told`() throws {
        let bench = Bench(SerialCard(portCount: 1))
        _ = bench.meet()
        let event = try Event()
        #expect(bench.irqs(0x24, 0, 0, 1, [event.number]) == 0)
        // Interrupts when everything was sent: now, and after each read.
        try bench.write(1, [2])
        #expect(try event.take() == 1)
        _ = try bench.read(0, 1)
        #expect(!event.isSignalled)
        #expect(bench.irqs(0x11, 0, 0, 1) == 0)
        #expect(!event.isSignalled)
        _ = try bench.read(0, 1)
        #expect(try event.take() == 1)
        #expect(bench.irqs(0x11, 0, 0, 1) == 0)
        #expect(bench.irqs(0x09, 0, 0, 1) == 0)
        _ = try bench.read(0, 1)
        #expect(!event.isSignalled)
        // In place of the device.
        #expect(bench.irqs(0x11, 0, 0, 1) == 0)
        #expect(bench.irqs(0x21, 0, 0, 1) == 0)
        #expect(try event.take() == 1)
        #expect(bench.irqs(0x14, 0, 0, 1, [event.number]) == -Errno.noSuchRequest.rawValue)
        #expect(bench.irqs(0x21, 0, 0, 0) == 0)
        #expect(bench.irqs(0x11, 0, 0, 1) == -Errno.invalid.rawValue)
    }

    @Test func `Messages aren't masked, and line and message exclude each other`() throws {
        let bench = Bench(SerialCard(portCount: 1))
        _ = bench.meet()
        let event = try Event()
        #expect(bench.irqs(0x24, 1, 0, 1, [event.number]) == 0)
        #expect(bench.irqs(0x24, 0, 0, 1, [event.number]) == -Errno.invalid.rawValue)
        try bench.write(1, [2])
        _ = try bench.read(0, 1)
        #expect(try event.take() == 2)
        #expect(bench.irqs(0x09, 1, 0, 1) == -Errno.noSuchRequest.rawValue)
        #expect(bench.irqs(0x24, 1, 0, 1, [-1]) == 0)
        _ = try bench.read(0, 1)
        #expect(!event.isSignalled)
        #expect(bench.irqs(0x24, 1, 0, 1, [99999]) == -Errno.badDescriptor.rawValue)
        #expect(bench.irqs(0x24, 1, 1, 1, [event.number]) == -Errno.invalid.rawValue)
        #expect(bench.irqs(0x24, 1, 0, 6, [0, 0, 0, 0, 0, 0]) == -Errno.invalid.rawValue)
        for index in UInt32(2)..<5 {
            #expect(bench.irqs(0x24, index, 0, 1, [event.number]) == -Errno.noSuchRequest.rawValue)
        }
        #expect(bench.irqs(0x24, 5, 0, 1, [event.number]) == -Errno.invalid.rawValue)
        #expect(bench.irqs(0x01, 0, 0, 1) == 0)
    }

    @Test func `A closed card interrupts nobody any more`() throws {
        let bench = Bench(SerialCard(portCount: 1))
        _ = bench.meet()
        let event = try Event()
        #expect(bench.irqs(0x24, 1, 0, 1, [event.number]) == 0)
        bench.driver.closeDevice()
        try bench.write(1, [2])
        #expect(!event.isSignalled)
    }

    @Test func `Displays have no interrupts`() throws {
        let bench = Bench(try FrameBufferDisplay(width: 64, height: 64))
        #expect(bench.info(0).answer == -Errno.invalid.rawValue)
        _ = bench.meet()
        #expect(bench.info(4).answer == 0 && bench.info(4).info.count == 0)
        #expect(bench.irqs(0x21, 0, 0, 0) == -Errno.invalid.rawValue)
        let bochs = Bench(try BochsDisplay(megabytes: 1))
        #expect(bochs.info(4).answer == 0)
        #expect(bochs.info(5).answer == -Errno.invalid.rawValue)
    }

    @Test func `A region of memory is read, written and mapped alike`() throws {
        let bench = Bench(try FrameBufferDisplay(width: 64, height: 64))
        let region = try bench.driver.regionInfo(index: 16)
        #expect(region.flags == 7 && region.size == 16384 && region.offset == UInt64(pageSize))
        #expect(try bench.driver.regionInfo(index: 0).offset == region.offset)
        #expect(try bench.driver.regionInfo(index: 8).size == 0)
        #expect(throws: Errno.invalid) { try bench.driver.regionInfo(index: 9) }
        let window = try bench.driver.map(
            at: region.offset, byteCount: 16384, protection: [.read, .write])
        try bench.write(region.offset + 101, [1, 2, 3, 4, 5, 6, 7])
        #expect((101..<108).map { window.load8($0) } == [1, 2, 3, 4, 5, 6, 7])
        window.store32(200, 0x0403_0201)
        #expect(try bench.read(region.offset + 200, 4) == [1, 2, 3, 4])
        bench.driver.unmap(window)
        #expect(throws: Errno.invalid) {
            try bench.driver.map(at: region.offset, byteCount: 32768, protection: .read)
        }
        #expect(throws: Errno.invalid) {
            try bench.driver.map(
                at: region.offset + UInt64(pageSize), byteCount: pageSize, protection: .read)
        }
        #expect(throws: Errno.badAddress) { try bench.read(region.offset + 16384, 1) }
    }

    @Test func `The EDID region says what it is`() throws {
        let bench = Bench(try BochsDisplay(megabytes: 1))
        let type = try bench.driver.regionInfo(index: 9).type
        #expect(type?.type == 1 && type?.subtype == 1)
        #expect(bench.meet().regionCount == 10)
    }

    @Test func `The plane is asked for with a structure up to its last field`() throws {
        let bench = Bench(try FrameBufferDisplay(width: 64, height: 64))
        var plane = GFXPlaneInfo(argsz: 59, flags: .region)
        #expect(bench.ask(.deviceQueryGFXPlane, &plane) == -Errno.invalid.rawValue)
        plane.argsz = 60
        #expect(bench.ask(.deviceQueryGFXPlane, &plane) == 0)
        #expect(plane.width == 64 && plane.regionIndex == 16)
        #expect(bench.ask(.deviceQueryGFXPlane) == -Errno.badAddress.rawValue)
        #expect(Bench(SerialCard(portCount: 1)).ask(.deviceQueryGFXPlane) == -Errno.noSuchRequest.rawValue)
        #expect(bench.ask(.deviceReset) == 0)
        #expect(bench.ask(.deviceIOEventFD) == -Errno.noSuchRequest.rawValue)
    }
}
