import IOVASpace
import LinuxSystem
import VFIOHost

extension AddressSpace {
    /// Allocates memory that the devices of this space can reach.
    /// - Parameters:
    ///   - byteCount: at least 1; rounded up to whole pages of the kind asked for and of the IOMMU.
    ///   - pages: what kind of pages back it.
    ///   - access: what devices may do with it.
    ///   - iova: where devices are to see it; nil for a free place, which is never 0.
    ///   - limit: devices are to see all of it below this address; for devices with few address bits.
    /// - Throws: among others ``VFIOError/Code/memlockLimit``, ``VFIOError/Code/outsideAperture``,
    ///   ``VFIOError/Code/reservedRange``, ``VFIOError/Code/overlap``, ``VFIOError/Code/noSpace`` and
    ///   ``VFIOError/Code/noDeviceYet``.
    public func allocate(
        byteCount: Int, pages: Mapping.PageKind = .ordinary, access: DMAPermissions = [.read, .write],
        at iova: IOVA? = nil, below limit: IOVA? = nil
    ) throws(VFIOError) -> DMAMemory {
        let operation = "allocate \(counted(byteCount, "byte")) for DMA"
        let unit = Int(clamping: try unitOfMapping { operation })
        guard byteCount > 0, let rounded = byteCount.roundedUp(toMultipleOf: max(unit, pages.byteCount))
        else {
            throw VFIOError(
                operation: operation, object: Self.object, code: .outOfBounds,
                cause: byteCount > 0 ? "that is more than an address space has" : "the length isn't positive")
        }
        // An IOMMU whose pages are longer than the machine's needs memory that begins on one of its pages.
        let slack = unit > pages.byteCount ? unit - pages.byteCount : 0
        let (needed, overflow) = rounded.addingReportingOverflow(slack)
        let backing: OwnedMapping
        do throws(Errno) {
            if overflow { throw .noMemory }
            backing = try OwnedMapping(byteCount: needed, pages: pages, of: host)
        } catch {
            throw Diagnosis.allocation(operation, error, pages, byteCount: needed)
        }
        let start = backing.window.address.rawValue
        let skipped = Int(
            bitPattern: (UInt(bitPattern: unit) &- start % UInt(bitPattern: unit)) % UInt(bitPattern: unit))
        let window = backing.window.window(at: skipped, byteCount: rounded)
        if !access.contains(.write) {
            // Kernels before 6.2 pin the shared page of zeros where memory that devices only read was never
            // written; what the owner writes later goes to another page, which devices don't see.
            do throws(Errno) {
                try UserMemory.populate(window.address, byteCount: rounded, writable: true)
            } catch {
                throw Diagnosis.allocation(operation, .noMemory, pages, byteCount: needed)
            }
        }
        return DMAMemory(try map(window, backing, access, at: iova, below: limit, pages.byteCount))
    }

    /// Lets the devices of this space reach memory that the user has.
    ///
    /// For devices that only read: memory that was never written, or that another process shares since a fork, must
    /// be written once (every page) before. Linux before 6.2 otherwise shows devices what was there at first, not
    /// what is written later.
    /// - Parameters:
    ///   - window: the memory; begins on a page of the IOMMU and is a whole number of them long. The caller keeps
    ///     it mapped until the mapping is gone.
    ///   - access: what devices may do with it.
    ///   - iova: where devices are to see it; nil for a free place, which is never 0.
    ///   - limit: devices are to see all of it below this address.
    /// - Throws: as ``allocate(byteCount:pages:access:at:below:)``, and ``VFIOError/Code/misaligned`` or
    ///   ``VFIOError/Code/badMemory``.
    public func map(
        _ window: MemoryWindow, access: DMAPermissions = [.read, .write], at iova: IOVA? = nil,
        below limit: IOVA? = nil
    ) throws(VFIOError) -> DMAMapping {
        DMAMapping(try map(window, nil, access, at: iova, below: limit, pageSize))
    }

    /// Unmaps everything that is mapped in this space, whoever holds it. Memory and mappings that still exist
    /// keep their memory, but devices don't reach it any more.
    /// - Throws: ``VFIOError/Code/unmappedSizeDiffers`` if the host unmapped another number of bytes than were
    ///   mapped.
    public func unmapAll() throws(VFIOError) {
        let operation = "unmap everything"
        try lock.withLock { () throws(VFIOError) in
            guard let backend, !mappings.isEmpty else { return }
            let expected = mappings.byteCount
            let actual: UInt64?
            do throws(Errno) {
                actual = try backend.unmapAll()
            } catch {
                throw VFIOError(operation: operation, object: Self.object, errno: error)
            }
            if let actual {
                // On a mismatch all stays in the book: what each holder then gives back is checked once more.
                guard actual == expected else {
                    throw Diagnosis.unmappedSize(operation, expected: expected, actual: actual)
                }
                mappings.removeAll()
                return
            }
            while let mapping = mappings.first { try takeDown(mapping.range) }
        }
    }

    /// What this object is called in messages.
    static let object = "the I/O address space"

    private func map(
        _ window: MemoryWindow, _ backing: OwnedMapping?, _ access: DMAPermissions, at iova: IOVA?,
        below limit: IOVA?, _ page: Int
    ) throws(VFIOError) -> MappedRange {
        let byteCount = window.byteCount
        // Made only for an error, here and below.
        func operation() -> String {
            let place = iova.map { " at IOVA \(hex($0.rawValue))" } ?? ""
            return "map \(counted(byteCount, "byte")) for DMA" + place
        }
        let unit = try unitOfMapping(operation)
        guard byteCount > 0, UInt64(byteCount) % unit == 0, UInt64(window.address.rawValue) % unit == 0 else {
            throw Diagnosis.misaligned(operation(), window, unit: unit)
        }
        if access.isDisjoint(with: [.read, .write]) {
            throw VFIOError(
                operation: operation(), object: Self.object,
                cause: "neither reading nor writing was to be allowed", remedy: "allow one of them")
        }
        return try lock.withLock { () throws(VFIOError) -> MappedRange in
            guard let backend, let info else { throw Diagnosis.noDevice(operation()) }
            let range: IOVARange
            if let iova {
                // Where there are windows, each has a page size of its own.
                let unit = info.unit(at: iova)
                guard (UInt64(window.address.rawValue) | UInt64(byteCount)) % unit == 0 else {
                    throw Diagnosis.misaligned(operation(), window, unit: unit)
                }
                range = try check(iova, UInt64(byteCount), below: limit, unit: unit, operation)
            } else {
                let places = info.places(for: UInt64(window.address.rawValue), UInt64(byteCount))
                range = try findGap(UInt64(byteCount), below: limit, in: places, UInt64(page), operation)
            }
            do throws(Errno) {
                try backend.map(window.address, to: range, access)
            } catch {
                let state = Diagnosis.MapState(
                    info: info, reservedRegions: reservedRegions, mappedByteCount: mappings.byteCount,
                    mappingCount: mappings.count)
                throw Diagnosis.map(operation(), range, access, error, state, host)
            }
            lastSerial &+= 1
            do throws(IOVAMapError) {
                try mappings.map(
                    IOVAMapping(range, backing: lastSerial, permissions: access.permissions))
            } catch {
                // The range was free in the same book a moment ago, under the same lock.
                throw VFIOError(
                    operation: operation(), object: Self.object, code: .overlap, cause: "\(error)")
            }
            return MappedRange(in: self, at: range.first, window, serial: lastSerial, backing: backing)
        }
    }

    /// The IOMMU's page size.
    private func unitOfMapping(_ operation: () -> String) throws(VFIOError) -> UInt64 {
        try lock.withLock { () throws(VFIOError) -> UInt64 in
            if backend?.route.kind == .unprotected { throw Diagnosis.noTranslation(operation()) }
            guard let info else { throw Diagnosis.noDevice(operation()) }
            return info.smallestPage
        }
    }

    /// Checks a range that the caller chose.
    private func check(
        _ iova: IOVA, _ byteCount: UInt64, below limit: IOVA?, unit: UInt64, _ operation: () -> String
    ) throws(VFIOError) -> IOVARange {
        guard iova.rawValue % unit == 0 else {
            throw VFIOError(
                operation: operation(), object: Self.object, code: .misaligned,
                cause: "the IOVA isn't a multiple of the IOMMU's page size, \(unit) bytes")
        }
        guard let range = IOVARange(iova, byteCount: byteCount) else {
            throw VFIOError(
                operation: operation(), object: Self.object, code: .outsideAperture,
                cause: "the range goes beyond the end of the 64-bit address space")
        }
        if let limit, range.last >= limit {
            throw VFIOError(
                operation: operation(), object: Self.object, code: .outOfBounds,
                cause: "the range \(range) isn't below \(hex(limit.rawValue)), as was asked for")
        }
        if let taken = mappings.firstMapping(overlapping: range) {
            throw VFIOError(
                operation: operation(), object: Self.object, code: .overlap,
                cause: "\(range) overlaps \(taken.range), which is mapped already",
                remedy: "unmap that first, or leave the choice of the IOVA open")
        }
        if let info, !info.usableRanges.contains(where: { $0.contains(range) }),
            let error = Diagnosis.range(operation(), range, info.usableRanges, reservedRegions)
        {
            throw error
        }
        return range
    }

    /// Finds a free range: never at 0, aligned so that the IOMMU can use huge pages where the length allows.
    private func findGap(
        _ byteCount: UInt64, below limit: IOVA?, in places: (ranges: [IOVARange], unit: UInt64),
        _ page: UInt64, _ operation: () -> String
    ) throws(VFIOError) -> IOVARange {
        let (usable, unit) = places
        let last = (limit?.rawValue ?? 0) &- 1
        // "Below 0" allows nothing; no limit allows all.
        let isNothingAllowed = limit?.rawValue == 0
        let floor = IOVA(max(unit, UInt64(pageSize)))
        let allowed = isNothingAllowed ? nil : IOVARange(first: floor, last: IOVA(last))
        guard let allowed else { throw Diagnosis.noGap(operation(), usable, limit, mappings.byteCount) }
        let coarse: UInt64 = byteCount >= 2 << 20 ? 2 << 20 : unit
        let strict = max(unit, page.nonzeroBitCount == 1 ? page : unit)
        var alignment = max(coarse, strict)
        while true {
            let gap =
                firstGap(byteCount, alignedTo: alignment, in: usable, from: searchStart, allowed)
                ?? firstGap(byteCount, alignedTo: alignment, in: usable, from: floor, allowed)
            if let gap {
                searchStart = IOVA(gap.last.rawValue == .max ? 0 : gap.last.rawValue + 1)
                return gap
            }
            if alignment == strict { break }
            alignment = strict
        }
        throw Diagnosis.noGap(operation(), usable, limit, mappings.byteCount)
    }

    private func firstGap(
        _ byteCount: UInt64, alignedTo alignment: UInt64, in usable: [IOVARange], from start: IOVA,
        _ allowed: IOVARange
    ) -> IOVARange? {
        guard let window = IOVARange(first: max(start, allowed.first), last: allowed.last) else { return nil }
        for range in usable {
            if let part = range.intersection(window),
                let gap = mappings.firstGap(byteCount: byteCount, alignedTo: alignment, in: part)
            {
                return gap
            }
        }
        return nil
    }

    /// Unmaps a range that is in the book. Called under the lock.
    private func takeDown(_ range: IOVARange) throws(VFIOError) {
        func operation() -> String {
            "unmap \(counted(range.byteCount, "byte")) at IOVA \(hex(range.first.rawValue))"
        }
        guard let backend else { return }
        let actual: UInt64
        do throws(Errno) {
            actual = try backend.unmap(range)
        } catch {
            throw VFIOError(operation: operation(), object: Self.object, errno: error)
        }
        guard actual == range.byteCount else {
            // The range stays in the book: nobody knows what a device would reach there.
            throw Diagnosis.unmappedSize(operation(), expected: range.byteCount, actual: actual)
        }
        _ = mappings.removeMapping(startingAt: range.first)
    }

    /// Ends a mapping. If that fails, its memory stays until the space is gone.
    func end(_ mapped: MappedRange, keeping backing: OwnedMapping?) throws(VFIOError) {
        try lock.withLock { () throws(VFIOError) in
            // Unmapped meanwhile by `unmapAll`, and the place perhaps used again by another.
            guard let entry = mappings.mapping(startingAt: mapped.iova), entry.backing == mapped.serial else {
                return
            }
            do throws(VFIOError) {
                try takeDown(entry.range)
            } catch {
                if let backing { condemned.append(backing) }
                throw error
            }
        }
    }
}
