import IOVASpace
import VFIO

/// Why a vIOMMU didn't translate an address: what a guest's driver finds in the fault log.
public struct VIOMMUFault: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was wrong.
    public enum Reason: Hashable, Sendable {
        /// The guest hasn't given a table: nothing is let through.
        case blocked
        /// The address is wider than the tables' 48 bits.
        case addressTooWide
        /// No page is mapped there.
        case notMapped
        /// A page is mapped, or a table, but not for this access.
        case denied(DMAPermissions)
        /// The word of the table at this address isn't in RAM.
        case tableOutsideRAM(GuestAddress)
        /// These bits of the word are set and must not be.
        case reservedBits(UInt64)
        /// Pages of this many bytes aren't to be had.
        case pageSize(UInt64)
        /// The tables are longer than the vIOMMU is willing to walk at a time: nothing from this address on is mapped.
        case walkTooLong
        /// More pages are mapped than the vIOMMU is willing to keep: this one isn't.
        case tooManyMappings
    }

    /// The address that was to be translated, or the lowest that the faulty word stands for.
    public let iova: IOVA
    /// The level of the faulty word: 4 for the root, 1 for the table of 4 KiB pages; nil where no word is at fault.
    public let level: Int?
    /// What was wrong.
    public let reason: Reason

    /// A fault.
    public init(_ reason: Reason, at iova: IOVA, level: Int? = nil) {
        self.iova = iova
        self.level = level
        self.reason = reason
    }

    /// What was wrong, and where, in words.
    public var description: String {
        "IOVA \(iova)" + (level.map { ", table level \($0)" } ?? "") + ": " + text
    }

    private var text: String {
        switch reason {
        case .blocked: "no table was given, nothing is let through"
        case .addressTooWide: "the address is wider than 48 bits"
        case .notMapped: "no page is mapped"
        case .denied(.read): "reading isn't allowed"
        case .denied(.write): "writing isn't allowed"
        case .denied: "neither reading nor writing is allowed"
        case .tableOutsideRAM(let address): "the table's word at \(address) isn't in RAM"
        case .reservedBits(let bits): "the reserved bits 0x\(String(bits, radix: 16)) are set"
        case .pageSize(let byteCount): "pages of \(byteCount) bytes can't be had"
        case .walkTooLong: "the tables are too long to be walked; nothing is mapped from here on"
        case .tooManyMappings: "too many pages are mapped"
        }
    }
}
