import LinuxSystem
import VFIOABI

/// What the argument of a request is, as far as a trace needs to know: requests are looked at before anybody knows
/// what kind of file they go to.
enum TraceArgument {
    /// A number, or nothing.
    case number
    /// The address of a number of 4 bytes.
    case word
    /// The address of a text that ends with a zero.
    case text
    /// The address of a structure that begins with its size in bytes.
    case sized

    init(_ request: UInt32) {
        let request = Request(rawValue: UInt(request))
        guard request.isVFIO else {
            self = .number
            return
        }
        switch request {
        case .getAPIVersion, .checkExtension, .setIOMMU, .groupUnsetContainer, .deviceReset: self = .number
        // The second has a number that is also VFIO_IOMMU_ENABLE's, which has no argument: it is no address then.
        case .groupSetContainer, .deviceGetGFXDMABuf: self = .word
        case .groupGetDeviceFD: self = .text
        default: self = .sized
        }
    }

    /// The first address that can be one.
    private static var lowestAddress: UInt { 4096 }

    /// Reads the caller's structure.
    /// - Returns: nil where there is none, or it can't be read.
    func bytes(at argument: UInt) -> [UInt8]? {
        guard argument >= Self.lowestAddress else { return nil }
        let address = HostAddress(rawValue: argument)
        switch self {
        case .number: return nil
        case .word: return Self.read(4, at: address)
        case .text:
            // Linux reads up to a page; names are short.
            guard var text = Self.read(256, at: address) else { return nil }
            if let end = text.firstIndex(of: 0) { text.removeSubrange((end + 1)...) }
            return text
        case .sized:
            guard let size = try? UserMemory.load(UInt32(0), from: address) else { return nil }
            // Whatever the structure claims: what there is of it up to a limit.
            return Self.read(min(max(Int(size), 8), TraceFormat.maximumPartByteCount), at: address)
        }
    }

    /// Reads bytes; fewer where the memory ends before.
    static func read(_ count: Int, at address: HostAddress) -> [UInt8]? {
        if let bytes = readAll(count, at: address) { return bytes }
        // The part up to the end of the page, behind which there may be nothing.
        let left = pageSize - Int(address.rawValue % UInt(pageSize))
        return left < count ? readAll(left, at: address) : nil
    }

    private static func readAll(_ count: Int, at address: HostAddress) -> [UInt8]? {
        guard count > 0 else { return [] }
        var bytes = [UInt8](repeating: 0, count: count)
        var span = bytes.mutableSpan
        // SAFETY: the array holds plain bytes: any value written into it is one of its own.
        var raw = unsafe span.mutableBytes
        guard (try? UserMemory.read(from: address, into: &raw)) != nil else { return nil }
        return bytes
    }

    /// Where a structure points to further bytes, and how many these are; nil where it doesn't, or too few bytes of it
    /// are there.
    static func nested(_ request: UInt32, _ bytes: [UInt8]) -> (pointerOffset: Int, byteCount: Int)? {
        func number(_ offset: Int) -> Int? {
            guard bytes.count >= offset + 4 else { return nil }
            var rest = bytes[offset...]
            return Int(rest.takeNumber(UInt32.self))
        }
        let place: (pointerOffset: Int, count: Int?, size: Int)
        switch Request(rawValue: UInt(request)) {
        case .ioasIOVARanges, .ioasAllowIOVAs: place = (16, number(8), 16)
        case .iommufdGetHWInfo: place = (16, number(12), 1)
        case .hwptInvalidate: place = (8, number(24), number(20) ?? 0)
        // VFIO_DEVICE_FEATURE_DMA_LOGGING_START: the ranges.
        case .deviceFeature where number(4).map { $0 & 0xffff } == 6: place = (24, number(16), 16)
        default: return nil
        }
        guard let count = place.count, bytes.count >= place.pointerOffset + 8 else { return nil }
        let (total, overflow) = count.multipliedReportingOverflow(by: place.size)
        let most = TraceFormat.maximumPartByteCount
        return (place.pointerOffset, overflow ? most : min(total, most))
    }
}
