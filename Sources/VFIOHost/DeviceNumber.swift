extension Node {
    /// What stat(2) tells of the node on the software kernel (`st_rdev`): the fixed numbers of `/dev/vfio/vfio`, and for
    /// what gets its numbers at run time those that Linux mostly gives.
    public var deviceNumber: (major: UInt32, minor: UInt32) {
        switch self {
        case .container: (10, 196)
        case .iommu: (10, 125)
        case .group(let number), .unprotectedGroup(let number): (243, UInt32(truncatingIfNeeded: number))
        case .device(let number): (511, UInt32(truncatingIfNeeded: number))
        }
    }

    /// Who may do what with the node on Linux, before somebody changes that: all may open a container, the rest is the
    /// super-user's.
    public var permissions: UInt32 { self == .container ? 0o666 : 0o600 }

    /// Two small numbers that tell this node from all others: a kind, and a number below 1 000 000 000.
    /// ``SysfsTree`` writes them as the time at which the node's file was changed.
    public var mark: (kind: Int64, number: Int) {
        switch self {
        case .container: (1, 0)
        case .iommu: (2, 0)
        case .group(let number): (3, number)
        case .unprotectedGroup(let number): (4, number)
        case .device(let number): (5, number)
        }
    }

    /// The node with such numbers; nil if none has them.
    public init?(mark: (kind: Int64, number: Int)) {
        guard mark.number >= 0 && mark.number < 1_000_000_000 else { return nil }
        switch mark.kind {
        case 1 where mark.number == 0: self = .container
        case 2 where mark.number == 0: self = .iommu
        case 3: self = .group(mark.number)
        case 4: self = .unprotectedGroup(mark.number)
        case 5: self = .device(mark.number)
        default: return nil
        }
    }
}
