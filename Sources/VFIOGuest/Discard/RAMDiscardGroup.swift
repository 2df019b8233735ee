import LinuxSystem
import VFIO
import VFIOABI

extension RAMDiscardPolicy {
    /// How an IOMMU gets the guest's RAM, which decides what discards it can live with.
    public enum IOMMU: Sendable, Equatable {
        /// A container with an IOMMU of this type.
        case container(IOMMUType)
        /// An I/O address space of an iommufd.
        case iommufd
        /// A vfio-user server, which maps the guest's memory files itself.
        case server

        /// What it must forbid while it holds all of a guest's RAM. Nil where discards are no harm.
        ///
        /// Type 1 and iommufd map and unmap at any time, so their listener can follow a ``RAMDiscardManager``. sPAPR
        /// registers whole blocks of RAM beforehand and can't. A server sees the same file, holes and all; discards
        /// only have to be announced so that it doesn't fill the holes again.
        public var ban: Claim {
            switch self {
            case .container(.type1), .container(.type1v2), .container(.type1Nesting), .iommufd, .server:
                .forbidsUncoordinatedDiscards
            // An unknown type gets the ban that is right for all.
            default: .forbidsDiscards
            }
        }
    }
}

/// What the devices of one IOMMU group, or one device of an iommufd, mean for discards of guest RAM.
///
/// A group forbids discards from before its container maps anything: what was discarded earlier would get pages
/// again when it is pinned. Devices whose driver pins only what the guest gives them for I/O (some mediated ones) can
/// be exempt; then all devices of the group are, because the group is the unit that shares mappings.
///
/// Not for use from several threads at once.
public final class RAMDiscardGroup {
    /// What the group is called in messages: "group 26".
    public let name: String
    private let policy: RAMDiscardPolicy
    private let iommu: RAMDiscardPolicy.IOMMU
    private var ban: RAMDiscardPolicy.Hold?
    private var devices: [String] = []

    /// Forbids what the IOMMU can't follow.
    /// - Parameter isExempt: whether all devices are going to be exempt; nothing is forbidden then.
    /// - Throws: `EBUSY` where somebody needs it.
    public init(
        _ name: String, on iommu: RAMDiscardPolicy.IOMMU, _ policy: RAMDiscardPolicy, isExempt: Bool = false
    ) throws(VFIOError) {
        self.name = name
        self.iommu = iommu
        self.policy = policy
        ban = isExempt ? nil : try policy.hold(iommu.ban, for: name)
    }

    /// Whether the group's devices leave the guest's RAM free to be discarded.
    public var isExempt: Bool { ban == nil }

    /// Adds a device.
    /// - Parameters:
    ///   - device: its name: "0000:01:00.0".
    ///   - isExempt: whether it can live with discards.
    ///   - isMediated: whether its driver pins pages one by one. A device behind a real IOMMU has all of the RAM
    ///     pinned, whatever is said of it.
    /// - Throws: where a device that isn't mediated is said to be exempt; where the group's other devices say the
    ///   opposite; and `EBUSY` where the group would have to forbid again what somebody needs by now.
    public func add(_ device: String, isExempt: Bool, isMediated: Bool) throws(VFIOError) {
        let operation = "add the device to \(name)"
        if isExempt && !isMediated {
            throw VFIOError(
                operation: operation, object: device, code: .notSupported,
                cause: "all of the guest's RAM is pinned for it, so it can't live with discards",
                remedy: "say so of mediated devices only")
        }
        if let other = devices.first, isExempt != self.isExempt {
            throw VFIOError(
                operation: operation, object: device, errno: .busy, code: .busy,
                cause: isExempt
                    ? "\(other), in the same group, can't live with discards of guest RAM"
                    : "\(other), in the same group, is said to live with discards of guest RAM",
                remedy: "say the same of all devices of the group")
        }
        if isExempt {
            ban = nil
        } else if ban == nil {
            ban = try policy.hold(iommu.ban, for: name)
        }
        devices.append(device)
    }

    /// Removes a device. The ban stays, if there is one, until the group goes: its mappings do.
    public func remove(_ device: String) {
        if let index = devices.firstIndex(of: device) { devices.remove(at: index) }
    }
}
