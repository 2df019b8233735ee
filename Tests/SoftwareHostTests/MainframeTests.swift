import DeviceModel
import IOVASpace
import LinuxSystem
import SoftwareDevices
import Synchronization
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

/// Memory that a device reaches at the addresses from 0 on.
private final class FlatMemory: DMAAddressSpace, @unchecked Sendable {
    private let lock = Lock()
    private var bytes: [UInt8]

    init(byteCount: Int) { bytes = [UInt8](repeating: 0, count: byteCount) }

    subscript(range: Range<Int>) -> [UInt8] {
        get { lock.withLock { Array(bytes[range]) } }
        set { lock.withLock { bytes.replaceSubrange(range, with: newValue) } }
    }

    private func check(_ iova: IOVA, _ count: Int, _ access: DMAAccess) throws(DMAFault) {
        guard iova.rawValue <= UInt64(bytes.count), UInt64(count) <= UInt64(bytes.count) - iova.rawValue
        else {
            throw DMAFault(iova: iova, access: access, reason: .notMapped)
        }
    }

    func readMemory(at iova: IOVA, into span: inout MutableRawSpan) throws(DMAFault) {
        try check(iova, span.byteCount, .read)
        let start = Int(iova.rawValue)
        let part = self[start..<start + span.byteCount]
        for index in part.indices {
            span.storeBytes(of: part[index], toByteOffset: index, as: UInt8.self)
        }
    }

    func writeMemory(_ span: RawSpan, at iova: IOVA) throws(DMAFault) {
        try check(iova, span.byteCount, .write)
        let start = Int(iova.rawValue)
        self[start..<start + span.byteCount] = (0..<span.byteCount).map {
            unsafe span.unsafeLoad(fromByteOffset: $0, as: UInt8.self)
        }
    }

    func withMemory(
        at iova: IOVA, byteCount: Int, for access: DMAAccess, _ body: (MemoryWindow) -> Bool
    ) throws(DMAFault) { throw DMAFault(iova: iova, access: access, reason: .notLendable) }
}

/// A drum, its driver and the calls of a user.
private final class Channel {
    let drum = ChannelDrum(byteCount: 4096)
    let driver: CCWBusDriver
    let memory = FlatMemory(byteCount: 65536)

    init() throws {
        driver = CCWBusDriver(drum, DeviceFaults())
        try driver.openDevice()
        driver.attach(to: memory)
    }

    static func word(_ value: UInt32) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }

    /// A command of format 1.
    static func ccw(_ code: UInt8, _ address: UInt32, _ count: UInt16, flags: UInt8 = 0) -> [UInt8] {
        [code, flags, UInt8(count >> 8), UInt8(truncatingIfNeeded: count)] + word(address)
    }

    /// Starts the program at an address.
    func start(_ address: UInt32, flags: UInt8 = 0xc0) throws(Errno) {
        let orb: [UInt8] = [0, 0, 0, 1, 0, flags, 0xff, 0] + Self.word(address)
        let scsw: [UInt8] = [0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        _ = try write(0, 0, orb + scsw)
    }

    func write(_ region: UInt64, _ offset: UInt64, _ bytes: [UInt8]) throws(Errno) -> Int {
        try unsafe driver.write(at: region << 10 | offset, bytes.span.bytes)
    }

    func read(_ region: UInt64, _ offset: UInt64, _ count: Int) throws(Errno) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xcc, count: count)
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        _ = try driver.read(at: region << 10 | offset, into: &raw)
        return bytes
    }

    /// The status word that the last interrupt came with.
    var status: [UInt8] { (try? read(0, 24, 12)) ?? [] }

    func setEvent(_ index: UInt32, _ number: Int32) throws(Errno) {
        try driver.setIRQs(
            index, [.dataEventFD, .actionTrigger], count: 1, data: Bench.bytes([number]))
    }
}

@Suite struct ChannelTests {
    @Test func aProgramWritesAndReadsBack() throws {
        let channel = try Channel()
        let event = try EventDescriptor()
        try channel.setEvent(0, event.number)
        channel.memory[0x1000..<0x1004] = [0, 0, 0, 0x80]
        channel.memory[0x1100..<0x1110] = Array(1...16)
        let seek = Channel.ccw(ChannelDrum.Command.seek, 0x1000, 4, flags: 0x40)
        let program =
            seek + Channel.ccw(ChannelDrum.Command.write, 0x1100, 16, flags: 0x40) + seek
            + Channel.ccw(ChannelDrum.Command.read, 0x1200, 16)
        channel.memory[0..<program.count] = program
        try channel.start(0)
        #expect(try event.take() == 1)
        #expect(channel.memory[0x1200..<0x1210] == Array(1...16))
        #expect(channel.status == [0, 0xc0, 0x40, 0x07, 0, 0, 0, 32, 0x0c, 0, 0, 0])
    }

    @Test func dataIsChainedIndirectAndSkipped() throws {
        let channel = try Channel()
        channel.memory[0x1000..<0x1030] = Array(1...48)
        // Two words of 64 bits: the first into the middle of its block.
        channel.memory[0x2000..<0x2010] =
            Channel.word(0) + Channel.word(0x3ff8) + Channel.word(0) + Channel.word(0x5000)
        let program =
            Channel.ccw(ChannelDrum.Command.write, 0x1000, 32, flags: 0x80)
            + Channel.ccw(0, 0x1020, 16, flags: 0x40)
            + Channel.ccw(ChannelDrum.Command.seek, 0x1800, 4, flags: 0x40)
            + Channel.ccw(ChannelDrum.Command.read, 0x1900, 8, flags: 0x90)
            + Channel.ccw(0, 0x2000, 16, flags: 0x04)
        channel.memory[0..<program.count] = program
        try channel.start(0, flags: 0xc2)
        #expect(channel.status[8...] == [0x0c, 0, 0, 0])
        #expect(channel.memory[0x1900..<0x1908] == [0, 0, 0, 0, 0, 0, 0, 0], "skipped")
        #expect(channel.memory[0x3ff8..<0x4000] == Array(9...16))
        #expect(channel.memory[0x5000..<0x5008] == Array(17...24))
    }

    @Test func aSearchGoesRoundUntilItFinds() throws {
        let channel = try Channel()
        channel.memory[0x1000..<0x1004] = [0, 0, 0, 0]
        // Equal at once: the transfer back is skipped.
        let program =
            Channel.ccw(ChannelDrum.Command.searchEqual, 0x1000, 4, flags: 0x40) + Channel.ccw(8, 0, 0)
            + Channel.ccw(ChannelDrum.Command.senseID, 0x1200, 7)
        channel.memory[0..<program.count] = program
        try channel.start(0)
        #expect(channel.memory[0x1200..<0x1203] == [0xff, 0x28, 0x41])
        channel.memory[0x1000..<0x1004] = [9, 9, 9, 9]
        try channel.start(0)
        #expect(channel.status[9] == 0x20, "a search that never ends is ended")
    }

    @Test func anOlderFormatIsUnderstood() throws {
        let channel = try Channel()
        channel.memory[0..<8] = [ChannelDrum.Command.senseID, 0, 0x12, 0, 0x20, 0, 0, 16]
        try channel.start(0, flags: 0x40)
        #expect(channel.memory[0x1200..<0x1202] == [0xff, 0x28])
        #expect(channel.status[8...] == [0x0c, 0, 0, 9], "nine bytes less than asked for, and nobody minds")
    }

    @Test func whatGoesWrongIsTold() throws {
        let channel = try Channel()
        channel.memory[0..<8] = Channel.ccw(0x11, 0x1000, 4)
        try channel.start(0)
        #expect(channel.status[3] == 0x17 && channel.status[8] == 0x0e, "unit check")
        channel.memory[0..<8] = Channel.ccw(ChannelDrum.Command.sense, 0x1000, 2)
        try channel.start(0)
        #expect(channel.memory[0x1000..<0x1001] == [ChannelDrum.Sense.commandReject])
        #expect(channel.status[9] == 0x40, "incorrect length")
        channel.memory[0..<8] = Channel.ccw(ChannelDrum.Command.read, 0xfff0, 32)
        #expect(errno { try channel.start(0) } == .invalid, "not mapped")
        #expect(errno { try channel.start(0xff00) } == .invalid, "2 KiB of commands are fetched")
        #expect(errno { try channel.start(0, flags: 0xc4) } == .notSupported, "transport mode")
        let endless = (0..<256).flatMap { _ in Channel.ccw(3, 0, 1, flags: 0x40) }
        channel.memory[0..<endless.count] = endless
        #expect(errno { try channel.start(0) } == .invalid, "too long")
        #expect(try channel.read(0, 120, 4) == Bench.bytes([-22]))
        #expect(errno { _ = try channel.write(0, 120, [0, 0, 0, 0, 0]) } == .invalid)
        #expect(errno { _ = try channel.read(4, 0, 1) } == .invalid)
    }

    @Test func aProgramWaitsForItsDevice() throws {
        let channel = try Channel()
        let event = try EventDescriptor()
        try channel.setEvent(0, event.number)
        channel.memory[0..<8] = Channel.ccw(ChannelDrum.Command.senseID, 0x1200, 7)
        channel.drum.setHeldUp(true)
        try channel.start(0)
        #expect(try event.take() == 0)
        #expect(errno { try channel.start(0) } == .busy)
        channel.drum.setHeldUp(false)
        #expect(try event.take() == 1)
        #expect(channel.memory[0x1200..<0x1201] == [0xff])
        channel.drum.setHeldUp(true)
        try channel.start(0)
        #expect(try channel.write(1, 0, Bench.bytes([1])) == 4, "halt")
        #expect(channel.status[2] == 0x20)
        try channel.start(0)
        #expect(try channel.write(1, 0, Bench.bytes([2])) == 4, "clear")
        #expect(channel.status[2] == 0x10)
        #expect(errno { _ = try channel.write(1, 0, Bench.bytes([3])) } == .invalid)
        channel.drum.setHeldUp(false)
        #expect(try event.take() == 2, "what was cleared doesn't come back")
    }

    @Test func reportsAndStatusComeByThemselves() throws {
        let channel = try Channel()
        let crw = try EventDescriptor()
        let io = try EventDescriptor()
        try channel.setEvent(0, io.number)
        try channel.setEvent(1, crw.number)
        channel.drum.subchannel.report(0x0404_0000)
        channel.drum.subchannel.report(0x0405_0000)
        #expect(try crw.take() == 2)
        #expect(try channel.read(3, 0, 8) == Bench.bytes([0x0404_0000, 0]))
        #expect(try crw.take() == 1, "there is another one")
        #expect(try channel.read(3, 0, 4) == Bench.bytes([0x0405_0000]))
        #expect(try channel.read(3, 0, 4) == [0, 0, 0, 0])
        channel.drum.subchannel.present(.attention)
        #expect(try io.take() == 1)
        #expect(channel.status[8] == 0x80)
        #expect(try channel.read(2, 4, 4) == [0, 0x81, 0x4f, 0xb2], "enabled, and its number")
        #expect(errno { _ = try channel.write(2, 0, [0]) } == .invalid)
        let request = try EventDescriptor()
        try channel.setEvent(2, request.number)
        channel.driver.requestRelease(count: 0)
        #expect(try request.take() == 1)
        #expect(errno { try channel.setEvent(0, -2) } == .invalid)
        #expect(errno { try channel.setEvent(3, io.number) } == .invalid)
    }

    @Test func itsRegionsNameThemselves() throws {
        let driver = try Channel().driver
        let regions = try (0..<4).map { try driver.regionInfo(index: $0) }
        #expect(regions.map { $0.size } == [124, 8, 52, 8])
        #expect(regions.map { $0.flags } == [3, 3, 1, 1])
        #expect(regions.map { $0.offset } == [0, 1024, 2048, 3072])
        #expect(regions.map { $0.type?.type } == [nil, 2, 2, 2])
        #expect(regions.map { $0.type?.subtype } == [nil, 1, 2, 3])
        #expect(errno { _ = try driver.regionInfo(index: 4) } == .invalid)
    }

    @Test func randomProgramsNeverTrap() throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("channel program fuzz seed: \(seed)")
        var random = SplitMix(state: seed)
        let channel = try Channel()
        let codes: [UInt8] = [1, 2, 3, 4, 7, 8, 0x29, 0xe4, 0x11, 0x08, 0x18, 0]
        for _ in 0..<400 {
            var program: [UInt8] = []
            for _ in 0..<(1 + random.next() % 12) {
                let address: UInt32 =
                    random.next() % 4 == 0
                    ? UInt32(truncatingIfNeeded: random.next()) : UInt32(random.next() % 64) * 8
                program += Channel.ccw(
                    codes[Int(random.next() % UInt64(codes.count))], address, UInt16(random.next() % 600),
                    flags: UInt8(truncatingIfNeeded: random.next()) & 0xf4)
            }
            channel.memory[0..<program.count] = program
            for _ in 0..<4 {
                let place = Int(random.next() % 65536)
                channel.memory[place..<place + 1] = [UInt8(truncatingIfNeeded: random.next())]
            }
            let isWild = random.next() % 8 == 0
            let start = isWild ? UInt32(truncatingIfNeeded: random.next()) : UInt32(random.next() % 12) * 8
            _ = errno { try channel.start(start, flags: UInt8(truncatingIfNeeded: random.next()) & 0xfb) }
            let region = random.next() % 5
            _ = errno { _ = try channel.write(region, random.next() % 128, [UInt8](repeating: 1, count: 4)) }
            _ = errno { _ = try channel.read(region, random.next() % 128, Int(random.next() % 130)) }
        }
        _ = try channel.driver.control(UInt32(truncatingIfNeeded: Request.deviceReset.rawValue), 0)
        channel.memory[0..<8] = Channel.ccw(ChannelDrum.Command.senseID, 0x1200, 7)
        try channel.start(0)
        #expect(channel.memory[0x1200..<0x1201] == [0xff], "it works as before")
    }
}

@Suite struct CryptoMatrixTests {
    @Test func changesAreToldWhileItIsOpen() throws {
        let matrix = CryptoMatrix(highestAdapter: 15)
        let driver = APBusDriver(matrix)
        let changes = Atomic(0)
        try matrix.assign(.adapter, 3)
        try driver.openDevice()
        matrix.setChangeHook { changes.add(1, ordering: .relaxed) }
        try matrix.assign(.domain, 6)
        try matrix.assign(.domain, 6)
        try matrix.assign(.controlDomain, 6)
        #expect(changes.load(ordering: .relaxed) == 2)
        #expect(matrix.current.queueCount == 1)
        #expect(errno { try matrix.assign(.adapter, 16) } == .noDevice)
        try matrix.unassign(.adapter, 3)
        #expect(matrix.current.queueCount == 0)
        driver.closeDevice()
        #expect(matrix.resetCount == 1)
    }
}
