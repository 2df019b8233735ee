/// The rules of physical region pages (NVMe Base 2.0, 4.1.1), for one size of the host's page (CC.MPS).
///
/// A transfer is a list of pieces: the first may begin inside a page and ends with it, all others begin
/// with a page. The first piece is PRP1. If one more is needed, it is PRP2; if more are needed, PRP2
/// is the address of a list of 8-byte entries, and the last entry of a list page that is full points to the
/// next list page when more entries follow.
@frozen
public struct PRPRules: Equatable, Sendable, BitwiseCopyable {
    /// The bytes of the host's page; a power of two from 4096.
    public let pageSize: Int

    /// The rules for a page of 2 ^ (12 + `pageSizeExponent`) bytes, as CC.MPS tells it; 0...15.
    @inlinable public init(pageSizeExponent: UInt8) { pageSize = 4096 << Int(pageSizeExponent & 0xf) }

    /// The bytes of a PRP entry.
    public static let entrySize = 8

    /// The entries of a whole list page.
    @inlinable public var entriesPerList: Int { pageSize / PRPRules.entrySize }

    /// How far an address lies from the beginning of its page.
    @inlinable public func offset(of address: UInt64) -> Int { Int(address & UInt64(pageSize - 1)) }

    /// Whether PRP1 may have this value: its last two bits are zero.
    @inlinable public func isValidFirst(_ address: UInt64) -> Bool { address & 3 == 0 }

    /// Whether an entry that isn't the first may have this value: it begins a page.
    @inlinable public func isValidFurther(_ address: UInt64) -> Bool { offset(of: address) == 0 }

    /// Whether the address of a list may have this value: it is a multiple of eight.
    @inlinable public func isValidList(_ address: UInt64) -> Bool { address & 7 == 0 }

    /// The bytes that PRP1 covers of a transfer of `length` bytes.
    @inlinable public func firstLength(at address: UInt64, length: Int) -> Int {
        min(length, pageSize - offset(of: address))
    }

    /// The pieces of a transfer of `length` bytes whose first begins at `address`; 0 when it is empty.
    @inlinable public func pieceCount(at address: UInt64, length: Int) -> Int {
        guard length > 0 else { return 0 }
        let rest = length - firstLength(at: address, length: length)
        return 1 + rest / pageSize + (rest % pageSize == 0 ? 0 : 1)
    }

    /// The entries in PRP lists that a transfer of `length` bytes needs: none for up to two pieces.
    /// Links from list page to list page aren't counted.
    @inlinable public func listEntryCount(at address: UInt64, length: Int) -> Int {
        let pieces = pieceCount(at: address, length: length)
        return pieces <= 2 ? 0 : pieces - 1
    }

    /// The whole list pages, links included, that `entries` list entries need.
    @inlinable public func listPageCount(entries: Int) -> Int {
        guard entries > 0 else { return 0 }
        guard entries > entriesPerList else { return 1 }
        // Every page but the last gives one of its entries to the link.
        let linked = entriesPerList - 1
        let further = entries - entriesPerList
        return 1 + further / linked + (further % linked == 0 ? 0 : 1)
    }
}
