import IOVASpace
import LinuxSystem

extension IOVAMap {
    /// Goes through the memory of a range piece by piece, in ascending order, if all of it can be reached; calls
    /// nothing otherwise. For hosts.
    ///
    /// Every mapping's backing must be an address of this process, where its memory stays mapped at least until
    /// the map changes.
    ///
    /// - Parameters:
    ///   - range: the addresses.
    ///   - access: what the device is about to do.
    ///   - body: gets each piece and how far from the range's beginning it lies; returns false to stop.
    /// - Throws: ``/IOVASpace/IOVAFault`` about the first address that can't be reached.
    @inlinable @inline(__always)
    public func forEachWindow(
        of range: IOVARange, for access: DMAAccess, _ body: (MemoryWindow, Int) -> Bool
    ) throws(IOVAFault) {
        let needed: IOVAPermissions = access == .read ? .read : .write
        let byteCount = range.byteCount
        let first = try translate(range.first, byteCount: byteCount, for: needed)
        if first.byteCount == byteCount {
            _ = body(Self.window(first), 0)
            return
        }
        if let fault = firstFault(in: range, for: needed) { throw fault }
        var piece = first
        var offset: UInt64 = 0
        while body(Self.window(piece), Int(truncatingIfNeeded: offset)) {
            offset += piece.byteCount
            guard offset < byteCount else { return }
            // No overflow: the whole range exists.
            piece = try translate(
                IOVA(range.first.rawValue &+ offset), byteCount: byteCount - offset, for: needed)
        }
    }

    /// The memory of a piece.
    @inlinable @inline(__always)
    static func window(_ piece: IOVAPiece) -> MemoryWindow {
        // SAFETY: the owner of the map promised that this memory is there; no piece is longer than memory is.
        unsafe MemoryWindow(
            unsafeAddress: HostAddress(piece.backing), byteCount: Int(truncatingIfNeeded: piece.byteCount))
    }
}
