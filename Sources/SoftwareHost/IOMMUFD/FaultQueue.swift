import LinuxSystem
import VFIOABI

/// A queue of page faults that devices wait for (IOMMU_FAULT_QUEUE_ALLOC). Guarded by `Core.lock`.
///
/// Faults come from devices that ask for pages by the rules of PCI's Page Request Interface. No device here does, so
/// that the queue stays empty.
final class FaultQueue {
    /// How many page tables would put faults into it.
    var tableCount = 0
    /// Whether its descriptor is open.
    var isOpen = true
}

/// The descriptor of a fault queue: faults are read from it, answers are written to it.
final class FaultQueueFile: FileObject {
    private let iommufd: IOMMUFD
    private let queue: FaultQueue

    /// Takes over a hold on the iommufd.
    init(_ queue: FaultQueue, of iommufd: IOMMUFD) {
        self.queue = queue
        self.iommufd = iommufd
    }

    override func release() {
        iommufd.core.lock.withLock { queue.isOpen = false }
        iommufd.letGo()
    }

    /// Takes faults.
    /// - Returns: 0: there is none.
    /// - Throws: `ESPIPE` for room for a part of a fault.
    func read(into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        guard bytes.byteCount % MemoryLayout<PageFault>.size == 0 else { throw .illegalSeek }
        return 0
    }

    /// Answers faults.
    /// - Throws: `ESPIPE` for a part of an answer; `EINVAL`: no fault waits for one.
    func write(_ bytes: RawSpan) throws(Errno) -> Int {
        guard bytes.byteCount % MemoryLayout<PageResponse>.size == 0 else { throw .illegalSeek }
        guard bytes.byteCount == 0 else { throw .invalid }
        return 0
    }
}

extension IOMMUFD {
    /// IOMMU_FAULT_QUEUE_ALLOC
    func allocateFaultQueue(_ user: UserCommand) throws(Errno) {
        var request = try user.load(FaultQueueAlloc())
        guard request.flags == 0 else { throw .notSupported }
        let queue = FaultQueue()
        hold()
        let file = FaultQueueFile(queue, of: self)
        do throws(Errno) {
            let number = try core.files.install { .faultQueue(file) }
            request.faultFD = UInt32(bitPattern: number)
        } catch {
            file.letGo()
            throw error
        }
        request.faultID = core.lock.withLock { add(.faultQueue(queue)) }
        do throws(Errno) {
            try user.store(request)
        } catch {
            core.lock.withLock { remove(request.faultID) }
            core.files.close(Int32(bitPattern: request.faultFD))
            throw error
        }
    }

    /// The fault queue that a request for a page table names, if it names one. With `Core.lock` held.
    /// - Throws: `ENOENT`
    func faultQueue(for request: HWPTAlloc) throws(Errno) -> FaultQueue? {
        guard request.flags.contains(.faultIDValid) else { return nil }
        guard case .faultQueue(let queue) = try object(request.faultID) else { throw .noSuchEntry }
        return queue
    }
}
