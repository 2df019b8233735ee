import IOVASpace
import LinuxSystem

extension AddressSpace {
    /// Has it noted from now on which pages of some ranges devices write, by whoever can: the devices' own logs if all
    /// of them keep one; else the IOMMU; else nobody, and everything counts as written.
    ///
    /// ```swift
    /// let tracking = try space.trackWrites(by: [device], in: [range])
    /// print(tracking.source)                            // who knows
    /// let written = try tracking.takeWrittenPages(in: range)
    /// ```
    ///
    /// Nothing else may track this address space, or use the logs of these devices, meanwhile. The reset of a
    /// device ends its log: begin anew.
    /// - Parameters:
    ///   - devices: all that can write here.
    ///   - ranges: whole pages. What is mapped elsewhere counts as written, or isn't told of.
    /// - Throws: what is wrong with a range. That nobody can tell is no error.
    public func trackWrites(
        by devices: [Device], in ranges: [IOVARange]
    ) throws(VFIOError) -> WriteTracking {
        let page = UInt64(pageSize)
        guard ranges.allSatisfy({ $0.isAligned(to: page) }) else {
            throw VFIOError(
                operation: "track writes", object: Self.object, code: .misaligned,
                cause: "the ranges aren't whole pages of \(page) bytes")
        }
        let watched = IOVARange.merged(ranges, to: Self.logRangeLimit)
        if !watched.isEmpty, Self.startLogs(of: devices, watched) {
            return WriteTracking(.devices, self, devices, watched)
        }
        if tellsDirtyPages, (try? startDirtyTracking()) != nil {
            return WriteTracking(.iommu, self, [], watched)
        }
        return WriteTracking(.everything, self, [], watched)
    }

    /// How many ranges a device's log takes at most (kernel.md E.5).
    private static var logRangeLimit: Int { 256 }

    /// Starts the logs of all devices, or none.
    private static func startLogs(of devices: [Device], _ ranges: [IOVARange]) -> Bool {
        guard !devices.isEmpty else { return false }
        for (index, device) in devices.enumerated() {
            guard (try? device.startDMALogging(of: ranges)) != nil else {
                for started in devices[..<index] { try? started.stopDMALogging() }
                return false
            }
        }
        return true
    }
}

/// Somebody notes which pages devices write, until this is stopped or goes.
public final class WriteTracking: Sendable {
    /// Who knows it.
    public let source: DirtySource
    /// The ranges that are watched; more than what was asked for where devices' logs don't take as many.
    public let ranges: [IOVARange]
    private let space: AddressSpace
    private let devices: [Device]

    init(_ source: DirtySource, _ space: AddressSpace, _ devices: [Device], _ ranges: [IOVARange]) {
        self.source = source
        self.space = space
        self.devices = devices
        self.ranges = ranges
    }

    deinit { stop() }

    /// Takes which pages of a range were written since they were last asked for.
    /// - Parameter range: whole pages; where the IOMMU is asked, beginning and ending with mappings.
    /// - Returns: a bit for each page of the machine.
    /// - Throws: what ``Device/takeLoggedPages(in:pageSize:)`` and ``AddressSpace/dirtyPages(in:)`` have. What one of
    ///   several devices told before another failed is lost: then everything may have been written.
    public func takeWrittenPages(in range: IOVARange) throws(VFIOError) -> DirtyPages {
        let page = UInt64(pageSize)
        guard range.isAligned(to: page), range.lastOffset / page < 1 << 31 else {
            throw VFIOError(
                operation: "take the pages of \(range) that were written", object: AddressSpace.object,
                code: range.isAligned(to: page) ? .outOfBounds : .misaligned,
                cause: "it isn't whole pages of \(page) bytes, at most 2^31 of them")
        }
        switch source {
        case .iommu: return try space.dirtyPages(in: range)
        case .devices where ranges.contains(where: { $0.contains(range) }):
            var all: [UInt64] = []
            var own: [UInt64] = []
            for (index, device) in devices.enumerated() {
                try device.takeLoggedPages(in: range, pageSize: page, into: &own)
                if index == 0 {
                    swap(&all, &own)
                } else {
                    for word in all.indices { all[word] |= own[word] }
                }
            }
            return DirtyPages(range: range, pageSize: page, words: all)
        case .devices, .everything:
            let pages = Int(range.lastOffset / page) + 1
            var words = [UInt64](repeating: .max, count: (pages + 63) / 64)
            if pages % 64 != 0 { words[words.count - 1] = (1 << UInt64(pages % 64)) - 1 }
            return DirtyPages(range: range, pageSize: page, words: words)
        }
    }

    /// Ends it. Ending twice changes nothing.
    public func stop() {
        // Nothing can be done about a host that goes on: it costs time, no pages.
        if source == .iommu { try? space.stopDirtyTracking() }
        for device in devices { try? device.stopDMALogging() }
    }
}
