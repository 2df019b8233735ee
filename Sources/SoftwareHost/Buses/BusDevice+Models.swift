import DeviceModel
import LinuxSystem
import VFIOABI
import VFIOHost

extension BusDevice {
    /// A device in software on the platform, AMBA, CDX or fsl-mc bus, bound to that bus's VFIO driver: `vfio-platform`,
    /// `vfio-amba`, `vfio-cdx` or `vfio-fsl-mc`.
    ///
    /// The driver refuses a model of another bus than the name's (`EINVAL`). On the platform bus it also refuses a
    /// device that it can't reset (`ENOENT`), unless ``ModuleParameters/platformResetRequired`` is off.
    /// - Parameters:
    ///   - id: its bus and its name there.
    ///   - isBound: whether it is bound at first.
    ///   - handlers: the reset handlers that are registered with vfio-platform.
    public init(
        _ model: any BusDeviceModel, _ id: DeviceID, isBound: Bool = true,
        resetHandlers handlers: [PlatformResetHandler] = PlatformResetHandler.linux
    ) {
        let driver: String
        switch id.bus {
        case .platform: driver = DeviceAPI.platform
        case .amba: driver = DeviceAPI.amba
        case .cdx: driver = "vfio-cdx"
        default: driver = "vfio-fsl-mc"
        }
        self.init(id, driver: isBound ? driver : nil, vfioDriver: driver) {
            (faults) throws(Errno) -> any BusDriver in
            switch (id.bus, model.resources.identity) {
            case (.platform, .platform), (.amba, .amba):
                return try PlatformBusDriver(model, faults, handlers: handlers)
            case (.cdx, .cdx): return CDXBusDriver(model, faults)
            case (.fslMC, .fslMC): return FSLMCBusDriver(model, faults)
            default: throw .invalid
            }
        }
        firmware = model.resources.identity.node.map { FirmwareRecord($0) }
    }

    /// A mainframe's channel device as a mediated device, bound to `vfio_ccw_mdev`. Belongs into a group with
    /// ``IOMMUGroup/isEmulated``.
    /// - Parameter id: its UUID; the driver refuses a name on another bus (`EINVAL`).
    public init(_ device: any ChannelDevice, _ id: DeviceID, isBound: Bool = true) {
        let driver = "vfio_ccw_mdev"
        self.init(id, driver: isBound ? driver : nil, vfioDriver: driver) {
            (faults) throws(Errno) -> any BusDriver in
            guard id.bus == .mdev else { throw .invalid }
            return CCWBusDriver(device, faults)
        }
    }

    /// A mainframe's cryptographic queues as a mediated device, bound to `vfio_ap_mdev`. Belongs into a group with
    /// ``IOMMUGroup/isEmulated``.
    /// - Parameter id: its UUID; the driver refuses a name on another bus (`EINVAL`).
    public init(_ matrix: CryptoMatrix, _ id: DeviceID, isBound: Bool = true) {
        let driver = "vfio_ap_mdev"
        self.init(id, driver: isBound ? driver : nil, vfioDriver: driver) {
            (_) throws(Errno) -> any BusDriver in
            guard id.bus == .mdev else { throw .invalid }
            return APBusDriver(matrix)
        }
    }
}

extension FirmwareRecord {
    /// What sysfs would tell of a node.
    init(_ node: FirmwareNode) {
        if let acpiID = node.acpiID {
            self.init(acpiID: acpiID)
            return
        }
        var compatible: [UInt8] = []
        for text in node.compatible {
            compatible += Array(text.utf8)
            compatible.append(0)
        }
        self.init(
            properties: [Property("compatible", compatible)]
                + node.properties.map { Property($0.name, $0.value) })
    }
}
