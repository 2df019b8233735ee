import Glibc
import LinuxSystem
import NVMe
import NVMeController
import Testing

/// A file that is gone when the test is over.
final class TemporaryFile {
    let path: String

    init(byteCount: UInt64) throws {
        var template = Array("/tmp/nvme-controller-XXXXXX".utf8CString)
        let number = mkstemp(&template)
        #expect(number >= 0)
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        try Descriptor(owning: number).resize(to: byteCount)
    }

    deinit { unlink(path) }
}

@Suite("Images behind the NVMe controller")
struct PersistenceTests {
    private static let variable = "SWIFT_VFIO_TEST_IMAGE"

    @Test("What was flushed is in the image after kill -9")
    func survivesKill() async throws {
        let file = try TemporaryFile(byteCount: 1 << 20)
        setenv(PersistenceTests.variable, file.path, 1)
        await #expect(processExitsWith: .signal(SIGKILL)) {
            guard let path = getenv("SWIFT_VFIO_TEST_IMAGE") else { exit(1) }
            let rig = try Rig(store: FileStore(path: String(cString: path)))
            let queue = rig.makeQueue(1)
            let at = rig.slot.allocate(2)
            rig.slot.fill(at, Rig.pattern(8192, 7))
            var write = SubmissionEntry.write(namespaceID: 1, startingBlock: 33, blocks: 16)
            write.setPRP(at, at + 4096)
            guard rig.run(write, on: queue)?.status == .success,
                rig.run(.flush(namespaceID: 1), on: queue)?.status == .success
            else { exit(2) }
            kill(getpid(), SIGKILL)
        }
        let rig = try Rig(store: FileStore(path: file.path))
        let queue = rig.makeQueue(1)
        let at = rig.slot.allocate(2)
        var read = SubmissionEntry.read(namespaceID: 1, startingBlock: 33, blocks: 16)
        read.setPRP(at, at + 4096)
        #expect(rig.run(read, on: queue)?.status == .success)
        #expect(rig.slot.bytes(at: at, count: 8192) == Rig.pattern(8192, 7))
    }

    @Test("Zeroed and deallocated blocks of an image read as zeroes, and its length stays")
    func zeroes() throws {
        let file = try TemporaryFile(byteCount: 1 << 20)
        let rig = try Rig(store: FileStore(path: file.path))
        let queue = rig.makeQueue(1)
        let at = rig.slot.allocate(2)
        rig.slot.fill(at, [UInt8](repeating: 0x55, count: 8192))
        var write = SubmissionEntry.write(namespaceID: 1, startingBlock: 2032, blocks: 16)
        write.setPRP(at, at + 4096)
        #expect(rig.run(write, on: queue)?.status == .success)
        let zeroes = SubmissionEntry.writeZeroes(namespaceID: 1, startingBlock: 2033, blocks: 2)
        #expect(rig.run(zeroes, on: queue)?.status == .success)
        let freed = SubmissionEntry.writeZeroes(
            namespaceID: 1, startingBlock: 2036, blocks: 1, deallocates: true, forceUnitAccess: true)
        #expect(rig.run(freed, on: queue)?.status == .success)
        let ranges = rig.slot.allocate()
        rig.slot.store(DatasetRange(startingBlock: 2040, blocks: 8), at: ranges)
        var trim = SubmissionEntry.datasetManagement(namespaceID: 1, ranges: 1)
        trim.setPRP(ranges)
        #expect(rig.run(trim, on: queue)?.status == .success)
        let bytes = try FileSystem.bytes(of: file.path, limit: 2 << 20)
        #expect(bytes.count == 1 << 20)
        let zeroed: Set<Int> = [2033, 2034, 2036]
        for block in 2032..<2040 {
            let expected: UInt8 = zeroed.contains(block) ? 0 : 0x55
            #expect(
                bytes[(block * 512)..<(block * 512 + 512)].allSatisfy { $0 == expected }, "block \(block)")
        }
        #expect(bytes[(2040 * 512)...].allSatisfy { $0 == 0 || $0 == 0x55 })
    }

    @Test("An image that can't be a disk is refused with the reason")
    func wrongImages() throws {
        func failure(_ path: String, _ blockSize: Int = 512) -> BlockStoreError? {
            do throws(BlockStoreError) {
                _ = try FileStore(path: path, blockSize: blockSize)
                return nil
            } catch { return error }
        }
        let missing = "/tmp/nvme-controller-none/image"
        #expect(failure(missing) == .missing(path: missing))
        #expect(failure("/tmp") == .notAFile(path: "/tmp"))
        #expect(failure("/dev/null") == .notAFile(path: "/dev/null"))
        let empty = try TemporaryFile(byteCount: 0)
        #expect(failure(empty.path) == .empty(path: empty.path))
        let odd = try TemporaryFile(byteCount: 1000)
        let error = try #require(failure(odd.path))
        #expect(error == .notAMultiple(path: odd.path, byteCount: 1000, blockSize: 512))
        #expect(
            error.description
                == "\(odd.path): 1000 bytes aren't a multiple of the block size 512; 488 bytes are left over")
        let small = try TemporaryFile(byteCount: 512)
        #expect(failure(small.path) == nil)
        #expect(failure(small.path, 4096) == .notAMultiple(path: small.path, byteCount: 512, blockSize: 4096))
        #expect(failure(small.path, 500) == .invalidBlockSize(500))
        #expect(failure(small.path, 0) == .invalidBlockSize(0))
        #expect(throws: BlockStoreError.empty(path: "memory")) { try MemoryStore(byteCount: 0) }
    }

    @Test("An image that becomes shorter while it is used is a read error, not a trap")
    func truncated() throws {
        let file = try TemporaryFile(byteCount: 1 << 20)
        let rig = try Rig(store: FileStore(path: file.path))
        let queue = rig.makeQueue(1)
        truncate(file.path, 4096)
        var read = SubmissionEntry.read(namespaceID: 1, startingBlock: 100, blocks: 1)
        read.setPRP(rig.slot.allocate())
        #expect(rig.run(read, on: queue)?.status == .unrecoveredReadError)
    }

    @Test("An image opened for reading is a write protected namespace")
    func readOnly() throws {
        let file = try TemporaryFile(byteCount: 1 << 20)
        let rig = try Rig(store: FileStore(path: file.path, readOnly: true))
        let queue = rig.makeQueue(1)
        var write = SubmissionEntry.write(namespaceID: 1, startingBlock: 0, blocks: 1)
        write.setPRP(rig.slot.allocate())
        #expect(rig.run(write, on: queue)?.status == .namespaceWriteProtected)
        let page = try #require(IdentifyNamespace(rig.page(.identify(.namespace, namespaceID: 1))))
        #expect(page.attributes == 1)
        #expect(rig.run(.flush(namespaceID: 1), on: queue)?.status == .success)
    }
}
