import ArgumentParser
import VFIOHost

/// `vfio list`: the devices and groups of a host.
struct ListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List PCI devices with their group, driver and how they can be opened."
    )

    @OptionGroup var options: HostOptions
    @Flag(help: "Print JSON.") var json = false

    /// A device as `--json` prints it.
    struct Entry: Encodable {
        let address: String
        let vendor: String
        let device: String
        let classCode: String
        let className: String
        let driver: String?
        let group: Int?
        let node: String?
        let blockedBy: [String]
        let usable: Bool
    }

    /// What `--json` prints.
    struct Report: Encodable {
        let version = 1
        let containers: Bool
        let iommufd: Bool
        let devices: [Entry]
    }

    func run() throws {
        let inventory = try inventory(of: try options.makeHost())
        let report = Self.report(inventory)
        if json { return try JSONOutput.print(report) }
        var table = Table(["ADDRESS", "GROUP", "ID", "DRIVER", "NODE", "CLASS", "VFIO"], rightAligned: [1])
        for entry in report.devices {
            table.add([
                entry.address, entry.group.map { "\($0)" } ?? "-", "\(entry.vendor):\(entry.device)",
                entry.driver ?? "-", entry.node ?? "-", entry.className, Self.verdict(entry),
            ])
        }
        for line in table.lines { print(line) }
        if report.devices.isEmpty { print("no PCI devices") }
        if !report.containers && !report.iommufd {
            print("neither /dev/vfio/vfio nor /dev/iommu is there: load the vfio-pci module")
        }
    }

    /// The devices of an inventory as they are printed.
    static func report(_ inventory: Inventory) -> Report {
        Report(
            containers: inventory.hasContainers, iommufd: inventory.hasIOMMUFD,
            devices: inventory.devices.map { device in
                let blockers = device.group.map { inventory.blockers(ofGroup: $0) } ?? []
                return Entry(
                    address: "\(device.address)", vendor: hexadecimal(device.vendor, digits: 4),
                    device: hexadecimal(device.device, digits: 4),
                    classCode: hexadecimal(device.classCode, digits: 6),
                    className: PCIText.className(device.classCode), driver: device.driver?.name,
                    group: device.group, node: device.deviceNode.map { "/dev/\(Node.device($0).path)" },
                    blockedBy: blockers.map { "\($0.id)" },
                    usable: device.driver?.isVFIO == true && device.group != nil && blockers.isEmpty)
            })
    }

    private static func verdict(_ entry: Entry) -> String {
        if entry.usable { return "ready" }
        if entry.group == nil { return "no IOMMU group" }
        if let blocker = entry.blockedBy.first, blocker != entry.address {
            return "group blocked by \(blocker)"
        }
        return entry.driver == nil ? "no driver" : "bound to \(entry.driver ?? "")"
    }
}
