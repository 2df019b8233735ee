import DeviceModel
import JSONText
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import VFIOHost

// Network cards in a machine file, all keys of their own optional:
//
//     { "address": "0000:03:00.0", "model": "virtio-net", "mac": "52:54:00:12:34:56", "wire": "lab" }
//     { "address": "0000:04:00.0", "model": "82574", "wire": "lab", "tap": "tap0" }
//     { "address": "0000:05:00.0", "model": "82574", "loopback": true }
//
// Cards with the same "wire" are at the same wire, as are all that name none.
extension MachineFile {
    /// What belongs to network cards in the description of a device.
    static let networkKeys = ["mac", "wire", "loopback", "tap"]

    /// The wires of one machine, by name.
    public final class Wires {
        private var named: [(name: String, wire: NetworkWire)] = []

        /// No wires yet.
        public init() {}

        /// The wire of a name, which is made for the first who asks.
        func wire(_ name: String) -> NetworkWire {
            for one in named where one.name.utf8.elementsEqual(name.utf8) { return one.wire }
            let wire = NetworkWire()
            named.append((name, wire))
            return wire
        }
    }

    /// Makes a network card.
    /// - Parameter address: where it sits; its hardware address follows from that, unless it is told.
    static func networkCard(
        _ object: StrictObject, isVirtio: Bool, at address: String, _ wires: Wires
    ) throws(StrictObject.Problem) -> any DeviceModel {
        var mac = MACAddress(local: 0)
        if let place = PCIAddress(address) {
            mac = MACAddress(
                local: UInt32(place.bus) << 8 | UInt32(place.device) << 3 | UInt32(place.function))
        }
        if let text = try object.text("mac") {
            guard let told = MACAddress(text), !told.isMulticast else {
                throw object.problem(
                    "mac", "is \"\(text)\", which isn't the address of a card like 52:54:00:12:34:56")
            }
            mac = told
        }
        let wire = wires.wire(try object.text("wire") ?? "")
        let loopsBack = try object.bool("loopback") ?? false
        let tap = try object.text("tap")
        if tap != nil && loopsBack {
            throw object.problem("tap", "can't be together with \"loopback\": nothing would come there")
        }
        var companion: DescriptorEnd?
        if let tap {
            do throws(Errno) {
                companion = try DescriptorEnd(tap: tap, on: wire)
            } catch {
                throw object.problem("tap", "can't be opened: \(error)")
            }
        }
        if isVirtio {
            let card = VirtioNetworkCard(mac, on: wire, loopsBack: loopsBack)
            card.companion = companion
            return card
        }
        let card = Intel82574(mac, on: wire, loopsBack: loopsBack)
        card.companion = companion
        return card
    }
}
