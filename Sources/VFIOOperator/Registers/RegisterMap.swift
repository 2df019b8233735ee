import NVMe
import PCIDecoder
import VFIO
import VFIOTrace

/// The registers of a device that have names: those of its configuration space, and of the first BAR of an NVMe
/// controller.
public struct RegisterMap: Sendable {
    /// The registers, by region and offset. Of the doorbells of an NVMe controller the first two are here; the others
    /// are found by their names.
    public private(set) var registers: [NamedRegister] = []
    /// Whether it is an NVMe controller.
    public let isNVMe: Bool
    /// An NVMe controller's CAP.DSTRD, which its doorbells' places depend on; 0 as long as nobody has looked.
    public var doorbellStride: UInt8 = 0

    /// The class code of NVMe controllers (PCI Code and ID Assignment).
    private static let nvmeClass: UInt64 = 0x010802

    /// No register has a name: for devices of other buses than PCI.
    public init() { isNVMe = false }

    /// Names the registers of a PCI function.
    /// - Parameter configuration: as much of its configuration space as could be read.
    public init(_ configuration: DecodedConfiguration) {
        isNVMe = configuration.register(at: 9)?.value == Self.nvmeClass
        addHeader(configuration)
        var counts: [String: Int] = [:]
        for capability in configuration.capabilities {
            let prefix = Self.prefix(Self.name(of: UInt8(truncatingIfNeeded: capability.id)), &counts)
            let first = capability.registers.first { $0.name == "Message Control" }
            let isWide = capability.id == 5 && (first?.value ?? 0) & 0x80 != 0
            add(capability, prefix, headerLength: 2) { offset in
                // The short names are those of a capability's first of its kind.
                let name = RegisterNames.pciCapability(
                    UInt8(truncatingIfNeeded: capability.id), offset, is64Bit: isWide)
                return name.map { name in prefix + name.drop { $0 != "." } }
            }
        }
        for capability in configuration.extendedCapabilities {
            let prefix = Self.prefix(Self.nameOfExtended(capability.id), &counts)
            add(capability, prefix, headerLength: 4) { _ in nil }
        }
        if isNVMe { registers += NVMeRegisterLayouts.registers }
    }

    private mutating func addHeader(_ configuration: DecodedConfiguration) {
        for register in configuration.header {
            let title = NamedRegister.key(register.name)
            // From 0x10 on the short names are those of a function; a bridge has other registers there.
            let isShared = register.offset < 0x10 || [0x34, 0x3c, 0x3d].contains(register.offset)
            let name =
                isShared || configuration.headerType == 0
                ? RegisterNames.pciHeader(register.offset) ?? title : title
            registers.append(
                NamedRegister(
                    name, register.name, in: .configuration, at: UInt64(register.offset),
                    byteCount: register.byteCount, false, alias: title))
        }
    }

    private mutating func add(
        _ capability: DecodedCapability, _ prefix: String, headerLength: Int, _ name: (Int) -> String?
    ) {
        registers.append(
            NamedRegister(
                prefix, capability.name, in: .configuration, at: UInt64(capability.offset),
                byteCount: headerLength))
        for register in capability.registers {
            let title = prefix + "." + NamedRegister.key(register.name)
            registers.append(
                NamedRegister(
                    name(register.offset - capability.offset) ?? title, register.name, in: .configuration,
                    at: UInt64(register.offset), byteCount: register.byteCount, false, alias: title))
        }
    }

    /// A capability's name, with a number from the second of its kind on.
    private static func prefix(_ name: String, _ counts: inout [String: Int]) -> String {
        let count = (counts[name] ?? 0) + 1
        counts[name] = count
        return count == 1 ? name : "\(name)\(count)"
    }

    private static func name(of capability: UInt8) -> String {
        if let name = RegisterNames.pciCapability(capability, 0, is64Bit: false) { return name }
        return switch capability {
        case 0x02: "AGP"
        case 0x04: "SLOT"
        case 0x06: "COMPACTPCI"
        case 0x07: "PCIX"
        case 0x08: "HT"
        case 0x0a: "DEBUG"
        case 0x0c: "HOTPLUG"
        case 0x0d: "SUBSYSTEM"
        case 0x0e: "AGP8X"
        case 0x12: "SATA"
        case 0x14: "EA"
        case 0x15: "FPB"
        default: "CAP" + String(capability, radix: 16, uppercase: true)
        }
    }

    /// From ID 1 on; those without an abbreviation that the specification uses are empty.
    private static let extendedNames = [
        "AER", "VC", "DSN", "PB", "RCLD", "RCILC", "RCECA", "MFVC", "VC", "RCRB", "VSEC", "CAC", "ACS", "ARI",
        "ATS",
        "SRIOV", "MRIOV", "MCAST", "PRI", "", "REBAR", "DPA", "TPH", "LTR", "SECPCIE", "PMUX", "PASID", "LNR",
        "DPC",
        "L1SS", "PTM", "MPCIE", "FRSQ", "RTR", "DVSEC", "VFREBAR", "DLF", "PL16", "LMR", "HIERARCHY", "NPEM",
        "PL32",
        "AP", "SFI", "SHADOW", "DOE", "DEV3", "IDE", "PL64",
    ]

    private static func nameOfExtended(_ id: Int) -> String {
        guard id > 0, id <= extendedNames.count, !extendedNames[id - 1].isEmpty else {
            return "ECAP" + String(id, radix: 16, uppercase: true)
        }
        return extendedNames[id - 1]
    }

    /// The register with a name; "-" and "_" are the same, and so are capital letters and small ones.
    public func register(named name: String, in region: RegionIndex) -> NamedRegister? {
        if let found = registers.first(where: { $0.region == region && $0.isCalled(name) }) { return found }
        guard isNVMe, region == .bar0 else { return nil }
        return NVMeRegisterLayouts.doorbell(named: name, stride: doorbellStride)
    }

    /// The register that begins at an offset. Where a capability and its first register do, that is the register.
    public func register(at offset: UInt64, in region: RegionIndex) -> NamedRegister? {
        if let found = registers.last(where: {
            $0.region == region && $0.offset == offset && $0.byteCount <= 8
        }),
            !found.isWriteOnly
        {
            return found
        }
        guard isNVMe, region == .bar0 else { return nil }
        return NVMeRegisterLayouts.doorbell(at: offset, stride: doorbellStride)
    }
}
