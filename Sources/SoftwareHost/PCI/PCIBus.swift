import LinuxSystem
import Synchronization
import VFIOHost

/// A bus of the machine: the functions on it are reset together, by the bridge above them.
final class PCIBus: @unchecked Sendable {
    // SAFETY: all that changes is atomic or a lock.

    let segment: UInt32
    let number: UInt8
    /// Whether there is a bridge above it that can reset it. There is none above a root bus, nor above the made-up
    /// buses that virtual functions spill over to.
    let isResettable: Bool
    /// Serialises first opening, last closing and resets of all functions on it: Linux's device set lock.
    let openLock = Lock()
    private let functions = Atomic<Int>(0)

    /// A bus without functions.
    init(segment: UInt32 = 0, number: UInt8 = 0, isResettable: Bool = false) {
        self.segment = segment
        self.number = number
        self.isResettable = isResettable
    }

    /// How many functions are on it, whoever drives them.
    var functionCount: Int { functions.load(ordering: .acquiring) }

    /// A function appears on it.
    func add() { functions.add(1, ordering: .acquiringAndReleasing) }

    /// One has gone.
    func remove() { functions.subtract(1, ordering: .acquiringAndReleasing) }
}

extension Core {
    /// The bus at an address, with one function more. With `lock` held, or before anybody else knows this object.
    /// - Parameter isVirtual: whether the function is a virtual one, which may sit on a bus that no bridge leads to.
    func enterBus(of address: PCIAddress, isVirtual: Bool = false) -> PCIBus {
        let known = buses.first { $0.segment == address.segment && $0.number == address.bus }
        let bus =
            known
            ?? PCIBus(
                segment: address.segment, number: address.bus, isResettable: address.bus != 0 && !isVirtual)
        if known == nil { buses.append(bus) }
        bus.add()
        return bus
    }

    /// A function has left its bus. With `lock` held.
    func leaveBus(_ device: MachineDevice) {
        guard let bus = device.pci?.bus else { return }
        bus.remove()
        guard bus.functionCount == 0 else { return }
        buses.removeAll { $0 === bus }
    }
}
