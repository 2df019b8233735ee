import VFIOABI

/// A region that a device has beyond those of PCI: what its firmware, or the machine around it, tells its driver. Users
/// find it by its type (`VFIO_REGION_INFO_CAP_TYPE`) and can read it.
public final class TypedRegion: Sendable {
    /// The family.
    public let type: RegionType
    /// Which of the family.
    public let subtype: RegionSubtype
    /// What it holds.
    public let contents: [UInt8]

    /// A region.
    /// - Parameter contents: at least one byte; they never change.
    public init(_ type: RegionType, _ subtype: RegionSubtype, contents: [UInt8]) {
        precondition(!contents.isEmpty, "nothing to read")
        self.type = type
        self.subtype = subtype
        self.contents = contents
    }

    /// Whether it is the operation region of Intel's integrated graphics, which the device's configuration space
    /// tells the address of.
    package var isIntelOperationRegion: Bool {
        type == RegionType(pciVendor: 0x8086) && subtype == .intelIGDOpRegion
    }
}
