/// The way in to a device that was taken, and why.
public struct Route: Sendable, Equatable, CustomStringConvertible {
    /// The ways in.
    public enum Kind: Sendable, Equatable {
        /// A container and an IOMMU group: `/dev/vfio/vfio`, `/dev/vfio/<group>`.
        case group
        /// The device's own node and an iommufd: `/dev/vfio/devices/vfio<n>`, `/dev/iommu`.
        case cdev
        /// A container and a group without an IOMMU: the device reaches all of the machine's memory.
        case unprotected
    }

    /// Which way.
    public let kind: Kind
    /// Why this way, for people: "/dev/iommu isn't there".
    public let reason: String

    /// Describes a way.
    public init(kind: Kind, reason: String) {
        self.kind = kind
        self.reason = reason
    }

    /// "group (/dev/iommu isn't there)"
    public var description: String { "\(kind) (\(reason))" }
}

/// Which way in to take.
public enum RouteChoice: Sendable, Equatable {
    /// Device node and iommufd where both can be opened, else container and group.
    case automatic
    /// Container and group, or fail.
    case group
    /// Device node and iommufd, or fail.
    case cdev
    /// Container and a group without an IOMMU, or fail. Nothing keeps such a device from overwriting any memory
    /// of the machine, and DMA memory can't be had from its ``AddressSpace``. Never chosen automatically.
    case unprotected
}
