/// A link from a part to the whole that owns it, which doesn't keep the whole alive.
///
/// `weak` and `unowned` don't exist in Embedded Swift. The rule instead: only a part that its owner holds
/// privately, and that nobody uses once the owner has gone, may link back.
@safe public struct Backlink<Owner: AnyObject> {
    @usableFromInline unowned(unsafe) let link: Owner

    /// Links to an owner that outlives every use of this link.
    @inlinable @unsafe public init(_ owner: Owner) { unsafe link = owner }

    // SAFETY: whoever made the link promised that the owner outlives its uses.
    /// The owner.
    @inlinable @inline(__always) public var owner: Owner { unsafe link }
}
