import ArgumentParser
import PCIDecoder
import VFIOHost

/// `vfio list`: the devices and groups of a host.
struct ListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List devices with their group, driver and how they can be opened."
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
        /// Those that aren't PCI functions.
        let otherDevices: [OtherEntry]
    }

    /// A device of another bus as `--json` prints it.
    struct OtherEntry: Encodable {
        let name: String
        let bus: String
        let driver: String?
        let group: Int?
        let node: String?
        let blockedBy: [String]
        let usable: Bool
    }

    func run() throws {
        let inventory = try inventory(of: try options.makeHost())
        let report = Self.report(inventory)
        if json { return try JSONOutput.print(report) }
        var table = Table(["ADDRESS", "GROUP", "ID", "DRIVER", "NODE", "CLASS", "VFIO"], rightAligned: [1])
        for entry in report.devices {
            table.add([
                entry.address, entry.group.map { "\($0)" } ?? "-", "\(entry.vendor):\(entry.device)",
                entry.driver ?? "-", entry.node ?? "-", entry.className,
                Self.verdict(entry.usable, entry.group, entry.blockedBy, entry.address, entry.driver),
            ])
        }
        for line in table.lines { print(line) }
        if report.devices.isEmpty { print("no PCI devices") }
        if !report.otherDevices.isEmpty {
            var table = Table(["DEVICE", "BUS", "GROUP", "DRIVER", "NODE", "VFIO"], rightAligned: [2])
            for entry in report.otherDevices {
                table.add([
                    entry.name, entry.bus, entry.group.map { "\($0)" } ?? "-", entry.driver ?? "-",
                    entry.node ?? "-",
                    Self.verdict(entry.usable, entry.group, entry.blockedBy, entry.name, entry.driver),
                ])
            }
            print()
            for line in table.lines { print(line) }
        }
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
                    className: PCIClass.name(device.classCode), driver: device.driver?.name,
                    group: device.group, node: device.deviceNode.map { "/dev/\(Node.device($0).path)" },
                    blockedBy: blockers.map { "\($0.id)" },
                    usable: isUsable(device.summary, blockers))
            },
            otherDevices: inventory.otherDevices.map { device in
                let blockers = device.group.map { inventory.blockers(ofGroup: $0) } ?? []
                return OtherEntry(
                    name: device.id.name, bus: device.id.bus.name, driver: device.driver?.name,
                    group: device.group, node: device.deviceNode.map { "/dev/\(Node.device($0).path)" },
                    blockedBy: blockers.map { "\($0.id)" }, usable: isUsable(device, blockers))
            })
    }

    private static func isUsable(_ device: DeviceSummary, _ blockers: [DeviceSummary]) -> Bool {
        device.driver?.isVFIO == true && device.group != nil && blockers.isEmpty
    }

    private static func verdict(
        _ isUsable: Bool, _ group: Int?, _ blockers: [String], _ name: String, _ driver: String?
    ) -> String {
        if isUsable { return "ready" }
        if group == nil { return "no IOMMU group" }
        if let blocker = blockers.first, blocker != name { return "group blocked by \(blocker)" }
        return driver.map { "bound to \($0)" } ?? "no driver"
    }
}
