import DeviceModel
import LinuxSystem
import VFIOABI
import VFIOHost

// Faults on demand: the rules, and the places in the host where they take effect.

extension SoftwareHost {
    /// How many interrupts can be on their way late at a time; further ones come at once.
    public static var delayedInterruptLimit: Int { DelayLine.limit }
    /// How many of the latest faults ``injectedFaults`` tells.
    public static var injectedFaultLimit: Int { FaultInjector.logLimit }

    /// Lets something go wrong from now on.
    /// - Returns: by which the rule can be asked about and withdrawn.
    @discardableResult
    public func inject(_ rule: FaultRule) -> FaultToken {
        let token = core.injector.add(rule)
        if case .device(let fault) = rule.fault, rule.moment == .always {
            for device in core.lock.withLock({ core.devices }) {
                if let wanted = rule.scope.device, wanted != device.id { continue }
                if lose(device, fault, token) { core.injector.noteImmediate(token) }
            }
        }
        return token
    }

    /// Ends a rule. Devices whose link was dead because of it answer again; what was pulled out stays away.
    /// - Returns: whether there was such a rule.
    @discardableResult
    public func withdraw(_ token: FaultToken) -> Bool {
        guard let rule = core.injector.remove(token) else { return false }
        guard case .device(.silent) = rule.fault else { return true }
        for device in core.lock.withLock({ core.devices }) where device.faults.reappear(without: token) {
            core.lock.withLock { device.bus }?.presenceChanged(isAbsent: false, reportsError: false)
        }
        return true
    }

    /// The rules that hold, in the order in which they came.
    public var faultRules: [(token: FaultToken, rule: FaultRule)] { core.injector.active }

    /// How often the events of a rule have happened; nil for one that doesn't hold (any more).
    public func faultCount(of token: FaultToken) -> FaultCount? { core.injector.count(of: token) }

    /// The latest things that went wrong because a rule said so, the oldest first.
    public var injectedFaults: [FaultRecord] { core.injector.records }

    // MARK: where they take effect

    /// Something happens to a device as a whole.
    /// - Returns: whether it is news.
    private func lose(_ device: MachineDevice, _ fault: DeviceFault, _ token: FaultToken) -> Bool {
        guard device.faults.disappear(fault, by: token) else { return false }
        let bus = core.lock.withLock { device.bus }
        bus?.presenceChanged(isAbsent: true, reportsError: fault == .silent)
        if fault == .vanished {
            ReleaseReminder(core, device, count: 0).run()
            core.forgetIfVanished(device)
        }
        return true
    }

    /// An access to a device, of whatever kind.
    private func countAccess(to device: MachineDevice) {
        guard core.injector.isWatching(.device) else { return }
        var event = FaultEvent(kind: .device)
        event.device = device.id
        guard let hit = core.injector.fire(event), case .device(let fault) = hit.fault else { return }
        _ = lose(device, fault, hit.token)
    }

    @inline(never)
    func failOpening(_ node: Node) throws(Errno) {
        var event = FaultEvent(kind: .open)
        event.node = node
        if let errno = core.injector.errno(event) { throw errno }
    }

    /// Answers a request that meets a fault.
    /// - Returns: nil for one that goes its usual way.
    @inline(never)
    func answer(_ request: Request, to file: OpenFile) throws(Errno) -> Int32? {
        var event = FaultEvent(kind: .request)
        event.request = request
        event.files = file.kind
        if case .device(let device) = file {
            countAccess(to: device.device)
            event.device = device.device.id
        }
        if case .migration(let session) = file {
            countAccess(to: session.device)
            event.device = session.device.id
        }
        if let errno = core.injector.errno(event) { throw errno }
        if case .device(let device) = file, request == .deviceReset, device.hasAccess,
            device.device.faults.isSilent
        {
            return try device.bus.resetAbsent()
        }
        return nil
    }

    @inline(never)
    func readFaultily(
        _ file: DeviceFile, at offset: UInt64, into bytes: inout MutableRawSpan
    ) throws(Errno) -> Int? {
        try meet(.read, file)
        file.stopIfHit(isStore: false, at: offset, byteCount: bytes.byteCount)
        guard file.hasAccess, file.device.faults.isSilent else { return nil }
        return try file.bus.readAbsent(at: offset, into: &bytes)
    }

    @inline(never)
    func writeFaultily(_ file: DeviceFile, at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int? {
        try meet(.write, file)
        file.stopIfHit(isStore: true, at: offset, byteCount: bytes.byteCount)
        guard file.hasAccess, file.device.faults.isSilent else { return nil }
        return try file.bus.writeAbsent(at: offset, bytes)
    }

    @inline(never)
    func failMapping(_ file: DeviceFile) throws(Errno) { try meet(.map, file) }

    /// An access of one kind: what happens to the device first, then whether the access fails.
    private func meet(_ kind: FaultEvent.Kinds, _ file: DeviceFile) throws(Errno) {
        try meet(kind, file.device)
    }

    /// An access of one kind to a device, or to its state on the way.
    @inline(never)
    func meet(_ kind: FaultEvent.Kinds, _ device: MachineDevice) throws(Errno) {
        countAccess(to: device)
        var event = FaultEvent(kind: kind)
        event.device = device.id
        if let errno = core.injector.errno(event) { throw errno }
    }
}

/// Asks the users of a device that was pulled out to close it, again and again until they do (kernel.md A.11).
private final class ReleaseReminder: DelayLine.Action {
    private let core: Core
    private let device: MachineDevice
    private let count: Int

    init(_ core: Core, _ device: MachineDevice, count: Int) {
        self.core = core
        self.device = device
        self.count = count
    }

    override func run() {
        guard let bus = core.lock.withLock({ device.fileCount > 0 ? device.bus : nil }) else { return }
        bus.requestRelease(count: count)
        _ = core.injector.delays.add(
            ReleaseReminder(core, device, count: count &+ 1), after: UInt32(clamping: core.requestInterval))
    }
}

extension Core {
    /// Takes a device that was pulled out from the machine, once nobody has it open. No lock may be held.
    func forgetIfVanished(_ device: MachineDevice) {
        guard device.faults.presence == .vanished, lock.withLock({ device.fileCount == 0 }) else { return }
        // Somebody else may be changing its driver at this moment, or may have taken it away already: then it
        // stays, if at all, as one that can't be opened.
        do throws(Errno) {
            try changeDriver(of: device.id, within: 0) { _ in
            } then: {
                discard($0)
            }
        } catch {}
    }
}

extension OpenFile {
    /// Its kind, as rules name it.
    fileprivate var kind: FaultScope.Files {
        switch self {
        case .container: .containers
        case .group: .groups
        case .device, .migration, .plane, .dmaBuf: .devices
        case .iommufd, .faultQueue: .iommufds
        }
    }
}
