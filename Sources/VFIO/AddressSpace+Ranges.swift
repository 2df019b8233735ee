import IOVASpace
import LinuxSystem
import VFIOHost

// Mapping by range, for those who keep their own book of what is mapped where: the guest layer.
extension AddressSpace {
    /// What the IOMMU can do; nil before the first device, and without an IOMMU.
    package var information: IOMMUInfo? { lock.withLock { info } }

    /// Maps memory at exactly this range. Whoever maps it unmaps it with ``unmap(_:)``, and keeps the memory mapped
    /// in the process until then.
    ///
    /// Where the host says that the place is taken though nothing was mapped through this space, it is unmapped and
    /// tried once more.
    /// - Parameter file: where the memory lies in a file, if it does: then the file's memory is mapped where the
    ///   host can do that, whatever the process maps.
    package func map(
        _ memory: HostAddress, to range: IOVARange, _ access: DMAPermissions, file: FilePlace? = nil
    ) throws(VFIOError) {
        try lock.withLock { () throws(VFIOError) in
            // Made only for an error: this is done for every page that a guest's IOMMU maps.
            func operation() -> String { "map \(range) for DMA" }
            guard let backend, let info else { throw Diagnosis.noDevice(operation()) }
            if let taken = mappings.firstMapping(overlapping: range) {
                throw VFIOError(
                    operation: operation(), object: Self.object, code: .overlap,
                    cause: "\(taken.range) is mapped already")
            }
            do throws(Errno) {
                do throws(Errno) {
                    try Self.map(memory, file, to: range, access, through: backend)
                } catch {
                    guard error == .busy || error == .exists else { throw error }
                    _ = try? backend.unmap(range)
                    try Self.map(memory, file, to: range, access, through: backend)
                }
            } catch {
                let state = Diagnosis.MapState(
                    info: info, reservedRegions: reservedRegions, mappedByteCount: mappings.byteCount,
                    mappingCount: mappings.count)
                throw Diagnosis.map(operation(), range, access, error, state, host)
            }
            lastSerial &+= 1
            do throws(IOVAMapError) {
                try mappings.map(IOVAMapping(range, backing: lastSerial, permissions: access.permissions))
            } catch {
                // The range was free in the same book a moment ago, under the same lock.
                throw VFIOError(
                    operation: operation(), object: Self.object, code: .overlap, cause: "\(error)")
            }
        }
    }

    private static func map(
        _ memory: HostAddress, _ file: FilePlace?, to range: IOVARange, _ access: DMAPermissions,
        through backend: any IOMMUBackend
    ) throws(Errno) {
        if let file {
            do throws(Errno) {
                return try backend.map(file: file.descriptor, at: file.offset, to: range, access)
            } catch {
                // By its address then: the way in or the kernel knows no other, or the file isn't of memory.
                guard error == .noSuchRequest || error == .invalid else { throw error }
            }
        }
        try backend.map(memory, to: range, access)
    }

    /// Unmaps everything in a range; holes are fine, also a range with nothing in it.
    /// - Throws: ``VFIOError/Code/misaligned`` for a range that begins or ends inside a mapping;
    ///   ``VFIOError/Code/unmappedSizeDiffers`` if the host unmapped another number of bytes than were mapped: the
    ///   range counts as mapped then.
    package func unmap(_ range: IOVARange) throws(VFIOError) {
        try lock.withLock { () throws(VFIOError) in
            try unmap(range) { (backend, info) throws(Errno) in
                try Self.unmap(range, through: backend, unit: info.smallestPage)
            }
        }
    }

    /// Unmaps everything in a range, and takes with the same step which of its pages were written since they were
    /// last asked for.
    /// - Parameter words: scratch space; gets one bit for each page, in the IOMMU's smallest pages.
    /// - Returns: whether `words` tells. If not, the range is unmapped all the same, and every page in it may have
    ///   been written.
    package func unmap(
        _ range: IOVARange, dirtyBits words: inout [UInt64]
    ) throws(VFIOError) -> Bool {
        try lock.withLock { () throws(VFIOError) -> Bool in
            var isKnown = false
            try unmap(range) { (backend, info) throws(Errno) in
                if let count = Self.dirtyWordCount(of: range, info) {
                    words.clear(count)
                    do throws(Errno) {
                        let size = try backend.unmap(range, pageSize: info.smallestPage, dirtyBits: &words)
                        isKnown = true
                        Self.cut(&words, to: range, info)
                        return size
                    } catch {
                        // The mapping must go: only what was written stays unknown, if anything can have been.
                        words.clear(count)
                        isKnown = !isWritable(range)
                    }
                }
                return try Self.unmap(range, through: backend, unit: info.smallestPage)
            }
            return isKnown
        }
    }

    /// Whether devices may write to anything in a range.
    private func isWritable(_ range: IOVARange) -> Bool {
        var isWritable = false
        mappings.forEachMapping(overlapping: range) {
            if $0.permissions.contains(.write) { isWritable = true }
        }
        return isWritable
    }

    /// Takes which pages of a range were written since they were last asked for.
    /// - Parameters:
    ///   - range: begins and ends with mappings, not inside them.
    ///   - words: scratch space; gets one bit for each page, in the IOMMU's smallest pages.
    package func dirtyBits(of range: IOVARange, into words: inout [UInt64]) throws(VFIOError) {
        try lock.withLock { () throws(VFIOError) in
            func operation() -> String { "take the dirty pages of \(range)" }
            guard let backend, let info else { throw Diagnosis.noDevice(operation()) }
            guard let count = Self.dirtyWordCount(of: range, info) else {
                throw VFIOError(
                    operation: operation(), object: Self.object, code: .outOfBounds,
                    cause: "the range has more pages than can be asked for at once")
            }
            words.clear(count)
            do throws(Errno) {
                try takeDirtyBits(of: range, info.smallestPage, backend, into: &words)
            } catch {
                throw dirtyError(operation(), error, range)
            }
            Self.cut(&words, to: range, info)
        }
    }

    /// How many words hold the dirty bits of a range; nil if that is more than can be asked for.
    static func dirtyWordCount(of range: IOVARange, _ info: IOMMUInfo) -> Int? {
        // 256 MiB of bits is the most that Linux takes (kernel.md B.8).
        let most = min(info.longestDirtyBitmap == 0 ? 256 << 20 : info.longestDirtyBitmap, 256 << 20)
        let pages = range.lastOffset / info.smallestPage + 1
        let words = pages / 64 + (pages % 64 == 0 ? 0 : 1)
        return words <= most / 8 ? Int(words) : nil
    }

    /// Takes away bits behind the range's end, which a kernel may leave (kernel-errata.md, item 1).
    static func cut(_ words: inout [UInt64], to range: IOVARange, _ info: IOMMUInfo) {
        let pages = range.lastOffset / info.smallestPage + 1
        if pages % 64 != 0, let last = words.indices.last { words[last] &= (1 << (pages % 64)) - 1 }
    }

    /// Unmaps what the book has in a range. Called under the lock.
    private func unmap(
        _ range: IOVARange, _ body: (any IOMMUBackend, IOMMUInfo) throws(Errno) -> UInt64
    ) throws(VFIOError) {
        func operation() -> String { "unmap \(range)" }
        guard let backend, let info else { throw Diagnosis.noDevice(operation()) }
        if let cut = mappings.mapping(bisectedBy: range) {
            throw VFIOError(
                operation: operation(), object: Self.object, code: .misaligned,
                cause: "the mapping of \(cut.range) lies only partly in it")
        }
        var expected: UInt64 = 0
        mappings.forEachMapping(overlapping: range) { expected &+= $0.range.lastOffset &+ 1 }
        // Nothing there (or all 2^64 bytes, which the sum can't tell from nothing).
        if expected == 0 && !mappings.overlaps(range) { return }
        let actual: UInt64
        do throws(Errno) {
            actual = try body(backend, info)
        } catch {
            throw VFIOError(operation: operation(), object: Self.object, errno: error)
        }
        guard actual == expected else {
            throw Diagnosis.unmappedSize(operation(), expected: expected, actual: actual)
        }
        _ = try? mappings.unmap(in: range)
    }

    /// Unmaps a range of any length, up to all of the space, whose 2^64 bytes no request can say.
    private static func unmap(
        _ range: IOVARange, through backend: any IOMMUBackend, unit: UInt64
    ) throws(Errno) -> UInt64 {
        if range == .all {
            if let count = try backend.unmapAll() { return count }
            let middle = UInt64(1) << 63
            var count: UInt64 = 0
            for half in [IOVARange(IOVA(0), byteCount: middle), IOVARange(IOVA(middle), byteCount: middle)] {
                if let half { count &+= try backend.unmap(half) }
            }
            return count
        }
        do throws(Errno) {
            return try backend.unmap(range)
        } catch {
            if error == .noSuchEntry { return 0 }
            // Linux 4.15 to 4.20 refuse a range that ends with the last address; nothing is mapped in the last
            // page there.
            if error == .invalid, range.last.rawValue == .max, range.lastOffset >= 2 * unit,
                let shorter = IOVARange(first: range.first, last: IOVA(.max - unit))
            {
                return try backend.unmap(shorter)
            }
            throw error
        }
    }
}

extension [UInt64] {
    /// Makes it so many words of zeroes, in the memory that it has if that is enough.
    package mutating func clear(_ count: Int) {
        if self.count > count { removeLast(self.count - count) }
        var span = mutableSpan
        span.update(repeating: 0)
        append(contentsOf: repeatElement(0, count: count - self.count))
    }
}
