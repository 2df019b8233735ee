import IOVASpace
import LinuxSystem
import VFIOHost

extension AddressSpace {
    /// Starts to note which pages devices write: `VFIO_IOMMU_DIRTY_PAGES` for devices that were opened through their
    /// groups, `IOMMU_HWPT_SET_DIRTY_TRACKING` for others. Starting twice changes nothing.
    ///
    /// In a container of an IOMMU that can't tell, all pages that a device could have written count as written.
    /// - Throws: ``VFIOError/Code/notSupported`` where there is no such thing (type 1 version 1; device nodes, if the
    ///   IOMMU can't tell).
    public func startDirtyTracking() throws(VFIOError) { try setDirtyTracking(true, "start dirty tracking") }

    /// Ends it. Ending twice changes nothing.
    /// - Throws: as ``startDirtyTracking()``.
    public func stopDirtyTracking() throws(VFIOError) { try setDirtyTracking(false, "stop dirty tracking") }

    /// Takes which pages of a range were written since they were last asked for.
    /// - Parameter range: begins and ends with mappings, not inside them.
    /// - Throws: ``VFIOError/Code/misaligned``, ``VFIOError/Code/outOfBounds`` for a range that is too long for one
    ///   question.
    public func dirtyPages(in range: IOVARange) throws(VFIOError) -> DirtyPages {
        let operation = "take the dirty pages of \(range)"
        return try lock.withLock { () throws(VFIOError) -> DirtyPages in
            guard let backend, let info else { throw Diagnosis.noDevice(operation) }
            let unit = info.smallestPage
            guard range.isAligned(to: unit) else {
                throw VFIOError(
                    operation: operation, object: Self.object, code: .misaligned,
                    cause: "the range isn't whole pages of the IOMMU, \(unit) bytes")
            }
            guard range.lastOffset < .max, let wordCount = Self.dirtyWordCount(of: range, info) else {
                throw VFIOError(
                    operation: operation, object: Self.object, code: .outOfBounds,
                    cause: "\(range.byteCount / unit) pages are more than can be asked for at once",
                    remedy: "ask in pieces")
            }
            var words = [UInt64](repeating: 0, count: wordCount)
            do throws(Errno) {
                try takeDirtyBits(of: range, unit, backend, into: &words)
            } catch {
                throw dirtyError(operation, error, range)
            }
            Self.cut(&words, to: range, info)
            return DirtyPages(range: range, pageSize: unit, words: words)
        }
    }

    /// Takes dirty bits, under the lock, of a range with holes too.
    /// - Parameter words: zeros; as many as it takes.
    func takeDirtyBits(
        of range: IOVARange, _ unit: UInt64, _ backend: any IOMMUBackend, into words: inout [UInt64]
    ) throws(Errno) {
        guard backend.readsDirtyBitsUpToHoles else {
            return try backend.dirtyBits(of: range, pageSize: unit, into: &words)
        }
        for run in runs(in: range) {
            if run == range { return try backend.dirtyBits(of: range, pageSize: unit, into: &words) }
            var part = Self.zeros(for: run, unit)
            try backend.dirtyBits(of: run, pageSize: unit, into: &part)
            Self.merge(part, of: run, unit, into: &words, of: range)
        }
    }

    /// The parts of a range that are mapped without a hole.
    private func runs(in range: IOVARange) -> [IOVARange] {
        var runs: [IOVARange] = []
        mappings.forEachMapping(overlapping: range) { mapping in
            guard let part = mapping.range.intersection(range) else { return }
            if let last = runs.last, last.last.rawValue &+ 1 == part.first.rawValue,
                let joined = IOVARange(first: last.first, last: part.last)
            {
                runs[runs.count - 1] = joined
            } else {
                runs.append(part)
            }
        }
        return runs
    }

    private static func zeros(for run: IOVARange, _ unit: UInt64) -> [UInt64] {
        [UInt64](repeating: 0, count: Int(run.lastOffset / unit / 64) + 1)
    }

    private static func merge(
        _ part: [UInt64], of run: IOVARange, _ unit: UInt64, into words: inout [UInt64], of range: IOVARange
    ) {
        let page = Int((run.first.rawValue - range.first.rawValue) / unit)
        var span = words.mutableSpan
        BitWords.merge(0..<Int(run.lastOffset / unit) + 1, of: part.span, into: &span, at: page)
    }

    private func setDirtyTracking(_ on: Bool, _ operation: String) throws(VFIOError) {
        try lock.withLock { () throws(VFIOError) in
            guard let backend else { throw Diagnosis.noDevice(operation) }
            do throws(Errno) {
                try backend.setDirtyTracking(on)
            } catch {
                throw dirtyError(operation, error, nil)
            }
        }
    }

    func dirtyError(_ operation: String, _ errno: Errno, _ range: IOVARange?) -> VFIOError {
        var error = VFIOError(operation: operation, object: Self.object, errno: errno)
        switch errno {
        case .noSuchRequest, .accessDenied:
            error.code = .notSupported
            error.cause =
                "dirty tracking needs an IOMMU that notes writes, or a container with a type 1 IOMMU of version 2"
            error.remedy = "open the device through its group"
        case .invalid where range != nil:
            error.cause = "tracking isn't on, or the range begins or ends inside a mapping"
        case .noMemory: error.code = .noMemory
        default: break
        }
        return error
    }
}

/// Which pages of a range were written.
public struct DirtyPages: Sendable, Equatable {
    /// The range.
    public let range: IOVARange
    /// The size of a page in bytes.
    public let pageSize: UInt64
    /// One bit for each page; the range's first page is bit 0 of the first word.
    public let words: [UInt64]

    /// How many pages were written.
    public var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

    /// Whether the page at an address was written; false outside the range.
    public func contains(_ iova: IOVA) -> Bool {
        guard range.contains(iova) else { return false }
        let page = (iova.rawValue - range.first.rawValue) / pageSize
        return words[Int(page / 64)] >> (page % 64) & 1 != 0
    }
}
