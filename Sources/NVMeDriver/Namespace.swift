import NVMe

/// A namespace: a number of blocks that are read and written by their number, as a disk is.
///
/// A plain value with what input and output need to know of the namespace, as of when it was identified. The
/// whole of what the controller tells is in ``Controller/identify(namespace:)``.
public struct Namespace: Equatable, Sendable, BitwiseCopyable {
    /// NSID, 1...
    public let identifier: UInt32
    /// How many blocks there are (NSZE).
    public let blockCount: UInt64
    /// The bytes of a block: a power of two from 512.
    public let blockByteCount: Int
    /// The blocks that may be allocated at one time (NCAP).
    public let capacity: UInt64
    /// The blocks that are allocated (NUSE).
    public let utilization: UInt64
    /// Whether the namespace is write protected.
    public let isWriteProtected: Bool
    /// What keeps this driver from reading and writing the namespace; nil if nothing does.
    public let obstacle: Obstacle?

    /// Why a namespace can't be read and written by this driver.
    public enum Obstacle: Equatable, Sendable, BitwiseCopyable {
        /// Its blocks carry metadata, of this many bytes each.
        case metadata(byteCount: Int)
        /// Its blocks are protected by checksums of this type (DPS).
        case protectionInformation(type: UInt8)
        /// Its blocks have 2 to the power of this many bytes, or its format isn't told.
        case blockSize(exponent: UInt8)
        /// The identifier isn't that of an active namespace.
        case inactive
    }

    /// A namespace from what Identify tells of it.
    public init(identifier: UInt32, _ page: IdentifyNamespace) {
        self.identifier = identifier
        blockCount = page.size
        capacity = page.capacity
        utilization = page.utilization
        isWriteProtected = page.attributes & 1 != 0
        let format = page.currentFormat
        // A block has to fit into one command of the smallest controller with room to spare; formats in use
        // have 512 or 4096 bytes.
        let exponent = format?.dataExponent ?? 0
        let isUsable = (9...16).contains(exponent)
        blockByteCount = isUsable ? 1 << Int(exponent) : 512
        obstacle =
            if !page.isActive {
                .inactive
            } else if !isUsable {
                .blockSize(exponent: exponent)
            } else if let format, format.metadataSize > 0 {
                .metadata(byteCount: format.metadataSize)
            } else if page.protectionSettings & 7 != 0 {
                .protectionInformation(type: page.protectionSettings & 7)
            } else {
                nil
            }
    }

    /// The namespace's length in bytes; nil if it doesn't fit into 64 bits.
    public var byteCount: UInt64? {
        let (product, overflow) = blockCount.multipliedReportingOverflow(by: UInt64(blockByteCount))
        return overflow ? nil : product
    }

    /// Whether a range of blocks lies inside.
    @inlinable public func contains(_ blocks: Range<UInt64>) -> Bool { blocks.upperBound <= blockCount }

    /// What is wrong with a transfer of these blocks from or to this much memory; nil if nothing is.
    @inline(__always)
    func objection(to blocks: Range<UInt64>, byteCount: Int) -> NVMeError.Reason? {
        if let obstacle { return .unusableNamespace(obstacle) }
        guard contains(blocks) else { return .outOfRange(blockCount: blockCount) }
        let (needed, overflow) = blocks.length.multipliedReportingOverflow(by: UInt64(blockByteCount))
        guard !overflow, UInt64(byteCount) == needed else {
            return .wrongLength(byteCount: byteCount, needed: overflow ? .max : Int(clamping: needed))
        }
        return nil
    }

    /// What is wrong with a command about these blocks that carries no data; nil if nothing is.
    func objection(to blocks: Range<UInt64>) -> NVMeError.Reason? {
        if let obstacle { return .unusableNamespace(obstacle) }
        return contains(blocks) ? nil : .outOfRange(blockCount: blockCount)
    }
}

extension Namespace.Obstacle: CustomStringConvertible {
    /// The reason in plain words.
    public var description: String {
        switch self {
        case .metadata(let byteCount):
            "its format has \(byteCount) bytes of metadata with each block, which this driver doesn't handle; "
                + "format it without"
        case .protectionInformation(let type):
            "its format has protection information of type \(type), which this driver doesn't handle; "
                + "format it without"
        case .blockSize(let exponent):
            "its blocks have 2^\(exponent) bytes, which this driver doesn't handle"
        case .inactive: "it isn't active"
        }
    }
}

extension Range<UInt64> {
    /// How many blocks; `count` would trap beyond what an `Int` holds.
    @inline(__always) var length: UInt64 { upperBound - lowerBound }
}
