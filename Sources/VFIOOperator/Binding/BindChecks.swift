import LinuxSystem
import VFIOHost

/// Looks for reasons against a change of drivers, and makes the plan of it where there are none.
struct BindChecks {
    let roots: SystemRoots
    let records: [BindingRecord]
    private(set) var inventory = Inventory(
        devices: [], groups: [], hasContainers: false, hasIOMMUFD: false)
    var plan: BindPlan
    private var reasons: [BindRefusal.Reason] = []
    /// Who has VFIO's nodes open, once that was looked for.
    private var holders: Holders?

    /// Begins to look.
    ///
    /// The devices that an earlier change still waits for come first: some kernels let whoever reads their attributes wait
    /// as well.
    init(_ binder: Binder, _ purpose: BindPlan.Purpose, _ devices: [DeviceID]?) throws(BindRefusal) {
        roots = binder.roots
        plan = BindPlan(purpose)
        holders = binder.holders
        records = try Binder.withStore { () throws(BindingStore.Failure) in try binder.store.load() }
        for record in records where devices?.contains(record.device) != false { checkPending(record) }
        if !reasons.isEmpty { throw BindRefusal(reasons) }
        do throws(InventoryError) {
            inventory = try binder.roots.host.inventory()
        } catch {
            throw BindRefusal([
                BindRefusal.Reason(.undetermined, nil, "\(error.path) can't be read: \(error.errno)")
            ])
        }
    }

    func finished() throws(BindRefusal) -> BindPlan {
        guard reasons.isEmpty else { throw BindRefusal(reasons) }
        return plan
    }

    private mutating func refuse(
        _ code: BindRefusal.Reason.Code, _ device: DeviceID?, _ cause: String, remedy: String? = nil
    ) {
        reasons.append(BindRefusal.Reason(code, device, cause, remedy: remedy))
    }

    /// Plans the way of a device to another state, unless there are reasons against it.
    mutating func add(_ device: DeviceID, to state: (DriverState) -> DriverState) {
        guard let from = present(device) else { return }
        let move = BindMove(device, from: from, to: state(from), in: roots)
        plan.moves.append(move)
        if move.from.driver == move.to.driver, plan.purpose == .bind {
            // What drives it already may go on doing so by whatever rule.
            plan.moves[plan.moves.count - 1] = BindMove(device, from: from, to: from, in: roots)
            return
        }
        guard !move.steps.isEmpty else { return }
        // Members of a group that weren't named haven't been looked for yet.
        if let record = records.first(where: { $0.device == device }) { checkPending(record) }
        checkPermission(device)
        if let new = move.to.driver, new != from.driver { checkDriver(new, for: device) }
        if from.driver != move.to.driver {
            checkUses(device, from)
            checkHolders(device, from)
        }
    }

    /// Plans the way back.
    mutating func addRestoring(_ device: DeviceID) {
        guard let record = records.first(where: { $0.device == device }) else {
            refuse(
                .notRecorded, device, "no change of its driver is remembered",
                remedy: "vfio bind \(device.qualifiedName) --driver <driver>")
            return
        }
        guard FileSystem.exists(roots.folder(of: device)) else {
            plan.notes.append("\(device) isn't there any more: what was remembered of it is forgotten")
            plan.forgotten.append(device)
            return
        }
        let identity = roots.identity(of: device)
        guard record.identity == nil || record.identity == identity else {
            refuse(
                .replaced, device,
                "\(identity ?? "something else") is there now, and \(record.identity ?? "another device") was when its "
                    + "driver was changed", remedy: "vfio bind \(device.qualifiedName) --driver <driver>")
            return
        }
        if let from = try? DriverState(of: device, in: roots), from != record.left, from != record.original,
            record.pending == nil
        {
            plan.notes.append("\(device) was changed by somebody else in the meantime: it has \(from) now")
        }
        add(device, to: { _ in record.original })
    }

    // MARK: the device itself

    /// How a device is now, if it is one whose driver can be changed.
    private mutating func present(_ device: DeviceID) -> DriverState? {
        switch device.bus {
        case .pci, .platform, .amba, .fslMC, .cdx: break
        case .mdev:
            refuse(
                .notPossible, device, "a mediated device has the driver that its type was made for",
                remedy: "vfio mdev remove \(device), and make another with vfio mdev create")
            return nil
        case .ccw, .ap:
            refuse(
                .notPossible, device,
                "the bus \(device.bus.name) has other ways to give devices away",
                remedy: device.bus == .ap ? "see /sys/bus/ap/apmask" : "see driverctl -b css")
            return nil
        }
        do throws(Errno) {
            return try DriverState(of: device, in: roots)
        } catch {
            switch error {
            case .noSuchEntry:
                refuse(
                    .noSuchDevice, device, "there is no such device on the bus \(device.bus.name)",
                    remedy: "see vfio list")
            case .notSupported:
                refuse(.notPossible, device, "it has no driver_override, so no driver can be chosen for it")
            default: refuse(.undetermined, device, "its driver can't be told: \(error)")
            }
            return nil
        }
    }

    private mutating func checkPending(_ record: BindingRecord) {
        guard let pending = record.pending, pending.isAlive(roots.processes) else { return }
        refuse(
            .pending, record.device,
            "an earlier change hasn't come back: process \(pending.process) still waits for the \(pending.kind.rawValue)",
            remedy: "end what uses the device, and try again; it goes on by itself then")
    }

    private mutating func checkPermission(_ device: DeviceID) {
        let path = roots.folder(of: device) + "/driver_override"
        guard !FileSystem.isReadableAndWritable(path) else { return }
        refuse(
            .permission, device, "this user may not write \(path)",
            remedy: ProcessLimits.isSuperUser
                ? "in a container /sys has to be mounted for writing" : "run as root: sudo vfio …")
    }

    private mutating func checkDriver(_ name: String, for device: DeviceID) {
        guard DriverName.isPossible(name) else {
            return refuse(.noSuchDriver, device, "\"\(name)\" can't be the name of a driver")
        }
        let drivers = "\(roots.sysfs)/bus/\(device.bus.name)/drivers"
        guard !FileSystem.exists("\(drivers)/\(name)") else { return }
        let others = (try? FileSystem.names(in: drivers, limit: 4096)) ?? []
        func letters(_ name: String) -> [UInt8] {
            name.lowercased().utf8.filter { $0 != UInt8(ascii: "-") && $0 != UInt8(ascii: "_") }
        }
        if let meant = others.sorted().first(where: { letters($0) == letters(name) }) {
            return refuse(
                .noSuchDriver, device,
                "there is no driver \(name) on the bus \(device.bus.name), but \(meant)",
                remedy: "--driver \(meant)")
        }
        refuse(
            .noSuchDriver, device, "there is no driver \(name) on the bus \(device.bus.name)",
            remedy: "modprobe \(name)")
    }

    private mutating func checkUses(_ device: DeviceID, _ from: DriverState) {
        guard let driver = from.driver else { return }
        let use = InUse(of: device, in: roots)
        for reason in use.active { refuse(.inUse, device, reason.sentence, remedy: reason.remedy) }
        guard !DriverRecord(named: driver).isVFIO else { return }
        for sentence in use.undetermined {
            plan.notes.append("\(device): could not be determined: \(sentence)")
        }
    }

    private mutating func checkHolders(_ device: DeviceID, _ from: DriverState) {
        guard let summary = inventory.summary(of: device), summary.driver?.isVFIO == true else { return }
        let holders = self.holders ?? Holders(in: roots)
        self.holders = holders
        var found = holders.of(summary)
        // Who has the group may have this device of it.
        if let group = summary.group { found += holders.ofGroup(group) }
        var seen: Set<Int32> = []
        for holder in found where seen.insert(holder.process).inserted {
            refuse(
                .held, device, "it is open through VFIO: \(holder)",
                remedy: "end that process first: the driver waits for it")
        }
        if found.isEmpty, !holders.isComplete {
            plan.notes.append(
                "\(device): could not be determined: whether somebody has it open: "
                    + (holders.unreadable > 0
                        ? "\(holders.unreadable) processes can't be looked into"
                        : "not all processes are seen here"))
        }
    }

    // MARK: its group

    /// The members of groups that are taken with some devices: endpoints that have a driver which would keep the group
    /// from being used, or none.
    func members(withThose devices: [DeviceID]) -> [DeviceID] {
        let groups = Set(devices.compactMap { inventory.summary(of: $0)?.group })
        let all = inventory.devices.map(\.summary) + inventory.otherDevices
        return all.filter { member in
            guard let group = member.group, groups.contains(group), !devices.contains(member.id) else {
                return false
            }
            return !isBridge(member.id) && member.driver?.letsGroupBeUsed != true
        }.map(\.id)
    }

    /// Looks for what would keep the groups of devices from being used through VFIO.
    mutating func checkGroups(of devices: [DeviceID]) {
        var seen: Set<Int> = []
        for device in devices {
            guard let move = plan.moves.first(where: { $0.device == device }), let driver = move.to.driver,
                DriverRecord(named: driver).isVFIO
            else { continue }
            if isBridge(device) {
                refuse(
                    .bridge, device, "it is a bridge: VFIO doesn't take bridges, and needn't have them",
                    remedy: "leave it out")
                continue
            }
            guard let group = inventory.summary(of: device)?.group else {
                if move.from.driver != driver { checkIOMMU(device) }
                continue
            }
            guard seen.insert(group).inserted else { continue }
            let blockers = inventory.blockers(ofGroup: group).filter { !devices.contains($0.id) }
            if blockers.isEmpty { continue }
            let list = blockers.map { "\($0.id) (\($0.driver?.name ?? "no driver"))" }.joined(separator: ", ")
            let bridges = blockers.filter { isBridge($0.id) }
            refuse(
                .group, device,
                "group \(group) can't be used while \(list) \(blockers.count == 1 ? "has its driver" : "have theirs")",
                remedy: bridges.isEmpty
                    ? "name \(blockers.count == 1 ? "it" : "them") too, or take the group with --whole-group"
                    : "vfio unbind " + bridges.map(\.id.qualifiedName).joined(separator: " "))
        }
    }

    private func isBridge(_ device: DeviceID) -> Bool {
        guard let address = device.address, let code = inventory.device(at: address)?.classCode else {
            return false
        }
        // Bridges to PCI and CardBus, transparent or not: what has a header of type 1 or 2.
        return [0x0604, 0x0607, 0x0609, 0x060a].contains(code >> 8)
    }

    private mutating func checkIOMMU(_ device: DeviceID) {
        if let text = try? FileSystem.text(
            of: roots.sysfs + "/module/vfio/parameters/enable_unsafe_noiommu_mode"),
            text == "Y" || text == "1"
        {
            plan.notes.append(
                "\(device) has no IOMMU in front of it: whoever opens it can overwrite any memory of the machine"
            )
            return
        }
        let tables = roots.sysfs + "/firmware/acpi/tables/"
        let found = ["DMAR", "IVRS", "IORT", "VIOT"].filter { FileSystem.exists(tables + $0) }
        let units = (try? FileSystem.names(in: roots.sysfs + "/class/iommu", limit: 64)) ?? []
        if !units.isEmpty {
            refuse(
                .noIOMMU, device, "the machine's IOMMU is on, but isn't in front of this device",
                remedy: "vfio doctor \(device.qualifiedName)")
        } else if let table = found.first {
            let option =
                table == "DMAR" ? "intel_iommu=on" : table == "IVRS" ? "amd_iommu=on" : "iommu.passthrough=0"
            refuse(
                .noIOMMU, device,
                "the IOMMU is off: the firmware describes one (\(table)), and the kernel doesn't use it",
                remedy: "start the kernel with \(option), and look for iommu=off in /proc/cmdline")
        } else {
            refuse(
                .noIOMMU, device, "the IOMMU is off: the firmware describes none",
                remedy: "turn it on in the firmware's settings (VT-d, AMD-Vi, IOMMU, SMMU)")
        }
    }
}

extension SystemRoots {
    /// Vendor and device ID of a PCI function ("8086:10d3"); nil on other buses, and where they can't be read.
    func identity(of device: DeviceID) -> String? {
        guard device.address != nil else { return nil }
        let folder = folder(of: device)
        guard
            let vendor = (try? FileSystem.text(of: folder + "/vendor")).flatMap({ HexadecimalText.value($0) }
            ),
            let code = (try? FileSystem.text(of: folder + "/device")).flatMap({ HexadecimalText.value($0) }),
            vendor <= 0xffff, code <= 0xffff
        else { return nil }
        return hexadecimal(vendor, digits: 4) + ":" + hexadecimal(code, digits: 4)
    }
}
