import IOVASpace
import LinuxSystem
import VFIOHost

/// Page-aligned memory, zeroed at first, that the devices of an ``AddressSpace`` can reach.
///
/// When it goes, it is first taken from the IOMMU, with the unmapped size checked, and freed only then. Memory
/// that the IOMMU wouldn't let go stays allocated until its address space is gone. Windows on it must not be used
/// any more once it is gone. It keeps its address space alive.
public struct DMAMemory: ~Copyable, Sendable {
    let range: MappedRange

    init(_ range: MappedRange) { self.range = range }

    /// Where devices see it.
    public var iova: IOVA { range.iova }

    /// Where this process sees it.
    public var window: MemoryWindow { range.window }

    /// Its length: what was asked for, rounded up to whole pages.
    public var byteCount: Int { range.window.byteCount }

    /// The address space that it belongs to.
    public var addressSpace: AddressSpace { range.space }

    /// Takes the memory from the IOMMU and frees it, now.
    /// - Throws: when the host refuses or unmaps another number of bytes; the memory then stays allocated until
    ///   its address space is gone.
    public consuming func release() throws(VFIOError) { try range.release() }
}

/// Memory of the user's own that the devices of an ``AddressSpace`` can reach until this goes.
///
/// The memory itself must stay mapped in the process for as long. It keeps its address space alive.
public struct DMAMapping: ~Copyable, Sendable {
    let range: MappedRange

    init(_ range: MappedRange) { self.range = range }

    /// Where devices see it.
    public var iova: IOVA { range.iova }

    /// Where this process sees it.
    public var window: MemoryWindow { range.window }

    /// Its length in bytes.
    public var byteCount: Int { range.window.byteCount }

    /// The address space that it belongs to.
    public var addressSpace: AddressSpace { range.space }

    /// Takes the memory from the IOMMU, now.
    /// - Throws: when the host refuses or unmaps another number of bytes: the device may then still reach it.
    public consuming func release() throws(VFIOError) { try range.release() }
}

/// Memory of the host's that is freed when the last reference goes.
final class OwnedMapping: Sendable {
    let window: MemoryWindow
    private let host: any Host

    /// - Throws: what the host has for memory that it can't give.
    init(byteCount: Int, pages: Mapping.PageKind, of host: any Host) throws(Errno) {
        self.host = host
        window = try host.allocateMemory(byteCount: byteCount, pages: pages)
    }

    deinit { host.freeMemory(window) }
}

/// A range that an address space has mapped; unmapped by ``release()``, or when it goes.
final class MappedRange: @unchecked Sendable {
    let space: AddressSpace
    let iova: IOVA
    let window: MemoryWindow
    /// Tells this range from a later one at the same place.
    let serial: UInt64
    // Written by `release` and `deinit` only, of which the one owner makes sure that they never meet.
    private var isReleased = false
    /// The memory, where it is ours.
    private let backing: OwnedMapping?

    init(
        in space: AddressSpace, at iova: IOVA, _ window: MemoryWindow, serial: UInt64, backing: OwnedMapping?
    ) {
        self.space = space
        self.iova = iova
        self.window = window
        self.serial = serial
        self.backing = backing
    }

    func release() throws(VFIOError) {
        if isReleased { return }
        isReleased = true
        try space.end(self, keeping: backing)
    }

    // Nobody is left to hear of a failure: `end` keeps the memory allocated then, so that nothing is overwritten.
    deinit { try? release() }
}
