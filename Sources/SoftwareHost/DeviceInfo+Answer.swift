import LinuxSystem
import VFIOABI

extension DeviceInfo {
    /// Answers `VFIO_DEVICE_GET_INFO` as drivers do that know nothing of capabilities: never more than the fields before
    /// those.
    static func answer(
        _ argument: HostAddress, _ flags: DeviceFlags, regionCount: UInt32, irqCount: UInt32
    ) throws(Errno) {
        var info = try UserMemory.load(DeviceInfo(), from: argument, count: minimumSize)
        guard info.argsz >= UInt32(minimumSize) else { throw .invalid }
        info.flags = flags
        info.regionCount = regionCount
        info.irqCount = irqCount
        try UserMemory.store(info, to: argument, count: minimumSize)
    }
}
