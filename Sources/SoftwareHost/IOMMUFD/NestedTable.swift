import DeviceModel
import IOVASpace
import LinuxSystem
import VFIOABI

/// What devices see of memory through a guest's page table in front of a user's (kernel.md F.4): the first stage of
/// VT-d, which has the processor's format.
///
/// The tables lie in the guest's memory, and every access walks them anew: there is nothing that would have to be
/// invalidated. Requests count as a user's: each entry on the way must allow users.
final class NestedTable: DMAAddressSpace, @unchecked Sendable {
    // SAFETY: nothing changes.
    /// What the guest takes for its memory.
    private let parent: any DMAAddressSpace
    /// Keeps account of what is refused.
    private let space: DMASpace
    private let root: UInt64
    private let addressWidth: UInt64

    /// The bits of an entry.
    private enum Entry {
        static var present: UInt64 { 1 }
        static var writable: UInt64 { 1 << 1 }
        static var user: UInt64 { 1 << 2 }
        static var accessed: UInt64 { 1 << 5 }
        static var written: UInt64 { 1 << 6 }
        static var large: UInt64 { 1 << 7 }
        /// Where the next table, or the page, is.
        static var address: UInt64 { 0x000f_ffff_ffff_f000 }
    }

    init(_ description: HWPTVTDStage1, in parent: any DMAAddressSpace, _ space: DMASpace) {
        self.parent = parent
        self.space = space
        root = description.pageTableAddress & Entry.address
        addressWidth = UInt64(description.addressWidth)
    }

    /// Whether the tables have four or five levels: others the IOMMU doesn't walk.
    var isUsable: Bool { addressWidth == 48 || addressWidth == 57 }

    func readMemory(at iova: IOVA, into bytes: inout MutableRawSpan) throws(DMAFault) {
        try MemoryWindow.withWindow(on: &bytes) { (target) throws(DMAFault) in
            var offset = 0
            try withMemory(at: iova, byteCount: target.byteCount, for: .read) { piece in
                target.copy(from: piece, at: 0, to: offset, byteCount: piece.byteCount)
                offset += piece.byteCount
                return true
            }
        }
    }

    func writeMemory(_ bytes: RawSpan, at iova: IOVA) throws(DMAFault) {
        try MemoryWindow.withReadOnlyWindow(on: bytes) { (source) throws(DMAFault) in
            var offset = 0
            try withMemory(at: iova, byteCount: source.byteCount, for: .write) { piece in
                piece.copy(from: source, at: offset, to: 0, byteCount: piece.byteCount)
                offset += piece.byteCount
                return true
            }
        }
    }

    func withMemory(
        at iova: IOVA, byteCount: Int, for access: DMAAccess, _ body: (MemoryWindow) -> Bool
    ) throws(DMAFault) {
        guard byteCount > 0 else { return }
        guard let range = IOVARange(iova, byteCount: UInt64(byteCount)),
            range.last.rawValue >> addressWidth == 0
        else {
            throw space.refuse(DMAFault(iova: iova, access: access, reason: .outOfRange))
        }
        // Nothing is touched unless all of it can be reached.
        try forEachPage(of: range, access) { (_, _) throws(DMAFault) in true }
        try forEachPage(of: range, access) { (place, count) throws(DMAFault) in
            var goesOn = true
            try parent.withMemory(at: place, byteCount: count, for: access) { piece in
                goesOn = body(piece)
                return goesOn
            }
            return goesOn
        }
    }

    /// Calls `body` with the guest's addresses of a range, page by page, as long as it says so.
    private func forEachPage(
        of range: IOVARange, _ access: DMAAccess, _ body: (IOVA, Int) throws(DMAFault) -> Bool
    ) throws(DMAFault) {
        var at = range.first.rawValue
        while true {
            let count = min(4096 - at % 4096, range.last.rawValue - at + 1)
            let place = try translate(IOVA(at), access)
            guard try body(IOVA(place), Int(count)) else { return }
            if range.last.rawValue - at < count { return }
            at += count
        }
    }

    /// Walks the tables.
    private func translate(_ iova: IOVA, _ access: DMAAccess) throws(DMAFault) -> UInt64 {
        var table = root
        var shift: UInt64 = addressWidth == 57 ? 48 : 39
        let needed = Entry.user | (access == .write ? Entry.writable : 0)
        while true {
            let place = IOVA(table + (iova.rawValue >> shift & 511) * 8)
            let entry = try load(place)
            guard entry & Entry.present != 0 else {
                throw space.refuse(DMAFault(iova: iova, access: access, reason: .notMapped))
            }
            guard entry & needed == needed else {
                throw space.refuse(DMAFault(iova: iova, access: access, reason: .notPermitted))
            }
            // Pages of 1 GiB and 2 MiB; further up the bit has no meaning.
            let isLeaf = shift == 12 || shift <= 30 && entry & Entry.large != 0
            let noted = Entry.accessed | (isLeaf && access == .write ? Entry.written : 0)
            if entry & noted != noted { try note(noted, at: place) }
            if isLeaf {
                let mask = (UInt64(1) << shift) - 1
                return entry & Entry.address & ~mask | iova.rawValue & mask
            }
            table = entry & Entry.address
            shift -= 9
        }
    }

    private func load(_ place: IOVA) throws(DMAFault) -> UInt64 {
        var entry: UInt64 = 0
        try parent.withMemory(at: place, byteCount: 8, for: .read) { window in
            entry = window.load64(0)
            return true
        }
        return entry
    }

    /// Sets bits of an entry, and leaves what the guest changes meanwhile.
    private func note(_ bits: UInt64, at place: IOVA) throws(DMAFault) {
        try parent.withMemory(at: place, byteCount: 8, for: .write) { window in
            window.setBits64(0, bits)
            return true
        }
    }
}
