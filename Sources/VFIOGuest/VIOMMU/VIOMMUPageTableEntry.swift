import VFIO

/// One word of a ``VIOMMUPageTable``: nothing, a leaf (a page of guest memory), or the next table.
///
/// The bits are those of VT-d's second-level tables, as far as they are used here: 0 reading is allowed,
/// 1 writing is allowed, 7 a leaf above the lowest level, 12 upwards the address. Bits 8…10 and 52…63 are the
/// guest's own. The other bits are reserved and must be 0. A word that allows neither reading nor writing is not
/// looked at any further.
public struct VIOMMUPageTableEntry: RawRepresentable, Hashable, Sendable {
    /// The word, in the machine's byte order (little-endian in guest memory).
    public var rawValue: UInt64
    /// Wraps a word.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// A word that maps nothing.
    public static let none = VIOMMUPageTableEntry(rawValue: 0)

    /// A page of guest memory.
    /// - Parameters:
    ///   - address: where the page begins: a multiple of the level's page size.
    ///   - level: 1 for a page of 4 KiB, 2 for one of 2 MiB, 3 for one of 1 GiB.
    public static func leaf(
        _ address: GuestAddress, _ permissions: DMAPermissions, level: Int
    ) -> VIOMMUPageTableEntry {
        VIOMMUPageTableEntry(
            rawValue: address.rawValue & addressMask | UInt64(permissions.rawValue & 3)
                | (level > 1 ? leafBit : 0))
    }

    /// The table of the next lower level.
    /// - Parameters:
    ///   - address: where the table begins: a multiple of 4 KiB.
    ///   - permissions: what may be allowed at most to whatever lies below.
    public static func table(
        _ address: GuestAddress, _ permissions: DMAPermissions = .readWrite
    ) -> VIOMMUPageTableEntry {
        VIOMMUPageTableEntry(rawValue: address.rawValue & addressMask | UInt64(permissions.rawValue & 3))
    }

    /// What the word allows; nothing if it maps nothing.
    public var permissions: DMAPermissions { DMAPermissions(rawValue: UInt32(rawValue & 3)) }

    /// The address of the page or table, not checked.
    public var address: GuestAddress { GuestAddress(rawValue & Self.addressMask) }

    /// Whether the word is a page rather than a table, on a level from 1 (lowest) to 4.
    func isLeaf(level: Int) -> Bool { level == 1 || rawValue & Self.leafBit != 0 }

    /// The bits that must be 0 and aren't.
    /// - Parameters:
    ///   - level: 1 (lowest) to 4.
    ///   - addressBits: how wide guest-physical addresses are, 12…52.
    func reservedBits(level: Int, addressBits: Int) -> UInt64 {
        // Bits 2…6 and 11, and the address bits that aren't there.
        var mask: UInt64 = 0x87c | Self.addressMask & ~((1 << UInt64(addressBits)) - 1)
        if level == 1 || level == 4 {
            mask |= Self.leafBit
        } else if rawValue & Self.leafBit != 0 {
            // A page begins at a multiple of its size.
            mask |= (VIOMMUPageTable.pageSize(level: level) - 1) & Self.addressMask
        }
        return rawValue & mask
    }

    private static let leafBit: UInt64 = 1 << 7
    private static let addressMask: UInt64 = 0x000f_ffff_ffff_f000
}
