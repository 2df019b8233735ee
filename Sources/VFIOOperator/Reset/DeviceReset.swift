import LinuxSystem
import VFIO
import VFIOHost

/// A reset of a device: which ways there are, what each would hit, and the reset itself.
public struct DeviceReset {
    /// How a device is reset.
    public enum Way: String, Sendable, CaseIterable {
        /// The device alone: `VFIO_DEVICE_RESET`.
        case device
        /// Its slot or bus, with every function there: `VFIO_DEVICE_PCI_HOT_RESET`.
        case hot
    }

    /// A function that a hot reset hits.
    public struct Function: Sendable, Equatable {
        /// Its address.
        public var address: PCIAddress
        /// Its IOMMU group.
        public var group: Int?
        /// The driver that it is bound to.
        public var driver: String?
        /// Who has it or its group open, besides this process, as far as that can be seen.
        public var holders: [String]
        /// Why a hot reset can't be had for its sake; nil where nothing is known against it.
        public var obstacle: String?
    }

    /// The device's name.
    public let name: String
    /// How the kernel resets it, in the order in which it tries (sysfs `reset_method`); empty where it isn't told.
    public let methods: [String]
    /// Whether VFIO offers to reset it alone (`VFIO_DEVICE_FLAGS_RESET`); nil where it wasn't opened.
    public private(set) var isOffered: Bool?
    /// What a hot reset hits, the device itself included; empty where there is none.
    public private(set) var functions: [Function] = []
    /// Why there is no hot reset; nil where there is one, or nobody asked.
    public private(set) var hotResetRefusal: String?
    /// Whether ``functions`` is what VFIO says. What the machine tells without opening the device is a guess: the
    /// functions of its bus.
    public private(set) var isScopeCertain = false
    /// Why VFIO can't open the device, as far as the machine tells; nil where nothing is known against it.
    public private(set) var obstacle: String?
    /// The device; nil if it wasn't opened.
    public private(set) var device: Device?

    private let host: any Host
    private let inventory: Inventory?
    private let roots: SystemRoots?

    /// Looks at the ways of resetting a device.
    /// - Parameters:
    ///   - isOpened: whether to open it. Opening a device is a reset with most drivers of VFIO; without it, less is
    ///     known.
    ///   - roots: where the machine tells who has devices open; nil where nobody can.
    /// - Throws: why the device can't be opened, with who has it; ``/VFIO/VFIOError/Code/noSuchDevice``.
    public init(
        of id: DeviceID, on host: any Host, _ choice: RouteChoice = .automatic, opening isOpened: Bool = true,
        roots: SystemRoots? = nil
    ) throws(VFIOError) {
        name = id.name
        self.host = host
        self.roots = host.kind == .linux ? roots : nil
        inventory = try? host.inventory()
        let record = id.address.flatMap { [inventory] address in inventory?.device(at: address) }
        methods = record?.resetMethods ?? []
        guard isOpened else {
            obstacle = hindrance(id)
            guard inventory?.summary(of: id) != nil else {
                throw VFIOError(
                    operation: "look at the device", object: id.name, code: .noSuchDevice,
                    cause: "there is no such device", remedy: "vfio list shows the devices that are there")
            }
            guessScope(id)
            return
        }
        let device: Device
        do throws(VFIOError) {
            device = try Device(opening: id, on: host, choice)
        } catch {
            throw naming(error, id)
        }
        self.device = device
        isOffered = device.canReset
        guard device.isPCIFunction else {
            hotResetRefusal = "it isn't a PCI function"
            return
        }
        do throws(VFIOError) {
            let scope = try device.hotResetScope()
            isScopeCertain = true
            functions = scope.functions.map { function($0.address) }
        } catch {
            hotResetRefusal = error.cause ?? "\(error)"
        }
    }

    /// Whether no bridge is above a function, as far as sysfs tells.
    private func isOnRootBus(_ address: PCIAddress) -> Bool {
        // "../../../devices/pci0000:00/0000:00:03.0": the folder above is the bridge's, or the root's.
        guard let roots, let target = try? FileSystem.linkTarget("\(roots.sysfs)/bus/pci/devices/\(address)")
        else { return false }
        return target.split(separator: "/").dropLast().last?.hasPrefix("pci") == true
    }

    /// Why the device can't be opened, as far as the machine tells.
    private func hindrance(_ id: DeviceID) -> String? {
        guard host.kind != .vfioUser, let inventory, let summary = inventory.summary(of: id) else {
            return nil
        }
        guard summary.driver?.isVFIO == true else {
            return summary.driver.map { "it is bound to \($0.name)" } ?? "it has no driver"
        }
        if let group = summary.group, let member = inventory.blockers(ofGroup: group).first {
            let driver = member.driver.map { " is bound to \($0.name)" } ?? ""
            return "its group \(group) isn't viable: \(member.id)\(driver)"
        }
        let holders = holders(of: id)
        return holders.isEmpty ? nil : "it or its group is open in \(holders.joined(separator: ", "))"
    }

    /// Says why a function that VFIO hasn't got keeps its bus from being reset.
    private func undriven(_ function: PCIAddress) -> VFIOError? {
        guard let record = inventory?.device(at: function), record.driver?.isVFIO != true else { return nil }
        return VFIOError(
            operation: "reset its bus", object: name,
            code: record.driver == nil ? .noDriver : .boundToOtherDriver,
            cause: "\(function) would be reset with it, and "
                + (record.driver.map { "is bound to \($0.name)" } ?? "has no driver"),
            remedy: host.kind == .linux
                ? "if nothing needs it: vfio bind \(function)"
                : "give it the driver vfio-pci in the description of the machine")
    }

    /// The functions of its bus, which a reset of that bus hits.
    private mutating func guessScope(_ id: DeviceID) {
        guard let address = id.address, let inventory else { return }
        if isOnRootBus(address) {
            hotResetRefusal = "it is on a root bus: there is no bridge above that could reset it"
            return
        }
        functions = inventory.devices.map(\.address)
            .filter { $0.segment == address.segment && $0.bus == address.bus }.sorted().map { function($0) }
    }

    private func function(_ address: PCIAddress) -> Function {
        let record = inventory?.device(at: address)
        var function = Function(
            address: address, group: record?.group, driver: record?.driver?.name,
            holders: holders(of: DeviceID(address)))
        if let record, record.driver?.isVFIO != true {
            function.obstacle =
                record.driver.map { "it is bound to \($0.name)" } ?? "it has no driver of VFIO's"
        } else if !function.holders.isEmpty {
            function.obstacle = "somebody else has it open"
        }
        return function
    }

    private func holders(of id: DeviceID) -> [String] {
        guard let roots, let summary = inventory?.summary(of: id) else { return [] }
        return Holders(in: roots, except: ProcessLimits.processID).words(of: summary)
    }

    /// Adds who has a device that can't be opened.
    private func naming(_ error: VFIOError, _ id: DeviceID) -> VFIOError {
        let holders = holders(of: id)
        guard !holders.isEmpty else { return error }
        var error = error
        error.cause = (error.cause.map { "\($0); " } ?? "") + "open in \(holders.joined(separator: ", "))"
        error.remedy = "end what has it open, or close it there"
        return error
    }

    // MARK: the reset

    /// How it went.
    public struct Outcome: Sendable {
        /// The way that was taken.
        public var way: Way
        /// What was reset: the device itself, or what a hot reset hit.
        public var functions: [String]
        /// Those of them that don't answer when their configuration space is read. Functions that aren't open here
        /// aren't asked.
        public var silent: [String]
        /// How long it took, in nanoseconds.
        public var nanoseconds: UInt64
    }

    /// How long a device has until it must answer after a reset (PCI Express Base 6.0, 6.6.1).
    private static let patience: UInt64 = 1_000_000_000

    /// Resets the device.
    ///
    /// For a hot reset everything that it hits has to be this process's: what isn't open here is opened first.
    /// - Throws: what isn't this process's and whose it is, or why there is no such reset;
    ///   ``/VFIO/VFIOError/Code/notSupported``.
    public func run(_ way: Way) throws(VFIOError) -> Outcome {
        guard let device else {
            throw VFIOError(
                operation: "reset the device", object: name, code: .notSupported, cause: "it isn't open")
        }
        switch way {
        case .device:
            let start = Clock.now
            do throws(VFIOError) {
                try device.reset()
            } catch {
                throw advised(error)
            }
            let time = Clock.now - start
            return Outcome(
                way: way, functions: [name], silent: Self.silent([device]).map(\.id.name), nanoseconds: time)
        case .hot:
            if let hotResetRefusal {
                throw VFIOError(
                    operation: "reset its bus", object: name, code: .notSupported, cause: hotResetRefusal,
                    remedy: device.canReset ? "reset it alone: vfio reset \(name)" : lastResort(device))
            }
            let others = try openOthers(device)
            let start = Clock.now
            let scope = try device.hotReset()
            let time = Clock.now - start
            return Outcome(
                way: way, functions: scope.functions.map { "\($0.address)" },
                silent: Self.silent([device] + others).map(\.id.name), nanoseconds: time)
        }
    }

    /// What there is to try besides.
    private func advised(_ error: VFIOError) -> VFIOError {
        guard error.code == .notSupported, error.remedy == nil, let device else { return error }
        var error = error
        error.remedy = isScopeCertain ? "reset its bus: vfio reset \(name) --hot" : lastResort(device)
        return error
    }

    /// What is left where there is no reset.
    private func lastResort(_ device: Device) -> String {
        device.id.bus == .mdev
            ? "remove it and make it anew: vfio mdev"
            : "switch the machine, or what has the device, off and on"
    }

    /// Opens what a hot reset hits and isn't open yet, as far as VFIO has it: one function of each group, or each
    /// function where device nodes are used.
    private func openOthers(_ device: Device) throws(VFIOError) -> [Device] {
        let scope = try device.hotResetScope()
        var opened: [Device] = []
        var groups: Set<Int> = Set(inventory?.summary(of: device.id)?.group.map { [$0] } ?? [])
        for function in scope.functions where function.address != device.address {
            if let failure = undriven(function.address) { throw failure }
            switch function.owner {
            case .bound, .ownGroup: continue
            case .group(let number):
                guard groups.insert(number).inserted else { continue }
            case .stranger: break
            }
            let id = DeviceID(function.address)
            do throws(VFIOError) {
                opened.append(try Device(opening: id, in: device.addressSpace))
            } catch {
                var error = naming(error, id)
                error.cause =
                    "a hot reset of \(name) resets \(id.name) too" + (error.cause.map { ", and \($0)" } ?? "")
                throw error
            }
        }
        return opened
    }

    /// The devices that don't answer within the time they have.
    private static func silent(_ devices: [Device]) -> [Device] {
        let end = Clock.now + patience
        var silent = devices.filter { !$0.answers() }
        while !silent.isEmpty, Clock.now < end {
            Clock.sleep(nanoseconds: 10_000_000)
            silent = silent.filter { !$0.answers() }
        }
        return silent
    }
}
