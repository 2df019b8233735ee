import IOVASpace
import LinuxSystem
import VFIOABI

// New mappings of an I/O address space (kernel.md F.3): of the process's memory, and of what others map.

extension IOAS {
    /// IOMMU_IOAS_MAP, after its flags were checked.
    /// - Returns: the address at which the memory is mapped.
    func map(_ request: IOASMap) throws(Errno) -> UInt64 {
        guard !request.userVA.addingReportingOverflow(request.length).overflow else { throw .overflow }
        let piece = IOASPiece(
            backing: RemoteMemory.address(ofCaller: request.userVA, byteCount: request.length),
            byteCount: request.length,
            isWritable: request.flags.contains(.writeable))
        return try map(
            [piece], at: request.iova, byteCount: request.length, request.flags, placement: request.userVA)
    }

    /// Maps pieces of memory side by side.
    /// - Parameters:
    ///   - iova: where, if the flags say so.
    ///   - placement: the place of the first byte, in the process or the file: an address that is chosen has as much
    ///     of its alignment as is of use.
    /// - Returns: the address at which the first is mapped.
    func map(
        _ pieces: [IOASPiece], at iova: UInt64, byteCount length: UInt64, _ flags: IOASMapFlags,
        placement: UInt64
    ) throws(Errno) -> UInt64 {
        try exclusively { () throws(Errno) -> UInt64 in
            let mask = alignment - 1
            guard length != 0, length & mask == 0 else { throw .invalid }
            let range: IOVARange
            if flags.contains(.fixedIOVA) {
                guard iova & mask == 0 else { throw .invalid }
                guard let wanted = IOVARange(IOVA(iova), byteCount: length) else { throw .overflow }
                guard usable.contains(where: { $0.contains(wanted) }) else { throw .invalid }
                if space.map.overlaps(wanted) { throw .exists }
                range = wanted
            } else {
                range = try choose(length, for: placement)
            }
            var permissions: IOVAPermissions = []
            if flags.contains(.readable) { permissions.insert(.read) }
            if flags.contains(.writeable) { permissions.insert(.write) }
            var at = range.first.rawValue
            var mappings: [IOVAMapping] = []
            for piece in pieces {
                guard piece.isWritable || !flags.contains(.writeable) else { throw .notPermitted }
                guard piece.backing & mask == 0 else { throw .invalid }
                guard let place = IOVARange(IOVA(at), byteCount: piece.byteCount) else { throw .overflow }
                mappings.append(
                    IOVAMapping(
                        place, backing: piece.backing, permissions: permissions,
                        tag: piece.tag))
                at &+= piece.byteCount
            }
            // Only a container's request can ask for neither. A page table can't hold that.
            guard tableCount == 0 || !permissions.isEmpty else { throw .invalid }
            for piece in pieces { if let file = piece.file { files.hold(file, in: self) } }
            // What a device has taken back lets nobody through, also where it is copied to.
            for (index, piece) in pieces.enumerated() where piece.file?.isLost == true {
                mappings[index].permissions = []
            }
            do throws(Errno) {
                try prepareTracking(of: mappings)
                try pin(mappings)
            } catch {
                stopTracking(of: mappings)
                for piece in pieces { if let file = piece.file { files.letGo(file, in: self) } }
                throw error
            }
            space.change { map in
                for mapping in mappings {
                    do throws(IOVAMapError) {
                        try map.map(mapping)
                    } catch {
                        // Overlap and wrap-around were ruled out above, with `mutex` held ever since.
                        preconditionFailure("a checked mapping was refused")
                    }
                }
            }
            return range.first.rawValue
        }
    }

    /// The memory behind a range, all of which must be mapped.
    /// - Throws: `EINVAL` for a length of 0, `EOVERFLOW` for a range that wraps, `ENOENT` if there is a hole.
    func pieces(_ iova: UInt64, _ length: UInt64) throws(Errno) -> [IOASPiece] {
        try exclusively { () throws(Errno) -> [IOASPiece] in
            guard length != 0 else { throw .invalid }
            guard let range = IOVARange(IOVA(iova), byteCount: length) else { throw .overflow }
            var pieces: [IOASPiece] = []
            var next = range.first.rawValue
            while true {
                guard let mapping = space.map.mapping(containing: IOVA(next)) else { throw .noSuchEntry }
                let last = min(mapping.range.last.rawValue, range.last.rawValue)
                pieces.append(
                    IOASPiece(
                        backing: mapping.backing &+ (next - mapping.range.first.rawValue),
                        byteCount: last - next + 1,
                        isWritable: mapping.tag & IOASPiece.writableTag != 0, file: file(of: mapping)))
                if last == range.last.rawValue { return pieces }
                next = last + 1
            }
        }
    }

    /// The lowest free addresses, aligned so that large pages can be used; never the first page.
    private func choose(_ length: UInt64, for placement: UInt64) throws(Errno) -> IOVARange {
        guard length < UInt64.max / 2 else { throw .overflow }
        let ordinary = UInt64(pageSize)
        // Not more than the alignment of the memory, and of a transparent huge page.
        var unit = UInt64(1) << UInt64(64 - (length - 1).leadingZeroBitCount)
        if length == 1 { unit = 1 }
        if placement != 0 { unit = min(unit, 1 << UInt64(placement.trailingZeroBitCount)) }
        unit = min(unit, 2 << 20)
        guard unit >= alignment else { throw .invalid }
        let offset = placement & (ordinary - 1)
        let places: [IOVARange] = allowed.compactMap { IOVARange(first: IOVA($0.start), last: IOVA($0.last)) }
        for usable in usable {
            guard let above = IOVARange(first: IOVA(ordinary), last: .max),
                let part = usable.intersection(above)
            else { continue }
            for place in places.isEmpty ? [part] : places.compactMap({ $0.intersection(part) }) {
                let alignment = offset == 0 ? max(unit, 1) : ordinary
                if let gap = space.map.firstGap(
                    byteCount: length, alignedTo: alignment, offset: offset, in: place)
                {
                    return gap
                }
            }
        }
        throw .noSpace
    }
}

/// A part of memory that an address space maps.
struct IOASPiece {
    /// The address in this process.
    let backing: UInt64
    let byteCount: UInt64
    /// Whether the memory was given for writing, too.
    let isWritable: Bool
    /// The file that it is a part of; nil for memory of the process.
    var file: FileMemory?
}

extension IOASPiece {
    /// The tag of mappings whose memory was given for writing. What a mapping permits says less: a copy may
    /// permit reading only, and be copied on for writing.
    static var writableTag: UInt32 { 1 }
    /// The tag of mappings of a file.
    static var fileTag: UInt32 { 2 }

    /// The place of the first byte, in the file if there is one.
    var placement: UInt64 { file.map { $0.placement(of: backing) } ?? backing }

    /// The tag of a mapping of this.
    var tag: UInt32 { (isWritable ? Self.writableTag : 0) | (file != nil ? Self.fileTag : 0) }
}
