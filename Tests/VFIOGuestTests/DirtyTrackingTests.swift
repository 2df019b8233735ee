import IOVASpace
import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOHost

@testable import VFIOGuest

/// A device's log as hardware keeps it: a write and its mark are one step.
private final class ProberLog: DeviceDirtyLog, @unchecked Sendable {
    private let prober: Prober
    private let lock = Lock()
    private var written: Set<UInt64> = []
    private var watched: [IOVARange] = []
    private var isQuiet = false
    var rangeLimit: Int { 2 }

    init(_ prober: Prober) { self.prober = prober }

    func write(_ value: UInt64, at address: UInt64) -> Bool {
        lock.withLock {
            guard !isQuiet, prober.write(value, at: address) else { return false }
            if watched.contains(where: { $0.contains(IOVA(address)) }) {
                written.insert(address / UInt64(pageSize))
            }
            return true
        }
    }

    func start(_ ranges: [IOVARange]) throws(VFIOError) { lock.withLock { watched = ranges } }
    func stop() { lock.withLock { watched = [] } }
    func quiesce() { lock.withLock { isQuiet = true } }

    func report(_ range: IOVARange, into words: inout [UInt64]) throws(VFIOError) {
        lock.withLock {
            for page in written where range.contains(IOVA(page * UInt64(pageSize))) {
                let index = page - range.first.rawValue / UInt64(pageSize)
                words[Int(index / 64)] |= 1 << (index % 64)
                written.remove(page)
            }
        }
    }
}

@Suite("Dirty pages of a guest that changes while its devices write")
struct DirtyTrackingTests {
    enum Source: CaseIterable { case devices, container, table, nothing, removed }
    private static let pagesOfBlock = 24
    private static let slots = 12

    /// A migration: a copy of each block, kept up to date by copying what is dirty.
    private final class Copies {
        let blocks: [RAMBlock]
        let copies: [RAMBlock]

        init(_ blocks: [RAMBlock]) throws {
            self.blocks = blocks
            copies = try blocks.map { try RAMBlock("copy of \($0.name)", byteCount: Int($0.byteCount)) }
        }

        private func copy(_ index: Int, _ pages: Range<Int>) {
            copies[index].window.copy(
                from: blocks[index].window, at: pages.lowerBound * pageSize, to: pages.lowerBound * pageSize,
                byteCount: pages.count * pageSize)
        }

        func copyAll() { for index in blocks.indices { copy(index, 0..<blocks[index].dirtyLog.pageCount) } }

        func copyDirty() {
            for index in blocks.indices {
                blocks[index].dirtyLog.take(for: .migration) { copy(index, $0) }
            }
        }

        /// The first place where a copy isn't what it is a copy of.
        var difference: String? {
            for index in blocks.indices {
                for offset in stride(from: 0, to: Int(blocks[index].byteCount), by: 8)
                where blocks[index].window.load64(offset) != copies[index].window.load64(offset) {
                    return "\(blocks[index].name), page \(offset / pageSize), byte \(offset % pageSize)"
                }
            }
            return nil
        }
    }

    @Test(
        "no written page is ever lost, whatever moves, comes and goes meanwhile", arguments: Source.allCases)
    func nothingLost(source: Source) throws {
        var random = randomSeed("dirty pages by \(source)")
        let machine = try GuestMachine { $0.iommu.tracksDirtyPages = source == .table }
        let regions = try (0..<6).map { try machine.ram("ram\($0)", pages: Self.pagesOfBlock) }
        let copies = try Copies(regions.compactMap(\.block))
        let slot = UInt64(Self.slots) * 4096 * 4
        for (index, region) in regions.enumerated() {
            try machine.system.add(region, at: UInt64(index) * slot)
        }
        let devices = machine.devices(source == .nothing || source == .table ? .cdev : .group)
        var attached = [try machine.attach(0, to: devices), try machine.attach(2, to: devices)]
        let logs = [ProberLog(machine.probers[0]), ProberLog(machine.probers[2])]
        let container = try #require(devices.containers.first)
        #expect(devices.containers.count == 1)
        if source == .devices || source == .removed {
            for (device, log) in zip(attached, logs) {
                container.mapper.tracker.remove(ObjectIdentifier(device))
                container.mapper.tracker.add(ObjectIdentifier(device), log)
            }
        }
        let isOver = Box(false)
        let writes = Box(0)
        let reach = Int(slot) * Self.slots
        var threads: [WorkerThread] = []
        for log in logs {
            let seed = random.next()
            threads.append(
                try WorkerThread {
                    var random = SplitMix(state: seed)
                    while !isOver.value {
                        let address = UInt64(random.below(reach / 8)) * 8
                        if log.write(random.next(), at: address) { writes.change { $0 += 1 } }
                    }
                })
        }
        defer { isOver.value = true }
        try machine.memory.startMigrationLog()
        copies.copyAll()
        // A busy machine lets the devices' threads run late.
        let deadline = Clock.now + 30_000_000_000
        var turn = 0
        while turn < 400 || (writes.value <= 100 && Clock.now < deadline) {
            turn += 1
            let region = regions[random.below(regions.count)]
            switch random.below(8) {
            case 0, 1: try? region.move(to: UInt64(random.below(Self.slots)) * slot)
            case 2: if region.parent != nil { try machine.system.remove(region) }
            case 3:
                if region.parent == nil {
                    try machine.system.add(region, at: UInt64(random.below(Self.slots)) * slot)
                }
            case 4: region.setReadOnly(random.below(4) == 0)
            case 5: try? region.setByteCount(UInt128(1 + random.below(Self.pagesOfBlock)) * 4096)
            case 6:
                // The guest's processor writes too.
                try? machine.space.store(
                    random.next(), at: GuestAddress(UInt64(random.below(reach / 8)) * 8))
            default:
                try machine.memory.synchronizeDirtyLog()
                copies.copyDirty()
            }
            if source == .removed && turn == 200 {
                attached.removeLast().detach()
            }
        }
        isOver.value = true
        threads = []
        #expect(writes.value > 100, "the devices did write")
        try machine.memory.synchronizeDirtyLog()
        copies.copyDirty()
        #expect(copies.difference == nil)
        machine.memory.stopMigrationLog()
        attached = []
    }

    @Test("a device's log is given at most as many ranges as it takes, joined where the least lies between")
    func ranges() {
        func range(_ first: UInt64, _ last: UInt64) -> IOVARange {
            IOVARange(first: IOVA(first), last: IOVA(last)) ?? .all
        }
        let many = [range(0x9000, 0x9fff), range(0, 0xfff), range(0x1000, 0x1fff), range(0x4000, 0x4fff)]
        #expect(
            IOVARange.merged(many, to: 8) == [
                range(0, 0x1fff), range(0x4000, 0x4fff), range(0x9000, 0x9fff),
            ])
        #expect(IOVARange.merged(many, to: 2) == [range(0, 0x4fff), range(0x9000, 0x9fff)])
        #expect(IOVARange.merged(many, to: 1) == [range(0, 0x9fff)])
        #expect(IOVARange.merged(many, to: 0) == [range(0, 0x9fff)])
        #expect(IOVARange.merged([], to: 3) == [])
        #expect(
            IOVARange.merged([range(0, .max), range(.max, .max)], to: 1) == [.all])
    }
}
