import IOVASpace
import LinuxSystem
import VFIO

/// A piece of memory as a device sees it: where it begins in the device's address space and how long it is.
///
/// A segment doesn't own its memory. The ``/VFIO/DMAMemory`` or ``/VFIO/DMAMapping`` that it was taken from has
/// to stay alive until every command that uses the segment has completed. Should it go earlier, the device's
/// access is refused by the IOMMU; this process's memory isn't harmed.
public struct DMASegment: Equatable, Sendable, BitwiseCopyable {
    @usableFromInline let address: UInt64
    /// Its length in bytes.
    public let byteCount: Int

    /// Where it begins.
    @inlinable public var iova: IOVA { IOVA(address) }

    /// A piece of memory that the device can reach.
    /// - Precondition: `byteCount` isn't negative.
    @inlinable public init(iova: IOVA, byteCount: Int) {
        precondition(byteCount >= 0, "a negative length")
        address = iova.rawValue
        self.byteCount = byteCount
    }

    /// Where the segment ends; wraps to 0 at the end of the address space.
    @inlinable var end: UInt64 { address &+ UInt64(byteCount) }

    /// Whether the last byte's address still fits into 64 bits.
    @inlinable var isInAddressSpace: Bool {
        byteCount == 0 || !address.addingReportingOverflow(UInt64(byteCount) - 1).overflow
    }
}

extension DMAMemory {
    /// All of this memory, for a command.
    public var segment: DMASegment { DMASegment(iova: iova, byteCount: byteCount) }

    /// A part of this memory, for a command.
    /// - Precondition: the part lies inside.
    public func segment(at offset: Int, byteCount count: Int) -> DMASegment {
        precondition(
            offset >= 0 && count >= 0 && offset <= byteCount && count <= byteCount - offset,
            "outside the memory")
        return DMASegment(iova: iova.at(offset), byteCount: count)
    }
}

extension DMAMapping {
    /// All of this memory, for a command.
    public var segment: DMASegment { DMASegment(iova: iova, byteCount: byteCount) }

    /// A part of this memory, for a command.
    /// - Precondition: the part lies inside.
    public func segment(at offset: Int, byteCount count: Int) -> DMASegment {
        precondition(
            offset >= 0 && count >= 0 && offset <= byteCount && count <= byteCount - offset,
            "outside the memory")
        return DMASegment(iova: iova.at(offset), byteCount: count)
    }
}

extension IOVA {
    /// The address `offset` bytes into memory that begins here. Memory never reaches past the last address, so
    /// this doesn't wrap.
    @inline(__always) func at(_ offset: Int) -> IOVA { IOVA(rawValue &+ UInt64(truncatingIfNeeded: offset)) }
}
