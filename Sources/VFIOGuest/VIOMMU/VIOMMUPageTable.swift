import IOVASpace
import VFIO

/// Guest memory as the walker of a page table reads it.
public protocol GuestWords: ~Copyable {
    /// The 64-bit word at a guest-physical address, a multiple of 8; nil if all of it isn't in RAM.
    ///
    /// Read in one access: the guest may be changing it.
    mutating func word(at address: GuestAddress) -> UInt64?
}

/// Where a page table in guest memory begins, and what it may look like: four levels of 512 words that lead
/// from a 48-bit IOVA to pages of 4 KiB, 2 MiB and 1 GiB.
///
/// The guest writes the tables and may write anything. Walking them ends in a page or in a ``VIOMMUFault``,
/// whatever is found.
public struct VIOMMUPageTable: Hashable, Sendable {
    /// The table of level 4.
    public let root: GuestAddress
    /// How wide guest-physical addresses are: 30…52 bits. Wider addresses in a word are reserved bits.
    public let addressBits: Int
    /// The sizes of pages that a word may map.
    public let pageSizes: VIOMMUPageSizes

    /// A table at a place.
    /// - Returns: nil if the root isn't a multiple of 4 KiB, doesn't fit the width, or the width isn't 30…52.
    public init?(root: GuestAddress, addressBits: Int, pageSizes: VIOMMUPageSizes) {
        guard (30...52).contains(addressBits), root.rawValue & 0xfff == 0,
            root.rawValue >> UInt64(addressBits) == 0
        else { return nil }
        self.root = root
        self.addressBits = addressBits
        self.pageSizes = pageSizes
    }

    /// The number of levels.
    public static let levelCount = 4
    /// The addresses that the tables can map: 48 bits.
    public static let inputRange = IOVARange(0, through: (1 << 48) - 1)

    /// How many bytes a word of a level stands for: 4 KiB on level 1, up to 512 GiB on level 4.
    public static func pageSize(level: Int) -> UInt64 { 1 << UInt64(3 + 9 * level) }

    /// Where the word for an address lies in a table of a level.
    static func word(for iova: UInt64, in table: GuestAddress, level: Int) -> GuestAddress {
        GuestAddress(table.rawValue + (iova >> UInt64(3 + 9 * level) & 511) * 8)
    }

    /// Translates an address as a device's access would be: reads up to four words.
    /// - Parameter access: what is to be done; everything in it must be allowed on all levels. Empty asks for
    ///   whatever is mapped.
    /// - Returns: the page that the address lies in.
    public func page<Words: GuestWords & ~Copyable>(
        at iova: IOVA, for access: DMAPermissions, in memory: inout Words
    ) throws(VIOMMUFault) -> VIOMMUPage {
        guard Self.inputRange.contains(iova) else { throw VIOMMUFault(.addressTooWide, at: iova) }
        var table = root
        var permissions = DMAPermissions.readWrite
        var level = Self.levelCount
        while true {
            let place = Self.word(for: iova.rawValue, in: table, level: level)
            switch try step(place, level, permissions, iova, &memory) {
            case .nothing: throw VIOMMUFault(.notMapped, at: iova, level: level)
            case .table(let next, let allowed):
                table = next
                permissions = allowed
            case .page(let address, let allowed):
                let missing = access.subtracting(allowed)
                // Levels that allow nothing in common map nothing that anybody could use.
                guard missing.isEmpty, !allowed.isEmpty else {
                    throw VIOMMUFault(.denied(missing), at: iova, level: level)
                }
                return VIOMMUPage(iova.rawValue, address, level, allowed)
            }
            level -= 1
        }
    }

    /// What a word leads to, with what is allowed there by all levels together.
    enum Step {
        case nothing
        case table(GuestAddress, DMAPermissions)
        case page(GuestAddress, DMAPermissions)
    }

    /// Reads and checks one word.
    @inline(__always)
    func step<Words: GuestWords & ~Copyable>(
        _ place: GuestAddress, _ level: Int, _ allowed: DMAPermissions, _ iova: IOVA,
        _ memory: inout Words
    ) throws(VIOMMUFault) -> Step {
        guard let word = memory.word(at: place) else {
            throw VIOMMUFault(.tableOutsideRAM(place), at: iova, level: level)
        }
        let entry = VIOMMUPageTableEntry(rawValue: word)
        let permissions = entry.permissions
        if permissions.isEmpty { return .nothing }
        let reserved = entry.reservedBits(level: level, addressBits: addressBits)
        guard reserved == 0 else { throw VIOMMUFault(.reservedBits(reserved), at: iova, level: level) }
        guard entry.isLeaf(level: level) else {
            return .table(entry.address, permissions.intersection(allowed))
        }
        let size = Self.pageSize(level: level)
        guard pageSizes.contains(VIOMMUPageSizes(rawValue: size)) else {
            throw VIOMMUFault(.pageSize(size), at: iova, level: level)
        }
        return .page(entry.address, permissions.intersection(allowed))
    }
}

/// A page that a table maps.
public struct VIOMMUPage: Hashable, Sendable {
    /// The addresses that it is seen at by devices: all of the page.
    public let range: IOVARange
    /// Where the page begins in guest memory.
    public let address: GuestAddress
    /// What all levels together allow; never empty.
    public let permissions: DMAPermissions

    /// The page on which an address lies.
    init(_ iova: UInt64, _ address: GuestAddress, _ level: Int, _ permissions: DMAPermissions) {
        let size = VIOMMUPageTable.pageSize(level: level)
        let first = iova & ~(size - 1)
        range = IOVARange(first, through: first + (size - 1))
        self.address = address
        self.permissions = permissions
    }

    /// The guest-physical address behind one of the page's.
    public func address(of iova: IOVA) -> GuestAddress? {
        guard range.contains(iova) else { return nil }
        return GuestAddress(address.rawValue + (iova.rawValue - range.first.rawValue))
    }
}

extension IOVARange {
    /// The addresses from one up to and including another that is known not to be lower.
    init(_ first: UInt64, through last: UInt64) {
        guard let range = IOVARange(first: IOVA(first), last: IOVA(last)) else {
            preconditionFailure("a range that ends before it begins")
        }
        self = range
    }
}
