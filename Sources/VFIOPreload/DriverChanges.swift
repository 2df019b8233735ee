import LinuxSystem
import SoftwareHost
import VFIOHost

/// What has become of a device.
struct DriverChange {
    var address: PCIAddress
    /// Who drives it from now on; nil: nobody.
    var driver: String?
    /// How many virtual functions it has from now on; nil where the change is another one.
    var virtualFunctionCount: Int?
}

/// Devices that a driver was told of (`new_id`).
struct NewID {
    var driver: String
    var vendor: UInt32
    var device: UInt32

    func matches(_ device: DeviceRecord) -> Bool {
        UInt32(device.vendor) == vendor && UInt32(device.device) == self.device
    }

    func isSame(as other: NewID) -> Bool {
        vendor == other.vendor && device == other.device && driver.utf8.elementsEqual(other.driver.utf8)
    }
}

/// The changes of drivers in a run, in the order in which they were made: a file in the run's folder with a line for
/// each. A kernel that is made later repeats them.
enum DriverChanges {
    private static let most = 65_536

    static func append(_ change: DriverChange, in folder: String) {
        var line = "\(change.address) \(change.driver ?? "")"
        // No driver's name begins so.
        if let count = change.virtualFunctionCount { line += "/\(count)" }
        append(line + "\n", to: folder + "/drivers")
    }

    static func append(_ id: NewID, in folder: String) {
        append("\(id.driver) \(id.vendor) \(id.device)\n", to: folder + "/ids")
    }

    static func newIDs(in folder: String) -> [NewID] {
        var ids: [NewID] = []
        guard let bytes = try? FileSystem.bytes(of: folder + "/ids", limit: most) else { return ids }
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            let words = line.split(separator: UInt8(ascii: " ")).map { String(decoding: $0, as: UTF8.self) }
            guard words.count == 3, let vendor = UInt32(words[1]), let device = UInt32(words[2]) else {
                continue
            }
            ids.append(NewID(driver: words[0], vendor: vendor, device: device))
        }
        return ids
    }

    private static func append(_ line: String, to path: String) {
        var bytes = (try? FileSystem.bytes(of: path, limit: most)) ?? []
        guard bytes.count + line.utf8.count <= most else { return }
        bytes.append(contentsOf: Array(line.utf8))
        try? FileSystem.makeFile(path, bytes)
    }

    static func repeatAll(on host: SoftwareHost, in folder: String) {
        guard let bytes = try? FileSystem.bytes(of: folder + "/drivers", limit: most) else { return }
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            let words = line.split(separator: UInt8(ascii: " "))
            guard let first = words.first, let address = PCIAddress(String(decoding: first, as: UTF8.self))
            else {
                continue
            }
            let driver = words.dropFirst().first.map { String(decoding: $0, as: UTF8.self) }
            // As far as the machine still allows it: it did when the line was written.
            if let driver, driver.utf8.first == UInt8(ascii: "/") {
                guard let count = Int(driver.dropFirst()) else { continue }
                try? host.setVirtualFunctionCount(count, of: address, waitingAtMost: 0)
                continue
            }
            try? host.bind(address, to: driver, waitingAtMost: 0)
        }
    }
}
