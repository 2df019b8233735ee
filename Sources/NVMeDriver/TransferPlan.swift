import IOVASpace
import NVMe

/// Cuts a transfer of any length, from or to any pieces of memory, into parts that one command can carry.
struct TransferPlan {
    /// What limits a command.
    struct Limits {
        var maximumTransfer: Int
        var blockByteCount: Int
        var rules: PRPRules
        var sgl: SGLSupport
    }

    private let limits: Limits
    private let style: DataPointerStyle
    /// The piece to go on with, and how much of it has been used.
    private var index = 0
    private var offset = 0

    init(_ limits: Limits, style: DataPointerStyle) {
        self.limits = limits
        self.style = style
    }

    /// Finds the pieces of the next command.
    /// - Parameter part: emptied and filled.
    /// - Returns: their length, a multiple of the block; 0 when all pieces have been used.
    /// - Throws: `.misaligned` where PRP can't describe the pieces and an SGL isn't allowed.
    mutating func next(
        of segments: borrowing [DMASegment], into part: inout [DMASegment]
    ) throws(DataPointerError) -> Int {
        part.removeAll(keepingCapacity: true)
        let most = limits.maximumTransfer / limits.blockByteCount * limits.blockByteCount
        // One list has room for this many pieces, whichever way they are described: pieces shorter than a page
        // are many, and an SGL descriptor is twice as long as a PRP entry.
        let pieceLimit = max(1, limits.maximumTransfer / limits.rules.pageSize / 2)
        var total = 0
        var needsSGL = style == .sgl
        while total < most, index < segments.count {
            let segment = segments[index]
            guard segment.byteCount > offset else {
                index += 1
                offset = 0
                continue
            }
            let address = segment.address &+ UInt64(offset)
            if !needsSGL, !followsInPRP(address, part.last) {
                // Another command may begin here if whole blocks have been gathered; PRP goes on working then.
                if total > 0, total % limits.blockByteCount == 0, limits.rules.isValidFirst(address) { break }
                guard style == .automatic, limits.sgl != .none else { throw .misaligned(address: address) }
                if part.count >= pieceLimit { break }
                needsSGL = true
            }
            if needsSGL, part.count >= pieceLimit { break }
            let count = min(segment.byteCount - offset, most - total)
            part.append(DMASegment(iova: IOVA(address), byteCount: count))
            total += count
            offset += count
        }
        // A block that didn't fit as a whole waits for the next command.
        let excess = total % limits.blockByteCount
        guard total > excess || total == 0 else { throw .tooManyPieces(limit: pieceLimit) }
        giveBack(excess, segments, &part)
        return total - excess
    }

    /// Takes bytes back from the end of a command's pieces.
    private mutating func giveBack(
        _ excess: Int, _ segments: borrowing [DMASegment], _ part: inout [DMASegment]
    ) {
        var excess = excess
        while excess > 0 {
            if offset == 0 {
                index -= 1
                offset = segments[index].byteCount
                continue
            }
            let last = part.removeLast()
            let count = min(excess, last.byteCount)
            if count < last.byteCount {
                part.append(DMASegment(iova: last.iova, byteCount: last.byteCount - count))
            }
            offset -= count
            excess -= count
        }
    }

    private func followsInPRP(_ address: UInt64, _ last: DMASegment?) -> Bool {
        guard let last else { return limits.rules.isValidFirst(address) }
        if last.end == address { return true }
        return limits.rules.isValidFurther(last.end) && limits.rules.isValidFurther(address)
    }
}
