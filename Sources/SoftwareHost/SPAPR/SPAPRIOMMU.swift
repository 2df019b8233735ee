/// The IOMMU of a POWER machine (sPAPR): memory is mapped into DMA windows, each a table of translation control
/// entries (TCEs) with pages of one size.
///
/// A container uses it by version 1 (one window, one group) or version 2 (several windows, several groups,
/// memory registered in advance). There is no iommufd on such a machine: Linux has no page tables for one.
public struct SPAPRIOMMU: Sendable, Equatable {
    /// Who manages the tables. The two differ in what they charge for them and in which errors can be injected.
    public enum Platform: Sendable, Equatable {
        /// Linux on the bare machine (PowerNV). A group comes without a default window; it is made when it is first
        /// needed, and a table is charged twice, for the hardware's copy and the kernel's own.
        case powerNV
        /// Linux under a hypervisor (pSeries). A group comes with its default window, which costs nothing; tables
        /// have one level.
        case pSeries
    }

    /// The most levels that a table can have.
    public static let mostLevels = 5
    /// The most windows that there can be at a time.
    public static let mostWindows = 2
    /// Where the second window begins, a bus address.
    public static let secondWindowStart: UInt64 = 1 << 59

    /// Who manages the tables.
    public var platform: Platform
    /// Where the default window, and any other in its place, begins: a bus address.
    public var defaultWindowStart: UInt32
    /// How long the default window is in bytes: a power of two, or 0 for none. Its pages are 4 KiB long.
    public var defaultWindowByteCount: UInt32
    /// The page sizes that windows can have.
    public var pageSizes: IOMMU.PageSizes
    /// How many windows version 2 allows; 0 where it isn't there, at most ``mostWindows``.
    public var dynamicWindows: Int
    /// How many levels tables can have, 1 to ``mostLevels``.
    public var levels: Int
    /// Whether errors are isolated (EEH): a device that fails is frozen together with all in its group.
    public var hasErrorHandling: Bool

    /// An IOMMU; by default one as on a bare POWER9.
    public init(
        _ platform: Platform = .powerNV, defaultWindowStart: UInt32 = 0,
        defaultWindowByteCount: UInt32 = 1 << 31, pageSizes: IOMMU.PageSizes = [.kib4, .kib64, .mib2, .gib1],
        dynamicWindows: Int = mostWindows, levels: Int? = nil, hasErrorHandling: Bool = true
    ) {
        self.platform = platform
        self.defaultWindowStart = defaultWindowStart
        self.defaultWindowByteCount = defaultWindowByteCount
        self.pageSizes = pageSizes
        self.dynamicWindows = dynamicWindows
        self.levels = levels ?? (platform == .powerNV ? Self.mostLevels : 1)
        self.hasErrorHandling = hasErrorHandling
    }

    /// Whether such an IOMMU can be.
    var isPossible: Bool {
        let byteCount = UInt64(defaultWindowByteCount)
        if byteCount != 0 {
            guard byteCount.nonzeroBitCount == 1, byteCount >= 4096, pageSizes.contains(.kib4),
                UInt64(defaultWindowStart) % 4096 == 0, UInt64(defaultWindowStart) + byteCount <= 1 << 32
            else { return false }
        }
        return pageSizes.rawValue != 0 && pageSizes.rawValue & 0xfff == 0
            && 0...Self.mostWindows ~= dynamicWindows && 1...Self.mostLevels ~= levels
    }

    /// How much memory a window's table takes, in bytes, with what the platform charges besides it.
    /// - Returns: nil for a window that can't be.
    func tableByteCount(pageShift: UInt32, windowByteCount: UInt64, levels count: UInt32, hostPage: UInt64)
        -> UInt64?
    {
        guard pageShift < 64, 1...UInt32(levels) ~= count, windowByteCount.nonzeroBitCount == 1 else {
            return nil
        }
        let windowShift = UInt64(windowByteCount.trailingZeroBitCount)
        guard windowShift >= UInt64(pageShift) else { return nil }
        let levels = UInt64(count)
        // Entries are eight bytes long, and each level has the same share of their number's bits.
        let entryShift = windowShift - UInt64(pageShift)
        let hostShift = UInt64(hostPage.trailingZeroBitCount)
        let levelShift = max((entryShift + levels - 1) / levels + 3, hostShift)
        guard (levelShift - 3) * levels + UInt64(pageShift) < 55 else { return nil }
        let step = UInt64(1) << levelShift
        var part = max(UInt64(1) << (entryShift + 3), step)
        var sum: UInt64 = 0
        for _ in 0..<levels {
            sum += part
            part = max((part >> levelShift) << 3, step)
        }
        return platform == .powerNV ? 2 * sum : sum
    }
}
