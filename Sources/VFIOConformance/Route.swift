/// The ways into VFIO, as a set: which of them a case is about.
public struct Routes: OptionSet, Sendable {
    /// A bit for each ``Route``.
    public let rawValue: UInt8
    /// Wraps bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// A container with a type 1 IOMMU, and a group.
    public static let group = Routes(rawValue: 1)
    /// An iommufd in a container's place, and a group.
    public static let compat = Routes(rawValue: 2)
    /// A device's own node and an iommufd.
    public static let cdev = Routes(rawValue: 4)
    /// A container and a group without an IOMMU.
    public static let noIOMMU = Routes(rawValue: 8)
    /// A container with an sPAPR IOMMU, and a group.
    public static let spapr = Routes(rawValue: 16)
    /// Every way that is the same on all machines: the case is about a device that is open, however it was opened.
    public static let all: Routes = [.group, .compat, .cdev, .noIOMMU]
    /// Every way behind which there is an IOMMU.
    public static let translated: Routes = [.group, .compat, .cdev]
}

/// The way into VFIO that a run takes.
public enum Route: String, CaseIterable, Sendable {
    /// A container with a type 1 IOMMU, and a group.
    case group
    /// An iommufd in a container's place, and a group.
    case compat
    /// A device's own node and an iommufd.
    case cdev
    /// A container and a group without an IOMMU.
    case noIOMMU = "noiommu"
    /// A container with an sPAPR IOMMU, which only POWER machines have, and a group.
    case spapr

    /// The set of this way alone.
    public var bit: Routes {
        switch self {
        case .group: .group
        case .compat: .compat
        case .cdev: .cdev
        case .noIOMMU: .noIOMMU
        case .spapr: .spapr
        }
    }
}
