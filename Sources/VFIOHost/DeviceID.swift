import LinuxSystem

/// What a device is called where VFIO is asked for it: its bus, and its name there.
///
/// `VFIO_GROUP_GET_DEVICE_FD` takes the name, sysfs lists it below `/sys/bus/<bus>/devices`. For PCI functions the
/// name is the address.
public struct DeviceID: Sendable {
    /// The buses whose devices can be bound to a VFIO driver.
    public enum Bus: Sendable, Hashable, CaseIterable {
        /// PCI functions, named after their addresses.
        case pci
        /// Devices that the firmware describes (device tree, ACPI), such as "fff51000.ethernet".
        case platform
        /// Arm's primecells, such as "2c0a0000.dma".
        case amba
        /// Objects of a Freescale management complex, such as "dpni.1".
        case fslMC
        /// Composable devices of AMD, such as "cdx-00:01".
        case cdx
        /// Mediated devices, named by a UUID.
        case mdev
        /// Channel-attached devices of a mainframe, such as "0.0.4fb2".
        case ccw
        /// Cryptographic adapters of a mainframe.
        case ap

        /// Its folder in `/sys/bus`.
        public var name: String {
            switch self {
            case .pci: "pci"
            case .platform: "platform"
            case .amba: "amba"
            case .fslMC: "fsl-mc"
            case .cdx: "cdx"
            case .mdev: "mdev"
            case .ccw: "ccw"
            case .ap: "ap"
            }
        }

        /// The VFIO driver of Linux for its devices.
        public var driver: String {
            switch self {
            case .pci: "vfio-pci"
            case .platform: "vfio-platform"
            case .amba: "vfio-amba"
            case .fslMC: "vfio-fsl-mc"
            case .cdx: "vfio-cdx"
            case .mdev: "vfio_mdev"
            case .ccw: "vfio_ccw"
            case .ap: "vfio_ap"
            }
        }

        /// The bus with this name; nil for others.
        public init?(named name: some StringProtocol) {
            guard let bus = Self.allCases.first(where: { $0.name.utf8.elementsEqual(name.utf8) }) else {
                return nil
            }
            self = bus
        }
    }

    /// The most bytes that a name may have: what a file name may.
    public static let longestName = 255

    /// The bus.
    public let bus: Bus
    /// The name, which no other device on the bus has.
    public let name: String
    /// Where it sits, for a PCI function; nil for all others.
    public let address: PCIAddress?

    /// A PCI function.
    public init(_ address: PCIAddress) {
        bus = .pci
        name = "\(address)"
        self.address = address
    }

    /// A mediated device.
    public init(_ uuid: DeviceUUID) { self.init(bus: .mdev, name: "\(uuid)") }

    /// A device of a bus.
    ///
    /// Nil for a name that no device of it can have: one that is empty, longer than ``longestName``, holds a slash, a
    /// space or a control character, or is "." or ".."; for ``Bus/pci``, one that isn't an address; for ``Bus/mdev``,
    /// one that isn't a UUID in the form 8-4-4-4-12. A UUID becomes one in small letters, as the kernel writes it.
    public init?(_ bus: Bus, _ name: some StringProtocol) {
        switch bus {
        case .pci:
            guard let address = PCIAddress(name) else { return nil }
            self.init(address)
        case .mdev:
            guard let uuid = DeviceUUID(name) else { return nil }
            self.init(uuid)
        default:
            let bytes = name.utf8
            guard (1...Self.longestName).contains(bytes.count),
                !bytes.contains(where: { $0 <= 0x20 || $0 == 0x2f }),
                !bytes.elementsEqual(".".utf8), !bytes.elementsEqual("..".utf8)
            else { return nil }
            self.init(bus: bus, name: String(name))
        }
    }

    /// Reads what a person writes: a PCI address ("0000:01:00.0"), the UUID of a mediated device, or the bus and the
    /// name with a slash between them ("platform/fff51000.ethernet"). Nil for anything else.
    public init?(_ text: some StringProtocol) {
        if let address = PCIAddress(text) {
            self.init(address)
            return
        }
        if let uuid = DeviceID(.mdev, text) {
            self = uuid
            return
        }
        let bytes = text.utf8
        guard let slash = bytes.firstIndex(of: UInt8(ascii: "/")),
            let bus = Bus(named: text[..<slash]),
            let id = DeviceID(bus, text[bytes.index(after: slash)...])
        else { return nil }
        self = id
    }

    private init(bus: Bus, name: String) {
        self.bus = bus
        self.name = name
        address = nil
    }
}

// Written out: comparing texts as Unicode does would carry its tables into Embedded Swift.
extension DeviceID: Hashable, Comparable {
    /// Whether both mean one device.
    public static func == (a: DeviceID, b: DeviceID) -> Bool {
        a.bus == b.bus && a.name.utf8.elementsEqual(b.name.utf8)
    }

    /// Orders PCI functions by address and before all others; those by bus and the bytes of their names.
    public static func < (a: DeviceID, b: DeviceID) -> Bool {
        switch (a.address, b.address) {
        case (let one?, let other?): return one < other
        case (_?, nil): return true
        case (nil, _?): return false
        case (nil, nil): break
        }
        if a.bus != b.bus { return a.bus.name.utf8.lexicographicallyPrecedes(b.bus.name.utf8) }
        return a.name.utf8.lexicographicallyPrecedes(b.name.utf8)
    }

    /// Feeds the bus and the name.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(bus)
        for byte in name.utf8 { hasher.combine(byte) }
    }
}

extension DeviceID {
    /// The text that `init(_:)` reads: the name, with the bus before it where the name doesn't tell it.
    public var qualifiedName: String {
        switch bus {
        case .pci, .mdev: name
        default: "\(bus.name)/\(name)"
        }
    }
}

extension DeviceID: CustomStringConvertible {
    /// The name: what VFIO is asked with.
    public var description: String { name }
}
