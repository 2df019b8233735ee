import LinuxSystem
import VFIO

/// The IOMMU of a guest on POWER: a table with one translation control entry (TCE) for each page, which the guest
/// changes by hypercalls.
///
/// It stands behind a region of kind ``MemoryRegion/Kind/iommu(_:)`` of the same length, placed where the guest's
/// devices have their DMA window: offset 0 is the table's first entry. On a POWER host with windows of its own, the
/// region must lie where one of those can be made.
///
/// The methods may be called from any thread; they take the memory map's lock.
public final class TCETable: GuestIOMMU, @unchecked Sendable {
    /// What a hypercall answers.
    public enum Status: Int, Sendable, Hashable {
        /// `H_SUCCESS`
        case success = 0
        /// `H_PARAMETER`: a page, or an address, that can't be. What comes before it has been done.
        case parameter = -4
    }

    /// The permissions in an entry, and what must be zero besides them and the address.
    private static let read: UInt64 = 1
    private static let write: UInt64 = 2

    /// How many entries one call can bring: a page of 4 KiB full.
    public static let longestList: UInt64 = 512

    /// The most entries that a table can have.
    public static let mostEntries: UInt64 = 1 << 27

    /// Those who are told what changes.
    public let notifiers = IOMMUNotifiers()
    /// Where translations lead: the guest's system memory.
    public let target: GuestAddressSpace
    /// How many bytes of addresses it translates.
    public let byteCount: UInt64
    /// The length of a page in bytes.
    public let smallestPage: UInt64
    /// KVM's table for the same addresses, if there is one: what the guest puts there needn't come through the VMM.
    public let kernelTable: Int32?
    private let entries: Entries

    /// The entries, in pieces of which there are those that have been written.
    private final class Entries: @unchecked Sendable {
        private static let pieceLength: UInt64 = 4096
        private let lock = Lock()
        // Guarded by the lock.
        private var pieces: [[UInt64]?]

        init(count: UInt64) {
            pieces = [[UInt64]?](
                repeating: nil, count: Int((count + Self.pieceLength - 1) / Self.pieceLength))
        }

        subscript(index: UInt64) -> UInt64 {
            get {
                lock.withLock {
                    pieces[Int(index / Self.pieceLength)]?[Int(index % Self.pieceLength)] ?? 0
                }
            }
            set {
                lock.withLock {
                    let piece = Int(index / Self.pieceLength)
                    if pieces[piece] == nil {
                        if newValue == 0 { return }
                        pieces[piece] = [UInt64](repeating: 0, count: Int(Self.pieceLength))
                    }
                    pieces[piece]?[Int(index % Self.pieceLength)] = newValue
                }
            }
        }

        /// The first entry from an index on that isn't zero.
        func firstSet(in indices: Range<UInt64>) -> (index: UInt64, entry: UInt64)? {
            lock.withLock {
                var index = indices.lowerBound
                while index < indices.upperBound {
                    let end = min((index / Self.pieceLength + 1) * Self.pieceLength, indices.upperBound)
                    if let piece = pieces[Int(index / Self.pieceLength)] {
                        while index < end {
                            let entry = piece[Int(index % Self.pieceLength)]
                            if entry != 0 { return (index, entry) }
                            index += 1
                        }
                    }
                    index = end
                }
                return nil
            }
        }
    }

    /// A table that lets nothing through until the guest fills it.
    /// - Parameters:
    ///   - target: where translations lead: the guest's system memory.
    ///   - pageSize: a power of two, from 4096 to 2^34.
    ///   - byteCount: how many bytes of addresses it translates: whole pages, at most ``mostEntries``.
    ///   - kernelTable: the descriptor of KVM's table for the same addresses. It stays the caller's, and open as long as
    ///     the table.
    /// - Throws: ``/VFIO/VFIOError/Code/notSupported`` for numbers that can't be.
    public init(
        to target: GuestAddressSpace, pageSize: UInt64, byteCount: UInt64, kernelTable: Int32? = nil
    ) throws(VFIOGuestError) {
        guard pageSize.nonzeroBitCount == 1, 12...34 ~= pageSize.trailingZeroBitCount,
            byteCount % pageSize == 0, 1...Self.mostEntries ~= byteCount / pageSize
        else {
            throw VFIOError(
                operation: "make a table of \(byteCount) bytes in pages of \(pageSize)",
                object: "the guest's TCEs", code: .notSupported,
                cause: "it has 1 to \(Self.mostEntries) pages of 4096 to 2^34 bytes")
        }
        self.target = target
        self.byteCount = byteCount
        self.kernelTable = kernelTable
        smallestPage = pageSize
        entries = Entries(count: byteCount / pageSize)
    }

    private var mask: UInt64 { smallestPage - 1 }
    private var count: UInt64 { byteCount / smallestPage }

    // MARK: hypercalls

    /// Sets one entry: `H_PUT_TCE`.
    /// - Parameters:
    ///   - offset: the page's first address, as an offset in the table's region.
    ///   - entry: the guest-physical address of a page, and 1 for a page that devices may read, 2 for one that they may
    ///     write; without these two nothing is mapped.
    public func put(_ entry: UInt64, at offset: UInt64) -> Status {
        target.memory.lock.withLock {
            guard offset & mask == 0, offset < byteCount, isPossible(entry) else { return .parameter }
            set(entry, offset / smallestPage)
            return .success
        }
    }

    /// Sets consecutive entries from a list in the guest's memory: `H_PUT_TCE_INDIRECT`.
    /// - Parameters:
    ///   - list: where the list begins: a multiple of 4096.
    ///   - offset: the first page's first address, as an offset in the table's region.
    ///   - entryCount: at most ``longestList``.
    public func put(listAt list: GuestAddress, at offset: UInt64, entryCount: UInt64) -> Status {
        target.memory.lock.withLock {
            guard list.rawValue & 4095 == 0, entryCount <= Self.longestList,
                hasPages(offset, entryCount)
            else { return .parameter }
            var words = GuestAddressSpaceWords(target)
            for index in 0..<entryCount {
                // Each is read once: the guest may be changing the list.
                guard let entry = words.word(at: GuestAddress(list.rawValue &+ index * 8)),
                    isPossible(entry)
                else { return .parameter }
                set(entry, offset / smallestPage + index)
            }
            return .success
        }
    }

    /// Sets consecutive entries to the same value: `H_STUFF_TCE`. Takes as long as there are entries.
    public func stuff(_ entry: UInt64, at offset: UInt64, entryCount: UInt64) -> Status {
        target.memory.lock.withLock {
            guard hasPages(offset, entryCount), isPossible(entry) else { return .parameter }
            for index in 0..<entryCount { set(entry, offset / smallestPage + index) }
            return .success
        }
    }

    /// Empties the table, as a reset of the machine does.
    public func reset() { _ = stuff(0, at: 0, entryCount: count) }

    private func hasPages(_ offset: UInt64, _ entryCount: UInt64) -> Bool {
        offset & mask == 0 && offset <= byteCount && entryCount <= (byteCount - offset) / smallestPage
    }

    private func isPossible(_ entry: UInt64) -> Bool { entry & mask & ~(Self.read | Self.write) == 0 }

    private func set(_ entry: UInt64, _ index: UInt64) {
        let old = entries[index]
        guard entry != old else { return }
        entries[index] = entry
        // What can't be followed any more is gone before something else is there.
        if !Self.permissions(old).isEmpty { notifiers.tell(.unmap, self.entry(index, 0)) }
        if !Self.permissions(entry).isEmpty { notifiers.tell(.map, self.entry(index, entry)) }
    }

    // MARK: GuestIOMMU

    /// Looks the page up.
    public func translate(_ offset: UInt64, for access: DMAPermissions, index: Int) -> IOMMUEntry {
        guard offset < byteCount else {
            return IOMMUEntry(
                target: target, iova: offset & ~mask, translated: GuestAddress(0), lastOffset: mask,
                permissions: [])
        }
        return entry(offset / smallestPage, entries[offset / smallestPage])
    }

    /// Tells of all entries that map something.
    public func replay(to notifier: IOMMUNotifier) {
        target.memory.lock.withLock {
            var index = notifier.range.lowerBound / smallestPage
            let end = min(count, notifier.range.upperBound / smallestPage + 1)
            while index < end, let next = entries.firstSet(in: index..<end) {
                index = next.index + 1
                let entry = entry(next.index, next.entry)
                if !entry.permissions.isEmpty { notifier.tell(.map, entry) }
            }
        }
    }

    /// KVM's table, where there is one.
    public func value(of attribute: IOMMUAttribute) -> IOMMUAttribute.Value? {
        switch attribute {
        case .kernelTable: kernelTable.map { .descriptor($0) }
        }
    }

    private func entry(_ index: UInt64, _ word: UInt64) -> IOMMUEntry {
        IOMMUEntry(
            target: target, iova: index * smallestPage, translated: GuestAddress(word & ~mask),
            lastOffset: mask, permissions: Self.permissions(word))
    }

    private static func permissions(_ word: UInt64) -> DMAPermissions {
        var permissions: DMAPermissions = []
        if word & read != 0 { permissions.insert(.read) }
        if word & write != 0 { permissions.insert(.write) }
        return permissions
    }
}
