import DeviceModel
import IOVASpace
import LinuxSystem
import Testing
import VFIOABI
import VFIOUser

/// A device whose own thread writes to one page after the other, until it is refused.
private final class Scribbler: DeviceModel, @unchecked Sendable {
    // SAFETY: both variables are used with `lock` held.
    let function = PCIFunction(
        PCIIdentity(vendor: 0x1234, device: 0x4243, classCode: 0xff0000),
        bars: [0: BAR(.memory32, byteCount: 0x1000)])
    private let lock = Lock()
    private var written: Set<UInt64> = []
    private var thread: WorkerThread?

    /// How many pages were written so far.
    var writtenCount: Int { lock.withLock { written.count } }

    /// Waits until a page was refused.
    /// - Returns: the numbers of the pages that were written.
    func finish() -> Set<UInt64> {
        quiesce()
        return lock.withLock { written }
    }

    func readRegister(bar: Int, offset: UInt64, width: Int) -> UInt64 { 0 }

    /// Register 0: the address to begin at, a multiple of a page, and in its low bits how many pages there are.
    func writeRegister(bar: Int, offset: UInt64, width: Int, value: UInt64) {
        let start = value & ~4095
        let count = value & 4095
        lock.withLock { written = [] }
        let new = try? WorkerThread { [self] in
            var page: UInt64 = 0
            // Odd, and so coming by all pages of a power of two.
            while (try? function.dma.store(page, to: IOVA(start + page * 4096))) != nil {
                lock.withLock { _ = written.insert(page) }
                page = (page + 37) & (count - 1)
            }
        }
        lock.withLock { thread = new }
    }

    func reset(_ kind: ResetKind) {}
    func quiesce() {
        // The thread takes the lock, and going waits for it.
        let thread = lock.withLock { self.thread.take() }
        withExtendedLifetime(thread) {}
    }
}

@Suite("Unmapping while the device writes")
struct UnmappingTests {
    @Test("tells every page that was written before the device was refused, and no other")
    func writing() throws {
        let device = Scribbler()
        let served = try Served(device)
        let client = served.client
        try client.negotiate()
        try client.enable()
        let file = try MemoryFile.create("guest", byteCount: 2 << 20)
        let start: UInt64 = 0x10_0000
        let pageCount: UInt64 = 512
        #expect(try client.startLogging(4096).errno == nil)
        var random = Generator.seeded("unmapping")
        for _ in 0..<setting("VFIO_USER_UNMAP_ROUNDS", 60) {
            #expect(try client.map(start, pageCount * 4096, file: file.number) == nil)
            try client.write64(.bar0, 0, start | pageCount)
            let enough = random.below(Int(pageCount))
            while device.writtenCount < enough {}
            let head = UserDMAUnmap(
                argsz: 40 + 64, flags: .getDirtyBitmap, address: start, size: pageCount * 4096)
            let bitmap = UserDirtyBitmap(pageSize: 4096, size: 64)
            let reply = try client.request(.dmaUnmap, head, RawClient.bytes(bitmap))
            #expect(reply.errno == nil)
            let written = device.finish()
            #expect(RawClient.bits(reply.body.dropFirst(40)) == Set(written.map { Int($0) }))
        }
    }
}
