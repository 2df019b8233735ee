import LinuxSystem

/// What an access to a BAR needs to know of it, precomputed. For hosts.
public struct PCIBARPlan: Sendable {
    /// Its length; 0 where nothing is decoded.
    public private(set) var byteCount: UInt64 = 0
    /// Whether it is memory: ports answer whether memory is on or off.
    public private(set) var isMemory = false
    /// The widest access: 8 bytes for memory, 4 for ports.
    public private(set) var widest = 8
    /// Where the MSI-X table lies.
    public private(set) var tableStart = UInt64.max
    /// Where it ends.
    public private(set) var tableEnd = UInt64.max
    /// Where the first thing lies that the model doesn't answer itself: the MSI-X table aside, plain memory and
    /// pending bits.
    @usableFromInline private(set) var specialStart = UInt64.max
    /// Where the last one ends.
    @usableFromInline private(set) var specialEnd: UInt64 = 0
    /// Plain memory in which nothing else lies, and where it begins; the largest piece, if there are several.
    @usableFromInline private(set) var memory: MemoryWindow?
    @usableFromInline private(set) var memoryStart: UInt64 = 0

    /// Nothing is decoded.
    public init() {}

    /// Looks at a function's BAR; its capabilities and memories have all been added.
    public init(_ index: Int, of function: PCIFunction) {
        guard let bar = function.bars[index] else { return }
        byteCount = bar.byteCount
        isMemory = bar.kind != .io
        widest = isMemory ? 8 : 4
        if let msix = function.msix, msix.table.bar == index {
            tableStart = msix.table.offset
            tableEnd = tableStart + 16 * UInt64(msix.vectorCount)
        }
        if let msix = function.msix, msix.pending.bar == index {
            cover(msix.pending.offset, UInt64((msix.vectorCount + 63) / 64 * 8))
        }
        for part in function.memories where part.bar == index {
            cover(part.offset, UInt64(part.window.byteCount))
            guard part.window.byteCount > memory?.byteCount ?? 0, !isTouched(part, function.msix) else {
                continue
            }
            memory = part.window
            memoryStart = part.offset
        }
    }

    /// Describes a BAR of which nothing but its shape is known: all of it but the MSI-X table is the device's.
    /// - Parameter table: where the MSI-X table lies; nil for a BAR without it.
    package init(byteCount: UInt64, isMemory: Bool, table: Range<UInt64>?) {
        self.byteCount = byteCount
        self.isMemory = isMemory
        widest = isMemory ? 8 : 4
        guard let table else { return }
        tableStart = table.lowerBound
        tableEnd = table.upperBound
    }

    /// Whether the MSI-X table or its pending bits lie in a piece of memory, which then shows through beside them.
    private func isTouched(_ part: BARMemory, _ msix: MSIX?) -> Bool {
        guard let msix else { return false }
        let end = part.offset + UInt64(part.window.byteCount)
        let pendingEnd = msix.pending.offset + UInt64((msix.vectorCount + 63) / 64 * 8)
        return part.offset < tableEnd && tableStart < end
            || msix.pending.bar == part.bar && part.offset < pendingEnd && msix.pending.offset < end
    }

    private mutating func cover(_ start: UInt64, _ byteCount: UInt64) {
        specialStart = min(specialStart, start)
        specialEnd = max(specialEnd, start + byteCount)
    }

    /// Whether an access outside the MSI-X table reaches nothing but the model's registers, so that the model
    /// may be asked directly. A unit is aligned and so never lies in both.
    @inlinable @inline(__always)
    public func isRegister(_ position: UInt64) -> Bool { position < specialStart || position >= specialEnd }

    /// Plain memory from a position on that can be touched directly.
    /// - Returns: the memory, and how far in it the position lies; nil where something else is.
    @inlinable @inline(__always)
    public func plainMemory(at position: UInt64) -> (window: MemoryWindow, offset: Int)? {
        guard let memory, position >= memoryStart, position - memoryStart < UInt64(memory.byteCount) else {
            return nil
        }
        return (memory, Int(position - memoryStart))
    }

    /// Whether a position lies in the MSI-X table.
    @inlinable @inline(__always)
    public func isTable(_ position: UInt64) -> Bool { position >= tableStart && position < tableEnd }

    /// The width of the next piece of an access: the widest aligned one, 1, 2, 4 or 8.
    @inlinable @inline(__always)
    public func width(at position: UInt64, _ left: UInt64) -> Int {
        if widest >= 8 && left >= 8 && position % 8 == 0 { return 8 }
        return NaturalAccess.width(at: position, left)
    }
}

/// How accesses of any length are cut into such of hardware.
@usableFromInline package enum NaturalAccess {
    /// The widest access that is aligned and not too long, at most 4 bytes.
    @inlinable @inline(__always)
    package static func width(at position: UInt64, _ left: UInt64) -> Int {
        if left >= 4 && position % 4 == 0 { return 4 }
        return left >= 2 && position % 2 == 0 ? 2 : 1
    }
}

extension MutableRawSpan {
    /// Stores the low `width` bytes of a value: 1, 2, 4 or 8. For hosts.
    @inlinable @inline(__always)
    public mutating func storeUnit(_ value: UInt64, _ width: Int, at offset: Int) {
        switch width {
        case 1: storeBytes(of: UInt8(truncatingIfNeeded: value), toByteOffset: offset, as: UInt8.self)
        case 2: storeBytes(of: UInt16(truncatingIfNeeded: value), toByteOffset: offset, as: UInt16.self)
        case 4: storeBytes(of: UInt32(truncatingIfNeeded: value), toByteOffset: offset, as: UInt32.self)
        default: storeBytes(of: value, toByteOffset: offset, as: UInt64.self)
        }
    }
}

extension RawSpan {
    /// Loads `width` bytes as a number: 1, 2, 4 or 8. For hosts.
    @inlinable @inline(__always)
    public func loadUnit(_ width: Int, at offset: Int) -> UInt64 {
        // SAFETY: bounds are checked by the span; any bytes are an integer.
        switch width {
        case 1: unsafe UInt64(unsafeLoadUnaligned(fromByteOffset: offset, as: UInt8.self))
        case 2: unsafe UInt64(unsafeLoadUnaligned(fromByteOffset: offset, as: UInt16.self))
        case 4: unsafe UInt64(unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self))
        default: unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
        }
    }
}
