import IOVASpace
import LinuxSystem
import VFIOABI
import VFIOHost

/// An open device.
///
/// Regions and enabled interrupts keep it open. When the last reference goes, the device is closed (the host then
/// turns its DMA and its interrupts off and resets it), and after it what its ``addressSpace`` holds, unless
/// something else keeps that.
///
/// May be used from any thread.
public final class Device: Sendable {
    /// What it is called.
    public let id: DeviceID
    /// The address space that its DMA goes through.
    public let addressSpace: AddressSpace
    /// The way in that was taken, with the reason.
    public let route: Route
    /// What the host tells of it.
    public let info: Info
    /// Its configuration space; of 0 bytes for a device that isn't a PCI function.
    public let configurationArea: RegionArea

    /// Owned: closed in `deinit`.
    let handle: OpenHandle
    let interruptState = InterruptState()
    /// Where the MSI-X table lies, which must never be written.
    let msixTable: MSIXTable?

    /// What a host tells of a device: `VFIO_DEVICE_GET_INFO`.
    public struct Info: Sendable, Equatable {
        /// What kind of device it is, and whether it can be reset.
        public let flags: DeviceFlags
        /// How many regions it has; some may be empty.
        public let regionCount: Int
        /// How many kinds of interrupts it has; some may have no vectors.
        public let interruptKindCount: Int
        /// The atomic operations that the path to memory completes.
        public let atomics: PCIAtomicFlags
        /// What an IBM Z tells of it; nil on any other machine.
        public let zpci: ZPCI?
        /// The numbers of all capabilities that the host tells of, in their order.
        public let capabilities: [UInt16]
    }

    /// Opens a device in an address space of its own.
    /// - Parameters:
    ///   - address: where it sits.
    ///   - host: who answers.
    ///   - choice: which way in to take.
    /// - Throws: an error that names what is in the way and what to do about it.
    public convenience init(
        opening address: PCIAddress, on host: any Host, _ choice: RouteChoice = .automatic
    ) throws(VFIOError) {
        try self.init(opening: DeviceID(address), on: host, choice)
    }

    /// Opens a device of any bus in an address space of its own.
    /// - Parameter token: what a virtual function's user shows, and the user of a physical function that has some
    ///   (`vf_token`); see ``setToken(_:)``.
    /// - Throws: as ``init(opening:on:_:)``.
    public convenience init(
        opening id: DeviceID, on host: any Host, _ choice: RouteChoice = .automatic,
        showing token: DeviceUUID? = nil
    ) throws(VFIOError) {
        try self.init(opening: id, in: try AddressSpace(on: host, choice), showing: token)
    }

    /// Opens a device in an address space that it shares with others.
    /// - Throws: as ``init(opening:on:_:)``.
    public convenience init(opening address: PCIAddress, in space: AddressSpace) throws(VFIOError) {
        try self.init(opening: DeviceID(address), in: space)
    }

    /// Opens a device of any bus in an address space that it shares with others.
    /// - Parameter token: what a virtual function's user shows, and the user of a physical function that has some
    ///   (`vf_token`); see ``setToken(_:)``.
    /// - Throws: as ``init(opening:on:_:)``.
    public init(
        opening id: DeviceID, in space: AddressSpace, showing token: DeviceUUID? = nil
    ) throws(VFIOError) {
        let handle = try space.open(id, showing: token)
        let borrowed = handle.borrowed
        do throws(VFIOError) {
            let info = try Self.info(borrowed, id.name)
            var area = RegionArea(byteCount: 0, offset: 0, flags: [])
            if info.flags.contains(.pci) {
                area = try RegionDescription(borrowed, .configuration, of: id.name).area
            }
            guard let route = space.route else { throw Diagnosis.noDevice("open the device") }
            msixTable = MSIXTable(borrowed, area)
            configurationArea = area
            self.id = id
            addressSpace = space
            self.route = route
            self.info = info
        } catch {
            space.close(borrowed)
            throw error
        }
        // From here on nothing fails: `deinit` closes it.
        self.handle = OpenHandle(host: space.host, number: handle.release())
    }

    deinit {
        // Before the address space goes, which the stored reference keeps until after this.
        let rest = addressSpace.close(handle)
        handle.host.close(handle.number)
        // Its group, if nobody else uses that: after the device.
        withExtendedLifetime(rest) {}
    }

    /// Where it sits, for a PCI function; nil for a device of another bus.
    public var address: PCIAddress? { id.address }

    /// The name by which messages call it.
    var name: String { id.name }

    /// Whether it is a PCI function, whose regions and interrupts have names of their own.
    var isPCI: Bool { info.flags.contains(.pci) }

    /// What messages call a region.
    package func title(of index: RegionIndex) -> String { isPCI ? "\(index)" : "region \(index.rawValue)" }

    /// What messages call a kind of interrupts.
    package func title(of index: InterruptIndex) -> String {
        isPCI ? "\(index)" : "interrupt \(index.rawValue)"
    }

    /// Whether ``reset()`` works.
    public var canReset: Bool { info.flags.contains(.reset) }

    /// Resets the device: `VFIO_DEVICE_RESET`. Its registers and configuration space are as after power-up where
    /// the host doesn't keep them; enabled interrupts stay enabled.
    /// - Throws: ``VFIOError/Code/notSupported`` if it can't be reset alone.
    public func reset() throws(VFIOError) {
        let operation = "reset the device"
        guard canReset else {
            throw VFIOError(
                operation: operation, object: name, code: .notSupported,
                cause: "it has no way of being reset alone")
        }
        try sendReset(operation)
    }

    /// Resets it whether or not it offers that.
    func sendReset(_ operation: String) throws(VFIOError) {
        do throws(Errno) {
            try handle.send(.deviceReset)
        } catch {
            var failure = VFIOError(operation: operation, object: name, errno: error)
            switch error {
            case .again:
                failure.code = .busy
                failure.cause = "somebody else is just reconfiguring it"
                failure.remedy = "try again"
            case .noSuchRequest, .invalid:
                failure.code = .notSupported
                failure.cause = "it has no way of being reset alone (any more)"
                failure.remedy = address == nil ? nil : "see /sys/bus/pci/devices/\(name)/reset_method"
            default: break
            }
            throw failure
        }
    }

    /// A region.
    ///
    /// Every call makes a mapping of its own; keep the region.
    /// - Parameter isMapped: whether it is mapped where the host offers it; if not, each access is one read or write
    ///   through the host.
    /// - Throws: ``VFIOError/Code/notSupported`` if the device doesn't have it.
    public func region(_ index: RegionIndex, mapped isMapped: Bool = true) throws(VFIOError) -> Region {
        try Region(index, of: self, mapped: isMapped)
    }

    /// The first region of a device-specific kind (`VFIO_REGION_INFO_CAP_TYPE`), mapped where the host offers it.
    ///
    /// Regions that can't be asked about, and those without a kind, are passed over.
    /// - Throws: ``VFIOError/Code/notSupported``, with `ENODEV`, if the device has none of this kind.
    public func region(of kind: Region.Kind) throws(VFIOError) -> Region {
        // No device has nearly as many; a host that says so isn't asked for each.
        for index in 0..<UInt32(clamping: min(info.regionCount, 4096)) {
            let index = RegionIndex(rawValue: index)
            let description = try? RegionDescription(handle, index, of: name)
            if description?.kind == kind { return try region(index) }
        }
        throw VFIOError(
            operation: "use the region of type \(kind.type.rawValue), subtype \(kind.subtype.rawValue)",
            object: name, errno: .noDevice, code: .notSupported, cause: "the device has no such region")
    }

    /// The configuration space.
    public var configuration: ConfigurationSpace { ConfigurationSpace(self) }

    /// Lets the device start transactions (DMA and message-signalled interrupts), or forbids it: for a PCI function by
    /// its COMMAND register, for a device on the CDX bus by `VFIO_DEVICE_FEATURE_BUS_MASTER`.
    /// - Throws: ``VFIOError/Code/notSupported`` for a device of another bus, which always may.
    public func setBusMaster(_ on: Bool) throws(VFIOError) {
        guard isPCI else { return try setBusMasterFeature(on) }
        try configuration.setCommand(.busMaster, on)
    }

    /// Lets the device answer at its memory BARs, or forbids it.
    ///
    /// While it is forbidden, reads and writes of memory BARs fail with `EIO`, and touching a mapped one ends the
    /// process with `SIGBUS` (kernel.md D.5).
    public func setMemoryEnabled(_ on: Bool) throws(VFIOError) { try configuration.setCommand(.memory, on) }

    /// Lets the device answer at its port BARs, or forbids it.
    public func setPortsEnabled(_ on: Bool) throws(VFIOError) { try configuration.setCommand(.ports, on) }

    private static func info(_ handle: OpenHandle, _ name: String) throws(VFIOError) -> Info {
        let operation = "ask what it is"
        let bytes: [UInt8]
        do throws(Errno) {
            bytes = try handle.ask(.deviceGetInfo, DeviceInfo())
        } catch {
            throw VFIOError(operation: operation, object: name, errno: error)
        }
        guard let head = bytes.get(DeviceInfo.self) else { throw Diagnosis.malformed(operation, name, nil) }
        var atomics: PCIAtomicFlags = []
        var zpci = ZPCI.Parts()
        var numbers: [UInt16] = []
        do throws(CapabilityChainError) {
            // SAFETY: the array holds plain bytes, all of them initialised.
            var chain = CapabilityChain(of: head, in: unsafe bytes.span.bytes)
            while let capability = try chain.next() {
                numbers.append(capability.id)
                let id = DeviceCapabilityID(rawValue: capability.id)
                if id == .pciAtomicCompletion {
                    atomics = try capability.pciAtomicCompletion().flags
                } else {
                    try zpci.take(id, capability)
                }
            }
        } catch {
            throw Diagnosis.malformed(operation, name, error)
        }
        return Info(
            flags: head.flags, regionCount: Int(head.regionCount), interruptKindCount: Int(head.irqCount),
            atomics: atomics, zpci: ZPCI(zpci), capabilities: numbers)
    }
}

extension Diagnosis {
    /// An answer that contradicts the uAPI.
    static func malformed(_ operation: String, _ object: String, _ problem: CapabilityChainError?)
        -> VFIOError
    {
        VFIOError(
            operation: operation, object: object, code: .malformed,
            cause: problem.map {
                "the host's answer is malformed: the capability at byte \($0.offset) is wrong (\($0.reason), \($0.value))"
            } ?? "the host's answer is malformed")
    }
}
