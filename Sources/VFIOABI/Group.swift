/// What `GroupStatus` says about a group.
public struct GroupFlags: OptionSet, Hashable, ABIValue {
    /// The bits as the uAPI has them; unknown ones are kept.
    public var rawValue: UInt32

    /// Takes any bits, known or not.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `VFIO_GROUP_FLAGS_VIABLE`: every device of the group is bound to VFIO or to nothing.
    @inlinable public static var viable: GroupFlags { GroupFlags(rawValue: 1 << 0) }

    /// `VFIO_GROUP_FLAGS_CONTAINER_SET`: the group is attached to a container (or an iommufd).
    @inlinable public static var containerSet: GroupFlags { GroupFlags(rawValue: 1 << 1) }
}

/// `vfio_group_status`: the answer to `Request.groupGetStatus`.
public struct GroupStatus: SizePrefixed, Equatable {
    /// `argsz`: the size of the structure and of what follows it, in bytes, as the caller declares it.
    public var argsz: UInt32
    /// `flags`: what is true of the group.
    public var flags: GroupFlags

    /// The smallest size, in bytes, that the kernel accepts in `argsz`.
    @inlinable public static var minimumSize: Int { 8 }

    /// Makes the structure with `argsz` set to its own size; what is not given is zero.
    @inlinable
    public init(
        argsz: UInt32 = UInt32(MemoryLayout<Self>.size),
        flags: GroupFlags = []
    ) {
        self.argsz = argsz
        self.flags = flags
    }
}
