import DeviceModel
import LinuxSystem
import Synchronization
import VFIOABI

/// An open device (kernel.md A.7): through its group, or through its own node.
final class DeviceFile: FileObject {
    let core: Core
    let device: MachineDevice
    /// The driver's side of the device; the driver stays bound as long as this file is open.
    let bus: any BusDriver
    /// The group, for a file that was opened through it.
    let group: Group?
    /// Whether anything but binding is allowed.
    private let access: Atomic<Bool>
    /// Where the next access without an offset goes.
    let position = Atomic<UInt64>(0)
    /// What the file of a node was bound to; `Core.lock`.
    var binding: IOMMUFDDevice?

    /// A file of a device whose opening succeeded and was counted.
    init(_ core: Core, _ device: MachineDevice, _ bus: any BusDriver, throughGroup group: Group) {
        self.core = core
        self.device = device
        self.bus = bus
        self.group = group
        access = Atomic(true)
    }

    /// A file of the device's own node. With `Core.lock` held.
    init(_ core: Core, _ device: MachineDevice, _ bus: any BusDriver) {
        self.core = core
        self.device = device
        self.bus = bus
        group = nil
        access = Atomic(false)
        device.fileCount += 1
    }

    /// Whether the device may be used through this file.
    var hasAccess: Bool { access.load(ordering: .acquiring) }

    /// Lets the device be used through this file from now on.
    func grantAccess() { access.store(true, ordering: .releasing) }

    override func unmap(_ window: MemoryWindow) { bus.unmap(window) }

    /// The last holder has gone: in the kernel's order, the device is closed, leaves its IOMMU, lets go of its
    /// group's file.
    override func release() {
        var groupFile: GroupFile?
        var iommufd: IOMMUFD?
        device.openLock.withLock {
            if hasAccess {
                let isLast = core.lock.withLock { device.openCount == 1 }
                if isLast {
                    device.faults.forgetDelayed()
                    bus.closeDevice()
                    core.resetUnusedBus(of: device)
                    device.endEmulatedDMA()
                }
                core.lock.withLock {
                    device.openCount -= 1
                    guard isLast else { return }
                    if let file = device.groupFile {
                        file.group.containerUsers -= 1
                        device.groupFile = nil
                        groupFile = file
                    }
                    iommufd = dropBinding() ?? device.dropBindingOfGroup()
                }
            }
            core.letGo(of: device)
        }
        groupFile?.letGo()
        iommufd?.letGo()
        core.forgetIfVanished(device)
    }

    // MARK: requests

    func control(_ request: Request, _ argument: UInt) throws(Errno) -> Int32 {
        let address = HostAddress(rawValue: argument)
        if request == .deviceBindIOMMUFD {
            try bind(address)
            return 0
        }
        guard hasAccess else { throw .invalid }
        bus.beginUse()
        defer { bus.endUse() }
        switch request {
        case .deviceAttachIOMMUFD where group == nil: try attach(address)
        case .deviceDetachIOMMUFD where group == nil: try detach(address)
        case .deviceFeature: return try feature(address)
        case .deviceGetRegionInfo: try getRegionInfo(address)
        case .deviceGetPCIHotResetInfo where bus.pci != nil: return try describeHotReset(address)
        case .devicePCIHotReset where bus.pci != nil: return try hotReset(address)
        case .deviceGetGFXDMABuf: return try givePlane(address)
        default: return try bus.control(UInt32(truncatingIfNeeded: request.rawValue), argument)
        }
        return 0
    }

    /// VFIO_DEVICE_FEATURE: what is the same for all features.
    private func feature(_ address: HostAddress) throws(Errno) -> Int32 {
        let header = try UserMemory.load(DeviceFeature(), from: address)
        guard header.argsz >= 8 else { throw .invalid }
        guard header.flags.isSubset(of: [.featureMask, .get, .set, .probe]) else { throw .invalid }
        let isProbe = header.flags.contains(.probe)
        let operation = FeatureOperation(header.flags)
        guard isProbe || operation != [.get, .set] else { throw .invalid }
        if header.flags.feature == .pciVFToken {
            return try setToken(operation, isProbe: isProbe, payload: address + 8, room: header.argsz - 8)
        }
        if header.flags.feature == .migrationDeviceState, let mover = bus.mover {
            return try migrationState(
                mover, operation, isProbe: isProbe, payload: address + 8, room: header.argsz - 8)
        }
        if header.flags.feature == .dmaBuf, let pci = bus.pci {
            return try exportMemory(
                pci, operation, isProbe: isProbe, payload: address + 8, room: header.argsz - 8)
        }
        return try bus.feature(
            UInt32(header.flags.feature.rawValue), operation, isProbe: isProbe, payload: address + 8,
            room: header.argsz - 8)
    }

    func read(at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        guard hasAccess else { throw .invalid }
        return try bus.read(at: offset, into: &bytes)
    }

    func write(at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        guard hasAccess else { throw .invalid }
        return try bus.write(at: offset, bytes)
    }

    func map(
        at offset: UInt64, byteCount: Int, protection: Mapping.Protection
    ) throws(Errno) -> MemoryWindow {
        guard hasAccess else { throw .invalid }
        return try bus.map(at: offset, byteCount: byteCount, protection: protection)
    }
}
