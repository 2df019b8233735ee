import LinuxSystem
import VFIOHost

/// The making of changes: what has been written so far, and how that is taken back.
struct BindRun {
    private let roots: SystemRoots
    private let writer: any BindWriter
    private let writeMilliseconds: Int
    private let nodeMilliseconds: Int
    /// The writes that were taken, in order.
    private var done: [BindStep] = []
    /// The writes that haven't come back.
    private(set) var pending: [DeviceID: BindingRecord.Pending] = [:]
    /// The write that failed.
    private(set) var failure: BindFailure?

    init(_ binder: Binder) {
        roots = binder.roots
        writer = binder.writer
        writeMilliseconds = binder.writeMilliseconds
        nodeMilliseconds = binder.nodeMilliseconds
    }

    /// Makes the writes for a device, until one fails or doesn't come back.
    mutating func carryOut(_ move: BindMove, _ say: (BindEvent) -> Void) {
        say(.begins(move))
        for step in move.steps {
            switch writer.write(step.write, milliseconds: writeMilliseconds) {
            case .done:
                done.append(step)
                guard didWhatItIsFor(step) else {
                    fail(step, nil, say)
                    return
                }
                say(.done(step))
            case .failed(let errno):
                fail(step, errno, say)
                return
            case .pending(let process):
                pending[move.device] = BindingRecord.Pending(step.kind, process: process, in: roots.processes)
                say(.pending(step, process: process))
                return
            }
        }
    }

    /// Whether a write that was taken has had its effect: drivers that refuse a device are told in the kernel's log only.
    private func didWhatItIsFor(_ step: BindStep) -> Bool {
        switch step.kind {
        case .override: true
        case .unbind: driver(of: step.device) != step.driver
        case .bind: driver(of: step.device) == step.driver
        }
    }

    private mutating func fail(_ step: BindStep, _ errno: Errno?, _ say: (BindEvent) -> Void) {
        let failure = BindFailure(step, errno, roots)
        self.failure = failure
        say(.failed(failure))
    }

    /// Takes the writes back, the last one first.
    mutating func rollBack(_ say: (BindEvent) -> Void) {
        var taken: Set<BindWrite> = []
        for step in done.reversed() where pending[step.device] == nil {
            // A driver that took the write and not the device has nothing to give back, nor has one that kept it.
            let hadEffect = didWhatItIsFor(step)
            if !hadEffect && step.kind == .bind { continue }
            let undo = hadEffect ? step.undo[...] : step.undo.dropLast()
            for write in undo where taken.insert(write).inserted {
                switch writer.write(write, milliseconds: writeMilliseconds) {
                case .done: say(.undone(write))
                case .failed(let errno): say(.notUndone(write, errno))
                case .pending(let process):
                    pending[step.device] = BindingRecord.Pending(
                        step.kind, process: process, in: roots.processes)
                    say(.notUndone(write, .timedOut))
                }
            }
        }
    }

    private func driver(of device: DeviceID) -> String? {
        (try? DriverState(of: device, in: roots))?.driver
    }

    // MARK: what became of it

    /// What became of a device; waits for its nodes.
    func result(of move: BindMove, _ say: (BindEvent) -> Void) -> BindResult.Device {
        let after = try? DriverState(of: move.device, in: roots)
        let outcome: BindResult.Outcome
        if let waiting = pending[move.device] {
            outcome = .pending(process: waiting.process)
        } else if move.steps.isEmpty {
            outcome = .unchanged
        } else if failure == nil, after == move.to {
            outcome = .done
        } else if after == move.from {
            outcome = .rolledBack
        } else {
            let now = after ?? DriverState(driver: nil, override: move.to.override)
            outcome = .stranded(
                BindMove(move.device, from: now, to: move.from, in: roots).steps.map(\.write))
        }
        let nodes = outcome == .done || outcome == .unchanged ? nodes(of: move.device, say) : []
        return BindResult.Device(
            device: move.device, before: move.from, after: after, outcome: outcome, nodes: nodes)
    }

    /// Waits for the nodes that a device ought to have.
    private func nodes(
        of device: DeviceID, _ say: (BindEvent) -> Void
    ) -> [(path: String, isThere: Bool)] {
        let end = Clock.moment(inMilliseconds: nodeMilliseconds)
        return expectedNodes(of: device).map { node in
            let path = roots.devices + "/" + node.path
            while !FileSystem.exists(path) && Clock.now < end { Clock.sleep(nanoseconds: 5_000_000) }
            let isThere = FileSystem.exists(path)
            say(.node(device, path: path, isThere: isThere))
            return (path, isThere)
        }
    }

    /// The nodes that a device ought to have by its driver.
    private func expectedNodes(of device: DeviceID) -> [Node] {
        guard let driver = driver(of: device), let inventory = try? roots.host.inventory(),
            let summary = inventory.summary(of: device),
            summary.driver?.isVFIO == true || DriverRecord(named: driver).isVFIO
        else { return [] }
        var nodes: [Node] = []
        // A kernel without groups has the nodes of devices only, and no class of groups.
        if let group = summary.group,
            summary.deviceNode == nil || FileSystem.exists(roots.sysfs + "/class/vfio")
        {
            nodes.append(summary.isUnprotected ? .unprotectedGroup(group) : .group(group))
        }
        if let number = summary.deviceNode { nodes.append(.device(number)) }
        return nodes
    }
}

extension BindFailure {
    /// Finds out what a write's failure means.
    init(_ step: BindStep, _ errno: Errno?, _ roots: SystemRoots) {
        self.step = step
        self.errno = errno
        (cause, remedy) = Self.explanation(step, errno, roots)
    }

    private static func explanation(
        _ step: BindStep, _ errno: Errno?, _ roots: SystemRoots
    ) -> (String, String?) {
        let driver = step.driver ?? "no driver"
        switch (step.kind, errno) {
        case (_, .accessDenied), (_, .notPermitted): return ("this user may not write there", "run as root")
        case (_, .readOnlyFileSystem):
            return (
                "/sys is mounted for reading only", "mount it for writing, or do this outside the container"
            )
        case (.bind, .noSuchEntry), (.unbind, .noSuchEntry):
            return ("there is no driver \(driver) any more", "modprobe \(driver)")
        case (.unbind, .noDevice): return ("it isn't bound to \(driver) any more", "look again: vfio list")
        case (.bind, .noDevice):
            return (
                "\(driver) isn't a driver for this device, or found nothing that it could drive",
                "the kernel's log may say more: dmesg | tail"
            )
        case (.bind, .busy):
            return (
                "it has a driver already, or another device of its group is open through VFIO",
                "see who holds the group: vfio list"
            )
        case (.bind, .invalid) where DriverRecord(named: driver).isVFIO:
            return (
                "VFIO doesn't take it: it has no IOMMU group, or is a bridge, or has virtual functions",
                "vfio doctor \(step.device.qualifiedName)"
            )
        case (.bind, .again): return ("\(driver) waits for another driver first", "try again later")
        case (.unbind, nil):
            return ("the write was taken, and \(driver) still has the device", "look again: vfio list")
        case (_, nil):
            return (
                "the write was taken, and the device has not got the driver",
                "the kernel's log may say why: dmesg | tail"
            )
        case (_, .timedOut): return ("it didn't come back in time", nil)
        default: return ("the kernel refused the write", "the kernel's log may say why: dmesg | tail")
        }
    }
}
