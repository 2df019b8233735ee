import VFIO
import VFIOHost

/// Where a device of the platform or AMBA bus that is passed through lies in a guest.
public struct PlatformPlacement: Sendable {
    /// A line of the guest's interrupt controller, an Arm GIC.
    public enum Interrupt: Sendable, Equatable {
        /// A shared peripheral interrupt, from 0 on.
        case shared(UInt32)
        /// A private peripheral interrupt, from 0 on.
        case `private`(UInt32)
    }

    /// Stands in for a clock of the host, which a guest can't be given: one that always ticks at its rate.
    public struct Clock: Sendable, Equatable {
        /// What the device calls it: a word of `clock-names`.
        public var name: String
        /// How often it ticks in a second.
        public var hertz: UInt32
        /// The number by which nodes refer to it; no other node may have it.
        public var phandle: UInt32

        /// A clock.
        public init(_ name: String, hertz: UInt32, phandle: UInt32) {
            self.name = name
            self.hertz = hertz
            self.phandle = phandle
        }
    }

    /// The guest-physical addresses of the device's regions, by index.
    public var regionAddresses: [UInt64]
    /// The lines that its interrupts arrive at, by index.
    public var interrupts: [Interrupt]
    /// Where the bus that the node is put into begins; addresses in the node count from there.
    public var busAddress: UInt64
    /// How many numbers of 32 bits an address takes in that bus: its `#address-cells`, 1 or 2.
    public var addressCellCount = 2
    /// The same for lengths: its `#size-cells`, 1 or 2.
    public var sizeCellCount = 2
    /// The clocks that stand in for the host's.
    public var clocks: [Clock]
    /// Further properties, which count more than those of the host.
    public var properties: [DeviceTreeNode.Property] = []

    /// A placement.
    public init(
        regionAddresses: [UInt64], interrupts: [Interrupt] = [], busAddress: UInt64 = 0, clocks: [Clock] = []
    ) {
        self.regionAddresses = regionAddresses
        self.interrupts = interrupts
        self.busAddress = busAddress
        self.clocks = clocks
    }
}

/// The nodes of a guest's device tree by which it finds a device that is passed through.
public struct PlatformDeviceNode: Sendable {
    /// The device's own, for the bus that it is put into.
    public let node: DeviceTreeNode
    /// Those of the clocks that it refers to, for the root.
    public let clockNodes: [DeviceTreeNode]

    /// Describes an open device for a guest.
    ///
    /// What the host's firmware says is taken over (`compatible`, MAC addresses, PHY modes, …), except what refers to
    /// other things of the host, which the guest doesn't have: its interrupts, clocks, supplies, pins, IOMMUs. Registers and
    /// interrupts are those of the placement; how an interrupt is triggered the device tells.
    /// - Parameters:
    ///   - device: the device.
    ///   - firmware: what the host's firmware says about it.
    ///   - placement: where it lies in the guest.
    /// - Throws: ``/VFIO/VFIOError/Code/notSupported`` for a device without `compatible`, such as one that ACPI
    ///   describes; ``/VFIO/VFIOError/Code/outOfBounds`` for a placement that has fewer addresses, lines or clocks
    ///   than the device, or addresses that don't fit; what the host answers.
    public init(
        _ device: Device, _ firmware: FirmwareRecord, at placement: PlatformPlacement
    ) throws(VFIOGuestError) {
        let object = "\(device.id)"
        func failure(_ code: VFIOError.Code, _ cause: String) -> VFIOGuestError {
            VFIOError(operation: "describe the device to a guest", object: object, code: code, cause: cause)
        }
        guard !firmware.compatible.isEmpty else {
            throw failure(.notSupported, "the host's firmware doesn't say what it is compatible with")
        }
        var registers: [UInt32] = []
        for index in 0..<device.info.regionCount {
            guard index < placement.regionAddresses.count else {
                throw failure(.outOfBounds, "there is no address for region \(index)")
            }
            let address = placement.regionAddresses[index]
            let region = try device.region(RegionIndex(rawValue: UInt32(index)), mapped: false)
            guard address >= placement.busAddress,
                let place = DeviceTreeNode.cells(
                    address - placement.busAddress, count: placement.addressCellCount),
                let size = DeviceTreeNode.cells(region.byteCount, count: placement.sizeCellCount)
            else { throw failure(.outOfBounds, "region \(index) doesn't fit into the guest's bus") }
            registers += place + size
        }
        var lines: [UInt32] = []
        for index in 0..<device.info.interruptKindCount {
            guard index < placement.interrupts.count else {
                throw failure(.outOfBounds, "there is no line for interrupt \(index)")
            }
            let info = try device.interruptInfo(InterruptIndex(rawValue: UInt32(index)))
            // As a GIC takes it: the kind, the number, and how it is triggered: 1 by an edge, 4 by a level.
            switch placement.interrupts[index] {
            case .shared(let number): lines += [0, number, info.masksItself ? 4 : 1]
            case .private(let number): lines += [1, number, info.masksItself ? 4 : 1]
            }
        }
        var node = DeviceTreeNode(Self.name(object, placement))
        for property in firmware.properties where !Self.isHosts(property.name) {
            node[property.name] = property.value
        }
        if !registers.isEmpty { node.set("reg", cells: registers) }
        if !lines.isEmpty { node.set("interrupts", cells: lines) }
        var clockNodes: [DeviceTreeNode] = []
        let names = firmware.strings(of: "clock-names")
        if !names.isEmpty {
            var references: [UInt32] = []
            for name in names {
                guard let clock = placement.clocks.first(where: { $0.name == name }) else {
                    throw failure(.outOfBounds, "nothing stands in for its clock \"\(name)\"")
                }
                references.append(clock.phandle)
                clockNodes.append(Self.node(of: clock))
            }
            node.set("clocks", cells: references)
            node.set("clock-names", texts: names)
        }
        for property in placement.properties { node[property.name] = property.value }
        self.node = node
        self.clockNodes = clockNodes
    }

    /// "fff51000.ethernet" becomes "ethernet@c000000".
    private static func name(_ device: String, _ placement: PlatformPlacement) -> String {
        let kind = device.split(separator: ".").last.map { String($0) } ?? device
        guard let first = placement.regionAddresses.first, first >= placement.busAddress else { return kind }
        return kind + "@" + String(first - placement.busAddress, radix: 16)
    }

    private static func node(of clock: PlatformPlacement.Clock) -> DeviceTreeNode {
        var node = DeviceTreeNode("clock-" + String(clock.phandle, radix: 16))
        node.set("compatible", "fixed-clock")
        node.set("#clock-cells", cells: [0])
        node.set("clock-frequency", cells: [clock.hertz])
        node.set("clock-output-names", clock.name)
        node.set("phandle", cells: [clock.phandle])
        return node
    }

    /// What means other things of the host.
    private static let references: Set<String> = [
        "reg", "interrupts", "interrupts-extended", "interrupt-parent", "clocks", "clock-names",
        "assigned-clocks",
        "assigned-clock-rates", "assigned-clock-parents", "iommus", "iommu-map", "iommu-map-mask", "phandle",
        "linux,phandle", "dmas", "dma-names", "power-domains", "power-domain-names", "resets", "reset-names",
        "phys", "phy-names", "phy-handle", "msi-parent", "memory-region", "memory-region-names",
        "interconnects",
        "interconnect-names", "nvmem-cells", "nvmem-cell-names", "operating-points-v2", "status", "name",
        "ranges",
        "dma-ranges", "#address-cells", "#size-cells",
    ]

    /// Whether a property means something of the host only.
    private static func isHosts(_ name: String) -> Bool {
        references.contains(name) || name.hasPrefix("pinctrl-") || name.hasSuffix("-gpios")
            || name.hasSuffix("-gpio")
            || name.hasSuffix("-supply")
    }
}
