/// A range of an address space and what is seen there.
struct FlatRange: Sendable {
    let region: MemoryRegion
    var first: UInt64
    var last: UInt64
    /// Where the first byte lies in the region.
    var offset: UInt64
    let isReadOnly: Bool
    let isNonvolatile: Bool
    let isHidden: Bool
    let dirtyClients: DirtyClients

    /// Whether somebody wants to know what is written here.
    var isLogged: Bool { !dirtyClients.isEmpty }

    /// Whether both show the same, apart from who wants to know what is written.
    func shows(_ other: FlatRange) -> Bool {
        region === other.region && first == other.first && last == other.last && offset == other.offset
            && isReadOnly == other.isReadOnly && isNonvolatile == other.isNonvolatile
            && isHidden == other.isHidden
    }

    /// Whether `other`, which begins right behind this one, goes on with the same.
    func goesOn(in other: FlatRange) -> Bool {
        region === other.region && last &+ 1 == other.first && last != .max
            && offset &+ (last - first) &+ 1 == other.offset && isReadOnly == other.isReadOnly
            && isNonvolatile == other.isNonvolatile && isHidden == other.isHidden
            && dirtyClients == other.dirtyClients
    }
}

/// What is seen in an address space at one moment: disjoint ranges in ascending order.
///
/// A value; whoever has one can look things up while the space changes. Kept in pieces, so that a change costs what
/// the change is long, not what the space is.
public struct FlatView: Sendable {
    private var pieces: [[FlatRange]] = []
    private var firsts: [UInt64] = []
    private(set) var count = 0
    private static let longest = 64

    init() {}

    /// The piece in which a range that contains, or follows, an address is to be looked for.
    private func piece(for address: UInt64) -> Int {
        var low = 0
        var high = firsts.count
        // The last piece that begins at or before the address.
        while low < high {
            let middle = (low + high) / 2
            if firsts[middle] <= address { low = middle + 1 } else { high = middle }
        }
        return max(low - 1, 0)
    }

    /// The first range in a piece that ends at or behind an address.
    private func index(in piece: [FlatRange], endingFrom address: UInt64) -> Int {
        var low = 0
        var high = piece.count
        while low < high {
            let middle = (low + high) / 2
            if piece[middle].last < address { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The range that an address lies in.
    func range(containing address: UInt64) -> FlatRange? {
        guard !pieces.isEmpty else { return nil }
        let ranges = pieces[piece(for: address)]
        let index = index(in: ranges, endingFrom: address)
        guard index < ranges.count, ranges[index].first <= address else { return nil }
        return ranges[index]
    }

    func forEach(_ body: (FlatRange) -> Void) {
        for piece in pieces { for range in piece { body(range) } }
    }

    /// Calls `body` with the ranges that touch `first...last`, ascending, until it returns false.
    func forEach(touching first: UInt64, _ last: UInt64, _ body: (FlatRange) -> Bool) {
        guard !pieces.isEmpty else { return }
        var at = piece(for: first)
        var index = index(in: pieces[at], endingFrom: first)
        while at < pieces.count {
            while index < pieces[at].count {
                guard pieces[at][index].first <= last, body(pieces[at][index]) else { return }
                index += 1
            }
            at += 1
            index = 0
        }
    }

    /// Puts other ranges in place of all that touch `first...last`. The new ones lie within, and no old one
    /// reaches out of it.
    mutating func replace(_ first: UInt64, _ last: UInt64, with new: ArraySlice<FlatRange>) {
        guard !pieces.isEmpty else {
            put(Array(new), inPlaceOf: 0..<0)
            count = new.count
            return
        }
        let low = piece(for: first)
        let high = piece(for: last)
        let headEnd = index(in: pieces[low], endingFrom: first)
        var tailStart = index(in: pieces[high], endingFrom: last)
        if tailStart < pieces[high].count && pieces[high][tailStart].first <= last { tailStart += 1 }
        let after = headEnd + new.count + (pieces[high].count - tailStart)
        for piece in low...high { count -= pieces[piece].count }
        count += after
        // In place, and so without another reference to the piece, not even a slice of it.
        if low == high && after > 0 && after <= 2 * Self.longest {
            pieces[low].replaceSubrange(headEnd..<tailStart, with: new)
            firsts[low] = pieces[low][0].first
            return
        }
        put(Array(pieces[low][..<headEnd]) + new + pieces[high][tailStart...], inPlaceOf: low..<high + 1)
    }

    private mutating func put(_ ranges: [FlatRange], inPlaceOf old: Range<Int>) {
        var cut: [[FlatRange]] = []
        var start = 0
        while start < ranges.count {
            let end = min(start + Self.longest, ranges.count)
            cut.append(Array(ranges[start..<end]))
            start = end
        }
        firsts.replaceSubrange(old, with: cut.map { $0[0].first })
        pieces.replaceSubrange(old, with: cut)
    }
}
