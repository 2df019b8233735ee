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
}
