// The commands of the NVM command set (NVM Command Set 1.0): how a driver makes them, and how a controller
// reads them.

extension SubmissionEntry {
    /// Flush (NVMe Base 2.0, 7.1): what has been completed before is on the medium afterwards.
    @inlinable public static func flush(namespaceID: UInt32) -> SubmissionEntry {
        SubmissionEntry(io: .flush, namespaceID: namespaceID)
    }

    /// Read (3.2.4): DPTR is `blocks` blocks.
    ///
    /// - Parameters:
    ///   - namespaceID: The namespace.
    ///   - startingBlock: SLBA.
    ///   - blocks: 1...65536.
    ///   - forceUnitAccess: FUA: the data comes from the medium.
    @inlinable public static func read(
        namespaceID: UInt32, startingBlock: UInt64, blocks: Int, forceUnitAccess: Bool = false
    ) -> SubmissionEntry {
        var entry = SubmissionEntry(io: .read, namespaceID: namespaceID)
        entry.setRange(startingBlock, blocks, forceUnitAccess)
        return entry
    }

    /// Write (3.2.6): DPTR is `blocks` blocks.
    ///
    /// - Parameters:
    ///   - namespaceID: The namespace.
    ///   - startingBlock: SLBA.
    ///   - blocks: 1...65536.
    ///   - forceUnitAccess: FUA: the data is on the medium when the command completes.
    @inlinable public static func write(
        namespaceID: UInt32, startingBlock: UInt64, blocks: Int, forceUnitAccess: Bool = false
    ) -> SubmissionEntry {
        var entry = SubmissionEntry(io: .write, namespaceID: namespaceID)
        entry.setRange(startingBlock, blocks, forceUnitAccess)
        return entry
    }

    /// Compare (3.2.1): DPTR is `blocks` blocks; `Status.compareFailure` when they differ.
    @inlinable public static func compare(
        namespaceID: UInt32, startingBlock: UInt64, blocks: Int
    ) -> SubmissionEntry {
        var entry = SubmissionEntry(io: .compare, namespaceID: namespaceID)
        entry.setRange(startingBlock, blocks, false)
        return entry
    }

    /// Write Zeroes (3.2.8).
    ///
    /// - Parameters:
    ///   - namespaceID: The namespace.
    ///   - startingBlock: SLBA.
    ///   - blocks: 1...65536.
    ///   - deallocates: DEAC: the controller may give the blocks' room back.
    ///   - forceUnitAccess: FUA: the zeroes are on the medium when the command completes.
    @inlinable public static func writeZeroes(
        namespaceID: UInt32, startingBlock: UInt64, blocks: Int, deallocates: Bool = false,
        forceUnitAccess: Bool = false
    ) -> SubmissionEntry {
        var entry = SubmissionEntry(io: .writeZeroes, namespaceID: namespaceID)
        entry.setRange(startingBlock, blocks, forceUnitAccess)
        if deallocates { entry.dword12 |= 1 << 25 }
        return entry
    }

    /// Dataset Management (3.2.3): DPTR is `ranges` entries of `DatasetRange`.
    ///
    /// - Parameters:
    ///   - namespaceID: The namespace.
    ///   - ranges: 1...256.
    ///   - deallocates: AD: the blocks aren't needed any more.
    @inlinable public static func datasetManagement(
        namespaceID: UInt32, ranges: Int, deallocates: Bool = true
    ) -> SubmissionEntry {
        var entry = SubmissionEntry(io: .datasetManagement, namespaceID: namespaceID)
        entry.dword10 = UInt32(UInt8(truncatingIfNeeded: ranges - 1))
        entry.dword11 = deallocates ? 4 : 0
        return entry
    }

    @inlinable mutating func setRange(_ startingBlock: UInt64, _ blocks: Int, _ forceUnitAccess: Bool) {
        dword10 = UInt32(truncatingIfNeeded: startingBlock)
        dword11 = UInt32(truncatingIfNeeded: startingBlock >> 32)
        dword12 = UInt32(UInt16(truncatingIfNeeded: blocks - 1)) | (forceUnitAccess ? 1 << 30 : 0)
    }

    /// SLBA of the commands that work on one range of blocks.
    @inlinable public var startingBlock: UInt64 { UInt64(dword10) | UInt64(dword11) << 32 }
    /// NLB + 1 of the commands that work on one range of blocks: 1...65536.
    @inlinable public var blockCount: Int { Int(dword12 & 0xffff) + 1 }
    /// FUA.
    @inlinable public var forceUnitAccess: Bool { dword12 & 1 << 30 != 0 }
    /// LR: the controller need not try hard.
    @inlinable public var limitedRetry: Bool { dword12 & 1 << 31 != 0 }
    /// PRINFO: PRACT in bit 3, PRCHK in bits 2:0.
    @inlinable public var protectionInformation: UInt8 { UInt8((dword12 >> 26) & 0xf) }
    /// DEAC of Write Zeroes.
    @inlinable public var writeZeroesDeallocates: Bool { dword12 & 1 << 25 != 0 }

    /// NR + 1 of Dataset Management: 1...256.
    @inlinable public var datasetRangeCount: Int { Int(dword10 & 0xff) + 1 }
    /// AD of Dataset Management.
    @inlinable public var datasetDeallocates: Bool { dword11 & 4 != 0 }
}

/// One range of Dataset Management: 16 bytes, little-endian (NVM Command Set 1.0, Figure 37).
@frozen
public struct DatasetRange: Equatable, Sendable, BitwiseCopyable {
    /// Context attributes.
    public var attributes: UInt32
    /// The number of blocks.
    public var blocks: UInt32
    /// SLBA.
    public var startingBlock: UInt64

    /// The bytes of a range.
    public static let size = 16
    /// The most ranges of one command.
    public static let maximumCount = 256

    /// A range of blocks.
    @inlinable public init(startingBlock: UInt64, blocks: UInt32, attributes: UInt32 = 0) {
        self.attributes = attributes
        self.blocks = blocks
        self.startingBlock = startingBlock
    }
}
