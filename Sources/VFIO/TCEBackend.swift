import IOVASpace
import LinuxSystem
import VFIOABI
import VFIOHost

/// The sPAPR side of a container: its windows, the memory that is registered for them, and what is mapped there.
///
/// Used under its address space's lock. The container's handle is its owner's, who outlives it.
final class TCEBackend {
    let handle: OpenHandle
    let isVersion2: Bool
    let description: SPAPRTCEInfo
    /// Whether errors are isolated (`VFIO_EEH`).
    let isolatesErrors: Bool
    /// How many groups the container has.
    var groupCount = 0
    /// In ascending order.
    private(set) var windows: [TCEWindow] = []

    /// What is mapped; the backing is the memory, the tag the registration that it lies in.
    private var book = IOVAMap(mergingAdjacent: false)
    /// The memory that is registered; the tag is the registration's index.
    private var places = IOVAMap(mergingAdjacent: false)
    private var registrations: [Registration] = []
    private var unused: [UInt32] = []

    private struct Registration {
        /// Whether somebody asked for it: it then stays until they don't want it any more.
        var isAskedFor: Bool
        /// How many want that memory in it is registered, whether by this registration or by others.
        var holderCount = 0
        var mappedByteCount: UInt64 = 0

        var isWanted: Bool { isAskedFor || holderCount > 0 || mappedByteCount > 0 }
    }

    /// Takes over a container whose IOMMU has just been chosen.
    init(_ handle: OpenHandle, isVersion2: Bool) throws(Errno) {
        self.handle = handle
        self.isVersion2 = isVersion2
        isolatesErrors = try handle.send(.checkExtension, VFIOABI.Extension.eeh.rawValue) > 0
        description = try handle.windowInfo()
        let size = UInt64(description.dma32WindowSize)
        if let range = IOVARange(IOVA(UInt64(description.dma32WindowStart)), byteCount: size) {
            windows = [TCEWindow(range, pageSize: TCEBackend.defaultPageSize)]
        }
        if !isVersion2 { try handle.send(.iommuEnable) }
    }

    /// The default window's pages, in bytes.
    static let defaultPageSize: UInt64 = 4096

    var info: IOMMUInfo {
        var info = IOMMUInfo(
            pageSizes: windows.reduce(0) { $0 | $1.pageSize }, usableRanges: windows.map { $0.range })
        info.windows = windows
        return info
    }

    // MARK: windows

    /// Makes a window; without a number of levels, with as few as will do.
    func createWindow(pageSize: UInt64, byteCount: UInt64, levels: Int?) throws(Errno) -> TCEWindow {
        // The default window is made at the latest now, whoever wants it: that it can't be is an answer, too.
        let start = try createWindow(pageSize, byteCount, levels)
        guard let range = IOVARange(start, byteCount: byteCount) else {
            try? handle.removeWindow(at: start)
            throw .overflow
        }
        let window = TCEWindow(range, pageSize: pageSize)
        windows.append(window)
        windows.sort { $0.range.first < $1.range.first }
        return window
    }

    private func createWindow(
        _ pageSize: UInt64, _ byteCount: UInt64, _ levels: Int?
    ) throws(Errno) -> IOVA {
        if let levels {
            return try handle.createWindow(pageSize: pageSize, byteCount: byteCount, levels: levels)
        }
        let most = max(1, min(64, Int(description.ddw.levels)))
        let least = min(most, Self.levelCount(pageSize: pageSize, byteCount: byteCount))
        var failure = Errno.invalid
        for levels in least...most {
            do throws(Errno) {
                return try handle.createWindow(pageSize: pageSize, byteCount: byteCount, levels: levels)
            } catch {
                // A table of few levels may be too long for the kernel, or for its memory, where one of more isn't.
                guard error == .invalid || error == .noMemory else { throw error }
                if levels == least || error == .noMemory { failure = error }
            }
        }
        throw failure
    }

    /// How many levels a table is likely to need: 256 pages of the processor in a row are to be had for each part of
    /// it.
    static func levelCount(pageSize page: UInt64, byteCount: UInt64) -> Int {
        let bits = byteCount.trailingZeroBitCount - page.trailingZeroBitCount
        let perLevel = UInt64(pageSize).trailingZeroBitCount + 8
        return max(1, (bits + perLevel - 1) / perLevel)
    }

    /// Removes a window in which nothing is mapped.
    func removeWindow(_ window: TCEWindow) throws(Errno) {
        guard let index = windows.firstIndex(of: window) else { throw .noSuchEntry }
        if book.overlaps(window.range) { throw .busy }
        try handle.removeWindow(at: window.range.first)
        windows.remove(at: index)
    }

    // MARK: registered memory

    /// Registers memory until it is unregistered.
    func register(_ memory: HostAddress, byteCount: UInt64) throws(Errno) {
        guard let range = Self.range(UInt64(memory.rawValue), byteCount) else { throw .invalid }
        if let place = places.mapping(startingAt: range.first), place.range == range,
            !registrations[Int(place.tag)].isAskedFor
        {
            registrations[Int(place.tag)].isAskedFor = true
            return
        }
        _ = try add(range, isAskedFor: true)
    }

    /// Ends a registration; while something in it is mapped, that keeps it.
    func unregister(_ memory: HostAddress, byteCount: UInt64) throws(Errno) {
        guard let range = Self.range(UInt64(memory.rawValue), byteCount),
            let place = places.mapping(startingAt: range.first), place.range == range,
            registrations[Int(place.tag)].isAskedFor
        else { throw .noSuchEntry }
        registrations[Int(place.tag)].isAskedFor = false
        do throws(Errno) {
            try release(place.tag, at: range.first.rawValue)
        } catch {
            registrations[Int(place.tag)].isAskedFor = true
            throw error
        }
    }

    /// Registers what isn't registered yet of some memory, and keeps all of it so until it is let go. Others may hold
    /// parts of it, too.
    /// - Returns: what to give back to ``letGo(_:)``.
    func hold(_ memory: HostAddress, byteCount: UInt64) throws(Errno) -> [Piece] {
        let pieces = try cover(UInt64(memory.rawValue), byteCount)
        for piece in pieces { registrations[Int(piece.index)].holderCount += 1 }
        return pieces
    }

    /// Ends a hold: what nobody else wants, and nothing is mapped of, is unregistered.
    /// - Throws: the first refusal, when all of it has been let go.
    func letGo(_ pieces: [Piece]) throws(Errno) {
        var failure: Errno?
        for piece in pieces {
            registrations[Int(piece.index)].holderCount -= 1
            do throws(Errno) {
                try release(piece.index, at: piece.address)
            } catch {
                failure = failure ?? error
            }
        }
        if let failure { throw failure }
    }

    private static func range(_ address: UInt64, _ byteCount: UInt64) -> IOVARange? {
        IOVARange(IOVA(address), byteCount: byteCount)
    }

    private func add(_ range: IOVARange, isAskedFor: Bool) throws(Errno) -> UInt32 {
        try handle.sendMemory(
            .spaprRegisterMemory, HostAddress(range.first.rawValue), range.byteCount)
        let registration = Registration(isAskedFor: isAskedFor)
        let index: UInt32
        if let reused = unused.popLast() {
            registrations[Int(reused)] = registration
            index = reused
        } else {
            index = UInt32(truncatingIfNeeded: registrations.count)
            registrations.append(registration)
        }
        do throws(IOVAMapError) {
            try places.map(range, to: 0, tag: index)
        } catch {
            // The host took what this book says is taken: they must not go on together.
            unused.append(index)
            try? handle.sendMemory(
                .spaprUnregisterMemory, HostAddress(range.first.rawValue), range.byteCount)
            throw .invalid
        }
        return index
    }

    private func forget(_ place: IOVAMapping) {
        places.removeMapping(startingAt: place.range.first)
        unused.append(place.tag)
    }

    /// Unregisters memory that nobody wants any more. What the host keeps is kept here as well, for the next who
    /// wants it.
    private func release(_ index: UInt32, at address: UInt64) throws(Errno) {
        // Version 1 registers nothing.
        guard isVersion2, !registrations[Int(index)].isWanted,
            let place = places.mapping(containing: IOVA(address)), place.tag == index
        else { return }
        let start = HostAddress(place.range.first.rawValue)
        try handle.sendMemory(.spaprUnregisterMemory, start, place.range.byteCount)
        forget(place)
    }

    /// A part of memory that lies in one registration.
    struct Piece {
        let address: UInt64
        let byteCount: UInt64
        let index: UInt32
    }

    /// Registers what isn't registered yet of some memory.
    private func cover(_ address: UInt64, _ byteCount: UInt64) throws(Errno) -> [Piece] {
        guard let range = Self.range(address, byteCount) else { throw .invalid }
        var pieces: [Piece] = []
        do throws(Errno) {
            var at = address
            while true {
                let index: UInt32
                let last: UInt64
                if let place = places.mapping(containing: IOVA(at)) {
                    (index, last) = (place.tag, min(place.range.last.rawValue, range.last.rawValue))
                } else {
                    let page = UInt64(pageSize) - 1
                    // Registrations begin and end with pages of the processor.
                    let first = at & ~page
                    let end = range.last.rawValue | page
                    let limit = places.firstMapping(startingAtOrAbove: IOVA(at))?.range.first.rawValue
                    guard let gap = IOVARange(first: IOVA(first), last: IOVA(min(end, (limit ?? 0) &- 1)))
                    else { throw .invalid }
                    index = try add(gap, isAskedFor: false)
                    last = min(gap.last.rawValue, range.last.rawValue)
                }
                pieces.append(Piece(address: at, byteCount: last - at + 1, index: index))
                if last == range.last.rawValue { return pieces }
                at = last + 1
            }
        } catch {
            for piece in pieces { try? release(piece.index, at: piece.address) }
            throw error
        }
    }

    // MARK: mapping

    /// Maps memory, which is registered as long as it is mapped.
    func map(_ memory: HostAddress, to range: IOVARange, _ access: DMAPermissions) throws(Errno) {
        let address = UInt64(memory.rawValue)
        let pieces =
            isVersion2
            ? try cover(address, range.byteCount)
            : [Piece(address: address, byteCount: range.byteCount, index: 0)]
        do throws(Errno) {
            var flags: DMAMapFlags = []
            if access.contains(.read) { flags.insert(.read) }
            if access.contains(.write) { flags.insert(.write) }
            var request = DMAMap(
                flags: flags, vaddr: address, iova: range.first.rawValue, size: range.byteCount)
            try handle.sendWindowed(.iommuMapDMA, &request)
        } catch {
            for piece in pieces { try? release(piece.index, at: piece.address) }
            throw error
        }
        for piece in pieces {
            let iova = IOVA(range.first.rawValue + (piece.address - address))
            guard let part = IOVARange(iova, byteCount: piece.byteCount) else { continue }
            do throws(IOVAMapError) {
                try book.map(part, to: piece.address, tag: piece.index)
            } catch {
                // The address space maps nothing over something else.
                preconditionFailure("a place was mapped twice")
            }
            if isVersion2 { registrations[Int(piece.index)].mappedByteCount += piece.byteCount }
        }
    }

    /// Unmaps what is mapped in a range.
    /// - Returns: how many bytes that were: the host doesn't tell.
    func unmap(_ range: IOVARange) throws(Errno) -> UInt64 {
        var byteCount: UInt64 = 0
        while let mapping = book.firstMapping(overlapping: range) {
            var request = DMAUnmap(iova: mapping.range.first.rawValue, size: mapping.range.byteCount)
            try handle.sendWindowed(.iommuUnmapDMA, &request)
            book.removeMapping(startingAt: mapping.range.first)
            byteCount += mapping.range.byteCount
            guard isVersion2 else { continue }
            registrations[Int(mapping.tag)].mappedByteCount -= mapping.range.byteCount
            try? release(mapping.tag, at: mapping.backing)
        }
        return byteCount
    }
}
