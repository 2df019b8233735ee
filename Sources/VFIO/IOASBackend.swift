import IOVASpace
import LinuxSystem
import VFIOHost

/// The way in through device nodes and an iommufd with one I/O address space.
final class IOASBackend: IOMMUBackend {
    let route: Route
    private let host: any Host
    private let iommufd: IOMMUFD
    private let space: IOAS
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
        iommufd = IOMMUFD(try Diagnosis.open(.iommu, on: host))
        do throws(Errno) {
            space = try iommufd.makeIOAS()
        } catch {
            throw VFIOError(operation: "make an I/O address space", object: "/dev/iommu", errno: error)
        }
        firstNode = try Diagnosis.open(.device(node), on: host, for: record)
    }

    func open(_ record: DeviceSummary, _ inventory: Inventory) throws(VFIOError) -> Handle {
        guard let node = record.deviceNode else { throw Diagnosis.noDeviceNode(record, inventory) }
        let device: Handle
        if let first = firstNode.take() {
            device = first
        } else {
            device = try Diagnosis.open(.device(node), on: host, for: record)
        }
        try machine?.add(device.number, "\(record.id)")
        do throws(VFIOError) {
            do throws(Errno) {
                try iommufd.bind(device)
            } catch {
                throw Diagnosis.bind(record, error, inventory, host.kind)
            }
            do throws(Errno) {
                try iommufd.attach(device, to: space)
            } catch {
                throw Diagnosis.attach(record, error)
            }
        } catch {
            _ = close(device.borrowed)
            throw error
        }
        return device
    }

    // What isn't in any more needs no taking out.
    func close(_ device: OpenHandle) -> AnyObject? {
        try? machine?.remove(device.number)
        return nil
    }

    func info() throws(Errno) -> IOMMUInfo { try iommufd.info(space) }

    func map(_ memory: HostAddress, to range: IOVARange, _ permissions: DMAPermissions) throws(Errno) {
        try iommufd.map(memory, to: range, permissions, in: space)
    }

    func unmap(_ range: IOVARange) throws(Errno) -> UInt64 { try iommufd.unmap(range, in: space) }

    func unmap(
        _ range: IOVARange, pageSize: UInt64, dirtyBits words: inout [UInt64]
    ) throws(Errno) -> UInt64 {
        throw .noSuchRequest
    }

    func unmapAll() throws(Errno) -> UInt64? { try iommufd.unmapAll(in: space) }

    func setDirtyTracking(_ on: Bool) throws(Errno) { throw .noSuchRequest }

    func dirtyBits(of range: IOVARange, pageSize: UInt64, into words: inout [UInt64]) throws(Errno) {
        throw .noSuchRequest
    }
}
