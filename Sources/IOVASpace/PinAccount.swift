/// Counts what is pinned against a limit: pages or bytes, whichever the user counts.
///
/// Neither the count nor a comparison with the limit can overflow, whatever numbers come in.
@frozen
public struct PinAccount: Hashable, Sendable {
    /// Why something was not pinned. All numbers are in the unit of the account.
    public struct LimitExceeded: Error, Hashable, Sendable {
        /// How much more was to be pinned.
        public var needed: UInt64

        /// How much was pinned already.
        public var used: UInt64

        /// How much may be pinned; `UInt64.max` for an account without limit, whose count would overflow.
        public var limit: UInt64

        /// A refusal with these numbers.
        public init(needed: UInt64, used: UInt64, limit: UInt64) {
            self.needed = needed
            self.used = used
            self.limit = limit
        }
    }

    /// How much is pinned.
    public private(set) var used: UInt64 = 0

    /// How much may be pinned; nil if as much as one likes.
    ///
    /// A limit set below what is pinned already refuses everything new, and takes nothing back.
    public var limit: UInt64?

    /// An account with nothing pinned.
    public init(limit: UInt64?) {
        self.limit = limit
    }

    /// How much can still be pinned.
    public var available: UInt64 {
        let limit = limit ?? .max
        return limit > used ? limit - used : 0
    }

    /// Counts `amount` as pinned.
    ///
    /// - Parameters:
    ///   - amount: how much.
    ///   - ignoringLimit: whether to count it even beyond the limit, for the privileged.
    /// - Throws: ``LimitExceeded``; nothing is counted then.
    public mutating func charge(
        _ amount: UInt64, ignoringLimit: Bool = false
    ) throws(LimitExceeded) {
        let limit = ignoringLimit ? .max : limit ?? .max
        let (sum, overflow) = used.addingReportingOverflow(amount)
        guard amount == 0 || (!overflow && sum <= limit) else {
            throw LimitExceeded(needed: amount, used: used, limit: limit)
        }
        used = sum
    }

    /// Counts `amount` as no longer pinned.
    ///
    /// - Returns: by how much the count went down: less than `amount` if that is more than was pinned, which
    ///   is a mistake of the user's bookkeeping.
    @discardableResult
    public mutating func credit(_ amount: UInt64) -> UInt64 {
        let credited = Swift.min(amount, used)
        used -= credited
        return credited
    }
}
