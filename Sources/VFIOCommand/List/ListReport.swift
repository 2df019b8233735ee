import PCIDecoder
import VFIOHost
import VFIOOperator

/// What `vfio list --json` prints: Documentation/JSON.md says what each name means.
struct ListReport: Encodable {
    let version = 2
    let containers: Bool
    let iommufd: Bool
    let devices: [Device]
    let otherDevices: [OtherDevice]
    let groups: [Group]
    let holders: HeldNodes

    /// A process that holds something.
    struct Holder: Encodable {
        let pid: Int32
        let process: String
        let fd: Int32
        let uid: UInt32?

        init(_ holder: VFIOOperator.Holder) {
            (pid, process, fd, uid) = (holder.process, holder.name, holder.descriptor, holder.user)
        }
    }

    /// Interrupts as the driver has set them up.
    struct Interrupts: Encodable {
        let line: Int?
        let messages: Int
        let kind: String?

        init(_ interrupts: DeviceFacts.Interrupts) {
            line = interrupts.line
            messages = interrupts.messages
            kind = interrupts.messages == 0 ? nil : interrupts.isExtended ? "msix" : "msi"
        }
    }

    /// The virtual functions of a physical one.
    struct VirtualFunctions: Encodable {
        let total: Int
        let enabled: Int?
    }

    /// A PCI function.
    struct Device: Encodable {
        let address: String
        let vendor: String
        let device: String
        let classCode: String
        let className: String
        let driver: String?
        let group: Int?
        let node: String?
        let blockedBy: [String]
        let usable: Bool
        // Since version 2.
        let state: String
        let vendorName: String?
        let deviceName: String?
        let subsystemVendor: String
        let subsystem: String
        let subsystemName: String?
        let revision: String
        let driverOverride: String?
        let groupNode: String?
        let noIOMMU: Bool
        let numaNode: Int?
        let resetMethods: [String]
        let interrupts: Interrupts
        let powerState: String?
        let runtimeStatus: String?
        let enableCount: Int?
        let iommu: String?
        let virtualFunctions: VirtualFunctions?
        let physicalFunction: String?
        let virtualFunctionNumber: Int?
        let networkInterfaces: [String]
        let disks: [String]
        let holders: [Holder]
        let unknown: [String]
    }

    /// A device of another bus.
    struct OtherDevice: Encodable {
        let name: String
        let bus: String
        let driver: String?
        let group: Int?
        let node: String?
        let blockedBy: [String]
        let usable: Bool
        // Since version 2.
        let state: String
        let groupNode: String?
        let noIOMMU: Bool
        let iommu: String?
        let networkInterfaces: [String]
        let disks: [String]
        let holders: [Holder]
        let unknown: [String]
    }

    /// An IOMMU group.
    struct Group: Encodable {
        let number: Int
        let node: String?
        let domainType: String?
        let noIOMMU: Bool
        let devices: [String]
        let viable: Bool
        let blockedBy: [Blocker]
        let reservedRegions: [ReservedRegion]
        let holders: [Holder]
    }

    /// A member that keeps its group from being used.
    struct Blocker: Encodable {
        let device: String
        let driver: String?
    }

    /// Addresses that a group's devices can't use.
    struct ReservedRegion: Encodable {
        let first: String
        let last: String
        let kind: String
    }

    /// Who holds what isn't one device's or one group's, and how much of that is known.
    struct HeldNodes: Encodable {
        let complete: Bool
        let unreadableProcesses: Int
        let containers: [Holder]
        let iommufds: [Holder]
        let unknownDevices: [Holder]
    }
}

extension ListReport {
    /// The devices that are shown, and the groups that they are in.
    init(_ machine: MachineFacts, showing shown: [DeviceFacts], names: PCINames) {
        containers = machine.inventory.hasContainers
        iommufd = machine.inventory.hasIOMMUFD
        devices = shown.compactMap { device in
            device.record.map { Device(device, $0, machine, names) }
        }
        otherDevices = shown.filter { $0.record == nil }.map { OtherDevice($0, machine) }
        let numbers = Set(shown.compactMap(\.summary.group))
        groups = machine.inventory.groups.filter { numbers.contains($0.number) }.map { Group($0, machine) }
        holders = HeldNodes(
            complete: machine.holders.isComplete, unreadableProcesses: machine.holders.unreadable,
            containers: machine.holders.of(.container).map(Holder.init),
            iommufds: machine.holders.of(.iommu).map(Holder.init),
            unknownDevices: machine.holders.ofUnknownDevices.map(Holder.init))
    }
}

extension MachineFacts {
    /// The names of the devices that keep a device's group from being used.
    fileprivate func blockers(of device: DeviceFacts) -> [String] {
        (device.summary.group.map { inventory.blockers(ofGroup: $0) } ?? []).map { "\($0.id)" }
    }

    /// Whether nothing of the machine's keeps a device from being opened, whoever holds it.
    fileprivate func isUsable(_ device: DeviceFacts) -> Bool {
        device.summary.driver?.isVFIO == true && device.summary.group != nil && blockers(of: device).isEmpty
    }

    /// The path of the node of a device's group, where it is there.
    func groupNode(of number: Int?) -> String? { number.flatMap { groupNodes[$0] }.map { "/dev/\($0.path)" } }
}

extension MachineFacts.Readiness {
    /// One word for programs.
    var word: String {
        switch self {
        case .ready: "ready"
        case .held: "held"
        case .otherDriver(nil): "no-driver"
        case .otherDriver: "other-driver"
        case .blocked: "blocked"
        case .noGroup: "no-group"
        case .bridge: "bridge"
        }
    }
}

extension ListReport.Device {
    fileprivate init(
        _ facts: DeviceFacts, _ record: DeviceRecord, _ machine: MachineFacts, _ names: PCINames
    ) {
        address = "\(record.address)"
        vendor = hexadecimal(record.vendor, digits: 4)
        device = hexadecimal(record.device, digits: 4)
        classCode = hexadecimal(record.classCode, digits: 6)
        className = PCIClass.name(record.classCode)
        driver = record.driver?.name
        group = record.group
        node = record.deviceNode.map { "/dev/\(Node.device($0).path)" }
        blockedBy = machine.blockers(of: facts)
        usable = machine.isUsable(facts)
        state = machine.readiness(of: facts).word
        vendorName = names.vendor(record.vendor)
        deviceName = names.device(record.device, of: record.vendor)
        subsystemVendor = hexadecimal(record.subsystemVendor, digits: 4)
        subsystem = hexadecimal(record.subsystem, digits: 4)
        subsystemName = names.subsystem(
            record.subsystem, of: record.subsystemVendor, on: record.device, of: record.vendor)
        revision = hexadecimal(record.revision, digits: 2)
        driverOverride = record.driverOverride
        groupNode = machine.groupNode(of: record.group)
        noIOMMU = record.isUnprotected
        numaNode = record.numaNode
        resetMethods = record.resetMethods
        interrupts = ListReport.Interrupts(facts.interrupts)
        powerState = facts.powerState
        runtimeStatus = facts.runtimeStatus
        enableCount = facts.enableCount
        iommu = facts.iommu
        virtualFunctions = facts.virtualFunctions.map {
            ListReport.VirtualFunctions(total: $0.total, enabled: $0.enabled)
        }
        physicalFunction = record.physicalFunction.map { "\($0)" }
        virtualFunctionNumber = facts.virtualFunctionNumber
        networkInterfaces = facts.networkInterfaces
        disks = facts.disks
        holders = machine.holders(of: facts).map(ListReport.Holder.init)
        unknown = facts.unknown
    }
}

extension ListReport.OtherDevice {
    fileprivate init(_ facts: DeviceFacts, _ machine: MachineFacts) {
        name = facts.id.name
        bus = facts.id.bus.name
        driver = facts.summary.driver?.name
        group = facts.summary.group
        node = facts.summary.deviceNode.map { "/dev/\(Node.device($0).path)" }
        blockedBy = machine.blockers(of: facts)
        usable = machine.isUsable(facts)
        state = machine.readiness(of: facts).word
        groupNode = machine.groupNode(of: facts.summary.group)
        noIOMMU = facts.summary.isUnprotected
        iommu = facts.iommu
        networkInterfaces = facts.networkInterfaces
        disks = facts.disks
        holders = machine.holders(of: facts).map(ListReport.Holder.init)
        unknown = facts.unknown
    }
}

extension ListReport.Group {
    fileprivate init(_ record: GroupRecord, _ machine: MachineFacts) {
        number = record.number
        node = machine.groupNode(of: record.number)
        domainType = record.domainType
        noIOMMU = record.isUnprotected
        devices = machine.members(ofGroup: record.number).map(\.id.name)
        let blockers = machine.inventory.blockers(ofGroup: record.number)
        viable = blockers.isEmpty
        blockedBy = blockers.map { ListReport.Blocker(device: $0.id.name, driver: $0.driver?.name) }
        reservedRegions = record.reservedRegions.map {
            ListReport.ReservedRegion(
                first: "0x" + hexadecimal($0.first), last: "0x" + hexadecimal($0.last), kind: $0.kind)
        }
        holders = machine.holders.ofGroup(record.number).map(ListReport.Holder.init)
    }
}
