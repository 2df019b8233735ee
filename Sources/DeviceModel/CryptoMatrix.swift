import LinuxSystem

/// Which of a mainframe's cryptographic adapters and domains a mediated device has: what an administrator writes to the
/// files of vfio-ap in sysfs (kernel.md G.5).
///
/// Each pair of an adapter and a usage domain is a queue. May be used from any thread.
public final class CryptoMatrix: @unchecked Sendable {
    // SAFETY: what changes is guarded by `lock`.

    /// What is given to a device.
    public struct Masks: Sendable, Equatable {
        /// The adapters, by number.
        public var adapters: [UInt8] = []
        /// The domains whose queues it may use.
        public var domains: [UInt8] = []
        /// The domains that it may control.
        public var controlDomains: [UInt8] = []

        /// Nothing.
        public init() {}

        /// How many queues it has.
        public var queueCount: Int { adapters.count * domains.count }
    }

    /// What can be given.
    public enum Resource: Sendable {
        /// An adapter: `assign_adapter`, `unassign_adapter`.
        case adapter
        /// A usage domain: `assign_domain`, `unassign_domain`.
        case domain
        /// A control domain: `assign_control_domain`, `unassign_control_domain`.
        case controlDomain
    }

    private let lock = Lock()
    private var masks = Masks()
    private var resets = 0
    private var onChange: (@Sendable () -> Void)?
    /// The highest number of an adapter, and of a domain, that the machine has.
    public let highestAdapter: UInt8
    /// The highest number of a domain that the machine has.
    public let highestDomain: UInt8

    /// A device without queues, on a machine with this many adapters and domains.
    public init(highestAdapter: UInt8 = 255, highestDomain: UInt8 = 255) {
        self.highestAdapter = highestAdapter
        self.highestDomain = highestDomain
    }

    /// What the device has.
    public var current: Masks { lock.withLock { masks } }

    /// How often its queues were reset: what was in them is gone then.
    public var resetCount: Int { lock.withLock { resets } }

    /// Gives something to the device; nothing changes if it has it already.
    /// - Throws: `ENODEV` for a number that the machine doesn't have.
    public func assign(_ resource: Resource, _ number: UInt8) throws(Errno) {
        try check(resource, number)
        change(resource) { numbers in
            guard !numbers.contains(number) else { return false }
            numbers.append(number)
            numbers.sortCompactly(by: <)
            return true
        }
    }

    /// Takes something from the device; nothing changes if it doesn't have it.
    /// - Throws: `ENODEV` for a number that the machine doesn't have.
    public func unassign(_ resource: Resource, _ number: UInt8) throws(Errno) {
        try check(resource, number)
        change(resource) { numbers in
            guard let index = numbers.firstIndex(of: number) else { return false }
            numbers.remove(at: index)
            return true
        }
    }

    private func check(_ resource: Resource, _ number: UInt8) throws(Errno) {
        let highest: UInt8
        switch resource {
        case .adapter: highest = highestAdapter
        case .domain, .controlDomain: highest = highestDomain
        }
        guard number <= highest else { throw .noDevice }
    }

    private func change(_ resource: Resource, _ body: (inout [UInt8]) -> Bool) {
        let notify = lock.withLock { () -> (@Sendable () -> Void)? in
            let hasChanged: Bool
            switch resource {
            case .adapter: hasChanged = body(&masks.adapters)
            case .domain: hasChanged = body(&masks.domains)
            case .controlDomain: hasChanged = body(&masks.controlDomains)
            }
            return hasChanged ? onChange : nil
        }
        notify?()
    }

    // MARK: the host's side

    /// Whom to tell of changes; nil for nobody.
    public func setChangeHook(_ hook: (@Sendable () -> Void)?) { lock.withLock { onChange = hook } }

    /// Resets all queues.
    public func resetQueues() { lock.withLock { resets += 1 } }
}
