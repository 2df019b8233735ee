import LinuxSystem
import VFIOABI
import VFIOHost

extension IOMMUFD {
    /// Makes a queue for the page faults of devices: `IOMMU_FAULT_QUEUE_ALLOC`. Page tables that are made with it
    /// (``makePageTable(of:for:_:faults:)``) put the faults of their devices into it.
    public func makeFaultQueue() throws(Errno) -> IOFaultQueue {
        var request = FaultQueueAlloc()
        try handle.borrowed.send(.faultQueueAlloc, &request)
        let descriptor = Handle(owning: Int32(bitPattern: request.faultFD), on: handle.host)
        return IOFaultQueue(id: request.faultID, descriptor)
    }

    /// Makes a page table of a space whose devices' faults are told of: `IOMMU_HWPT_ALLOC` with
    /// `IOMMU_HWPT_FAULT_ID_VALID`.
    /// - Parameter device: the object number of a bound device. Those that can't ask for pages can't be attached to
    ///   the page table (`ENODEV`).
    public func makePageTable(
        of space: IOAS, for device: UInt32, _ flags: HWPTAllocFlags = [], faults queue: borrowing IOFaultQueue
    ) throws(Errno) -> IOPageTable {
        var request = HWPTAlloc(
            flags: flags.union(.faultIDValid), deviceID: device, pageTableID: space.id, faultID: queue.id)
        try handle.borrowed.send(.hwptAlloc, &request)
        return IOPageTable(id: request.hwptID)
    }

    /// Ends a fault queue that no page table has any more: `IOMMU_DESTROY`.
    public func destroy(_ queue: consuming IOFaultQueue) throws(Errno) {
        var request = IOMMUFDDestroy(id: queue.id)
        // As long as its descriptor is open the host keeps it.
        queue.close()
        try handle.borrowed.send(.iommufdDestroy, &request)
    }
}

/// A queue of page faults that devices wait for. The object stays in its ``IOMMUFD`` until it is destroyed, also when
/// this owner of its descriptor has gone.
public struct IOFaultQueue: ~Copyable, Sendable {
    /// The object's number.
    public let id: UInt32
    /// Becomes readable when there is a fault.
    public let handle: Handle

    init(id: UInt32, _ handle: consuming Handle) {
        self.id = id
        self.handle = handle
    }

    consuming func close() {}

    /// Takes faults out of the queue; each must be answered.
    /// - Parameter limit: how many at most, 1 to 1024.
    /// - Returns: those that there are; none if the queue is empty.
    public func take(atMost limit: Int = 64) throws(Errno) -> [PageFault] {
        var faults = [PageFault](repeating: PageFault(), count: min(max(limit, 1), 1024))
        var span = faults.mutableSpan
        // SAFETY: any bytes are a value of a structure of the uAPI.
        var bytes = unsafe span.mutableBytes
        let count = try handle.read(into: &bytes)
        return Array(faults.prefix(count / MemoryLayout<PageFault>.size))
    }

    /// Answers faults.
    /// - Throws: `EINVAL` for a cookie that no fault has that waits; those before it are answered.
    public func answer(_ responses: [PageResponse]) throws(Errno) {
        var rest = responses[...]
        while !rest.isEmpty {
            // SAFETY: structures of the uAPI have no padding.
            let written = try unsafe handle.write(rest.span.bytes)
            let count = written / MemoryLayout<PageResponse>.size
            guard count > 0 else { throw .inputOutput }
            rest = rest.dropFirst(count)
        }
    }
}
