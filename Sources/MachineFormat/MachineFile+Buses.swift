import DeviceModel
import JSONText
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import VFIOHost

// Devices of other buses than PCI in a machine file:
//
//     { "name": "platform/fff51000.ethernet", "model": "xgmac" }
//     { "name": "b7f4ae29-5b5a-4d1c-9d36-6f3d0c9d2f01", "model": "drum", "size": "1M" }
//
// The second one, and "crypto", belong into a group with "emulated": true.
extension MachineFile {
    /// Makes a device that has a name and no address; nil for one that has an address.
    static func otherDevice(_ value: JSON, _ place: String) throws(StrictObject.Problem) -> BusDevice? {
        guard value["name"] != nil else { return nil }
        let object = try StrictObject(value, at: place, keys: ["name", "model", "bound", "size"])
        let name = try object.requiredText("name")
        guard let id = DeviceID(name), id.bus != .pci else {
            throw object.problem(
                "name",
                "is \"\(name)\", which isn't the name of a device; they look like platform/fff51000.ethernet")
        }
        let isBound = try object.bool("bound") ?? true
        let model = try object.requiredText("model")
        switch Word(model) {
        case "xgmac": return BusDevice(CalxedaXGMAC(), id, isBound: isBound)
        case "xgbe": return BusDevice(SeattleXGBE(), id, isBound: isBound)
        case "rtc": return BusDevice(PrimeCellClock(), id, isBound: isBound)
        case "container": return BusDevice(ManagementContainer(), id, isBound: isBound)
        case "crypto": return BusDevice(CryptoMatrix(), id, isBound: isBound)
        case "drum":
            guard let byteCount = Int(exactly: try object.size("size") ?? 4096), byteCount <= 16 << 20 else {
                throw object.problem("size", "is too large for a drum")
            }
            return BusDevice(ChannelDrum(byteCount: byteCount), id, isBound: isBound)
        case "mailbox":
            do throws(Errno) {
                return BusDevice(try CDXMailbox(), id, isBound: isBound)
            } catch {
                throw object.problem("model", "can't be made: \(error)")
            }
        default:
            throw object.problem(
                "model",
                "is \"\(model)\"; known for a device with a name are \"xgmac\", \"xgbe\", \"rtc\", \"mailbox\", "
                    + "\"container\", \"drum\" and \"crypto\"")
        }
    }
}
