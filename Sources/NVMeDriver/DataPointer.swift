import IOVASpace
import LinuxSystem
import NVMe

/// Why memory can't be described to a controller.
public enum DataPointerError: Error, Equatable, Sendable {
    /// There is no memory at all.
    case empty
    /// A piece doesn't begin or end where the way of describing it demands.
    case misaligned(address: UInt64)
    /// A piece reaches past the end of the 64-bit address space, or is longer than a descriptor can say.
    case tooLong(address: UInt64, byteCount: Int)
    /// More pieces than the room for their list holds.
    case tooManyPieces(limit: Int)
}

/// How a command tells the controller where its data lies.
public enum DataPointerStyle: Equatable, Sendable {
    /// PRP entries where the pieces allow it, else an SGL where the controller has it.
    case automatic
    /// PRP entries.
    case prp
    /// A scatter gather list.
    case sgl
}

/// Memory that both sides know, for the list of a command's pieces.
struct ListArea: Sendable {
    /// The memory here.
    let window: MemoryWindow
    /// The same memory as the device sees it: a multiple of 16.
    let iova: IOVA
}

/// Makes a command's two PRP entries, and the list they may need, piece by piece (NVMe Base 2.0, 4.1.1).
///
/// Nothing is allocated: list entries go straight into the memory that the controller will read them from.
struct PRPBuilder {
    private let rules: PRPRules
    private let list: ListArea
    private var first: UInt64 = 0
    private var second: UInt64 = 0
    /// How many pages are described.
    private var pages = 0
    /// How many entries of the list area are used, links included.
    private var used = 0
    /// Where the last piece ended.
    private var end: UInt64 = 0

    /// A builder that may write into `list`.
    init(rules: PRPRules, list: ListArea) {
        self.rules = rules
        self.list = list
    }

    /// How many entries the list area holds.
    private var limit: Int { list.window.byteCount / PRPRules.entrySize }

    /// Adds a piece. All but the first have to begin with a page, or go on exactly where the one before ended;
    /// all that aren't followed by such a piece have to end with a page.
    mutating func append(_ segment: DMASegment) throws(DataPointerError) {
        guard segment.byteCount > 0 else { return }
        guard segment.isInAddressSpace else {
            throw .tooLong(address: segment.address, byteCount: segment.byteCount)
        }
        var address = segment.address
        var remaining = segment.byteCount
        if pages == 0 {
            guard rules.isValidFirst(address) else { throw .misaligned(address: address) }
            let length = rules.firstLength(at: address, length: remaining)
            try push(address)
            address &+= UInt64(length)
            remaining -= length
        } else if address == end {
            // The page that the last entry names covers this piece up to the page's end.
            let covered =
                rules.offset(of: address) == 0 ? 0 : rules.firstLength(at: address, length: remaining)
            address &+= UInt64(covered)
            remaining -= covered
        } else {
            guard rules.isValidFurther(end) else { throw .misaligned(address: end) }
            guard rules.isValidFurther(address) else { throw .misaligned(address: address) }
        }
        while remaining > 0 {
            try push(address)
            let length = min(rules.pageSize, remaining)
            address &+= UInt64(length)
            remaining -= length
        }
        end = segment.end
    }

    /// The two entries for the command.
    func finish() throws(DataPointerError) -> (first: UInt64, second: UInt64) {
        guard pages > 0 else { throw .empty }
        return (first, pages > 2 ? list.iova.rawValue : second)
    }

    private mutating func push(_ page: UInt64) throws(DataPointerError) {
        switch pages {
        case 0: first = page
        case 1: second = page
        default:
            // Only now it is known that PRP2 names a list, whose first entry is the second page.
            if pages == 2 { try writeEntry(second) }
            try writeEntry(page)
        }
        pages += 1
    }

    private mutating func writeEntry(_ value: UInt64) throws(DataPointerError) {
        let start = rules.offset(of: list.iova.rawValue) / PRPRules.entrySize
        if used > 0, (start + used) % rules.entriesPerList == 0 {
            // The page before is full and more follows: its last entry moves here and becomes the link.
            guard used + 2 <= limit else { throw .tooManyPieces(limit: limit) }
            let last = (used - 1) * PRPRules.entrySize
            let here = used * PRPRules.entrySize
            list.window.store64(here, list.window.load64(last))
            list.window.store64(last, list.iova.rawValue &+ UInt64(here))
            used += 1
        }
        guard used < limit else { throw .tooManyPieces(limit: limit) }
        list.window.store64(used * PRPRules.entrySize, value)
        used += 1
    }
}

/// Makes a command's SGL descriptor, and the segment of descriptors it may need (NVMe Base 2.0, 4.1.2).
///
/// One piece is described inside the command; more are a single last segment in the list area.
struct SGLBuilder {
    private let list: ListArea
    private let isDwordAligned: Bool
    private var current = SGLDescriptor(.dataBlock, address: 0, length: 0)
    /// How many descriptors there are, `current` included.
    private var count = 0

    /// A builder that may write into `list`.
    /// - Parameter isDwordAligned: whether the controller wants multiples of four (SGLS 10b).
    init(list: ListArea, isDwordAligned: Bool) {
        self.list = list
        self.isDwordAligned = isDwordAligned
    }

    private var limit: Int { list.window.byteCount / SGLDescriptor.size }

    /// Adds a piece, of any alignment the controller allows.
    mutating func append(_ segment: DMASegment) throws(DataPointerError) {
        guard segment.byteCount > 0 else { return }
        guard segment.isInAddressSpace, let length = UInt32(exactly: segment.byteCount) else {
            throw .tooLong(address: segment.address, byteCount: segment.byteCount)
        }
        if isDwordAligned, segment.address & 3 != 0 || length & 3 != 0 {
            throw .misaligned(address: segment.address)
        }
        if count > 0, current.address &+ UInt64(current.length) == segment.address {
            let (sum, overflow) = current.length.addingReportingOverflow(length)
            if !overflow {
                current.length = sum
                return
            }
        }
        if count > 0 { try writeCurrent() }
        current = SGLDescriptor(.dataBlock, address: segment.address, length: length)
        count += 1
    }

    /// The descriptor for the command.
    mutating func finish() throws(DataPointerError) -> SGLDescriptor {
        guard count > 0 else { throw .empty }
        guard count > 1 else { return current }
        try writeCurrent()
        return SGLDescriptor(
            .lastSegment, address: list.iova.rawValue, length: UInt32(count * SGLDescriptor.size))
    }

    private func writeCurrent() throws(DataPointerError) {
        guard count <= limit else { throw .tooManyPieces(limit: limit) }
        let offset = (count - 1) * SGLDescriptor.size
        list.window.store64(offset, current.address)
        list.window.store64(offset + 8, current.secondWord)
    }
}
