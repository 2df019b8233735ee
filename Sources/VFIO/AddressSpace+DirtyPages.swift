import IOVASpace
import LinuxSystem
import VFIOHost

extension AddressSpace {
    /// Starts to note which pages devices write: `VFIO_IOMMU_DIRTY_PAGES`. Starting twice changes nothing.
    ///
    /// Where the IOMMU can't tell, all pages that a device could have written count as written.
    /// - Throws: ``VFIOError/Code/notSupported`` where the way in doesn't have it (device nodes; type 1 version 1).
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
                try backend.dirtyBits(of: range, pageSize: unit, into: &words)
            } catch {
                throw dirtyError(operation, error, range)
            }
            Self.cut(&words, to: range, info)
            return DirtyPages(range: range, pageSize: unit, words: words)
        }
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
            error.cause = "dirty tracking needs a container with a type 1 IOMMU of version 2"
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
