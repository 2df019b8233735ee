import LinuxSystem
import VFIO

/// Why parts of guest RAM can't be populated, discarded or listened to. Nothing has changed then.
public enum RAMDiscardError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A range is empty or doesn't end inside what there is: the RAM, or the part of it that may be used. Ranges are
    /// offsets into the RAM, in bytes.
    case outOfRange(Range<UInt64>, end: UInt64)
    /// A range or length isn't a multiple of the block size.
    case misaligned(Range<UInt64>, unit: UInt64)
    /// Blocks can't have this length: it isn't a power of two, is shorter than the pages of the memory or the IOMMU, or
    /// the memory isn't a whole number of them.
    case unsuitableGranularity(UInt64)
    /// Blocks to be plugged are plugged already, all or some of them.
    case notUnplugged(Range<UInt64>)
    /// Blocks to be unplugged aren't plugged, all or some of them.
    case notPlugged(Range<UInt64>)
    /// More would be plugged than was asked for; both in bytes.
    case beyondRequest(plugged: UInt64, requested: UInt64)
    /// The region can't have a manager.
    case unsuitableRegion(GuestMemoryError)
    /// A listener can't take the memory up, or somebody in the machine forbids discards.
    case refused(VFIOError)
    /// The machine can't give or take back the memory.
    case memory(Errno)
    /// Somebody listens already, or a listener is just being told.
    case busy
    /// The listener is registered already.
    case alreadyRegistered
    /// The listener isn't registered, or the source hasn't joined.
    case notRegistered

    /// The nearest error number, for those who answer with one.
    public var errno: Errno {
        switch self {
        case .outOfRange, .misaligned, .unsuitableGranularity, .unsuitableRegion: .invalid
        case .notUnplugged, .alreadyRegistered: .exists
        case .notPlugged, .notRegistered: .noSuchEntry
        case .beyondRequest: .noSpace
        case .refused(let error): error.errno ?? .busy
        case .memory(let errno): errno
        case .busy: .busy
        }
    }

    /// The reason as a sentence.
    public var description: String {
        switch self {
        case .outOfRange(let range, let end):
            "\(text(range)) isn't a part of the \(end) bytes that can be used"
        case .misaligned(let range, let unit): "\(text(range)) isn't whole blocks of \(unit) bytes"
        case .unsuitableGranularity(let size): "the memory can't be had in blocks of \(size) bytes"
        case .notUnplugged(let range): "\(text(range)) is plugged already, at least in part"
        case .notPlugged(let range): "\(text(range)) isn't plugged, at least in part"
        case .beyondRequest(let plugged, let requested):
            "\(plugged) bytes would be plugged where \(requested) were asked for"
        case .unsuitableRegion(let error): "\(error)"
        case .refused(let error): "\(error)"
        case .memory(let errno): "the machine's memory: \(errno)"
        case .busy: "listeners are registered, or are just being told"
        case .alreadyRegistered: "the listener is registered already"
        case .notRegistered: "it isn't registered"
        }
    }

    private func text(_ range: Range<UInt64>) -> String { hex(range) }
}

/// A range of offsets as "0x…..<0x…".
func hex(_ range: Range<UInt64>) -> String {
    "0x" + String(range.lowerBound, radix: 16) + "..<0x" + String(range.upperBound, radix: 16)
}

extension Range<UInt64> {
    /// The range's length.
    var byteCount: UInt64 { upperBound - lowerBound }

    /// Whether it begins and ends on multiples of a unit.
    func isAligned(to unit: UInt64) -> Bool { lowerBound % unit == 0 && upperBound % unit == 0 }
}
