import DeviceModel

/// Puts a machine together from its parts; what the closure of `SoftwareHost/init(_:)` is written in.
@resultBuilder public enum MachineBuilder {
    /// A part of a machine.
    public enum Part {
        /// Its IOMMU.
        case iommu(IOMMU)
        /// A group with its devices.
        case group(IOMMUGroup)
        /// A device that belongs to no group.
        case device(PCIDevice)
        /// What the program may do.
        case process(ProcessRights)
        /// A node that can't be opened.
        case node(NodePermission)
        /// What is to go wrong.
        case faults(FaultPlan)
    }

    /// The IOMMU of the machine; the last one said counts.
    public static func buildExpression(_ iommu: IOMMU) -> [Part] { [.iommu(iommu)] }
    /// A group with its devices.
    public static func buildExpression(_ group: IOMMUGroup) -> [Part] { [.group(group)] }
    /// A device that belongs to no group.
    public static func buildExpression(_ device: PCIDevice) -> [Part] { [.device(device)] }
    /// What the program may do; the last one said counts.
    public static func buildExpression(_ process: ProcessRights) -> [Part] { [.process(process)] }
    /// A node that can't be opened.
    public static func buildExpression(_ node: NodePermission) -> [Part] { [.node(node)] }
    /// What is to go wrong; the last one said counts.
    public static func buildExpression(_ faults: FaultPlan) -> [Part] { [.faults(faults)] }
    /// All parts together.
    public static func buildBlock(_ parts: [Part]...) -> [Part] { parts.flatMap { $0 } }
    /// Parts under an `if` without `else`.
    public static func buildOptional(_ parts: [Part]?) -> [Part] { parts ?? [] }
    /// Parts under an `if`.
    public static func buildEither(first parts: [Part]) -> [Part] { parts }
    /// Parts under an `else`.
    public static func buildEither(second parts: [Part]) -> [Part] { parts }
    /// Parts made in a loop.
    public static func buildArray(_ parts: [[Part]]) -> [Part] { parts.flatMap { $0 } }
}

/// Lists the devices of a group.
@resultBuilder public enum DeviceListBuilder {
    /// A member of the group.
    public enum Member {
        /// A PCI function.
        case pci(PCIDevice)
        /// A device of another bus.
        case other(BusDevice)
    }

    /// A member that is a PCI function.
    public static func buildExpression(_ device: PCIDevice) -> [Member] { [.pci(device)] }
    /// A member on another bus.
    public static func buildExpression(_ device: BusDevice) -> [Member] { [.other(device)] }
    /// All members together.
    public static func buildBlock(_ members: [Member]...) -> [Member] { members.flatMap { $0 } }
    /// Members under an `if` without `else`.
    public static func buildOptional(_ members: [Member]?) -> [Member] { members ?? [] }
    /// Members under an `if`.
    public static func buildEither(first members: [Member]) -> [Member] { members }
    /// Members under an `else`.
    public static func buildEither(second members: [Member]) -> [Member] { members }
    /// Members made in a loop.
    public static func buildArray(_ members: [[Member]]) -> [Member] { members.flatMap { $0 } }
}

extension IOMMUGroup {
    /// A group and its devices:
    /// ```swift
    /// IOMMUGroup(26) { PCIDevice(model, at: "0000:01:00.0") }
    /// ```
    public init(
        _ number: Int, reserved: [ReservedRange] = [], isEmulated: Bool = false,
        tracksDirtyPages: Bool = false, nestsPageTables: Bool = false,
        @DeviceListBuilder devices: () -> [DeviceListBuilder.Member]
    ) {
        self.init(number, reserved: reserved, isEmulated: isEmulated, tracksDirtyPages: tracksDirtyPages)
        self.nestsPageTables = nestsPageTables
        for member in devices() {
            switch member {
            case .pci(let device): self.devices.append(device)
            case .other(let device): otherDevices.append(device)
            }
        }
    }
}

extension MachineDescription {
    /// A machine made of parts:
    /// ```swift
    /// MachineDescription {
    ///     IOMMU(.type1, pageSizes: [.kib4, .mib2])
    ///     IOMMUGroup(26) { PCIDevice(model, at: "0000:01:00.0") }
    /// }
    /// ```
    public init(@MachineBuilder _ parts: () -> [MachineBuilder.Part]) {
        self.init()
        for part in parts() {
            switch part {
            case .iommu(let iommu): self.iommu = iommu
            case .group(let group): groups.append(group)
            case .device(let device): ungroupedDevices.append(device)
            case .process(let process): self.process = process
            case .node(let node): nodes.append(node)
            case .faults(let faults): self.faults = faults
            }
        }
    }
}
