/// What is wrong with a capability chain, and where.
public struct CapabilityChainError: Error, Equatable, Sendable {
    /// What is wrong.
    public enum Reason: Equatable, Sendable {
        /// An offset is not a multiple of the alignment asked for.
        case misaligned
        /// An offset lies inside the information structure that the chain belongs to.
        case insideStructure
        /// An offset does not lead forward. Such a chain could loop.
        case backward
        /// An offset lies inside the header of the capability that names it.
        case overlapping
        /// An offset lies beyond the buffer.
        case outsideBuffer
        /// The buffer ends within a capability's header.
        case truncatedHeader
        /// The bytes of a capability end before the structure that its identifier stands for, or before the
        /// records that it announces.
        case truncatedPayload
    }

    /// What is wrong.
    public var reason: Reason

    /// Where the chain had got to: the offset of the capability that is at fault, from the start of the
    /// information structure; 0 where the structure's own offset is.
    public var offset: Int

    /// The number that is at fault: an offset (`next` or `cap_offset`), or for `truncatedPayload` the number of
    /// bytes or records that were announced.
    public var value: UInt32

    /// Makes an error.
    public init(_ reason: Reason, at offset: Int, value: UInt32) {
        self.reason = reason
        self.offset = offset
        self.value = value
    }
}
