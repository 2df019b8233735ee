import IOVASpace
import LinuxSystem
import VFIOABI
import VFIOHost

/// The way in through device nodes and an iommufd with one I/O address space.
final class IOASBackend: IOMMUBackend {
    let route: Route
    private let host: any Host
    /// Shared with the page tables, which are destroyed through it.
    private let shared: SharedIOMMUFD
    private let space: IOAS
    /// The page tables that devices are attached to, by the devices' descriptors; nil for a device that is attached
    /// to the space itself, whose writes nobody notes.
    private var tables: [(device: Int32, table: TrackingPageTable?)] = []
    private var isTracking = false
    /// Page tables that lost their last device while writes are noted: they may hold what nobody has asked for yet.
    private var retired: [TrackingPageTable] = []
    /// The first device's node, opened in advance: whether it can be is what the choice of this way hangs on.
    private var firstNode: Handle?
    private let machine: (any VirtualMachineFiles)?

    /// - Throws: only when a node can't be opened, or no address space be made: a reason to try another way.
    init(
        on host: any Host, reason: String, for record: DeviceSummary, _ node: Int,
        _ machine: (any VirtualMachineFiles)?
    ) throws(VFIOError) {
        self.host = host
        self.machine = machine
        route = Route(kind: .cdev, reason: reason)
        shared = SharedIOMMUFD(IOMMUFD(try Diagnosis.open(.iommu, on: host)))
        do throws(Errno) {
            space = try shared.iommufd.makeIOAS()
        } catch {
            throw VFIOError(operation: "make an I/O address space", object: "/dev/iommu", errno: error)
        }
        firstNode = try Diagnosis.open(.device(node), on: host, for: record)
    }

    func open(
        _ record: DeviceSummary, _ token: DeviceUUID?, _ inventory: Inventory
    ) throws(VFIOError) -> Handle {
        guard let node = record.deviceNode else { throw Diagnosis.noDeviceNode(record, inventory) }
        let device: Handle
        if let first = firstNode.take() {
            device = first
        } else {
            device = try Diagnosis.open(.device(node), on: host, for: record)
        }
        try machine?.add(device.number, "\(record.id)")
        do throws(VFIOError) {
            let id: UInt32
            do throws(Errno) {
                if let token {
                    id = try shared.iommufd.bind(device, token: token)
                } else {
                    id = try shared.iommufd.bind(device)
                }
            } catch {
                throw Diagnosis.bind(record, error, inventory, host.kind)
            }
            do throws(Errno) {
                tables.append((device.number, try attach(device, id)))
            } catch {
                throw Diagnosis.attach(record, error)
            }
        } catch {
            _ = close(device.borrowed)
            throw error
        }
        return device
    }

    /// Attaches a device, if possible to a page table that can note which pages it writes.
    /// - Returns: the page table; nil for the space.
    private func attach(_ device: borrowing Handle, _ id: UInt32) throws(Errno) -> TrackingPageTable? {
        let capabilities = (try? shared.iommufd.hardwareInfo(of: id))?.capabilities ?? []
        guard capabilities.contains(.dirtyTracking) else {
            try shared.iommufd.attach(device, to: space)
            return nil
        }
        for table in distinctTables {
            do throws(Errno) {
                try shared.iommufd.attach(device, to: table.table)
                return table
            } catch {
                // It is of another kind of IOMMU.
                if error != .invalid { throw error }
            }
        }
        let new: TrackingPageTable
        do throws(Errno) {
            let table = try shared.iommufd.makePageTable(of: space, for: id, .dirtyTracking)
            new = TrackingPageTable(table, of: shared)
        } catch {
            guard error == .notSupported else { throw error }
            try shared.iommufd.attach(device, to: space)
            return nil
        }
        if isTracking { try shared.iommufd.setDirtyTracking(true, of: new.table) }
        try shared.iommufd.attach(device, to: new.table)
        return new
    }

    func close(_ device: OpenHandle) -> AnyObject? {
        // What isn't in any more needs no taking out.
        try? machine?.remove(device.number)
        guard let index = tables.firstIndex(where: { $0.device == device.number }) else { return nil }
        // Can't be destroyed before the device, which is attached to it, is closed.
        guard let table = tables.remove(at: index).table else { return nil }
        if isTracking && !tables.contains(where: { $0.table === table }) { retired.append(table) }
        return table
    }

    /// The page tables, each once.
    private var distinctTables: [TrackingPageTable] {
        var all = retired
        for (_, table) in tables {
            if let table, !all.contains(where: { $0 === table }) { all.append(table) }
        }
        return all
    }

    /// Whether there is a device whose writes nobody notes.
    private var hasUntrackedDevice: Bool { tables.contains { $0.table == nil } }

    func info() throws(Errno) -> IOMMUInfo {
        var info = try shared.iommufd.info(space)
        if !tables.isEmpty && !hasUntrackedDevice { info.dirtyPageSizes = info.smallestPage }
        return info
    }

    func map(_ memory: HostAddress, to range: IOVARange, _ permissions: DMAPermissions) throws(Errno) {
        try shared.iommufd.map(memory, to: range, permissions, in: space)
    }

    func map(
        file: Int32, at offset: UInt64, to range: IOVARange, _ permissions: DMAPermissions
    ) throws(Errno) {
        try shared.iommufd.map(file: file, at: offset, to: range, permissions, in: space)
    }

    func unmap(_ range: IOVARange) throws(Errno) -> UInt64 { try shared.iommufd.unmap(range, in: space) }

    // An iommufd has no such step: the bits go with the mapping, and between asking for them and unmapping a device
    // could write once more.
    func unmap(
        _ range: IOVARange, pageSize: UInt64, dirtyBits words: inout [UInt64]
    ) throws(Errno) -> UInt64 {
        throw .noSuchRequest
    }

    func unmapAll() throws(Errno) -> UInt64? { try shared.iommufd.unmapAll(in: space) }

    func setDirtyTracking(_ on: Bool) throws(Errno) {
        let all = distinctTables
        guard !all.isEmpty, !hasUntrackedDevice || !on else { throw .noSuchRequest }
        // Starting once more would forget what is noted.
        guard on != isTracking else { return }
        var done: [TrackingPageTable] = []
        do throws(Errno) {
            for table in all {
                try shared.iommufd.setDirtyTracking(on, of: table.table)
                done.append(table)
            }
        } catch {
            if on { for table in done { try? shared.iommufd.setDirtyTracking(false, of: table.table) } }
            throw error
        }
        isTracking = on
        if !on { retired = [] }
    }

    var readsDirtyBitsUpToHoles: Bool { true }

    func dirtyBits(of range: IOVARange, pageSize: UInt64, into words: inout [UInt64]) throws(Errno) {
        // An iommufd has no bits then, which would say that nothing was written.
        guard isTracking else { throw .invalid }
        if hasUntrackedDevice {
            // One that came while it was noted what the others write.
            for index in words.indices { words[index] = .max }
        }
        for table in distinctTables {
            try shared.iommufd.addDirtyBits(
                of: range, pageSize: pageSize, in: table.table, to: &words)
        }
    }
}

/// An open iommufd that several hold.
private final class SharedIOMMUFD: Sendable {
    let iommufd: IOMMUFD
    init(_ iommufd: consuming IOMMUFD) { self.iommufd = iommufd }
}

/// A page table that can note which pages devices write, destroyed when nobody holds it.
private final class TrackingPageTable {
    let table: IOPageTable
    private let shared: SharedIOMMUFD

    init(_ table: IOPageTable, of shared: SharedIOMMUFD) {
        self.table = table
        self.shared = shared
    }

    // With a device attached, which can't be while it is held as it must be, it would go with the iommufd.
    deinit { try? shared.iommufd.destroy(table) }
}
