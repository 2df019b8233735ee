import LinuxSystem
import SoftwareDevices
import SoftwareHost
import VFIO
import VFIOGuest
import VFIOHost

/// A software machine with two devices that copy memory, each in a group of its own, and a virtual machine on it.
final class DemoMachine {
    static let addresses = [1, 2].map { PCIAddress(bus: $0, device: 0, function: 0) }
    static let groups = [26, 27]
    let host: SoftwareHost
    /// What the devices are.
    let models: [Educational]
    let guest: DemoGuest
    /// The devices that the guest has.
    let devices: GuestDevices
    private let late = LateFailure()

    /// The first thing that couldn't be mapped or unmapped while the guest had its devices.
    var failure: VFIOGuestError? { late.first }

    /// Builds it; the guest has no device yet.
    /// - Parameter faults: what is to go wrong on it; nil for nothing.
    init(_ faults: FaultOptions?) throws {
        // All 64 address bits: QEMU's own drives 28.
        let models = Self.addresses.map { _ in Educational(dmaMask: .max) }
        self.models = models
        // A variant of vfio-pci with which devices can be moved, and tell what they write.
        let driver = "software-vfio-pci"
        let machine = MachineDescription {
            IOMMU(.type1, pageSizes: [.kib4, .mib2])
            IOMMUGroup(Self.groups[0]) { PCIDevice(models[0], at: Self.addresses[0], driver: driver) }
            IOMMUGroup(Self.groups[1]) { PCIDevice(models[1], at: Self.addresses[1], driver: driver) }
        }
        let changed = try faults?.added(to: machine) ?? machine
        do throws(MachineError) {
            host = try SoftwareHost(changed)
        } catch {
            throw CommandFailure.refused("\(error)")
        }
        guest = try DemoGuest()
        devices = GuestDevices(on: host, for: guest.memory, .group)
    }

    /// Gives the guest a device.
    func attach(_ index: Int, to space: GuestAddressSpace) throws(VFIOGuestError) -> GuestDevice {
        try devices.attach(Self.addresses[index], to: space) { [late] in late.note($0.error) }
    }

    /// Gives the guest a device that sees all of its memory, with registers in it.
    func addEngine(_ index: Int) throws -> DemoEngine {
        try guest.addEngine(try attach(index, to: guest.space), slot: index)
    }

    /// The guest, as it is moved to another machine: its memory, its devices, its program.
    func movable(_ engines: [DemoEngine], _ program: DemoProgram) -> MovableGuest {
        MovableGuest(
            guest.memory, blocks: [guest.ram, guest.rom], devices: engines.map { MovableDevice($0.device) },
            processors: program)
    }
}

/// What failed first, whoever heard of it.
private final class LateFailure: @unchecked Sendable {
    private let lock = Lock()
    // Guarded by `lock`.
    private var error: VFIOGuestError?

    var first: VFIOGuestError? { lock.withLock { error } }
    func note(_ error: VFIOGuestError) { lock.withLock { if self.error == nil { self.error = error } } }
}
