import LinuxSystem
import VFIOHost

/// A register of 32 bits, for hot paths: checked when it is made, so that using it can't fail.
///
/// Where its region is mapped, an access is one volatile load or store; elsewhere it is one call into the host. If
/// the host refuses that, a load answers all ones and a store is dropped, as with a device that is gone.
///
/// It keeps its region alive.
public struct Register32: Sendable {
    /// Four bytes where the register is mapped, else none.
    @usableFromInline let window: MemoryWindow?
    @usableFromInline let region: Region
    @usableFromInline let offset: Int

    /// - Precondition: the four bytes lie inside the region.
    init(_ region: Region, _ offset: Int) {
        self.region = region
        self.offset = offset
        window = region.mapped(offset, 4)
    }

    /// Whether it is mapped, so that an access is a single instruction.
    public var isMapped: Bool { window != nil }

    /// Reads the register.
    /// - Returns: its value; all ones if the device isn't there.
    @inlinable @inline(__always)
    public func load() -> UInt32 {
        if let window { return window.load32(0) }
        return slowLoad()
    }

    /// Writes the register.
    @inlinable @inline(__always)
    public func store(_ value: UInt32) {
        if let window { return window.store32(0, value) }
        slowStore(value)
    }

    @usableFromInline @inline(never)
    func slowLoad() -> UInt32 {
        do throws(Errno) {
            return try region.device.handle.load(UInt32(0), at: region.place(offset))
        } catch {
            return .max
        }
    }

    @usableFromInline @inline(never)
    func slowStore(_ value: UInt32) {
        // What a device that is gone does with a store: nothing.
        try? region.device.handle.store(value, at: region.place(offset))
    }
}
