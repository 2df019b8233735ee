import IOVASpace
import LinuxSystem
import VFIOABI
import VFIOHost

/// The way in through a container and groups.
final class ContainerBackend: IOMMUBackend {
    let route: Route
    private let host: any Host
    private let isUnprotected: Bool
    private let container: Container
    /// The groups in use, by number. The last one stays until the container goes, so that mappings do.
    private var groups: [Int: OpenGroup] = [:]
    /// The groups of the open devices, by the devices' handles.
    private var groupNumbers: [Int32: Int] = [:]
    private let machine: (any VirtualMachineFiles)?
    private var canUnmapAll = false
    /// The windows, where the IOMMU has them.
    private(set) var tce: TCEBackend?

    /// An open group with one or more owners.
    private final class OpenGroup {
        let group: Group
        private var machine: (any VirtualMachineFiles)?

        init(_ group: consuming Group) { self.group = group }

        /// Tells a virtual machine of the group, until it is closed.
        func add(to machine: any VirtualMachineFiles) throws(VFIOError) {
            try machine.add(group.handle.number, "group \(group.number)")
            self.machine = machine
        }

        // Before the group is closed; what KVM still has would stay open.
        deinit { try? machine?.remove(group.handle.number) }
    }

    init(
        on host: any Host, isUnprotected: Bool, reason: String, _ machine: (any VirtualMachineFiles)?
    ) throws(VFIOError) {
        self.host = host
        self.machine = machine
        self.isUnprotected = isUnprotected
        route = Route(kind: isUnprotected ? .unprotected : .group, reason: reason)
        container = Container(try Diagnosis.open(.container, on: host))
        let version: Int32
        do throws(Errno) {
            version = try container.apiVersion()
        } catch {
            throw VFIOError(operation: "ask for the uAPI's version", object: "/dev/vfio/vfio", errno: error)
        }
        guard version == UAPI.version else {
            throw VFIOError(
                operation: "use VFIO", object: "/dev/vfio/vfio", code: .notSupported,
                cause: "the host speaks version \(version) of the uAPI, and this program \(UAPI.version)")
        }
    }

    deinit {
        // Groups leave before the container goes: the kernel then takes the mappings down with the last group.
        groups.removeAll()
    }

    func open(
        _ record: DeviceSummary, _ token: DeviceUUID?, _ inventory: Inventory
    ) throws(VFIOError) -> Handle {
        guard let number = record.group else { throw Diagnosis.noGroup(record) }
        // A container never holds groups with and without an IOMMU (kernel.md A.3).
        if record.isUnprotected && !isUnprotected { throw Diagnosis.unprotected(record) }
        if let known = groups[number] {
            let device = try openDevice(record, token, in: known)
            groupNumbers[device.number] = number
            return device
        }
        let node = isUnprotected ? Node.unprotectedGroup(number) : .group(number)
        let open = OpenGroup(Group(number, try Diagnosis.open(node, on: host, for: record)))
        try join(open, number, inventory)
        if groups.isEmpty { try setIOMMU(number) }
        if let machine { try open.add(to: machine) }
        // Until here the group goes again with `open`, and leaves the container as it was.
        let device = try openDevice(record, token, in: open)
        groups[number] = open
        groupNumbers[device.number] = number
        tce?.groupCount = groups.count
        return device
    }

    // The group goes with its last device, for others to use, as long as another one keeps the mappings.
    func close(_ device: OpenHandle) -> AnyObject? {
        guard let number = groupNumbers.removeValue(forKey: device.number), groups.count > 1,
            !groupNumbers.values.contains(number)
        else { return nil }
        tce?.groupCount = groups.count - 1
        return groups.removeValue(forKey: number)
    }

    func descriptor(ofGroup number: Int) -> KeptDescriptor? {
        groups[number].map { KeptDescriptor(number: $0.group.handle.number, keeper: $0) }
    }

    func setKernelTable(_ table: Int32) throws(VFIOError) {
        guard let machine else { return }
        for (number, open) in groups.sorted(by: { $0.key < $1.key }) {
            do throws(Errno) {
                try machine.setTable(table, of: open.group.handle.number)
            } catch {
                throw VFIOError(
                    operation: "let KVM fill its DMA window", object: "group \(number)", errno: error,
                    cause: error == .noSuchAddress ? "this KVM knows no such tables" : nil,
                    remedy: "keep the table in the VMM")
            }
        }
    }

    private func join(_ open: OpenGroup, _ number: Int, _ inventory: Inventory) throws(VFIOError) {
        let flags: GroupFlags
        do throws(Errno) {
            flags = try open.group.status()
        } catch {
            throw VFIOError(operation: "ask for its status", object: "group \(number)", errno: error)
        }
        guard flags.contains(.viable) else {
            throw Diagnosis.notViable(number, inventory, host.kind, errno: nil)
        }
        do throws(Errno) {
            try open.group.setContainer(container)
        } catch {
            throw Diagnosis.join(number, error, inventory, host.kind)
        }
    }

    private func setIOMMU(_ number: Int) throws(VFIOError) {
        tce = nil
        let isVersion2: Bool?
        do throws(Errno) {
            isVersion2 = try chooseIOMMU()
        } catch {
            throw Diagnosis.setIOMMU(number, error, unprotected: isUnprotected)
        }
        guard let isVersion2 else { return }
        do throws(Errno) {
            tce = try TCEBackend(container.handle.borrowed, isVersion2: isVersion2)
        } catch {
            throw Diagnosis.enable(number, error)
        }
    }

    /// Prefers version 2 of type 1, whose unmapping never takes more than it is asked for. On a POWER machine it is version
    /// 2 of sPAPR's windows, if it can be had: a kernel tells of it even where the hardware hasn't got it.
    /// - Returns: for windows, whether it is version 2; nil for all others.
    private func chooseIOMMU() throws(Errno) -> Bool? {
        if isUnprotected {
            try container.setIOMMU(.noIOMMU)
            return nil
        }
        if try container.supports(.type1v2) {
            try container.setIOMMU(.type1v2)
        } else if try container.supports(.type1) {
            try container.setIOMMU(.type1)
        } else if try container.supports(.spaprTCEv2) {
            do throws(Errno) {
                try container.setIOMMU(.spaprTCEv2)
                return true
            } catch {
                guard try container.supports(.spaprTCE) else { throw error }
                try container.setIOMMU(.spaprTCE)
                return false
            }
        } else if try container.supports(.spaprTCE) {
            try container.setIOMMU(.spaprTCE)
            return false
        } else {
            // None is said to be there: the refusal then says which errno it is.
            try container.setIOMMU(.type1)
        }
        canUnmapAll = try container.supports(.unmapAll)
        return nil
    }

    private func openDevice(
        _ record: DeviceSummary, _ token: DeviceUUID?, in open: OpenGroup
    ) throws(VFIOError) -> Handle {
        do throws(Errno) {
            return try open.group.openDevice(record.id.name, showing: token)
        } catch {
            throw Diagnosis.groupDevice(record, error, host.kind)
        }
    }

    func info() throws(Errno) -> IOMMUInfo {
        if let tce { return tce.info }
        return try container.info()
    }

    func map(_ memory: HostAddress, to range: IOVARange, _ permissions: DMAPermissions) throws(Errno) {
        if let tce { return try tce.map(memory, to: range, permissions) }
        try container.map(memory, to: range, permissions)
    }

    func unmap(_ range: IOVARange) throws(Errno) -> UInt64 {
        if let tce { return try tce.unmap(range) }
        return try container.unmap(range)
    }

    func unmap(
        _ range: IOVARange, pageSize: UInt64, dirtyBits words: inout [UInt64]
    ) throws(Errno) -> UInt64 {
        try container.unmap(range, pageSize: pageSize, dirtyBits: &words)
    }

    func unmapAll() throws(Errno) -> UInt64? { canUnmapAll ? try container.unmapAll() : nil }

    func setDirtyTracking(_ on: Bool) throws(Errno) { try container.setDirtyTracking(on) }

    func dirtyBits(of range: IOVARange, pageSize: UInt64, into words: inout [UInt64]) throws(Errno) {
        try container.dirtyBits(of: range, pageSize: pageSize, into: &words)
    }
}
