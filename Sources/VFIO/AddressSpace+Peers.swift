import IOVASpace
import LinuxSystem
import VFIOHost

/// Memory of one device that others reach by DMA. When it goes, they don't any more.
///
/// It keeps its address space. The exported memory may be closed: what is mapped stays mapped.
public final class PeerMapping: Sendable {
    /// The addresses at which devices see it.
    public let range: IOVARange
    private let space: AddressSpace

    fileprivate init(_ range: IOVARange, in space: AddressSpace) {
        self.range = range
        self.space = space
    }

    deinit { try? space.unmap(range) }
}

extension AddressSpace {
    /// Lets the devices of this space reach memory of another device: `IOMMU_IOAS_MAP_FILE` of a DMA-BUF.
    ///
    /// When that device takes its memory back (it is reset or closed, or its memory is disabled), the mapping lets
    /// nobody through any more, for good: map it anew then.
    /// - Parameters:
    ///   - memory: all of it, of a single part (``Device/exportMemory(of:_:)``).
    ///   - iova: where, at a page.
    ///   - access: what the devices may do with it.
    /// - Throws: ``VFIOError/Code/notSupported`` where devices weren't opened by their own nodes: a container maps
    ///   memory by its address only; ``VFIOError/Code/overlap``; `ENODEV` while the device has its memory back.
    public func map(
        _ memory: borrowing ExportedMemory, at iova: IOVA, access: DMAPermissions = [.read, .write]
    ) throws(VFIOError) -> PeerMapping {
        let operation = "map \(counted(memory.byteCount, "byte")) of a device at IOVA \(hex(iova.rawValue))"
        guard let range = IOVARange(iova, byteCount: memory.byteCount) else {
            throw VFIOError(
                operation: operation, object: Self.object, code: .outsideAperture,
                cause: "the range goes beyond the end of the 64-bit address space")
        }
        let number = memory.handle.number
        try lock.withLock { () throws(VFIOError) in
            guard let backend else { throw Diagnosis.noDevice(operation) }
            if let taken = mappings.firstMapping(overlapping: range) {
                throw VFIOError(
                    operation: operation, object: Self.object, code: .overlap,
                    cause: "\(taken.range) is mapped already")
            }
            do throws(Errno) {
                try backend.map(file: number, at: 0, to: range, access)
            } catch {
                var failure = VFIOError(operation: operation, object: Self.object, errno: error)
                switch error {
                case .noSuchRequest:
                    failure.code = .notSupported
                    failure.cause = "memory of devices is mapped by an iommufd only"
                    failure.remedy = "open the devices by their own nodes"
                case .noDevice:
                    failure.cause = "the device has its memory back"
                    failure.remedy = "enable its memory, and map it again"
                default: break
                }
                throw failure
            }
            lastSerial &+= 1
            do throws(IOVAMapError) {
                try mappings.map(IOVAMapping(range, backing: lastSerial, permissions: access.permissions))
            } catch {
                // The range was free in the same book a moment ago, under the same lock.
                throw VFIOError(operation: operation, object: Self.object, code: .overlap, cause: "\(error)")
            }
        }
        return PeerMapping(range, in: self)
    }
}
