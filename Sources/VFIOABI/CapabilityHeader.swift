/// `vfio_info_cap_header`: the head of every capability in a chain. The offset of the next one counts from
/// the start of the information structure that the chain belongs to.
public struct CapabilityHeader: ABIValue, Equatable {
    /// `id`: what the capability is; the meaning depends on the structure that it belongs to.
    public var id: UInt16
    /// `version`: the version of the capability's layout.
    public var version: UInt16
    /// `next`: the offset of the next capability in bytes, 0 for the last.
    public var next: UInt32

    /// Makes the structure; what is not given is zero.
    @inlinable
    public init(
        id: UInt16 = 0,
        version: UInt16 = 0,
        next: UInt32 = 0
    ) {
        self.id = id
        self.version = version
        self.next = next
    }
}
