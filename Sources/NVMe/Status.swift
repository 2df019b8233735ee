/// How a command ended: bits 15:1 of a completion's last half-word (NVMe Base 2.0, Figure 93).
///
/// Two statuses are the same when type and code are the same: the bits that say how to go on (DNR, More,
/// CRD) don't count for `==`, so `status == .lbaOutOfRange` works for what a controller sent. `rawValue`
/// tells all bits.
@frozen
public struct Status: RawRepresentable, Equatable, Hashable, Sendable, BitwiseCopyable {
    /// SC in bits 7:0, SCT in bits 10:8, CRD in bits 12:11, More in bit 13, DNR in bit 14.
    public var rawValue: UInt16

    /// A status from its 15 bits; the highest bit is dropped.
    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue & 0x7fff }

    /// A status of a type and a code, with no further bit set.
    @inlinable public init(_ kind: Kind, _ code: UInt8) {
        rawValue = UInt16(kind.rawValue) << 8 | UInt16(code)
    }

    /// SCT: the type of a status.
    @frozen
    public enum Kind: UInt8, Sendable {
        /// Statuses of any command.
        case generic = 0
        /// Statuses whose meaning depends on the command.
        case commandSpecific = 1
        /// Errors of the medium and of data integrity.
        case media = 2
        /// Errors on the path to a namespace.
        case path = 3
        /// A type that the specification reserves.
        case reserved4 = 4
        /// A type that the specification reserves.
        case reserved5 = 5
        /// A type that the specification reserves.
        case reserved6 = 6
        /// The vendor's own.
        case vendor = 7
    }

    /// SCT.
    @inlinable public var kind: Kind { Kind(rawValue: UInt8((rawValue >> 8) & 7)) ?? .vendor }
    /// SC.
    @inlinable public var code: UInt8 { UInt8(truncatingIfNeeded: rawValue) }

    /// CRD: which of the controller's three retry delays applies, 1...3; 0 for none.
    @inlinable public var retryDelay: UInt8 {
        get { UInt8((rawValue >> 11) & 3) }
        set { rawValue = (rawValue & ~0x1800) | UInt16(newValue & 3) << 11 }
    }
    /// M: the error log tells more about this command.
    @inlinable public var hasMore: Bool {
        get { rawValue & 0x2000 != 0 }
        set { rawValue = (rawValue & ~0x2000) | (newValue ? 0x2000 : 0) }
    }
    /// DNR: the same command would fail again.
    @inlinable public var doNotRetry: Bool {
        get { rawValue & 0x4000 != 0 }
        set { rawValue = (rawValue & ~0x4000) | (newValue ? 0x4000 : 0) }
    }

    /// The command did what it was asked to do.
    @inlinable public var isSuccess: Bool { rawValue & 0x7ff == 0 }

    /// The same status with DNR set: the host needn't try again.
    @inlinable public var final: Status { Status(rawValue: rawValue | 0x4000) }

    /// Whether two statuses have the same type and code.
    @inlinable public static func == (left: Status, right: Status) -> Bool {
        (left.rawValue ^ right.rawValue) & 0x7ff == 0
    }

    /// Hashes type and code.
    public func hash(into hasher: inout Hasher) { hasher.combine(rawValue & 0x7ff) }
}

extension Status: CustomStringConvertible {
    /// The name and the meaning, such as "LBA Out of Range (the command reaches past the end of the
    /// namespace)", or the numbers where the status isn't known here.
    public var description: String {
        guard let name, let meaning else { return "status type \(rawValue >> 8 & 7), code \(code)" }
        return "\(name) (\(meaning))"
    }
}
