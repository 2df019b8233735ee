/// How long a capability is and which of its bytes a user of vfio-pci may change: Linux's own tables of what
/// it knows (kernel.md D.6).
package enum PCICapabilityShape {
    package typealias Standard = PCICapabilityID.Standard
    package typealias Extended = PCICapabilityID.Extended

    /// The length of a standard capability in bytes; nil for one that is hidden from users.
    package static func length<Registers: PCIRegisters>(
        ofStandard id: UInt8, at offset: Int, in hardware: Registers
    ) throws(Registers.Failure) -> Int? {
        func byte(_ at: Int) throws(Registers.Failure) -> UInt32 {
            try hardware.value(at: offset + at, width: 1)
        }
        func word(_ at: Int) throws(Registers.Failure) -> UInt32 {
            try hardware.value(at: offset + at, width: 2)
        }
        switch id {
        case Standard.powerManagement: return 8
        case Standard.agp: return 12
        case Standard.vitalProductData: return 8
        case Standard.msi:
            let control = try word(2)
            let base = control & 0x80 != 0 ? 14 : 10
            return control & 0x100 != 0 ? base + 10 : base
        case Standard.pciX: return try word(2) & 0x3000 != 0 ? 24 : 8
        case Standard.hyperTransport: return try byte(3) & 0xe0 != 0 ? 24 : 28
        case Standard.vendor: return try max(2, Int(byte(2)))
        case Standard.express:
            let flags = try word(2)
            let isIntegrated = (flags >> 4) & 0xf == 9
            if flags & 0xf == 1 { return isIntegrated ? 0x0c : 0x14 }
            return isIntegrated ? 0x2c : 0x3c
        case Standard.msix: return 12
        case Standard.sata: return try byte(4) & 0xf == 0xf ? 16 : 8
        case Standard.advancedFeatures: return 6
        // 00 null, 04 slot, 06 hot swap, 0a debug port, 0b central resource, 0c hot plug, 0d bridge, 0e AGP 8x,
        // 0f secure device, 14 enhanced allocation, and what is unknown.
        default: return nil
        }
    }

    /// The length of an extended capability in bytes; nil for one that is hidden from users.
    package static func length<Registers: PCIRegisters>(
        ofExtended id: UInt16, at offset: Int, in hardware: Registers
    ) throws(Registers.Failure) -> Int? {
        func dword(_ at: Int) throws(Registers.Failure) -> UInt32 {
            try hardware.value(at: offset + at, width: 4)
        }
        switch id {
        case 0x01: return 0x2c + 4  // AER, up to the root command
        case 0x02, 0x08, 0x09:  // virtual channels: fixed part and 12 bytes a channel
            return try 0x10 + 0x0c * (1 + Int(dword(4) & 7))
        case 0x03: return 12  // serial number
        case 0x04: return 16  // power budgeting
        case 0x0b, 0x23: return try max(8, Int(dword(4) >> 20))  // vendor-specific: says its own length
        case 0x0d:  // access control; with an egress vector where there is egress control
            let control = try dword(4)
            guard control & 0x20 != 0 else { return 8 }
            let bits = Int((control >> 8) & 0xff)
            return 8 + ((bits == 0 ? 256 : bits) + 31) / 32 * 4
        case 0x0e, 0x0f, 0x18: return 8  // ARI, ATS, LTR
        case Extended.virtualization: return 64
        case 0x12: return 48  // multicast
        case 0x13: return 16  // page requests
        case 0x15: return try 4 + 8 * max(1, min(6, Int((dword(8) >> 5) & 7)))  // resizable BARs
        case 0x16: return try 16 + Int(dword(4) & 0x1f) + 1  // dynamic power allocation
        case 0x17:  // processing hints, with a table where it lies in the capability
            let requester = try dword(4)
            return (requester >> 9) & 3 == 1 ? 12 + 2 * (Int((requester >> 16) & 0x7ff) + 1) : 12
        // 05-07 root complex, 0a, 0c, 11, 14, 19, 1a, 1b PASID, and what is unknown.
        default: return nil
        }
    }
}
