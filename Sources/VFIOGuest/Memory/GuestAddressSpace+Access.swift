import LinuxSystem
import VFIO

/// Why memory of a guest couldn't be read or written.
public enum GuestAccessError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Nothing answers at this address.
    case unassigned(GuestAddress)
    /// An IOMMU of the guest's doesn't translate this address, or doesn't allow the access.
    case notTranslated(GuestAddress)
    /// One IOMMU leads to the next, and so on, without an end.
    case tooManyTranslations(GuestAddress)

    /// In words.
    public var description: String {
        switch self {
        case .unassigned(let address): "nothing answers at \(address)"
        case .notTranslated(let address): "the guest's IOMMU doesn't let the access to \(address) through"
        case .tooManyTranslations(let address): "\(address) goes through too many IOMMUs"
        }
    }
}

/// Reading and writing as a processor or an emulated device of the guest does. From any thread: what is seen is what
/// the space showed at some moment during the access.
extension GuestAddressSpace {
    /// Reads bytes. Registers are read with the widest accesses that their alignment allows.
    /// - Throws: at the first byte that can't be read; those before it have been.
    public func read(at address: GuestAddress, into bytes: inout MutableRawSpan) throws(GuestAccessError) {
        var done = 0
        while done < bytes.byteCount {
            let place = try find(address, done, bytes.byteCount - done, .read)
            if let window = place.window {
                var part = bytes._mutatingExtracting(done..<done + place.byteCount)
                window.read(at: place.offset, into: &part)
                done += place.byteCount
            } else {
                let width = place.width
                let value = place.load(width)
                for index in 0..<width {
                    bytes.storeBytes(
                        of: UInt8(truncatingIfNeeded: value >> UInt64(8 * index)), toByteOffset: done + index,
                        as: UInt8.self)
                }
                done += width
            }
        }
    }

    /// Writes bytes, and notes the written pages of RAM for those who want to know. Writes to what can only be read
    /// are dropped, as on hardware.
    /// - Throws: at the first byte that can't be written; those before it have been.
    public func write(_ bytes: RawSpan, at address: GuestAddress) throws(GuestAccessError) {
        var done = 0
        while done < bytes.byteCount {
            let place = try find(address, done, bytes.byteCount - done, .write)
            if let window = place.window {
                if !place.isReadOnly {
                    window.write(bytes.extracting(done..<done + place.byteCount), at: place.offset)
                    place.markWritten()
                }
                done += place.byteCount
            } else {
                let width = place.width
                var value: UInt64 = 0
                for index in 0..<width {
                    let byte = unsafe bytes.unsafeLoad(fromByteOffset: done + index, as: UInt8.self)
                    value |= UInt64(byte) << UInt64(8 * index)
                }
                place.store(value, width)
                done += width
            }
        }
    }

    /// Reads a number, little-endian.
    @inlinable public func load<T: FixedWidthInteger & BitwiseCopyable>(
        _ type: T.Type, at address: GuestAddress
    ) throws(GuestAccessError) -> T {
        var one = InlineArray<1, T>(repeating: 0)
        var span = one.mutableSpan
        // SAFETY: any bytes are a value of a fixed-width integer.
        var bytes = unsafe span.mutableBytes
        try read(at: address, into: &bytes)
        return T(littleEndian: one[0])
    }

    /// Writes a number, little-endian.
    @inlinable public func store<T: FixedWidthInteger & BitwiseCopyable>(
        _ value: T, at address: GuestAddress
    ) throws(GuestAccessError) {
        let one = InlineArray<1, T>(repeating: value.littleEndian)
        // SAFETY: a fixed-width integer has no padding: all its bytes are initialised.
        try write(unsafe one.span.bytes, at: address)
    }

    /// Where an access goes, as far as it goes there in one piece.
    private struct Place {
        let range: FlatRange
        /// Where the access begins in the region.
        let start: UInt64
        let byteCount: Int

        /// The memory, where plain copies are right.
        var window: MemoryWindow? { range.region.isRAM ? range.region.block?.window : nil }

        var offset: Int { Int(start) }

        /// A write that is dropped.
        var isReadOnly: Bool { range.isReadOnly }

        /// The widest access that is aligned and goes no further.
        var width: Int {
            var width = 8
            while width > byteCount || start % UInt64(width) != 0 { width /= 2 }
            return width
        }

        func load(_ width: Int) -> UInt64 {
            switch range.region.kind {
            case .io(let registers): registers.read(at: start, width: width)
            case .ramDevice(let block):
                switch width {
                case 8: block.window.load64(offset)
                case 4: UInt64(block.window.load32(offset))
                case 2: UInt64(block.window.load16(offset))
                default: UInt64(block.window.load8(offset))
                }
            default: .max
            }
        }

        func store(_ value: UInt64, _ width: Int) {
            if isReadOnly { return }
            switch range.region.kind {
            case .io(let registers): registers.write(value, at: start, width: width)
            case .ramDevice(let block):
                switch width {
                case 8: block.window.store64(offset, value)
                case 4: block.window.store32(offset, UInt32(truncatingIfNeeded: value))
                case 2: block.window.store16(offset, UInt16(truncatingIfNeeded: value))
                default: block.window.store8(offset, UInt8(truncatingIfNeeded: value))
                }
            default: break
            }
        }

        func markWritten() {
            var clients = range.dirtyClients
            if !clients.contains(.migration) {
                // A migration may have begun since the range was looked up; what was written before it is in its
                // first round.
                Fence.full()
                if range.region.memory.migrationLogFlag.load() != 0 { clients.insert(.migration) }
            }
            guard !clients.isEmpty else { return }
            range.region.block?.dirtyLog.mark(at: start, byteCount: UInt64(byteCount), for: clients)
        }
    }

    /// Finds where an access goes, through the guest's IOMMUs.
    private func find(
        _ start: GuestAddress, _ done: Int, _ count: Int, _ access: DMAPermissions
    ) throws(GuestAccessError) -> Place {
        var space = self
        var (address, overflow) = start.rawValue.addingReportingOverflow(UInt64(done))
        if overflow { throw .unassigned(start) }
        var count = UInt64(count)
        for _ in 0..<4 {
            let range = space.viewRange(containing: address)
            guard let range else { throw .unassigned(GuestAddress(address)) }
            count = min(count, (range.last - address) &+ 1 == 0 ? .max : range.last - address + 1)
            let offset = range.offset + (address - range.first)
            guard case .iommu(let iommu) = range.region.kind else {
                return Place(range: range, start: offset, byteCount: Int(count))
            }
            let entry = iommu.translate(offset, for: access)
            guard entry.permissions.isSuperset(of: access), entry.iova <= offset,
                offset - entry.iova <= entry.lastOffset
            else { throw .notTranslated(GuestAddress(address)) }
            let inside = offset - entry.iova
            if entry.lastOffset != .max { count = min(count, entry.lastOffset - inside + 1) }
            let (target, overflow) = entry.translated.rawValue.addingReportingOverflow(inside)
            if overflow { throw .unassigned(entry.translated) }
            address = target
            space = entry.target
        }
        throw .tooManyTranslations(start)
    }
}
