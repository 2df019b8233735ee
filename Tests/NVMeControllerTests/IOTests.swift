import DeviceModel
import LinuxSystem
import NVMe
import NVMeController
import Testing

@Suite("Reading and writing through the NVMe controller")
struct IOTests {
    /// Pages in an order that isn't ascending, with data in them.
    private func scattered(_ rig: Rig, _ count: Int, filledWith bytes: [UInt8]? = nil) -> [UInt64] {
        let base = rig.slot.allocate(2 * count)
        // Every second page, from the top down, so that no two are neighbours.
        let pages = (0..<count).map { base + UInt64(2 * (count - 1 - $0)) * 4096 }
        if let bytes {
            for (index, page) in pages.enumerated() where index * 4096 < bytes.count {
                rig.slot.fill(page, [UInt8](bytes[(index * 4096)..<min(bytes.count, index * 4096 + 4096)]))
            }
        }
        return pages
    }

    private func gathered(_ rig: Rig, _ pages: [UInt64]) -> [UInt8] {
        pages.flatMap { rig.slot.bytes(at: $0, count: 4096) }
    }

    @Test("What was written comes back, whether memory is lent or copied", arguments: [true, false])
    func roundTrip(_ lends: Bool) throws {
        let rig = try Rig()
        rig.slot.lends = lends
        let queue = rig.makeQueue(1)
        let out = rig.slot.allocate(2)
        let back = rig.slot.allocate(3)
        let data = Rig.pattern(8192)
        rig.slot.fill(out, data)
        var write = SubmissionEntry.write(namespaceID: 1, startingBlock: 100, blocks: 16)
        write.setPRP(out, out + 4096)
        #expect(rig.run(write, on: queue)?.status == .success)
        #expect(try rig.stored(100, count: 16) == data)
        // Into the middle of a page, over two further ones.
        var read = SubmissionEntry.read(namespaceID: 1, startingBlock: 100, blocks: 8)
        read.setPRP(back + 1024, back + 4096)
        #expect(rig.run(read, on: queue)?.status == .success)
        #expect(rig.slot.bytes(at: back + 1024, count: 4096) == [UInt8](data[0..<4096]))
        #expect(rig.slot.bytes(at: back, count: 1024).allSatisfy { $0 == 0 })
        #expect(rig.slot.bytes(at: back + 5120, count: 3072).allSatisfy { $0 == 0 })
        #expect(rig.slot.messages.contains(1))
    }

    @Test("A PRP list reaches over its page by a link", arguments: [true, false])
    func prpList(_ lends: Bool) throws {
        var settings = NVMeController.Settings()
        settings.maximumTransferExponent = 8
        let rig = try Rig(settings: settings)
        rig.slot.lends = lends
        let queue = rig.makeQueue(1)
        let count = 40
        let data = Rig.pattern(count * 4096)
        let pages = scattered(rig, count, filledWith: data)
        let lists = rig.slot.allocate(3)
        // The list begins with the last four slots of a page, and goes on in a whole one.
        let start = lists + 4096 - 32
        for (index, page) in pages.dropFirst().enumerated() {
            if index < 3 {
                rig.slot.store(page, at: start + UInt64(8 * index))
            } else {
                rig.slot.store(page, at: lists + 8192 + UInt64(8 * (index - 3)))
            }
        }
        rig.slot.store(lists + 8192, at: start + 24)
        var write = SubmissionEntry.write(namespaceID: 1, startingBlock: 7, blocks: count * 8)
        write.setPRP(pages[0], start)
        #expect(rig.run(write, on: queue)?.status == .success)
        #expect(try rig.stored(7, count: count * 8) == data)
        for page in pages { rig.slot.fill(page, [UInt8](repeating: 0, count: 4096)) }
        var read = SubmissionEntry.read(namespaceID: 1, startingBlock: 7, blocks: count * 8)
        read.setPRP(pages[0], start)
        #expect(rig.run(read, on: queue)?.status == .success)
        #expect(gathered(rig, pages) == data)

        // An entry, and a link, that don't begin a page.
        rig.slot.store(pages[2] + 8, at: start + 8)
        #expect(rig.run(read, on: queue)?.status == .invalidPRPOffset)
        rig.slot.store(pages[2], at: start + 8)
        rig.slot.store(lists + 8192 + 8, at: start + 24)
        #expect(rig.run(read, on: queue)?.status == .invalidPRPOffset)
        // A link to nowhere, and data that is nowhere.
        rig.slot.store(0xffff_ffff_ffff_f000 as UInt64, at: start + 24)
        #expect(rig.run(read, on: queue)?.status == .dataTransferError)
        rig.slot.store(lists + 8192, at: start + 24)
        rig.slot.holes.insert(pages[20])
        #expect(rig.run(read, on: queue)?.status == .dataTransferError)
        #expect(rig.run(write, on: queue)?.status == .dataTransferError)
        #expect(rig.status.rawValue == 1)
    }

    @Test("A write whose data can't all be read writes nothing", arguments: [true, false])
    func wholeOrNothing(_ lends: Bool) throws {
        let rig = try Rig()
        rig.slot.lends = lends
        let queue = rig.makeQueue(1)
        let pages = rig.slot.allocate(2)
        rig.slot.fill(pages, Rig.pattern(8192))
        rig.slot.holes.insert(pages + 4096)
        var write = SubmissionEntry.write(namespaceID: 1, startingBlock: 0, blocks: 16)
        write.setPRP(pages, pages + 4096)
        #expect(rig.run(write, on: queue)?.status == .dataTransferError)
        #expect(try rig.stored(0, count: 16).allSatisfy { $0 == 0 })
    }

    @Test("PRP entries with offsets that aren't allowed are told as such")
    func crookedPRP() throws {
        let rig = try Rig()
        let queue = rig.makeQueue(1)
        let at = rig.slot.allocate(4)
        func read(_ blocks: Int, _ first: UInt64, _ second: UInt64) -> Status? {
            var entry = SubmissionEntry.read(namespaceID: 1, startingBlock: 0, blocks: blocks)
            entry.setPRP(first, second)
            return rig.run(entry, on: queue)?.status
        }
        #expect(read(1, at + 1, 0) == .invalidPRPOffset)
        #expect(read(1, at + 4, 0) == .success)
        #expect(read(9, at, at + 4096 + 512) == .invalidPRPOffset)
        #expect(read(24, at, at + 4096 + 4) == .invalidPRPOffset)
        #expect(read(1, 0, 0) == .dataTransferError)
        #expect(read(1, .max & ~3, .max) == .invalidPRPOffset)
        #expect(read(8, .max - 4095, 0) == .dataTransferError)
    }

    @Test("SGLs work as one block, as a last segment and through a chain of segments")
    func sgl() throws {
        let rig = try Rig()
        let queue = rig.makeQueue(1)
        let data = Rig.pattern(4096)
        let at = rig.slot.allocate(4)
        rig.slot.fill(at, data)
        var write = SubmissionEntry.write(namespaceID: 1, startingBlock: 8, blocks: 8)
        write.sgl = SGLDescriptor(.dataBlock, address: at, length: 4096)
        #expect(rig.run(write, on: queue)?.status == .success)
        #expect(try rig.stored(8, count: 8) == data)

        // Pieces of odd lengths, in a chain of two segments.
        let target = rig.slot.allocate(2)
        let lists = rig.slot.allocate(2)
        rig.slot.store(SGLDescriptor(.dataBlock, address: target + 4097, length: 1001), at: lists)
        rig.slot.store(SGLDescriptor(.dataBlock, address: 0, length: 0), at: lists + 16)
        rig.slot.store(SGLDescriptor(.lastSegment, address: lists + 4096, length: 32), at: lists + 32)
        rig.slot.store(SGLDescriptor(.dataBlock, address: target, length: 3000), at: lists + 4096)
        rig.slot.store(SGLDescriptor(.dataBlock, address: target + 3000, length: 95), at: lists + 4112)
        var read = SubmissionEntry.read(namespaceID: 1, startingBlock: 8, blocks: 8)
        read.sgl = SGLDescriptor(.segment, address: lists, length: 48)
        #expect(rig.run(read, on: queue)?.status == .success)
        #expect(rig.slot.bytes(at: target + 4097, count: 1001) == [UInt8](data[0..<1001]))
        #expect(rig.slot.bytes(at: target, count: 3095) == [UInt8](data[1001..<4096]))
    }

    @Test("SGLs that are malformed get the status the specification names")
    func crookedSGL() throws {
        let rig = try Rig()
        let queue = rig.makeQueue(1)
        let at = rig.slot.allocate()
        let list = rig.slot.allocate()
        func read(_ descriptor: SGLDescriptor, _ list: [SGLDescriptor] = [], kind: UInt8 = 0x40) -> Status? {
            for (index, entry) in list.enumerated() {
                rig.slot.store(entry, at: listAddress + UInt64(16 * index))
            }
            var entry = SubmissionEntry.read(namespaceID: 1, startingBlock: 0, blocks: 2)
            entry.sgl = descriptor
            entry.flags = kind
            return rig.run(entry, on: queue)?.status
        }
        let listAddress = list
        let good = SGLDescriptor(.dataBlock, address: at, length: 1024)
        #expect(read(good) == .success)
        #expect(read(good, kind: 0x80) == .invalidField)
        #expect(read(good, kind: 0xc0) == .invalidField)
        #expect(read(SGLDescriptor(.dataBlock, address: at, length: 1023)) == .invalidSGLDataLength)
        #expect(read(SGLDescriptor(.dataBlock, address: at, length: 1025)) == .invalidSGLDataLength)
        #expect(read(SGLDescriptor(.bitBucket, address: at, length: 1024)) == .invalidSGLType)
        #expect(read(SGLDescriptor(.keyedDataBlock, address: at, length: 1024)) == .invalidSGLType)
        var offset = good
        offset.identifier |= 1
        #expect(read(offset) == .invalidSGLType)
        var unknown = good
        unknown.identifier = 0x90
        #expect(read(unknown) == .invalidSGLType)
        #expect(read(SGLDescriptor(.lastSegment, address: list, length: 0)) == .invalidSGLSegment)
        #expect(read(SGLDescriptor(.lastSegment, address: list, length: 17)) == .invalidSGLSegment)
        #expect(read(SGLDescriptor(.lastSegment, address: list, length: 0xffff_fff0)) == .invalidSGLCount)
        #expect(read(SGLDescriptor(.segment, address: list, length: 16), [good]) == .invalidSGLSegment)
        let loop = SGLDescriptor(.segment, address: list, length: 16)
        #expect(read(loop, [loop]) == .invalidSGLCount)
        #expect(
            read(SGLDescriptor(.lastSegment, address: list, length: 32), [loop, good]) == .invalidSGLSegment)
        #expect(read(SGLDescriptor(.lastSegment, address: list, length: 16), [loop]) == .invalidSGLSegment)
        #expect(read(SGLDescriptor(.lastSegment, address: 0x10, length: 16)) == .dataTransferError)
        #expect(read(SGLDescriptor(.lastSegment, address: .max - 7, length: 16)) == .dataTransferError)
        #expect(read(SGLDescriptor(.dataBlock, address: .max - 7, length: 1024)) == .dataTransferError)
    }

    @Test("A controller without SGLs refuses them")
    func withoutSGL() throws {
        var settings = NVMeController.Settings()
        settings.hasSGLs = false
        let rig = try Rig(settings: settings)
        let queue = rig.makeQueue(1)
        var read = SubmissionEntry.read(namespaceID: 1, startingBlock: 0, blocks: 2)
        read.sgl = SGLDescriptor(.dataBlock, address: rig.slot.allocate(), length: 1024)
        #expect(rig.run(read, on: queue)?.status == .invalidField)
    }

    @Test("Ranges, sizes, namespaces and opcodes that aren't there are refused")
    func wrongCommands() throws {
        let rig = try Rig()
        let queue = rig.makeQueue(1)
        let at = rig.slot.allocate()
        func read(_ block: UInt64, _ blocks: Int, _ namespace: UInt32 = 1) -> Status? {
            var entry = SubmissionEntry.read(namespaceID: namespace, startingBlock: block, blocks: blocks)
            entry.setPRP(at)
            return rig.run(entry, on: queue)?.status
        }
        let last = UInt64(Rig.blocks)
        #expect(read(last - 1, 1) == .success)
        #expect(read(last, 1) == .lbaOutOfRange)
        #expect(read(last - 1, 2) == .lbaOutOfRange)
        #expect(read(.max, 1) == .lbaOutOfRange)
        #expect(read(.max - 5, 8) == .lbaOutOfRange)
        #expect(read(0, 1025) == .invalidField)  // MDTS is 512 KiB
        #expect(read(0, 65536) == .invalidField)
        #expect(read(0, 1, 0) == .invalidNamespace)
        #expect(read(0, 1, 2) == .invalidField)  // valid but not active
        #expect(read(0, 1, 17) == .invalidNamespace)
        #expect(read(0, 1, 0xffff_ffff) == .invalidNamespace)
        for opcode in [4, 5, 0x0c, 0x19, 0x7f, 0x90] as [UInt8] {
            #expect(
                rig.run(SubmissionEntry(opcode: opcode, namespaceID: 1), on: queue)?.status == .invalidOpcode)
        }
        var fused = SubmissionEntry.flush(namespaceID: 1)
        fused.fuse = .first
        #expect(rig.run(fused, on: queue)?.status == .invalidField)
    }

    @Test("Write zeroes and deallocation make blocks read as zeroes, and touch no others")
    func zeroes() throws {
        let rig = try Rig()
        let queue = rig.makeQueue(1)
        let at = rig.slot.allocate(2)
        rig.slot.fill(at, [UInt8](repeating: 0xaa, count: 8192))
        var write = SubmissionEntry.write(namespaceID: 1, startingBlock: 0, blocks: 16)
        write.setPRP(at, at + 4096)
        #expect(rig.run(write, on: queue)?.status == .success)
        let zeroes = SubmissionEntry.writeZeroes(namespaceID: 1, startingBlock: 2, blocks: 3)
        #expect(rig.run(zeroes, on: queue)?.status == .success)
        let beyond = SubmissionEntry.writeZeroes(namespaceID: 1, startingBlock: 4095, blocks: 2)
        #expect(rig.run(beyond, on: queue)?.status == .lbaOutOfRange)
        let ranges = rig.slot.allocate()
        rig.slot.store(DatasetRange(startingBlock: 8, blocks: 1), at: ranges)
        rig.slot.store(DatasetRange(startingBlock: 10, blocks: 2), at: ranges + 16)
        var trim = SubmissionEntry.datasetManagement(namespaceID: 1, ranges: 2)
        trim.setPRP(ranges)
        #expect(rig.run(trim, on: queue)?.status == .success)
        let now = try rig.stored(0, count: 16)
        let zeroed: Set<Int> = [2, 3, 4, 8, 10, 11]
        for block in 0..<16 {
            let expected: UInt8 = zeroed.contains(block) ? 0 : 0xaa
            #expect(now[(block * 512)..<(block * 512 + 512)].allSatisfy { $0 == expected }, "block \(block)")
        }
        // One range outside: none is deallocated.
        rig.slot.store(DatasetRange(startingBlock: 0, blocks: 1), at: ranges)
        rig.slot.store(DatasetRange(startingBlock: .max, blocks: 2), at: ranges + 16)
        #expect(rig.run(trim, on: queue)?.status == .lbaOutOfRange)
        #expect(try rig.stored(0).allSatisfy { $0 == 0xaa })
        rig.slot.holes.insert(ranges)
        #expect(rig.run(trim, on: queue)?.status == .dataTransferError)
    }

    @Test("Flush, force unit access and a disabled cache reach the store's stable storage")
    func durability() throws {
        let log = RecordingStore(byteCount: 1 << 20)
        let rig = try Rig(store: log)
        let queue = rig.makeQueue(1)
        let at = rig.slot.allocate()
        var write = SubmissionEntry.write(namespaceID: 1, startingBlock: 0, blocks: 1)
        write.setPRP(at)
        #expect(rig.run(write, on: queue)?.status == .success)
        #expect(log.synchronized == 0)
        #expect(rig.run(.flush(namespaceID: 1), on: queue)?.status == .success)
        #expect(log.synchronized == 1)
        #expect(rig.run(.flush(namespaceID: 0xffff_ffff), on: queue)?.status == .success)
        #expect(log.synchronized == 2)
        write.dword12 |= 1 << 30
        #expect(rig.run(write, on: queue)?.status == .success)
        #expect(log.synchronized == 3)
        write.dword12 &= ~(1 << 30)
        #expect(rig.admin(.setFeatures(.volatileWriteCache, value: 0))?.status == .success)
        #expect(log.synchronized == 4)
        #expect(rig.run(write, on: queue)?.status == .success)
        #expect(log.synchronized == 5)
        rig.write(RegisterOffset.configuration, Rig.enabled | 1 << 14)
        #expect(log.synchronized == 6)
    }

    @Test("What the store can't do is told in the words of the specification")
    func storeErrors() throws {
        let log = RecordingStore(byteCount: 1 << 20)
        let rig = try Rig(store: log)
        let queue = rig.makeQueue(1)
        let at = rig.slot.allocate()
        var write = SubmissionEntry.write(namespaceID: 1, startingBlock: 0, blocks: 1)
        write.setPRP(at)
        var read = SubmissionEntry.read(namespaceID: 1, startingBlock: 0, blocks: 1)
        read.setPRP(at)
        log.failure = .inputOutput
        #expect(rig.run(write, on: queue)?.status == .writeFault)
        #expect(rig.run(read, on: queue)?.status == .unrecoveredReadError)
        #expect(rig.run(.flush(namespaceID: 1), on: queue)?.status == .writeFault)
        log.failure = .noSpace
        #expect(rig.run(write, on: queue)?.status == .capacityExceeded)
        log.failure = nil
        log.isReadOnly = true
        #expect(rig.run(write, on: queue)?.status == .namespaceWriteProtected)
        let zeroes = SubmissionEntry.writeZeroes(namespaceID: 1, startingBlock: 0, blocks: 1)
        #expect(rig.run(zeroes, on: queue)?.status == .namespaceWriteProtected)
        let smart = try #require(SMARTLog(rig.page(.getLogPage(.smart, byteCount: 512), count: 512)))
        #expect(smart.mediaErrors == 3 && smart.errorLogEntries == 6)
    }

    @Test("SMART counts what was read and written")
    func counters() throws {
        let rig = try Rig()
        let queue = rig.makeQueue(1)
        var write = SubmissionEntry.write(namespaceID: 1, startingBlock: 0, blocks: 8)
        write.setPRP(rig.slot.allocate())
        for _ in 0..<126 { #expect(rig.run(write, on: queue)?.status == .success) }
        let smart = try #require(SMARTLog(rig.page(.getLogPage(.smart, byteCount: 512), count: 512)))
        #expect(smart.hostWrites == 126 && smart.dataUnitsWritten == 2 && smart.dataUnitsRead == 0)
    }
}

/// A store that counts and fails as told.
final class RecordingStore: BlockStore {
    let byteCount: UInt64
    var isReadOnly = false
    var synchronized = 0
    var failure: Errno?

    init(byteCount: UInt64) { self.byteCount = byteCount }

    private func check() throws(Errno) { if let failure { throw failure } }
    func read(at offset: UInt64, into window: MemoryWindow) throws(Errno) { try check() }
    func write(at offset: UInt64, from window: MemoryWindow) throws(Errno) { try check() }
    func zero(at offset: UInt64, byteCount: UInt64, deallocating: Bool) throws(Errno) { try check() }
    func deallocate(at offset: UInt64, byteCount: UInt64) throws(Errno) { try check() }
    func synchronize() throws(Errno) {
        try check()
        synchronized += 1
    }
}
