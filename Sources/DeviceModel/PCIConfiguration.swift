import LinuxSystem

/// A function's configuration space as hardware: registers with read-only, writable and write-one-to-clear
/// bits, a chain of capabilities, and the effects of writing to them.
///
/// Offsets are checked; an access outside reads as zeros and writes nothing. A host that shows another picture
/// to its user (as Linux's vfio-pci does) does so on top of this.
///
/// Capabilities are added before the function is plugged into a slot. From then on everything here may be
/// used from any thread, except that only the host writes, one access at a time.
public final class PCIConfiguration {
    /// Offsets in the header (PCI 3.0, 6.1).
    public enum Register {
        /// Vendor ID, 16 bits.
        public static let vendor = 0x00
        /// Device ID, 16 bits.
        public static let device = 0x02
        /// COMMAND, 16 bits.
        public static let command = 0x04
        /// STATUS, 16 bits.
        public static let status = 0x06
        /// Revision ID, 8 bits; the class code follows.
        public static let revision = 0x08
        /// Cache Line Size, 8 bits.
        public static let cacheLine = 0x0c
        /// Header Type, 8 bits.
        public static let headerType = 0x0e
        /// The first Base Address Register, 32 bits.
        public static let bar0 = 0x10
        /// Subsystem Vendor ID, 16 bits.
        public static let subsystemVendor = 0x2c
        /// Subsystem ID, 16 bits.
        public static let subsystem = 0x2e
        /// Expansion ROM Base Address, 32 bits.
        public static let rom = 0x30
        /// Capabilities Pointer, 8 bits.
        public static let capabilities = 0x34
        /// Interrupt Line, 8 bits.
        public static let interruptLine = 0x3c
        /// Interrupt Pin, 8 bits.
        public static let interruptPin = 0x3d
    }

    /// Bits of COMMAND.
    public enum Command {
        /// I/O Space Enable.
        public static let io: UInt16 = 1 << 0
        /// Memory Space Enable.
        public static let memory: UInt16 = 1 << 1
        /// Bus Master Enable.
        public static let busMaster: UInt16 = 1 << 2
        /// Interrupt Disable.
        public static let interruptDisable: UInt16 = 1 << 10
    }

    /// 256, or 4096 for PCI Express.
    public let byteCount: Int
    private var bytes: [UInt8]
    private var writable: [UInt8]
    private var clearable: [UInt8]
    private var initial: [UInt8] = []
    private var lastCapability = 0
    private var freeOffset = 0x40
    private var lastExtendedCapability = 0
    private var freeExtendedOffset = 0x100
    private var link: Backlink<PCIFunction>?
    private var function: PCIFunction? { link?.owner }
    /// Guards the registers. Inside it only the function's interrupt lock is taken, and no slot is called.
    private let lock = Lock()
    /// COMMAND in the low 16 bits and the power state above: what DMA and interrupts ask for on every use,
    /// from any thread and without the lock.
    private let gates = AtomicWord()
    /// The gates' bit for a function whose device is stopped for migration.
    private static let frozenGate: UInt64 = 1 << 24
    private var isFrozen = false

    /// Where the capabilities with effects begin; 0 where there is none.
    private(set) var expressOffset = 0
    private(set) var powerOffset = 0
    private(set) var msixOffset = 0
    private(set) var msiOffset = 0
    private(set) var advancedFeaturesOffset = 0
    private(set) var vitalProductDataOffset = 0

    init(identity: PCIIdentity, bars: [BAR?], interruptPin: UInt8, isExpress: Bool, romByteCount: UInt64) {
        byteCount = isExpress ? 4096 : 256
        bytes = [UInt8](repeating: 0, count: byteCount)
        writable = [UInt8](repeating: 0, count: byteCount)
        clearable = [UInt8](repeating: 0, count: byteCount)
        put(Register.vendor, UInt64(identity.vendor), 2)
        put(Register.device, UInt64(identity.device), 2)
        put(Register.revision, UInt64(identity.revision) | UInt64(identity.classCode & 0xff_ffff) << 8, 4)
        put(Register.subsystemVendor, UInt64(identity.subsystemVendor), 2)
        put(Register.subsystem, UInt64(identity.subsystem), 2)
        put(Register.interruptPin, UInt64(interruptPin), 1)
        var command = Command.busMaster | 1 << 6 | 1 << 8  // parity error response, SERR enable
        if interruptPin != 0 { command |= Command.interruptDisable }
        for (index, bar) in bars.enumerated() {
            guard let bar else { continue }
            let at = Register.bar0 + 4 * index
            switch bar.kind {
            case .io:
                command |= Command.io
                put(at, 1, 4)
                allow(at, UInt64(truncatingIfNeeded: ~(bar.byteCount - 1) & 0xffff_fffc), 4)
            case .memory32:
                command |= Command.memory
                put(at, bar.isPrefetchable ? 8 : 0, 4)
                allow(at, ~(bar.byteCount - 1) & 0xffff_fff0, 4)
            case .memory64:
                command |= Command.memory
                put(at, bar.isPrefetchable ? 0xc : 4, 4)
                allow(at, ~(bar.byteCount - 1) & ~0xf, 8)
            }
        }
        if romByteCount > 0 {
            let size = max(2048, UInt64(1) << UInt64(64 - (romByteCount - 1).leadingZeroBitCount))
            allow(Register.rom, (~(size - 1) & 0xffff_f800) | 1, 4)
            command |= Command.memory
        }
        allow(Register.command, UInt64(command), 2)
        // STATUS: the error bits are write-one-to-clear.
        clearable[Register.status + 1] = 0xf9
        allow(Register.interruptLine, 0xff, 1)
        allow(Register.cacheLine, 0xff, 1)
        sealInitialValues()
    }

    private func put(_ offset: Int, _ value: UInt64, _ width: Int) {
        for index in 0..<width {
            bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
        }
    }

    private func allow(_ offset: Int, _ mask: UInt64, _ width: Int) {
        for index in 0..<width {
            writable[offset + index] = UInt8(truncatingIfNeeded: mask >> UInt64(8 * index))
        }
    }

    private func sealInitialValues() {
        initial = bytes
        updateGates()
    }

    private func updateGates() {
        let command = UInt64(bytes[Register.command]) | UInt64(bytes[Register.command + 1]) << 8
        let power = powerOffset == 0 ? 0 : UInt64(bytes[powerOffset + 4] & 3)
        gates.store(command | power << 16 | (isFrozen ? Self.frozenGate : 0))
    }

    // MARK: capabilities

    /// Appends a capability to the chain.
    /// - Parameters:
    ///   - id: the capability's ID (PCI Code and ID Assignment).
    ///   - body: what follows the two header bytes.
    ///   - writable: which of the body's bits software may change; missing bytes can't be changed.
    ///   - clearable: which of the body's bits are cleared by writing 1.
    /// - Returns: where the capability begins.
    /// - Precondition: it fits into the first 256 bytes.
    @discardableResult
    public func addCapability(
        id: UInt8, body: [UInt8], writable: [UInt8] = [], clearable: [UInt8] = []
    ) -> Int {
        let offset = freeOffset
        let end = offset + 2 + body.count
        precondition(end <= 0x100, "no room for the capability")
        place(offset + 2, body, writable, clearable)
        bytes[offset] = id
        bytes[offset + 1] = 0
        if lastCapability == 0 {
            bytes[Register.capabilities] = UInt8(offset)
            bytes[Register.status] |= 0x10
        } else {
            bytes[lastCapability + 1] = UInt8(offset)
        }
        lastCapability = offset
        freeOffset = (end + 3) & ~3
        switch id {
        case 0x01: powerOffset = offset
        case 0x03: vitalProductDataOffset = offset
        case 0x05: msiOffset = offset
        case 0x10: expressOffset = offset
        case 0x11: msixOffset = offset
        case 0x13: advancedFeaturesOffset = offset
        default: break
        }
        sealInitialValues()
        return offset
    }

    /// Appends an extended capability.
    /// - Parameters:
    ///   - body: what follows the four header bytes.
    /// - Returns: where the capability begins.
    /// - Precondition: the function is PCI Express and the capability fits.
    @discardableResult
    public func addExtendedCapability(
        id: UInt16, version: UInt8, body: [UInt8], writable: [UInt8] = [], clearable: [UInt8] = []
    ) -> Int {
        let offset = freeExtendedOffset
        let end = offset + 4 + body.count
        precondition(end <= byteCount, "no room for the extended capability")
        place(offset + 4, body, writable, clearable)
        put(offset, UInt64(id) | UInt64(version & 0xf) << 16, 4)
        if lastExtendedCapability != 0 {
            // The upper 12 bits of a header hold the next one's place.
            bytes[lastExtendedCapability + 2] =
                bytes[lastExtendedCapability + 2] & 0x0f | UInt8(truncatingIfNeeded: offset << 4)
            bytes[lastExtendedCapability + 3] = UInt8(truncatingIfNeeded: offset >> 4)
        }
        lastExtendedCapability = offset
        freeExtendedOffset = (end + 3) & ~3
        sealInitialValues()
        return offset
    }

    private func place(_ offset: Int, _ body: [UInt8], _ writable: [UInt8], _ clearable: [UInt8]) {
        for (index, byte) in body.enumerated() {
            bytes[offset + index] = byte
            self.writable[offset + index] = index < writable.count ? writable[index] : 0
            self.clearable[offset + index] = index < clearable.count ? clearable[index] : 0
        }
    }

    /// Where the capability with this ID begins; nil if there is none.
    public func capability(_ id: UInt8) -> Int? {
        lock.withLock {
            var at = Int(bytes[Register.capabilities] & 0xfc)
            for _ in 0..<48 where at >= 0x40 {
                if bytes[at] == id { return at }
                at = Int(bytes[at + 1] & 0xfc)
            }
            return nil
        }
    }

    /// Where the extended capability with this ID begins; nil if there is none.
    public func extendedCapability(_ id: UInt16) -> Int? {
        var at = 0x100
        // A chain has at most one capability per eight bytes; a longer one is a loop.
        for _ in 0..<480 where at >= 0x100 && at < byteCount {
            let header = value(at: at, width: 4)
            if header == 0 { return nil }
            if header & 0xffff == UInt32(id) { return at }
            at = Int(header >> 20) & 0xffc
        }
        return nil
    }

    // MARK: reading and writing

    /// COMMAND as it stands.
    public var command: UInt16 { UInt16(truncatingIfNeeded: gates.load()) }

    /// The power state: 0 for D0 … 3 for D3hot.
    public var powerState: UInt8 { UInt8(truncatingIfNeeded: gates.load() >> 16) }

    /// Whether the function may send requests of its own, DMA and messages alike: Bus Master Enable is set and
    /// the function is in D0 (PCI Express 7.5.1.1.3, 5.3.1.4), and its device isn't stopped for migration.
    public var mayInitiate: Bool {
        gates.load() & (Self.frozenGate | 0xff_0000 | UInt64(Command.busMaster)) == UInt64(Command.busMaster)
    }

    /// Reads 1, 2 or 4 bytes.
    public func value(at offset: Int, width: Int) -> UInt32 {
        guard offset >= 0 && offset < byteCount else { return 0 }
        return lock.withLock {
            var value: UInt32 = 0
            for index in 0..<width where offset + index < byteCount {
                value |= UInt32(byte(offset + index)) << UInt32(8 * index)
            }
            return value
        }
    }

    /// One byte, with the bits that the function drives merged in.
    private func byte(_ at: Int) -> UInt8 {
        if at == Register.status {
            return bytes[at] | (function?.isLineAsserted == true ? 8 : 0)
        }
        if msiOffset != 0, at >= msiOffset + 0x14, at < msiOffset + 0x18, let msi = function?.msi,
            msi.hasMasks
        {
            return UInt8(truncatingIfNeeded: msi.pending >> UInt32(8 * (at - msiOffset - 0x14)))
        }
        return bytes[at]
    }

    /// Writes 1, 2 or 4 bytes as software does: only writable bits change, and effects follow (the interrupt
    /// line, MSI and MSI-X enables). A reset that the write asks for is reported, not done: the host resets
    /// the model.
    /// - Returns: whether a function level reset was asked for.
    @discardableResult
    public func write(_ value: UInt32, at offset: Int, width: Int) -> Bool {
        store(value, at: offset, width: width) == .function
    }

    /// Writes 1, 2 or 4 bytes as software does, like ``write(_:at:width:)``.
    /// - Returns: the reset that the write asks for and that the host has to do next
    ///   (``DeviceModel/performReset(_:)``): `function` for a function level reset, `power` for leaving D3hot
    ///   without No_Soft_Reset.
    public func store(_ value: UInt32, at offset: Int, width: Int) -> ResetKind? {
        guard offset >= 0 && offset < byteCount else { return nil }
        let end = offset + width
        func touches(_ start: Int, _ count: Int) -> Bool {
            start != 0 && offset < start + count && end > start
        }
        let before = gates.load()
        let asked = lock.withLock { change(value, offset, width) }
        if touches(msixOffset, 4) {
            function?.msix?.controlChanged(
                UInt16(truncatingIfNeeded: self.value(at: msixOffset + 2, width: 2)))
        }
        if touches(msiOffset, 0x18) { function?.msi?.configurationChanged() }
        if gates.load() != before || touches(msixOffset, 4) || touches(msiOffset, 0x18) {
            function?.gatesChanged()
        }
        return asked
    }

    /// Changes the registers; the lock is held.
    private func change(_ value: UInt32, _ offset: Int, _ width: Int) -> ResetKind? {
        var asked: ResetKind?
        let oldPower = powerOffset == 0 ? 0 : bytes[powerOffset + 4] & 3
        for index in 0..<width where offset + index < byteCount {
            let at = offset + index
            let byte = UInt8(truncatingIfNeeded: value >> UInt32(8 * index))
            bytes[at] = (bytes[at] & ~writable[at]) | (byte & writable[at])
            bytes[at] &= ~(byte & clearable[at])
            if expressOffset != 0 && at == expressOffset + 9 && byte & 0x80 != 0
                && bytes[expressOffset + 7] & 0x10 != 0
            {
                asked = .function  // Device Control bit 15, where Device Capabilities bit 28 allows it
            }
            if advancedFeaturesOffset != 0 && at == advancedFeaturesOffset + 4 && byte & 1 != 0
                && bytes[advancedFeaturesOffset + 3] & 2 != 0
            {
                asked = .function
            }
            if vitalProductDataOffset != 0 && at == vitalProductDataOffset + 3 { transferProductData() }
        }
        if powerOffset != 0 {
            let newPower = bytes[powerOffset + 4] & 3
            let supportsD1 = bytes[powerOffset + 3] & 0x02 != 0
            let supportsD2 = bytes[powerOffset + 3] & 0x04 != 0
            if newPower == 1 && !supportsD1 || newPower == 2 && !supportsD2 {
                // A state that doesn't exist: the write is carried out without changing the state.
                bytes[powerOffset + 4] = bytes[powerOffset + 4] & ~3 | oldPower
            } else if oldPower == 3 && newPower == 0 && bytes[powerOffset + 4] & 8 == 0 {
                asked = asked ?? .power
            }
        }
        updateGates()
        return asked
    }

    /// Carries out what the flag in the Vital Product Data address asks for: 0 reads, 1 writes four bytes; the
    /// flag flips when it is done, which is at once (PCI 3.0, appendix I).
    private func transferProductData() {
        guard let function, bytes[vitalProductDataOffset + 2] & 3 == 0 else { return }
        let address =
            Int(bytes[vitalProductDataOffset + 2]) | Int(bytes[vitalProductDataOffset + 3] & 0x7f) << 8
        let isWrite = bytes[vitalProductDataOffset + 3] & 0x80 != 0
        for index in 0..<4 {
            if isWrite {
                function.setProductData(bytes[vitalProductDataOffset + 4 + index], at: address + index)
            } else {
                bytes[vitalProductDataOffset + 4 + index] = function.productData(at: address + index)
            }
        }
        bytes[vitalProductDataOffset + 3] ^= 0x80
    }

    /// Sets bits that only the hardware changes: values of read-only registers. Gone after a reset.
    public func setHardware(_ value: UInt32, at offset: Int, width: Int) {
        guard offset >= 0, width >= 0, width <= 4, offset <= byteCount - width else { return }
        lock.withLock {
            put(offset, UInt64(value), width)
            updateGates()
        }
    }

    /// Back to the values after a reset.
    func reset() {
        lock.withLock {
            bytes = initial
            updateGates()
        }
    }

    // MARK: migration

    /// Stops whatever the function begins by itself, or lets it go on. A reset doesn't change it.
    func setFrozen(_ frozen: Bool) {
        lock.withLock {
            isFrozen = frozen
            updateGates()
        }
    }

    /// A number that configuration spaces with the same registers have in common, whatever their values.
    var layoutHash: UInt64 {
        lock.withLock {
            var hash: UInt64 = 0xcbf2_9ce4_8422_2325
            for index in 0..<byteCount {
                for byte in [initial[index] & ~writable[index], writable[index], clearable[index]] {
                    hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3
                }
            }
            return hash
        }
    }

    /// All registers as they stand.
    package var savedBytes: [UInt8] { lock.withLock { bytes } }

    /// Takes over the bits of registers that can change.
    /// - Precondition: so many bytes as there are.
    package func load(_ saved: [UInt8]) {
        precondition(saved.count == byteCount, "not this configuration space")
        lock.withLock {
            for index in 0..<byteCount {
                let changing = writable[index] | clearable[index]
                bytes[index] = bytes[index] & ~changing | saved[index] & changing
            }
            updateGates()
        }
        if msixOffset != 0 {
            function?.msix?.controlChanged(UInt16(truncatingIfNeeded: value(at: msixOffset + 2, width: 2)))
        }
        if msiOffset != 0 { function?.msi?.configurationChanged() }
    }

    /// Says that there are further functions in the same place of the bus (Header Type, bit 7). For hosts.
    public func markMultifunction() {
        lock.withLock {
            bytes[Register.headerType] |= 0x80
            initial[Register.headerType] |= 0x80
        }
    }

    func belong(to function: PCIFunction) {
        // SAFETY: the function owns its configuration space and hands it out only through itself.
        link = unsafe Backlink(function)
    }
}
