import IOVASpace
import LinuxSystem
import VFIOHost

/// One I/O address space, and the devices that share it: a container with its IOMMU, or an iommufd with an IOAS.
///
/// Devices, and memory mapped for DMA, keep it alive. When the last of them goes, it gives back in the kernel's
/// order what it holds: groups first, then the container; the device handles are closed by then. Until that
/// moment it keeps the groups of devices that were opened in it, also when the devices are closed, so that its
/// mappings stay.
///
/// May be used from any thread.
public final class AddressSpace: @unchecked Sendable {
    /// The host that answers.
    public let host: any Host
    /// Which way in was asked for.
    public let choice: RouteChoice

    /// The virtual machine that is to know of groups and devices.
    let machine: (any VirtualMachineFiles)?

    let lock = Lock()
    // Everything below is read and written under `lock` only.

    /// The way in; nil until the first device has been opened.
    var backend: (any IOMMUBackend)?
    var info: IOMMUInfo?
    /// Ranges that sysfs calls reserved for the groups in use: only for telling what a range is reserved for.
    var reservedRegions: [ReservedRegion] = []
    /// What is mapped: `backing` is a serial number, which tells mappings apart that follow one another at one
    /// place.
    var mappings = IOVAMap(mergingAdjacent: false)
    var lastSerial: UInt64 = 0
    /// Where the search for free addresses goes on: behind the last one found. A range that was just released
    /// isn't given out again at once, so a device that goes on using it meets a fault and not other data.
    var searchStart = IOVA(0)
    /// Memory that the IOMMU wouldn't let go.
    var condemned: [OwnedMapping] = []

    /// Makes an address space.
    ///
    /// Nothing is opened before the first device is: only then is it known which ways in there are.
    /// - Throws: ``VFIOError/Code/noVFIO`` if the host has no nodes that the choice could use.
    public convenience init(on host: any Host, _ choice: RouteChoice = .automatic) throws(VFIOError) {
        try self.init(on: host, choice, for: nil)
    }

    /// - Parameter machine: the virtual machine that hears of groups before devices are opened in them, and of devices
    ///   with nodes of their own before they are bound: their drivers may need it.
    package init(
        on host: any Host, _ choice: RouteChoice, for machine: (any VirtualMachineFiles)?
    ) throws(VFIOError) {
        self.host = host
        self.choice = choice
        self.machine = machine
        let inventory = try Diagnosis.inventory(of: host, for: "make an address space")
        if let error = Diagnosis.missingNodes(inventory, choice) { throw error }
    }

    deinit {
        // The order is the point: nothing may be freed that the IOMMU still translates to.
        backend = nil
        condemned = []
    }

    /// The way in that was taken, with the reason; nil before the first device.
    public var route: Route? { lock.withLock { backend?.route } }

    /// The I/O virtual addresses that can be mapped: the IOMMU's aperture less reserved ranges, ascending. Empty
    /// before the first device, and without an IOMMU.
    public var usableRanges: [IOVARange] { lock.withLock { info?.usableRanges ?? [] } }

    /// The IOMMU's page sizes in bytes, one bit each; the lowest is the unit of every mapping. 0 before the first
    /// device.
    public var pageSizes: UInt64 { lock.withLock { info?.pageSizes ?? 0 } }

    /// How many bytes are mapped.
    public var mappedByteCount: UInt64 { lock.withLock { mappings.byteCount } }

    /// How many mappings there are.
    public var mappingCount: Int { lock.withLock { mappings.count } }

    /// Opens a device and joins it to this space.
    func open(_ id: DeviceID, showing token: DeviceUUID?) throws(VFIOError) -> Handle {
        let inventory = try Diagnosis.inventory(of: host, for: "open the device")
        let record = try Diagnosis.openable(id, inventory, host.kind)
        return try lock.withLock { () throws(VFIOError) -> Handle in
            let handle: Handle
            if let backend {
                handle = try backend.open(record, token, inventory)
            } else {
                handle = try enter(record, token, inventory)
            }
            do throws(VFIOError) {
                try refresh(record, inventory)
            } catch {
                _ = backend?.close(handle.borrowed)
                throw error
            }
            return handle
        }
    }

    /// Takes the way in for the first device.
    private func enter(_ record: DeviceSummary, _ token: DeviceUUID?, _ inventory: Inventory)
        throws(VFIOError) -> Handle
    {
        let object = "\(record.id)"
        switch choice {
        case .cdev:
            guard let node = record.deviceNode else {
                throw Diagnosis.noDeviceNode(record, inventory)
            }
            return try enter(
                try IOASBackend(on: host, reason: "asked for", for: record, node, machine),
                record, token, inventory)
        case .group:
            return try enterGroup(record, token, inventory, reason: "asked for")
        case .unprotected:
            guard record.isUnprotected else {
                throw VFIOError(
                    operation: "open the device without an IOMMU", object: object, code: .notSupported,
                    cause: record.group == nil
                        ? "it isn't in a no-IOMMU group" : "it has an IOMMU, and so no node without one",
                    remedy: "open it with the IOMMU")
            }
            return try enterGroup(record, token, inventory, reason: "asked for, without an IOMMU")
        case .automatic:
            if record.isUnprotected { throw Diagnosis.unprotected(record) }
            if !inventory.hasIOMMUFD {
                return try enterGroup(record, token, inventory, reason: "/dev/iommu isn't there")
            }
            if let node = record.deviceNode {
                let new: IOASBackend
                do throws(VFIOError) {
                    let reason = "the device has a node of its own, and /dev/iommu is there"
                    new = try IOASBackend(on: host, reason: reason, for: record, node, machine)
                } catch {
                    // Only nodes that can't be opened are a reason to try the other way: a refused BIND means
                    // that the device is in use, and it would be so there too.
                    return try enterGroup(
                        record, token, inventory, instead: "\(error.object) can't be used: \(error.reason)")
                }
                return try enter(new, record, token, inventory)
            }
            return try enterGroup(
                record, token, inventory, reason: "the device has no node in /dev/vfio/devices")
        }
    }

    /// A device that was opened in this space is about to be closed.
    /// - Returns: what to let go when it is.
    @discardableResult
    func close(_ device: OpenHandle) -> AnyObject? { lock.withLock { backend?.close(device) } }

    /// Goes through the group because the other way is closed; if this one is too, the error tells of both.
    private func enterGroup(
        _ record: DeviceSummary, _ token: DeviceUUID?, _ inventory: Inventory, instead obstacle: String
    ) throws(VFIOError) -> Handle {
        do throws(VFIOError) {
            return try enterGroup(record, token, inventory, reason: obstacle)
        } catch {
            var error = error
            error.cause = error.reason + " (the way through its own node is closed too: \(obstacle))"
            throw error
        }
    }

    private func enterGroup(
        _ record: DeviceSummary, _ token: DeviceUUID?, _ inventory: Inventory, reason: String
    ) throws(VFIOError) -> Handle {
        let isUnprotected = choice == .unprotected
        if record.isUnprotected && !isUnprotected { throw Diagnosis.unprotected(record) }
        let new = try ContainerBackend(
            on: host, isUnprotected: isUnprotected, reason: reason, machine)
        let handle = try new.open(record, token, inventory)
        backend = new
        return handle
    }

    private func enter(
        _ new: IOASBackend, _ record: DeviceSummary, _ token: DeviceUUID?, _ inventory: Inventory
    ) throws(VFIOError) -> Handle {
        let handle = try new.open(record, token, inventory)
        backend = new
        return handle
    }

    /// Asks again what can be mapped: a further device may have narrowed it.
    private func refresh(_ record: DeviceSummary, _ inventory: Inventory) throws(VFIOError) {
        guard let backend else { return }
        if let number = record.group, let group = inventory.group(number) {
            for region in group.reservedRegions where !reservedRegions.contains(region) {
                reservedRegions.append(region)
            }
        }
        if backend.route.kind == .unprotected { return }
        do throws(Errno) {
            info = try backend.info()
        } catch {
            throw VFIOError(
                operation: "ask the IOMMU for its page sizes and ranges", object: "\(record.id)",
                errno: error)
        }
    }
}

extension VFIOError {
    /// Why, in the best words there are.
    var reason: String { cause ?? errno?.description ?? "refused" }
}
