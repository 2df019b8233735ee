import DeviceModel
import LinuxSystem
import SoftwareDevices
import Testing
import VFIOABI
import VFIOUser

/// Any device behind a server.
final class ServedRig {
    let client: RawClient
    private let thread: WorkerThread

    init(_ model: any DeviceModel) throws {
        let server = try Server(connected: model)
        var numbers: (Int32, Int32) = (-1, -1)
        try UnixSocket.withPair { (a, b) throws(Errno) in
            numbers.0 = try Descriptor(duplicating: a.descriptor.number).release()
            numbers.1 = try Descriptor(duplicating: b.descriptor.number).release()
        }
        client = RawClient(UnixSocket(owning: Descriptor(owning: numbers.0)))
        let number = numbers.1
        thread = try WorkerThread {
            _ = try? server.serve(UnixSocket(owning: Descriptor(owning: number)))
        }
        try client.negotiate()
        try client.enable()
    }
}

extension RawClient {
    func feature(
        _ feature: Feature, _ operation: FeatureFlags, _ data: [UInt8] = [], room: Int = 1 << 20
    ) throws -> Reply {
        let head = DeviceFeature(argsz: UInt32(8 + room), flags: FeatureFlags(feature, operation))
        return try request(.deviceFeature, head, data)
    }

    func setState(_ state: MigrationState) throws -> Errno? {
        try feature(.migrationDeviceState, .set, Self.bytes(MigrationStateFeature(deviceState: state))).errno
    }

    func migrationState() throws -> MigrationState? {
        try feature(.migrationDeviceState, .get).value(MigrationStateFeature.self, at: 8)?.deviceState
    }

    func readState(_ size: Int) throws -> (bytes: [UInt8], body: Int, errno: Errno?) {
        let reply = try request(
            .migrationDataRead, UserMigrationData(argsz: UInt32(8 + size), size: UInt32(size)))
        let count = reply.value(UserMigrationData.self).map { Int($0.size) } ?? 0
        return (Array(reply.body.dropFirst(8).prefix(count)), reply.body.count, reply.errno)
    }

    func writeState(_ bytes: [UInt8]) throws -> Errno? {
        let head = UserMigrationData(argsz: UInt32(8 + bytes.count), size: UInt32(bytes.count))
        return try request(.migrationDataWrite, head, bytes).errno
    }

    func startLogging(_ pageSize: UInt64) throws -> Reply {
        try feature(.dmaLoggingStart, .set, Self.bytes(UserDMALoggingControl(pageSize: pageSize)))
    }

    func report(_ iova: UInt64, _ length: UInt64, _ pageSize: UInt64) throws -> (Errno?, Set<Int>) {
        let asked = UserDMALoggingReport(iova: iova, length: length, pageSize: pageSize)
        let reply = try feature(.dmaLoggingReport, .get, Self.bytes(asked))
        if let errno = reply.errno { return (errno, []) }
        guard reply.value(UserDMALoggingReport.self, at: 8) == asked else { throw Errno.invalid }
        return (nil, Self.bits(reply.body.dropFirst(32)))
    }

    static func bits(_ bytes: some Sequence<UInt8>) -> Set<Int> {
        var pages = Set<Int>()
        for (index, byte) in bytes.enumerated() {
            for bit in 0..<8 where byte >> bit & 1 != 0 { pages.insert(8 * index + bit) }
        }
        return pages
    }
}

@Suite("Features over a socket")
struct FeatureTests {
    @Test("are probed, and what isn't there or can't be done is refused")
    func probes() throws {
        let rig = try ServedRig(Educational())
        let client = rig.client
        for (feature, operation) in [
            (Feature.migration, FeatureFlags.get), (.migrationDeviceState, [.get, .set]),
            (.dmaLoggingStart, .set), (.dmaLoggingStop, .set), (.dmaLoggingReport, .get), (.migration, []),
        ] {
            let reply = try client.feature(feature, operation.union(.probe))
            #expect(reply.errno == nil && reply.body.count == 8)
        }
        #expect(try client.feature(.migration, [.probe, .set]).errno == .invalid)
        #expect(try client.feature(.migrationDeviceState, [.get, .set]).errno == .invalid)
        #expect(try client.feature(.migration, []).errno == .invalid)
        #expect(try client.feature(.pciVFToken, .probe).errno == .noSuchRequest)
        #expect(try client.feature(.migration, .get, room: 7).errno == .invalid)
        #expect(
            try client.feature(.migration, .get).value(MigrationFeature.self, at: 8)?.flags == [
                .stopCopy, .p2p, .preCopy,
            ])
        #expect(try client.migrationState() == .running)
        let fixed = try Rig()
        #expect(try fixed.connected.feature(.migration, .get).errno == .noSuchRequest)
        #expect(try fixed.connected.setState(.stop) == .noSuchRequest)
        #expect(try fixed.connected.readState(8).errno == .invalid)
    }

    @Test("A device moves from one server to another in the middle of its work")
    func moves() throws {
        let from = try ServedRig(Educational())
        let to = try ServedRig(Educational())
        let source = from.client
        try source.write64(.bar0, Educational.Register.source, 0xabcdef)
        try source.write32(.bar0, Educational.Register.factorial, 5)
        try source.write32(.bar0, Educational.Register.interruptRaise, 0x30)
        #expect(try source.setState(.preCopy) == nil)
        var stream: [UInt8] = []
        while case let part = try source.readState(16).bytes, !part.isEmpty { stream += part }
        #expect(!stream.isEmpty)
        // It works on.
        try source.write32(.bar0, Educational.Register.liveness, 0)
        #expect(try source.setState(.stopCopy) == nil)
        #expect(throws: Errno.invalid) { try source.read32(.bar0, 0) }
        #expect(try source.setState(.preCopy) == .invalid)
        while case let part = try source.readState(1000), !part.bytes.isEmpty {
            #expect(part.body == 1008)
            stream += part.bytes
        }

        let target = to.client
        #expect(try target.writeState([1]) == .invalid)
        #expect(try target.setState(.resuming) == nil)
        #expect(try target.writeState(Array(stream.prefix(100))) == nil)
        #expect(try target.writeState(Array(stream.dropFirst(100))) == nil)
        // A client sets the device up before it goes on: INTx, which the source had raised.
        let event = try EventDescriptor()
        try target.setInterrupts(
            .intx, [.dataEventFD, .actionTrigger], count: 1, descriptors: [event.number])
        let early = event.isSignalled
        #expect(!early)
        #expect(try target.setState(.running) == nil)
        #expect(try target.migrationState() == .running)
        #expect(try target.read64(.bar0, Educational.Register.source) == 0xabcdef)
        #expect(try target.read32(.bar0, Educational.Register.factorial) == 120)
        #expect(try target.read32(.bar0, Educational.Register.liveness) == .max)
        #expect(try target.read32(.bar0, Educational.Register.interruptStatus) == 0x30)
        let signalled = event.isSignalled
        #expect(signalled)
    }

    @Test("A state that makes no sense is refused, and a reset brings the device back")
    func refused() throws {
        let rig = try ServedRig(Educational())
        #expect(try rig.client.setState(.resuming) == nil)
        #expect(try rig.client.writeState([UInt8](repeating: 1, count: 500)) == .invalid)
        #expect(try rig.client.setState(.running) == .invalid)
        #expect(try rig.client.migrationState() == .resuming)
        #expect(try rig.client.setState(MigrationState(rawValue: 8)) == .invalid)
        #expect(try rig.client.setState(.runningP2P) == .invalid)
        #expect(try rig.client.request(.deviceReset).errno == nil)
        #expect(try rig.client.migrationState() == .running)
        #expect(try rig.client.read32(.bar0, 0) == UInt32(Educational.identification))
    }

    @Test("Logging is started once for a page size, and reports need it")
    func logging() throws {
        let rig = try Rig()
        let client = rig.connected
        #expect(try client.report(0, 4096, 4096).0 == .invalid)
        #expect(try client.startLogging(3000).errno == .invalid)
        #expect(try client.startLogging(8192).errno == nil)
        #expect(try client.startLogging(8192).errno == nil)
        #expect(try client.startLogging(4096).errno == .invalid)
        #expect(try client.feature(.dmaLoggingStop, .set).errno == nil)
        #expect(try client.feature(.dmaLoggingStop, .set).errno == nil)
        let reply = try client.startLogging(512)
        #expect(reply.value(UserDMALoggingControl.self, at: 8)?.pageSize == 4096)
        #expect(try client.report(0, 4096, 2048).0 == .invalid)
        #expect(try client.report(0, 0, 4096).0 == .invalid)
        #expect(try client.report(.max - 4095, 8192, 4096).0 == .overflow)
        #expect(try client.report(0, 1 << 50, 4096).0 == .tooBig)
        #expect(try client.report(0, 1 << 40, 4096).0 == .invalid)
        let ranges = UserDMALoggingControl(pageSize: 4096, rangeCount: .max)
        #expect(try client.feature(.dmaLoggingStart, .set, RawClient.bytes(ranges)).errno == .invalid)
        #expect(try client.feature(.dmaLoggingReport, .get).errno == .invalid)
    }

    @Test("Every page that the device writes is reported exactly once, whatever the sizes of pages")
    func dirtyPages() throws {
        var random = Generator.seeded("dirtyPages")
        let file = try MemoryFile.create("guest", byteCount: 4 << 20)
        let rig = try Rig()
        let client = rig.connected
        try client.enable()
        // Neighbours, a hole, and ends that aren't at pages.
        let areas: [(UInt64, UInt64)] = [
            (0x10_0000, 0x8_0000), (0x18_0000, 0x4_1800), (0x20_0000, 0x1_0000), (0x33_3000, 0xc_d000),
        ]
        for (index, area) in areas.enumerated() where index < 3 {
            #expect(try client.map(area.0, area.1, file: file.number) == nil)
        }
        #expect(try client.startLogging(4096).errno == nil)
        #expect(try client.map(areas[3].0, areas[3].1, file: file.number) == nil)
        var dirty = Set<UInt64>()
        for round in 0..<setting("VFIO_USER_DIRTY_ROUNDS", 60) {
            for _ in 0..<random.below(40) {
                let area = areas[random.below(4)]
                let address = area.0 + UInt64(random.below(Int(area.1) - 7))
                try client.write64(.bar0, TestDevice.Trigger.address, address)
                try client.write64(.bar0, TestDevice.Trigger.store, UInt64(round))
                dirty.insert(address >> 12)
                dirty.insert((address + 7) >> 12)
            }
            var pageSize = UInt64(4096) << UInt64(random.below(12))
            var start = UInt64(random.below(0x500)) << 12
            if random.below(2) == 0 {
                // Words of the answer that are words of the log.
                pageSize = 4096
                start = areas[random.below(4)].0 + UInt64(random.below(3)) << 18
            }
            let length = UInt64(1 + random.below(0x50_0000))
            let (errno, pages) = try client.report(start, length, pageSize)
            #expect(errno == nil)
            let told = dirty.filter { $0 >= start >> 12 && $0 <= (start + length - 1) >> 12 }
            let expected = Set(told.map { Int((($0 << 12) - start) / pageSize) })
            #expect(pages == expected, "\(start) \(length) \(pageSize)")
            dirty.subtract(told)
        }
        #expect(rig.device.faults.isEmpty)
    }

    @Test("Unmapping tells the dirty pages of what goes, unless it is refused")
    func unmapping() throws {
        let file = try MemoryFile.create("guest", byteCount: 1 << 20)
        let rig = try Rig()
        let client = rig.connected
        try client.enable()
        #expect(try client.map(0x10000, 0x8_0000, file: file.number) == nil)
        func unmap(_ address: UInt64, _ size: UInt64, room: Int = 64) throws -> RawClient.Reply {
            let head = UserDMAUnmap(
                argsz: UInt32(40 + room), flags: .getDirtyBitmap, address: address, size: size)
            let bitmap = UserDirtyBitmap(pageSize: 4096, size: UInt64(room))
            return try client.request(.dmaUnmap, head, RawClient.bytes(bitmap))
        }
        #expect(try unmap(0x10000, 0x8_0000).errno == .invalid)
        #expect(try client.startLogging(4096).errno == nil)
        for page in [0, 3, 70, 127] as [UInt64] {
            try client.write64(.bar0, TestDevice.Trigger.address, 0x10000 + page << 12)
            try client.write64(.bar0, TestDevice.Trigger.store, 1)
        }
        #expect(try unmap(0x10000, 0x8_0000, room: 8).errno == .invalid)
        #expect(try unmap(0x10000, 0x1000).errno == .invalid)
        let reply = try unmap(0x10000, 0x8_0000)
        #expect(reply.errno == nil)
        #expect(reply.value(UserDirtyBitmap.self, at: 24) == UserDirtyBitmap(pageSize: 4096, size: 16))
        #expect(RawClient.bits(reply.body.dropFirst(40)) == [0, 3, 70, 127])
        #expect(try client.unmap(0x10000, 0x8_0000) == .noSuchEntry)
    }
}
