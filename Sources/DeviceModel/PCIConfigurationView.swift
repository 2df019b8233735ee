/// Configuration space as a user of vfio-pci sees it (kernel.md D.6): some bits come from a copy that the
/// driver keeps, the rest from the hardware, and a user may change only some of either.
///
/// A plain structure of bytes and masks; what writing to a field sets off is in ``PCIPassthrough``.
package struct PCIConfigurationView {
    /// Which capability a byte belongs to.
    package enum Owner {
        /// The 64 bytes of the header.
        package static let header: UInt16 = 0
        /// Nobody's: gaps, and capabilities that are hidden.
        package static let none: UInt16 = 0xffff
    }

    /// Length in bytes.
    package let byteCount: Int
    /// The copy.
    package private(set) var bytes: [UInt8]
    /// The bits that are read from the copy.
    private var virtual: [UInt8]
    /// The bits that a user may change.
    private var writable: [UInt8]
    /// By byte, where the capability that it belongs to begins; or ``Owner/header``, ``Owner/none``.
    private var owners: [UInt16]

    /// Where capabilities with effects begin; 0 for one that isn't there.
    package private(set) var power = 0
    package private(set) var productData = 0
    package private(set) var msi = 0
    package private(set) var msix = 0
    package private(set) var express = 0
    package private(set) var advancedFeatures = 0

    /// The base-2 logarithm of how many MSI vectors the capability tells of.
    package var messageLimit: UInt8 = 0

    /// Copies the hardware's registers and sorts out what is whose.
    package init<Registers: PCIRegisters>(_ hardware: Registers) throws(Registers.Failure) {
        byteCount = hardware.byteCount
        bytes = [UInt8](repeating: 0, count: byteCount)
        virtual = [UInt8](repeating: 0, count: byteCount)
        // What belongs to nobody goes to the hardware as it is.
        writable = [UInt8](repeating: 0xff, count: byteCount)
        owners = [UInt16](repeating: Owner.none, count: byteCount)
        for at in 0..<byteCount {
            bytes[at] = UInt8(truncatingIfNeeded: try hardware.value(at: at, width: 1))
        }
        layOutHeader()
        try layOutStandardCapabilities(hardware)
        if byteCount > 0x100, try hardware.value(at: 0x100, width: 4) != 0 {
            try layOutExtendedCapabilities(hardware)
        }
    }

    // MARK: reading and writing

    /// How many bytes an access at `offset` takes at once: 1, 2 or 4, aligned, within one capability.
    package func chunk(at offset: Int, atMost count: Int) -> Int {
        var same = 1
        while same < 4 && (offset + same) % 4 != 0 && owners[offset + same] == owners[offset] { same += 1 }
        let most = min(count, same)
        if most >= 4 && offset % 4 == 0 { return 4 }
        return most >= 2 && offset % 2 == 0 ? 2 : 1
    }

    /// Where the capability begins that a byte belongs to.
    package func owner(of offset: Int) -> UInt16 { owners[offset] }

    /// The copy's bytes as a number.
    package func value(at offset: Int, width: Int) -> UInt32 { Self.number(bytes, offset, width) }

    /// Changes the copy, whatever a user may.
    package mutating func set(_ value: UInt32, at offset: Int, width: Int) {
        for index in 0..<width where offset + index < byteCount {
            bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt32(8 * index))
        }
    }

    /// Which bits are read from the copy.
    package func virtualMask(at offset: Int, width: Int) -> UInt32 { Self.number(virtual, offset, width) }

    /// Which bits a user may change.
    package func writableMask(at offset: Int, width: Int) -> UInt32 { Self.number(writable, offset, width) }

    private static func number(_ bytes: [UInt8], _ offset: Int, _ width: Int) -> UInt32 {
        var value: UInt32 = 0
        for index in 0..<width where offset + index < bytes.count {
            value |= UInt32(bytes[offset + index]) << UInt32(8 * index)
        }
        return value
    }

    // MARK: who may do what

    private mutating func allow(_ offset: Int, _ width: Int, virtual: UInt32, writable: UInt32) {
        // A capability that claims more room than there is gets what is its own, nothing of its neighbours'.
        guard offset < byteCount, owners[offset] != Owner.none else { return }
        for index in 0..<width where offset + index < byteCount && owners[offset + index] == owners[offset] {
            self.virtual[offset + index] = UInt8(truncatingIfNeeded: virtual >> UInt32(8 * index))
            self.writable[offset + index] = UInt8(truncatingIfNeeded: writable >> UInt32(8 * index))
        }
    }

    private mutating func claim(_ offset: Int, _ count: Int, _ owner: UInt16) {
        for at in offset..<min(offset + count, byteCount) where owners[at] == Owner.none {
            owners[at] = owner
            virtual[at] = 0
            writable[at] = 0
        }
    }

    private mutating func layOutHeader() {
        typealias Register = PCIConfiguration.Register
        // 3E and 3F stay nobody's.
        for at in 0..<0x3e {
            owners[at] = Owner.header
            writable[at] = 0
        }
        allow(Register.vendor, 4, virtual: ~0, writable: 0)
        allow(Register.command, 2, virtual: UInt32(PCIConfiguration.Command.interruptDisable), writable: ~0)
        allow(Register.status, 2, virtual: 0x10, writable: 0)
        allow(Register.cacheLine, 2, virtual: 0, writable: ~0)
        allow(0x0f, 1, virtual: 0, writable: ~0)
        for index in 0..<6 { allow(Register.bar0 + 4 * index, 4, virtual: ~0, writable: ~0) }
        allow(Register.rom, 4, virtual: ~0, writable: ~0)
        allow(Register.capabilities, 1, virtual: ~0, writable: 0)
        allow(Register.interruptLine, 1, virtual: ~0, writable: ~0)
        allow(Register.interruptPin, 1, virtual: ~0, writable: 0)
    }

    /// A virtual function has no Memory Space Enable of its own: the user's is kept here, and set at first.
    package mutating func becomeVirtualFunction() {
        typealias Register = PCIConfiguration.Register
        let memory = UInt32(PCIConfiguration.Command.memory)
        let mask = virtualMask(at: Register.command, width: 2) | memory
        allow(Register.command, 2, virtual: mask, writable: ~0)
        set(value(at: Register.command, width: 2) | memory, at: Register.command, width: 2)
    }

    /// The register that tells where the operation region is (0xfc) is kept here, as the user writes it.
    package mutating func becomeIntelGraphics() {
        for at in 0xfc..<0x100 {
            // Apart from its neighbours: an access doesn't reach across.
            owners[at] = 0xfc
            virtual[at] = 0xff
            writable[at] = 0xff
        }
    }

    private mutating func layOutStandardCapabilities<Registers: PCIRegisters>(
        _ hardware: Registers
    ) throws(Registers.Failure) {
        typealias Register = PCIConfiguration.Register
        guard bytes[Register.status] & 0x10 != 0 else { return }
        var at = Int(bytes[Register.capabilities] & 0xfc)
        var link = Register.capabilities
        var seen = 0
        // 192 bytes hold 48 capabilities; a longer chain is a loop.
        for _ in 0..<48 where at >= 0x40 {
            let id = UInt8(truncatingIfNeeded: try hardware.value(at: at, width: 1))
            let next = Int(try hardware.value(at: at + 1, width: 1) & 0xfc)
            if owners[at] != Owner.none { break }
            if let length = try PCICapabilityShape.length(ofStandard: id, at: at, in: hardware) {
                claim(at, min(length, 0x100 - at), UInt16(at))
                allow(at, 2, virtual: ~0, writable: 0)
                layOut(standard: id, at: at, length: length)
                bytes[link] = UInt8(at)
                link = at + 1
                seen += 1
            }
            at = next
        }
        bytes[link] = 0
        if seen == 0 { bytes[Register.status] &= ~0x10 }
    }

    private mutating func layOut(standard id: UInt8, at: Int, length: Int) {
        typealias ID = PCICapabilityShape.Standard
        switch id {
        case ID.powerManagement:
            power = at
            allow(at + 2, 2, virtual: 0xf800, writable: 0)
            allow(at + 4, 4, virtual: 0x8100, writable: ~0x8103)
            set(value(at: at + 2, width: 2) & 0x07ff, at: at + 2, width: 2)
            set(value(at: at + 4, width: 2) & ~0x8100, at: at + 4, width: 2)
        case ID.vitalProductData:
            productData = at
            allow(at + 2, 2, virtual: ~0, writable: ~0)
            allow(at + 4, 4, virtual: ~0, writable: ~0)
        case ID.msi:
            msi = at
            messageLimit = bytes[at + 2] >> 1 & 7
            let isWide = bytes[at + 2] & 0x80 != 0
            allow(at + 2, 1, virtual: ~0, writable: ~0)
            allow(at + 4, 4, virtual: ~0, writable: ~0)
            if isWide { allow(at + 8, 4, virtual: ~0, writable: ~0) }
            allow(at + (isWide ? 12 : 8), 2, virtual: ~0, writable: ~0)
            if bytes[at + 3] & 1 != 0 {
                allow(at + (isWide ? 16 : 12), 4, virtual: 0, writable: ~0)
                allow(at + (isWide ? 20 : 16), 4, virtual: 0, writable: ~0)
            }
        case ID.pciX:
            allow(at + 2, 2, virtual: 0, writable: ~0)
            if length >= 12 { allow(at + 8, 4, virtual: 0, writable: ~0) }
        case ID.vendor:
            if length > 2 { for byte in 2..<length { allow(at + byte, 1, virtual: 0, writable: ~0) } }
        case ID.express:
            express = at
            // All of Device Control but phantom functions; its reset bit, payload and request size are the
            // driver's.
            allow(at + 8, 2, virtual: 0xf0e0, writable: ~0x0200)
            // All of Device Control 2 but ARI forwarding.
            if length >= 0x2c { allow(at + 0x28, 2, virtual: 0, writable: ~0x0020) }
        case ID.msix: msix = at
        case ID.advancedFeatures:
            advancedFeatures = at
            allow(at + 4, 1, virtual: 1, writable: 1)
        default: break
        }
    }

    private mutating func layOutExtendedCapabilities<Registers: PCIRegisters>(
        _ hardware: Registers
    ) throws(Registers.Failure) {
        var at = 0x100
        var link = 0
        for _ in 0..<480 where at >= 0x100 && at <= byteCount - 4 {
            let header = try hardware.value(at: at, width: 4)
            let id = UInt16(truncatingIfNeeded: header)
            let next = Int(header >> 20) & 0xffc
            if owners[at] != Owner.none { break }
            if let length = try PCICapabilityShape.length(ofExtended: id, at: at, in: hardware) {
                claim(at, length, UInt16(at))
                allow(at, 4, virtual: ~0, writable: 0)
                layOut(extended: id, at: at, length: length)
                setNext(at, of: link)
                link = at
            } else if at == 0x100 {
                // The chain begins here, so its first header stays, as one that means nothing.
                claim(at, 4, UInt16(at))
                allow(at, 4, virtual: ~0, writable: 0)
                set(0, at: at, width: 4)
                link = at
            }
            at = next
        }
        setNext(0, of: link)
    }

    private mutating func setNext(_ next: Int, of header: Int) {
        guard header != 0 else { return }
        set(value(at: header, width: 4) & 0xf_ffff | UInt32(next) << 20, at: header, width: 4)
    }

    private mutating func layOut(extended id: UInt16, at: Int, length: Int) {
        typealias ID = PCICapabilityShape.Extended
        switch id {
        case ID.errorReporting:
            // Status, mask and severity of uncorrectable errors, status and mask of correctable ones.
            for register in 1...5 { allow(at + 4 * register, 4, virtual: 0, writable: ~0) }
            allow(at + 0x18, 4, virtual: 0, writable: 0x140)
        case ID.powerBudgeting: allow(at + 4, 1, virtual: 0, writable: ~0)
        case ID.vendor, ID.designatedVendor:
            for byte in 4..<length { allow(at + byte, 1, virtual: 0, writable: ~0) }
        default: break
        }
    }
}
