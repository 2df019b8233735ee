import LinuxSystem
import PCIDecoder
import VFIOHost

/// A process that has something of VFIO open.
public struct Holder: Sendable, Hashable {
    /// The process's number.
    public var process: Int32
    /// What the process calls itself: at most 15 bytes, with nothing in it that isn't printable (`/proc/<pid>/comm`).
    public var name: String
    /// The number of the descriptor in that process.
    public var descriptor: Int32
    /// Whose process it is: the effective user ID; nil where that can't be read.
    public var user: UInt32?

    /// Describes a holder.
    public init(process: Int32, name: String, descriptor: Int32, user: UInt32?) {
        self.process = process
        self.name = name
        self.descriptor = descriptor
        self.user = user
    }
}

extension Holder: CustomStringConvertible {
    /// "qemu-system-x86 (process 4711, descriptor 23)"
    public var description: String { "\(name) (process \(process), descriptor \(descriptor))" }
}

/// Who has VFIO's nodes and devices open, on the whole machine as far as this process may see it.
///
/// Read once, from the descriptors of all processes (`/proc/<pid>/fd`). Looking into another user's process needs the
/// super-user (`CAP_SYS_PTRACE`); what couldn't be looked into is counted, so that "nobody" isn't said where it isn't
/// known: see ``isComplete``.
public struct Holders: Sendable {
    /// What is held.
    public enum Held: Sendable, Equatable {
        /// A node: a group, a device's own node, a container or an iommufd.
        case node(Node)
        /// A device, by its folder's name in sysfs: a descriptor that a group gave out. Kernels since 6.18 tell which
        /// (`vfio-device-syspath` in `/proc/<pid>/fdinfo`).
        case device(String)
        /// A device that the kernel doesn't name.
        case unknownDevice
    }

    /// One descriptor of one process.
    public struct Entry: Sendable, Equatable {
        /// What it is of.
        public var held: Held
        /// Whose it is.
        public var holder: Holder

        /// Describes a descriptor.
        public init(_ held: Held, _ holder: Holder) {
            self.held = held
            self.holder = holder
        }
    }

    /// The descriptors of VFIO, by process and number.
    public var entries: [Entry]
    /// How many processes couldn't be looked into.
    public var unreadable: Int
    /// Whether processes outside a container's own can't be seen from here, or the list of them was too long or isn't
    /// there.
    public var isPartial: Bool

    /// Whether whoever isn't named here holds nothing.
    public var isComplete: Bool { unreadable == 0 && !isPartial }

    /// Tells of known holders.
    public init(entries: [Entry] = [], unreadable: Int = 0, isPartial: Bool = false) {
        self.entries = entries
        self.unreadable = unreadable
        self.isPartial = isPartial
    }

    /// Who has a node open.
    public func of(_ node: Node) -> [Holder] {
        entries.compactMap { $0.held == .node(node) ? $0.holder : nil }
    }

    /// Who has a device open: its own node, or a descriptor of it that the kernel names.
    ///
    /// Whoever has the device's group has it too, and may have this device open as well: ``of(_:)``.
    public func of(_ device: DeviceSummary) -> [Holder] {
        entries.compactMap { entry in
            switch entry.held {
            case .device(let name): return name == device.id.name ? entry.holder : nil
            case .node(.device(let number)): return number == device.deviceNode ? entry.holder : nil
            default: return nil
            }
        }
    }

    /// Who has a group open: its node, behind an IOMMU or not.
    public func ofGroup(_ number: Int) -> [Holder] { of(.group(number)) + of(.unprotectedGroup(number)) }

    /// Who has a device open of which the kernel doesn't tell which one it is.
    public var ofUnknownDevices: [Holder] {
        entries.compactMap { $0.held == .unknownDevice ? $0.holder : nil }
    }
}
