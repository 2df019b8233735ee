import IOVASpace
import LinuxSystem

/// What devices without an IOMMU are served with (kernel.md B.10).
extension Type1 {
    /// A device wants to be told before what it pinned is unmapped.
    func register(_ dma: EmulatedDMA) { mutex.withLock { clients.append(dma) } }

    /// The device is closed.
    func unregister(_ dma: EmulatedDMA) { mutex.withLock { clients.removeAll { $0 === dma } } }

    /// See ``EmulatedDMA/pin(at:pageCount:for:)``; the tests are in the kernel's order.
    func pin(
        _ iova: IOVA, pageCount: Int, _ permissions: IOVAPermissions, for group: MachineGroup
    ) throws(Errno) -> [HostAddress] {
        guard isVersion2 else { throw .accessDenied }
        return try exclusively { () throws(Errno) -> [HostAddress] in
            if invalidAddressCount > 0 { throw .busy }
            if clients.isEmpty { throw .invalid }
            // Linux would pin a page that begins in the middle of one; nobody can want that.
            guard iova.isAligned(to: UInt64(pageSize)) else { throw .invalid }
            var pages: [HostAddress] = []
            do throws(Errno) {
                for index in 0..<pageCount {
                    guard let page = iova.advanced(by: UInt64(index * pageSize)) else { throw .overflow }
                    pages.append(try pinPage(page, permissions))
                }
            } catch {
                for index in pages.indices { _ = unpinPage(IOVA(iova.rawValue + UInt64(index * pageSize))) }
                throw error
            }
            limitScope(of: group)
            return pages
        }
    }

    private func pinPage(_ iova: IOVA, _ permissions: IOVAPermissions) throws(Errno) -> HostAddress {
        guard let mapping = space.map.mapping(containing: iova) else { throw .invalid }
        guard mapping.permissions.isSuperset(of: permissions) else { throw .notPermitted }
        let index = Int(mapping.tag)
        let pins = records[index].pins ?? PinnedPages()
        if let memory = try pins.pinAgain(iova) { return memory }
        let offset = iova.rawValue &- mapping.range.first.rawValue
        let memory = HostAddress(mapping.backing &+ offset)
        let isWritable = mapping.permissions.contains(.write)
        if hasDomain {
            // Pinned and counted with the whole mapping.
            try UserMemory.populate(memory, byteCount: pageSize, writable: isWritable)
        } else {
            records[index].lockedPages += try process.pin(
                memory, byteCount: UInt64(pageSize), writable: isWritable,
                mayExceedLimit: records[index].mayExceedLimit)
        }
        pins.insert(iova, memory: memory)
        records[index].pins = pins
        records[index].report?.insert(offset / unit)
        return memory
    }

    /// See ``EmulatedDMA/unpin(at:pageCount:)``.
    func unpin(_ iova: IOVA, pageCount: Int) {
        mutex.withLock {
            guard isVersion2 else { return }
            for index in 0..<pageCount {
                let (offset, overflow) = UInt64(index).multipliedReportingOverflow(by: UInt64(pageSize))
                guard !overflow, let page = iova.advanced(by: offset), unpinPage(page) else { return }
            }
        }
    }

    /// Takes a pin of a page back; false if the address isn't mapped.
    private func unpinPage(_ iova: IOVA) -> Bool {
        guard let mapping = space.map.mapping(containing: iova) else { return false }
        let index = Int(mapping.tag)
        guard let pins = records[index].pins, pins.unpin(iova) else { return true }
        if !hasDomain {
            process.unpin(1)
            records[index].lockedPages -= 1
        }
        if pins.count == 0 { records[index].pins = nil }
        return true
    }

    /// See ``EmulatedDMA/read(at:into:)``.
    /// - Parameter wholly: whether nothing is copied unless all of the range is mapped.
    func read(_ iova: IOVA, into bytes: inout MutableRawSpan, wholly: Bool) throws(Errno) {
        let count = bytes.byteCount
        // SAFETY: the span's own memory, for the time of the call.
        let target = unsafe bytes.withUnsafeMutableBytes { UInt(bitPattern: $0.baseAddress) }
        try transfer(iova, count, .read, wholly) { (memory, offset, count) throws(Errno) in
            // SAFETY: `offset` and `count` lie inside the span: the pieces add up to its length.
            var part = unsafe MutableRawSpan(
                _unsafeStart: UnsafeMutableRawPointer(bitPattern: target + UInt(offset)).unsafelyUnwrapped,
                byteCount: count)
            try UserMemory.read(from: memory, into: &part)
        }
    }

    /// See ``EmulatedDMA/write(_:at:)``.
    func write(_ bytes: RawSpan, at iova: IOVA, wholly: Bool) throws(Errno) {
        try transfer(iova, bytes.byteCount, .readWrite, wholly) { (memory, offset, count) throws(Errno) in
            try UserMemory.write(bytes.extracting(offset..<offset + count), to: memory)
            space.tellWritten(memory, byteCount: count)
        }
    }

    /// Goes through the memory behind a range, mapping by mapping.
    /// - Parameter needed: Linux wants a mapping that is written to be readable as well.
    private func transfer(
        _ iova: IOVA, _ count: Int, _ needed: IOVAPermissions, _ wholly: Bool,
        _ body: (HostAddress, Int, Int) throws(Errno) -> Void
    ) throws(Errno) {
        guard count > 0 else { throw .invalid }
        try exclusively { () throws(Errno) in
            if invalidAddressCount > 0 { throw .busy }
            if wholly {
                guard let range = IOVARange(iova, byteCount: UInt64(count)) else { throw .overflow }
                switch space.map.firstFault(in: range, for: needed) {
                case .unmapped: throw .invalid
                case .denied: throw .notPermitted
                case nil: break
                }
            }
            var done = 0
            while done < count {
                guard let at = iova.advanced(by: UInt64(done)),
                    let mapping = space.map.mapping(containing: at)
                else { throw .invalid }
                guard mapping.permissions.isSuperset(of: needed) else { throw .notPermitted }
                let offset = at.rawValue &- mapping.range.first.rawValue
                let rest = mapping.range.lastOffset &- offset
                let piece = Int(min(rest, UInt64(count - done - 1))) + 1
                try body(HostAddress(mapping.backing &+ offset), done, piece)
                if needed.contains(.write) {
                    records[Int(mapping.tag)].report?.insert(
                        offset / unit, through: (offset + UInt64(piece) - 1) / unit)
                }
                done += piece
            }
        }
    }
}
