import DeviceModel
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import VFIOConformance
import VFIOHost

extension ConformMachine {
    /// Groups with a device of each bus but PCI's.
    static func otherBuses() throws(CommandFailure) -> [IOMMUGroup] {
        let mailbox: CDXMailbox
        do throws(Errno) {
            mailbox = try CDXMailbox()
        } catch {
            throw .refused("a device can't be made: \(error)")
        }
        return [
            try group(20, .platform, CalxedaXGMAC.name) { BusDevice(CalxedaXGMAC(), $0) },
            try group(21, .platform, "e0700000.xgmac") { BusDevice(SeattleXGBE(), $0) },
            try group(22, .amba, "9010000.rtc") { BusDevice(PrimeCellClock(), $0) },
            try group(23, .cdx, "cdx-00:01") { BusDevice(mailbox, $0) },
            try group(24, .fslMC, "dprc.2") { BusDevice(ManagementContainer(), $0) },
            try group(94, .mdev, "b7f4ae29-5b5a-4d1c-9d36-6f3d0c9d2f01", isEmulated: true) {
                BusDevice(ChannelDrum(), $0)
            },
            try group(95, .mdev, "b7f4ae29-5b5a-4d1c-9d36-6f3d0c9d2f02", isEmulated: true) {
                BusDevice(CryptoMatrix(), $0)
            },
        ]
    }

    private static func group(
        _ number: Int, _ bus: DeviceID.Bus, _ name: String, isEmulated: Bool = false,
        _ device: (DeviceID) -> BusDevice
    ) throws(CommandFailure) -> IOMMUGroup {
        guard let id = DeviceID(bus, name) else { throw .refused("\"\(name)\" can't be a device's name") }
        return IOMMUGroup(number, otherDevices: [device(id)], isEmulated: isEmulated)
    }
}
