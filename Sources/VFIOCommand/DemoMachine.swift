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
    let guest: DemoGuest
    /// The devices that the guest has.
    let devices: GuestDevices

    /// Builds it; the guest has no device yet.
    /// - Parameter faults: what is to go wrong on it.
    init(_ faults: FaultOptions) throws {
        // All 64 address bits: QEMU's own drives 28.
        let models = Self.addresses.map { _ in Educational(dmaMask: .max) }
        let machine = try faults.added(
            to: MachineDescription {
                IOMMU(.type1, pageSizes: [.kib4, .mib2])
                IOMMUGroup(Self.groups[0]) { PCIDevice(models[0], at: Self.addresses[0]) }
                IOMMUGroup(Self.groups[1]) { PCIDevice(models[1], at: Self.addresses[1]) }
            })
        do throws(MachineError) {
            host = try SoftwareHost(machine)
        } catch {
            throw CommandFailure.refused("\(error)")
        }
        guest = try DemoGuest()
        devices = GuestDevices(on: host, for: guest.memory, .group)
    }

    /// Gives the guest a device.
    func attach(_ index: Int, to space: GuestAddressSpace) throws(VFIOGuestError) -> GuestDevice {
        try devices.attach(Self.addresses[index], to: space)
    }
}
