import LinuxSystem

/// A node of a guest's memory map: memory, registers, a translated area, a window on another region, or a container
/// of further regions.
///
/// A region has a length, and its children lie at offsets in it. Where children overlap, the one with the higher
/// priority is seen; among equals the one added last. What no child covers shows the region itself, unless it is a
/// container, through which what lies below is seen.
///
/// Regions are changed through their methods, each a transaction of its own unless it is called within
/// ``GuestMemory/transaction(_:)``. All regions of a guest belong to one ``GuestMemory``, whose lock guards them; the
/// methods may be called from any thread.
public final class MemoryRegion: @unchecked Sendable, CustomStringConvertible {
    /// What a region is.
    public enum Kind: Sendable {
        /// Nothing of its own, only its children.
        case container
        /// Memory of the guest.
        case ram(RAMBlock)
        /// Memory that the guest can only read.
        case rom(RAMBlock)
        /// The mapped part of a device's region: loads and stores go to a device. It takes part in DMA between
        /// devices, and failing to map it for DMA isn't fatal.
        case ramDevice(RAMBlock)
        /// Registers.
        case io(any RegisterAccess)
        /// An area whose addresses an IOMMU of the guest translates.
        case iommu(any GuestIOMMU)
        /// A window on another region, from an offset on.
        case alias(MemoryRegion, offset: UInt64)
    }

    /// The memory map that the region is a part of.
    public let memory: GuestMemory
    /// What it is called in messages.
    public let name: String
    /// What it is.
    public let kind: Kind

    // All below is guarded by the memory's lock.
    var length: UInt64  // less one
    var aliasOffset: UInt64 = 0
    var enabled = true
    var readOnly = false
    var nonvolatile = false
    var hidden = false
    var logging: DirtyClients = []
    /// Who knows which parts are populated; nil if all are. Changes only while the region is nowhere.
    var discards: RAMDiscardManager?
    /// Where it lies in its parent.
    var placement = Placement()
    // Weak, as those below: another thread may be about to free it, and waits for the lock in `deinit`.
    weak var parentOrNil: MemoryRegion?
    var children = ChildList()
    /// Aliases that show this region; they keep it, and take themselves out when they go.
    var aliases: [Weak] = []
    /// Spaces that have it as their root; as with aliases.
    var spaces: [WeakSpace] = []

    struct Placement {
        var offset: UInt64 = 0
        var priority = 0
        /// Tells which child was added last.
        var serial: UInt64 = 0
    }

    /// A reference that its target removes before it goes.
    struct Weak {
        weak var region: MemoryRegion?
        let id: ObjectIdentifier
        init(_ region: MemoryRegion) {
            self.region = region
            id = ObjectIdentifier(region)
        }
    }
    struct WeakSpace {
        weak var space: GuestAddressSpace?
        let id: ObjectIdentifier
        init(_ space: GuestAddressSpace) {
            self.space = space
            id = ObjectIdentifier(space)
        }
    }

    /// A region that is nowhere yet.
    /// - Parameters:
    ///   - kind: what it is.
    ///   - byteCount: its length, 1...2^64. RAM and ROM can't be longer than their block.
    ///   - memory: the memory map that it belongs to.
    /// - Throws: ``GuestMemoryError/badLength(_:)``, ``GuestMemoryError/foreignRegion(_:)``.
    public init(
        _ name: String, _ kind: Kind, byteCount: UInt128, in memory: GuestMemory
    ) throws(GuestMemoryError) {
        guard byteCount > 0, byteCount <= 1 << 64 else { throw .badLength(name) }
        self.name = name
        self.kind = kind
        self.memory = memory
        length = UInt64(byteCount - 1)
        switch kind {
        case .ram(let block), .rom(let block), .ramDevice(let block):
            guard byteCount <= block.byteCount else { throw .badLength(name) }
            if case .rom = kind { readOnly = true }
        case .alias(let target, let offset):
            guard target.memory === memory else { throw .foreignRegion(target.name) }
            aliasOffset = offset
            memory.lock.withLock { target.aliases.append(Weak(self)) }
        case .container, .io, .iommu: break
        }
    }

    /// A region that shows a whole block.
    public convenience init(ram block: RAMBlock, in memory: GuestMemory) throws(GuestMemoryError) {
        try self.init(block.name, .ram(block), byteCount: UInt128(block.byteCount), in: memory)
    }

    deinit {
        memory.lock.withLock {
            let id = ObjectIdentifier(self)
            if case .alias(let target, _) = kind { target.aliases.removeAll { $0.id == id } }
        }
    }

    /// The region's length in bytes.
    public var byteCount: UInt128 { memory.lock.withLock { UInt128(length) + 1 } }

    /// The region that it is a part of; nil if it is in none.
    public var parent: MemoryRegion? { memory.lock.withLock { parentOrNil } }

    /// Its children, by offset.
    public var subregions: [MemoryRegion] { memory.lock.withLock { children.regions } }

    /// Where it lies in its parent.
    public var offset: UInt64 { memory.lock.withLock { placement.offset } }

    /// Whether it, and all that it contains, takes part.
    public var isEnabled: Bool { memory.lock.withLock { enabled } }

    /// Whether the guest can only read it and all that it contains.
    public var isReadOnly: Bool { memory.lock.withLock { readOnly } }

    /// The block behind RAM, ROM and RAM devices.
    public var block: RAMBlock? {
        switch kind {
        case .ram(let block), .rom(let block), .ramDevice(let block): block
        default: nil
        }
    }

    /// Whether it is ordinary memory: RAM or ROM.
    public var isRAM: Bool {
        switch kind {
        case .ram, .rom: true
        default: false
        }
    }

    /// Whether it is the mapped part of a device's region.
    public var isRAMDevice: Bool { if case .ramDevice = kind { true } else { false } }

    /// Whether an IOMMU of the guest translates its addresses.
    public var isTranslated: Bool { if case .iommu = kind { true } else { false } }

    /// Its name.
    public var description: String { name }

    /// Whether it shows something itself where no child does.
    var isTerminating: Bool {
        switch kind {
        case .container, .alias: false
        default: true
        }
    }
}

/// What answers for registers that a guest reads and writes.
public protocol RegisterAccess: AnyObject, Sendable {
    /// Reads `width` bytes (1, 2, 4 or 8), little-endian, at an offset in the region.
    func read(at offset: UInt64, width: Int) -> UInt64
    /// Writes `width` bytes (1, 2, 4 or 8), little-endian, at an offset in the region.
    func write(_ value: UInt64, at offset: UInt64, width: Int)
}

/// Why a change to a memory map was refused. Nothing has changed then.
public enum GuestMemoryError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A region's length is 0, more than 2^64, or more than its block has.
    case badLength(String)
    /// The region belongs to another memory map.
    case foreignRegion(String)
    /// The region is a part of another one already.
    case hasParent(String)
    /// The region isn't a part of this one.
    case notChild(String)
    /// The region would contain itself.
    case cycle(String)
    /// The region isn't of the kind that the change is for.
    case wrongKind(String)
    /// The child would end beyond the last address that there can be.
    case beyondEnd(String)
    /// The region has a ``RAMDiscardManager`` already.
    case hasDiscardManager(String)

    /// A sentence that names the region.
    public var description: String {
        switch self {
        case .badLength(let name): "region \(name): its length is 0 or more than there is"
        case .foreignRegion(let name): "region \(name) belongs to another memory map"
        case .hasParent(let name): "region \(name) is a part of another region already"
        case .notChild(let name): "region \(name) isn't a part of this one"
        case .cycle(let name): "region \(name) would contain itself"
        case .wrongKind(let name): "region \(name) isn't of a kind that can do that"
        case .beyondEnd(let name): "region \(name) would end beyond the 64-bit space"
        case .hasDiscardManager(let name): "region \(name) has a manager of discards already"
        }
    }
}
