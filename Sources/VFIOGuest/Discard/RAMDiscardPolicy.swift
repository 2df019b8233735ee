import LinuxSystem
import VFIO
import VFIOABI

/// Who in a machine needs that guest RAM can be discarded, and who can't have that it is.
///
/// A discard gives pages of guest RAM back to the machine. An IOMMU that pinned them goes on translating to the old
/// ones, while the guest gets new ones: so whoever pins all of a guest's RAM forbids discards that it doesn't hear of
/// (*uncoordinated* ones, such as a balloon's). Those that go through a ``RAMDiscardManager`` (*coordinated* ones)
/// are fine for an IOMMU that follows it.
///
/// Every need and every ban is a ``Hold``, counted and given back one by one. May be used from any thread.
public final class RAMDiscardPolicy: @unchecked Sendable {
    /// A need or a ban.
    public enum Claim: Int, Sendable, CaseIterable {
        /// Uncoordinated discards must be possible. Excludes both bans.
        case needsDiscards
        /// Coordinated discards must be possible. Excludes the ban on all discards.
        case needsCoordinatedDiscards
        /// No discards at all. Excludes both needs.
        case forbidsDiscards
        /// No uncoordinated discards. Excludes the need of them.
        case forbidsUncoordinatedDiscards

        /// The claims that can't be held at the same time as this one.
        public var conflicts: [Claim] {
            switch self {
            case .needsDiscards: [.forbidsDiscards, .forbidsUncoordinatedDiscards]
            case .needsCoordinatedDiscards: [.forbidsDiscards]
            case .forbidsDiscards: [.needsDiscards, .needsCoordinatedDiscards]
            case .forbidsUncoordinatedDiscards: [.needsDiscards]
            }
        }
    }

    private struct Holder {
        let serial: UInt64
        let claim: Claim
        let name: String
    }

    private let lock = Lock()
    // Both are read and written under `lock` only.
    private var holders: [Holder] = []
    private var lastSerial: UInt64 = 0

    /// A policy without needs and bans.
    public init() {}

    /// Takes a claim; it holds until it is released or goes.
    /// - Parameters:
    ///   - claim: what is needed or forbidden.
    ///   - name: who claims it, for the messages that others get: "the memory device vmem0".
    /// - Throws: `EBUSY` with the name of somebody who claims the opposite.
    public func hold(_ claim: Claim, for name: String) throws(VFIOError) -> Hold {
        let serial = try lock.withLock { () throws(VFIOError) -> UInt64 in
            if let other = holders.first(where: { claim.conflicts.contains($0.claim) }) {
                throw Self.conflict(claim, name, other.claim, other.name)
            }
            lastSerial += 1
            holders.append(Holder(serial: lastSerial, claim: claim, name: name))
            return lastSerial
        }
        return Hold(self, claim, serial)
    }

    /// How many holds of a claim there are.
    public func count(of claim: Claim) -> Int {
        lock.withLock { holders.count { $0.claim == claim } }
    }

    /// Whether RAM may be discarded without its manager now, as a balloon does.
    public var allowsUncoordinatedDiscards: Bool {
        // One look under the lock: two would leave a moment in between.
        lock.withLock {
            !holders.contains { $0.claim == .forbidsDiscards || $0.claim == .forbidsUncoordinatedDiscards }
        }
    }

    /// Whether RAM may be discarded through its manager now.
    public var allowsCoordinatedDiscards: Bool { count(of: .forbidsDiscards) == 0 }

    private func release(_ serial: UInt64) {
        lock.withLock { holders.removeAll { $0.serial == serial } }
    }

    private static func conflict(
        _ claim: Claim, _ name: String, _ other: Claim, _ otherName: String
    ) -> VFIOError {
        let operation =
            switch claim {
            case .needsDiscards: "discard guest RAM"
            case .needsCoordinatedDiscards: "discard guest RAM block by block"
            case .forbidsDiscards: "keep all of the guest's RAM in place"
            case .forbidsUncoordinatedDiscards: "keep guest RAM from being discarded unannounced"
            }
        let cause =
            switch other {
            case .needsDiscards: "\(otherName) discards guest RAM unannounced"
            case .needsCoordinatedDiscards: "\(otherName) discards guest RAM block by block"
            case .forbidsDiscards: "\(otherName) can't follow any discard of guest RAM"
            case .forbidsUncoordinatedDiscards: "\(otherName) can't follow unannounced discards of guest RAM"
            }
        return VFIOError(
            operation: operation, object: name, errno: .busy, code: .busy, cause: cause,
            remedy: "do without one of the two in this machine")
    }

    /// A claim that is held. Ends when it is released, or when the last reference goes.
    public final class Hold: Sendable {
        /// What is claimed.
        public let claim: Claim
        private let policy: RAMDiscardPolicy
        private let serial: UInt64

        fileprivate init(_ policy: RAMDiscardPolicy, _ claim: Claim, _ serial: UInt64) {
            self.policy = policy
            self.claim = claim
            self.serial = serial
        }

        deinit { release() }

        /// Gives the claim back. Doing so twice changes nothing.
        public func release() { policy.release(serial) }
    }
}
