import LinuxSystem

/// Who a PCI function says it is (PCI Local Bus 3.0, 6.2.1).
public struct PCIIdentity: Sendable, Equatable {
    /// Vendor ID.
    public var vendor: UInt16
    /// Device ID.
    public var device: UInt16
    /// Subsystem Vendor ID.
    public var subsystemVendor: UInt16
    /// Subsystem ID.
    public var subsystem: UInt16
    /// Base class, sub-class and programming interface: 0x010802 for NVMe.
    public var classCode: UInt32
    /// Revision ID.
    public var revision: UInt8

    /// Whether it is a VGA controller, which answers the legacy windows besides its BARs.
    public var isVGA: Bool { classCode >> 8 == 0x0300 }

    /// An identity; the subsystem is the device's own unless given.
    public init(
        vendor: UInt16, device: UInt16, subsystemVendor: UInt16? = nil, subsystem: UInt16? = nil,
        classCode: UInt32, revision: UInt8 = 0
    ) {
        self.vendor = vendor
        self.device = device
        self.subsystemVendor = subsystemVendor ?? vendor
        self.subsystem = subsystem ?? device
        self.classCode = classCode
        self.revision = revision
    }
}

/// What a Base Address Register decodes.
public struct BAR: Sendable, Equatable {
    /// The address space that a BAR lies in.
    public enum Kind: Sendable, Equatable {
        /// Memory below 4 GiB.
        case memory32
        /// Memory anywhere; takes the next BAR's place for the upper half of the address.
        case memory64
        /// Ports.
        case io
    }

    /// Its kind.
    public let kind: Kind
    /// Its length in bytes: a power of two, at least 16 for memory and 4 for ports.
    public let byteCount: UInt64
    /// Whether reads have no side effects.
    public let isPrefetchable: Bool

    /// Describes a BAR.
    /// - Precondition: `byteCount` is a power of two that the kind can decode.
    public init(_ kind: Kind, byteCount: UInt64, isPrefetchable: Bool = false) {
        precondition(
            byteCount.nonzeroBitCount == 1 && byteCount >= (kind == .io ? 4 : 16), "not a BAR's length")
        precondition(kind == .memory64 || byteCount <= 1 << 31, "too long for 32 bits")
        self.kind = kind
        self.byteCount = byteCount
        self.isPrefetchable = isPrefetchable
    }

    /// The low bits of the register, which tell what the BAR is (PCI 3.0, 6.2.5.1).
    package var typeBits: UInt32 {
        switch kind {
        case .io: 1
        case .memory32: isPrefetchable ? 8 : 0
        case .memory64: isPrefetchable ? 12 : 4
        }
    }
}

/// A part of a BAR that is plain memory: reads and writes have no effect beyond it, so it may be mapped.
public struct BARMemory: Sendable {
    /// Which BAR, 0...5.
    public let bar: Int
    /// Where in the BAR it begins, a multiple of the page size.
    public let offset: UInt64
    /// The same memory inside this process.
    public let window: MemoryWindow
    /// A descriptor of the memory, which others can map; valid as long as the model.
    public let descriptor: Int32
    /// Where in the descriptor's file it begins.
    public let fileOffset: UInt64

    /// Describes a part of a BAR that is plain memory. The model owns window and descriptor.
    public init(bar: Int, offset: UInt64, window: MemoryWindow, descriptor: Int32, fileOffset: UInt64 = 0) {
        self.bar = bar
        self.offset = offset
        self.window = window
        self.descriptor = descriptor
        self.fileOffset = fileOffset
    }
}

/// A PCI function as its bus sees it: configuration space with capabilities, BARs, interrupts, power state and
/// the way to memory.
///
/// A model makes one in its initialiser, adds capabilities and hands it to its host through
/// ``DeviceModel/function``.
public final class PCIFunction {
    /// Who it is.
    public let identity: PCIIdentity
    /// The six places for BARs; nil where nothing is decoded (and above a 64-bit BAR).
    public let bars: [BAR?]
    /// Configuration space as the hardware holds it.
    public let configuration: PCIConfiguration
    /// The way to memory.
    public private(set) var dma: DMAPort! = nil
    /// MSI-X, if ``addMSIX(vectors:table:pending:)`` was called.
    public internal(set) var msix: MSIX?
    /// MSI, if ``addMSI(vectors:hasMasks:)`` was called.
    public internal(set) var msi: MSI?
    /// Parts of BARs that are plain memory and may be mapped.
    public private(set) var memories: [BARMemory] = []
    /// The regions that it has beyond those of PCI.
    public private(set) var typedRegions: [TypedRegion] = []
    /// The contents of the expansion ROM; empty for none.
    public private(set) var rom: [UInt8]

    /// The virtual functions that it can have, if ``addVirtualFunctions(total:offset:stride:device:bars:)`` was
    /// called.
    public internal(set) var virtualFunctions: VirtualFunctions?
    /// Whether it is a virtual function itself.
    public let isVirtual: Bool

    /// The slot that the function sits in; set by the host.
    public private(set) var slot: (any PCISlot)?
    /// Vital Product Data; empty for none.
    var vitalProductData: [UInt8] = []
    /// Guards the state of interrupts, here and in ``MSIX`` and ``MSI``. Never held while a slot is called.
    let interruptLock = Lock()
    private var lineAsserted = false
    /// The line stays as it is driven: the device is stopped for migration.
    private var isLineFrozen = false
    private var lineDriven = false
    private var isNotifyingLine = false

    /// Makes a function without capabilities.
    /// - Parameters:
    ///   - bars: by index; a 64-bit BAR takes two places and may not be the sixth.
    ///   - interruptPin: 0 for none, 1...4 for INTA...INTD.
    ///   - isExpress: whether configuration space has 4096 bytes (and a PCI Express capability is expected).
    ///   - rom: an expansion ROM image; its BAR is the next power of two, at least 2 KiB.
    ///   - isVirtual: whether it is a virtual function: it has no interrupt line.
    public init(
        _ identity: PCIIdentity, bars: [Int: BAR], interruptPin: UInt8 = 1, isExpress: Bool = false,
        rom: [UInt8] = [], isVirtual: Bool = false
    ) {
        var places: [BAR?] = [nil, nil, nil, nil, nil, nil]
        for index in 0..<6 {
            guard let bar = bars[index] else { continue }
            precondition(index == 0 || places[index - 1]?.kind != .memory64, "inside a 64-bit BAR")
            precondition(bar.kind != .memory64 || index < 5, "no room for the upper half")
            places[index] = bar
        }
        self.identity = identity
        self.bars = places
        self.rom = rom
        self.isVirtual = isVirtual
        configuration = PCIConfiguration(
            identity: identity, bars: places, interruptPin: isVirtual ? 0 : interruptPin,
            isExpress: isExpress,
            romByteCount: UInt64(rom.count))
        dma = DMAPort(self)
        configuration.belong(to: self)
    }

    /// How much the expansion ROM's BAR decodes, in bytes: the image's length rounded up to a power of two, at
    /// least 2 KiB; 0 without a ROM.
    public var romByteCount: UInt64 {
        rom.isEmpty ? 0 : max(2048, UInt64(1) << UInt64(64 - (UInt64(rom.count) - 1).leadingZeroBitCount))
    }

    // MARK: the host's side

    /// Puts the function into a host's slot, or takes it out (nil).
    ///
    /// Not while anything else uses the function.
    public func plug(into slot: (any PCISlot)?) {
        self.slot = slot
        lineDriven = false
        updateLine()
    }

    /// Whether an access lies inside a BAR.
    public func contains(bar: Int, offset: UInt64, width: Int) -> Bool {
        guard bar >= 0 && bar < 6, let decoded = bars[bar] else { return false }
        return offset < decoded.byteCount && decoded.byteCount - offset >= UInt64(width)
    }

    /// The plain memory behind an access, if there is any.
    public func memory(bar: Int, offset: UInt64, width: Int) -> (window: MemoryWindow, offset: Int)? {
        for part in memories where part.bar == bar && offset >= part.offset {
            let inside = offset - part.offset
            if inside < UInt64(part.window.byteCount)
                && UInt64(part.window.byteCount) - inside >= UInt64(width)
            {
                return (part.window, Int(inside))
            }
        }
        return nil
    }

    /// Puts configuration space, masks and pending bits into their state after a reset. BAR addresses go to 0,
    /// as in hardware.
    public func resetConfiguration() {
        configuration.reset()
        msix?.reset()
        msi?.reset()
        setLine(false)
    }

    // MARK: the model's side

    /// Declares a part of a BAR to be plain memory, which users may map.
    public func addMemory(_ memory: BARMemory) {
        precondition(
            contains(bar: memory.bar, offset: memory.offset, width: memory.window.byteCount),
            "outside the BAR")
        precondition(memory.offset % UInt64(pageSize) == 0, "not at a page")
        precondition(
            memory.window.byteCount % pageSize == 0
                || memory.offset + UInt64(memory.window.byteCount) == bars[memory.bar]?.byteCount,
            "neither whole pages nor up to the BAR's end")
        memories.append(memory)
    }

    /// Adds a region beyond those of PCI. Its number is the next one from 9 on.
    public func addRegion(_ region: TypedRegion) { typedRegions.append(region) }

    /// Whether the function may access memory: COMMAND's Bus Master Enable, in D0.
    public var isBusMasterEnabled: Bool { configuration.mayInitiate }
    /// Whether the function answers accesses to its memory BARs: COMMAND's Memory Space Enable, in D0.
    public var isMemoryEnabled: Bool {
        configuration.command & PCIConfiguration.Command.memory != 0 && configuration.powerState == 0
    }
    /// Whether interrupts go out as messages, so that the line stays quiet.
    public var isMessageSignalled: Bool { msix?.isEnabled == true || msi?.isEnabled == true }
    /// Whether the model asserts the interrupt line, whatever masks it.
    public var isLineAsserted: Bool { interruptLock.withLock { lineAsserted } }

    /// Raises a message-signalled interrupt by whichever kind is enabled: at once if its vector isn't masked,
    /// when it is unmasked otherwise. Does nothing if neither kind is enabled or the vector doesn't exist.
    ///
    /// A message is a write to memory: without Bus Master Enable (or outside D0) it waits as pending until the
    /// function may send it.
    public func signal(vector: Int) {
        if let msix, msix.isEnabled {
            msix.signal(vector)
        } else if let msi, msi.isEnabled {
            msi.signal(vector)
        }
    }

    /// Asserts or releases the interrupt line (INTx). It reaches the host unless Interrupt Disable is set,
    /// messages are enabled or the function isn't in D0.
    public func setLine(_ asserted: Bool) {
        if isVirtual { return }
        interruptLock.withLock { lineAsserted = asserted }
        updateLine()
    }

    /// COMMAND, the power state or a message control has changed.
    func gatesChanged() {
        updateLine()
        msix?.deliverPending()
        msi?.deliverPending()
    }

    /// Stops the function for migration, or lets it go on: meanwhile DMA is refused, messages wait as pending and
    /// the line stays as it is. For hosts.
    func setFrozen(_ frozen: Bool) {
        interruptLock.withLock { isLineFrozen = frozen }
        configuration.setFrozen(frozen)
        if !frozen { gatesChanged() }
    }

    /// Tells the slot of a change of the line, never two threads at a time and without holding the lock: who
    /// finds another thread telling leaves the latest change to it.
    private func updateLine() {
        interruptLock.lock()
        if isNotifyingLine {
            interruptLock.unlock()
            return
        }
        isNotifyingLine = true
        while true {
            let driven = lineAsserted && lineMayBeDriven
            if driven == lineDriven || isLineFrozen { break }
            lineDriven = driven
            interruptLock.unlock()
            slot?.setInterruptLine(driven)
            interruptLock.lock()
        }
        isNotifyingLine = false
        interruptLock.unlock()
    }

    /// Whether nothing keeps the line quiet; the interrupt lock is held.
    private var lineMayBeDriven: Bool {
        configuration.command & PCIConfiguration.Command.interruptDisable == 0
            && configuration.powerState == 0
            && msix?.enabled != true && msi?.enabled != true
    }

    // MARK: Vital Product Data

    /// Adds the Vital Product Data capability: text about the part, read through configuration space.
    /// - Parameter data: the resources as PCI 3.0, appendix I, lays them out; at most 32 KiB.
    /// - Returns: where the capability begins in configuration space.
    @discardableResult
    public func addVitalProductData(_ data: [UInt8]) -> Int {
        precondition(data.count <= 0x8000, "longer than its address")
        vitalProductData = data
        return configuration.addCapability(
            id: 0x03, body: [0, 0, 0, 0, 0, 0], writable: [0xff, 0xff, 0xff, 0xff, 0xff, 0xff])
    }

    /// A byte of the data; 0 beyond its end. The configuration space's lock is held.
    func productData(at address: Int) -> UInt8 {
        address >= 0 && address < vitalProductData.count ? vitalProductData[address] : 0
    }

    /// Changes a byte of the data; nothing beyond its end. The configuration space's lock is held.
    func setProductData(_ byte: UInt8, at address: Int) {
        if address >= 0 && address < vitalProductData.count { vitalProductData[address] = byte }
    }
}
