import ArgumentParser
import PCIDecoder
import VFIOHost
import VFIOOperator

/// Which devices `vfio list` shows: those that match each of the filters given, and of a filter that is given more
/// than once, one of them.
struct ListFilter: ParsableArguments {
    @Argument(
        help: ArgumentHelp(
            "Only these devices: PCI addresses, UUIDs of mediated devices, or bus/name.",
            valueName: "device"), completion: .custom(Completion.devices))
    var devices: [String] = []

    @Option(
        help: ArgumentHelp(
            "Only devices of this driver; \"none\" for those without.", valueName: "name"),
        completion: .custom(Completion.drivers))
    var driver: [String] = []

    @Option(
        name: .customLong("class"),
        help: ArgumentHelp(
            "Only devices of this class: part of its name, or its first hexadecimal digits (\"02\", \"0108\").",
            valueName: "class"))
    var classes: [String] = []

    @Option(help: ArgumentHelp("Only devices of this vendor: four hexadecimal digits.", valueName: "vvvv"))
    var vendor: [String] = []

    @Option(
        name: .customLong("id"),
        help: ArgumentHelp("Only devices with this vendor and device ID.", valueName: "vvvv:dddd"))
    var ids: [String] = []

    @Option(help: ArgumentHelp("Only members of this IOMMU group.", valueName: "number"))
    var group: [Int] = []

    @Flag(help: "Only devices that can be opened through VFIO now.")
    var ready = false

    @Flag(help: "Only devices that somebody holds, or whose group somebody holds.")
    var held = false

    /// The filter with its numbers understood.
    func checked() throws(CommandFailure) -> Checked {
        var checked = Checked(filter: self)
        for text in devices {
            checked.devices.append(try NamedDeviceArgument.id(text))
        }
        for text in vendor {
            guard let number = Self.number(text) else {
                throw .wrongUsage("\"\(text)\" isn't a vendor: four hexadecimal digits, such as 8086")
            }
            checked.vendors.append(number)
        }
        for text in ids {
            let parts = text.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count == 2, let vendor = Self.number(parts[0]), let device = Self.number(parts[1])
            else {
                throw .wrongUsage(
                    "\"\(text)\" isn't a vendor's and a device's number; they look like 8086:10d3")
            }
            checked.ids.append((vendor, device))
        }
        return checked
    }

    private static func number(_ text: some StringProtocol) -> UInt16? {
        let digits = text.hasPrefix("0x") ? String(text.dropFirst(2)) : String(text)
        guard (1...4).contains(digits.utf8.count), !digits.hasPrefix("+") else { return nil }
        return UInt16(digits, radix: 16)
    }

    /// What is looked for.
    struct Checked {
        let filter: ListFilter
        var devices: [DeviceID] = []
        var vendors: [UInt16] = []
        var ids: [(vendor: UInt16, device: UInt16)] = []

        /// Whether a device is to be shown.
        func matches(_ device: DeviceFacts, of machine: MachineFacts, names: PCINames) -> Bool {
            let record = device.record
            func any<T>(_ wanted: [T], _ fits: (T) -> Bool) -> Bool {
                wanted.isEmpty || wanted.contains(where: fits)
            }
            let driver = device.summary.driver?.name
            guard any(devices, { $0 == device.id }),
                any(filter.driver, { $0 == driver || ($0 == "none" && driver == nil) }),
                any(filter.group, { $0 == device.summary.group }),
                any(vendors, { $0 == record?.vendor }),
                any(ids, { $0.vendor == record?.vendor && $0.device == record?.device }),
                any(filter.classes, { Self.isOfClass(record, $0, names) })
            else { return false }
            if filter.held && machine.holders(of: device).isEmpty { return false }
            return !filter.ready || machine.readiness(of: device) == .ready
        }

        private static func isOfClass(_ record: DeviceRecord?, _ wanted: String, _ names: PCINames) -> Bool {
            guard let record else { return false }
            let digits = wanted.lowercased()
            let isNumber = (2...6).contains(digits.utf8.count) && digits.utf8.count % 2 == 0
            if isNumber, digits.allSatisfy(\.isHexDigit),
                hexadecimal(record.classCode, digits: 6).hasPrefix(digits)
            {
                return true
            }
            let texts = [PCIClass.name(record.classCode), names.className(record.classCode) ?? ""]
            return texts.contains { $0.lowercased().contains(digits) }
        }
    }
}
