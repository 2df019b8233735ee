import ArgumentParser
import IOVASpace
import LinuxSystem
import PCIDecoder
import VFIO
import VFIOABI
import VFIOHost

/// `vfio inspect DEVICE`: what a device tells of itself once it is open, and what it shows.
struct InspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Open a device and show its regions, interrupts, capabilities and usable addresses.")

    @OptionGroup var options: HostOptions
    @OptionGroup var device: NamedDeviceArgument
    @Flag(help: "Print JSON.") var json = false
    @Option(
        help: ArgumentHelp(
            "Save what the device shows, if it is a display, as a PNG file.", valueName: "file"))
    var screenshot: String?

    struct RegionEntry: Encodable {
        let index: Int
        let name: String
        let byteCount: UInt64
        let access: String
        let mapped: [MappedEntry]
    }

    struct MappedEntry: Encodable {
        let offset: Int
        let byteCount: Int
    }

    struct InterruptEntry: Encodable {
        let name: String
        let count: Int
        let flags: [String]
    }

    struct CapabilityEntry: Encodable {
        let offset: Int
        let id: Int
        let name: String
    }

    struct RangeEntry: Encodable {
        let first: String
        let last: String
    }

    /// What `--json` prints.
    struct Report: Encodable {
        let version = 1
        /// Its address, or its name on another bus.
        let address: String
        let bus: String
        // Who it says it is; only PCI devices do.
        let vendor: String?
        let device: String?
        let classCode: String?
        let className: String?
        let route: String
        let routeReason: String
        let canReset: Bool
        let regions: [RegionEntry]
        let interrupts: [InterruptEntry]
        let capabilities: [CapabilityEntry]
        let extendedCapabilities: [CapabilityEntry]
        let usableAddresses: [RangeEntry]
        let pageSizes: [UInt64]
    }

    func run() throws {
        let id = try device.id()
        let host = try options.makeHost()
        let choice = options.routeChoice
        let (report, picture) = try speaking { () throws(VFIOError) -> (Report, Picture?) in
            let device = try Device(opening: id, on: host, choice)
            return (try Self.report(device), screenshot == nil ? nil : try device.picture())
        }
        if json { try JSONOutput.print(report) } else { Self.show(report) }
        guard let screenshot else { return }
        guard let picture else { throw CommandFailure.refused("\(id) shows nothing now") }
        try Self.save(picture, to: screenshot)
        // Standard output is a document of its own with --json.
        if !json { print("\n\(screenshot): what it shows, \(picture.width) by \(picture.height) pixels") }
    }

    /// Writes a picture to a file, which is made or replaced.
    static func save(_ picture: Picture, to path: String) throws(CommandFailure) {
        let bytes = picture.png()
        do throws(Errno) {
            let file = try Descriptor(opening: path, [.writeOnly, .create, .truncate])
            var done = 0
            while done < bytes.count {
                // SAFETY: a UInt8 has no padding.
                let rest = unsafe bytes.span.bytes.extracting(done..<bytes.count)
                done += try Descriptor.write(file.number, rest)
            }
        } catch {
            throw .refused("\(path) can't be written: \(error)")
        }
    }

    /// More than any device has; a host that says so isn't asked for each.
    private static let mostInterruptKinds = 4096

    private static let regionNames = [
        "BAR 0", "BAR 1", "BAR 2", "BAR 3", "BAR 4", "BAR 5", "ROM", "configuration", "VGA",
    ]

    private static let interruptNames = ["INTx", "MSI", "MSI-X", "error", "request"]

    static func report(_ device: Device) throws(VFIOError) -> Report {
        let isPCI = device.info.flags.contains(.pci)
        let regionNames = isPCI ? regionNames : []
        let interruptNames = isPCI ? interruptNames : []
        var regions: [RegionEntry] = []
        for index in 0..<device.info.regionCount {
            let region: Region
            do throws(VFIOError) {
                region = try device.region(RegionIndex(rawValue: UInt32(index)))
            } catch {
                // Most devices don't have all of PCI's regions; everything else that goes wrong is told.
                if error.code == .notSupported { continue }
                throw error
            }
            var access = region.flags.contains(.read) ? "r" : "-"
            access += region.flags.contains(.write) ? "w" : "-"
            access += region.flags.contains(.mmap) ? "m" : "-"
            regions.append(
                RegionEntry(
                    index: index, name: index < regionNames.count ? regionNames[index] : "region \(index)",
                    byteCount: region.byteCount, access: access,
                    mapped: region.mappedAreas.map { MappedEntry(offset: $0.offset, byteCount: $0.byteCount) }
                ))
        }
        var interrupts: [InterruptEntry] = []
        for index in 0..<min(device.info.interruptKindCount, mostInterruptKinds) {
            let name = index < interruptNames.count ? interruptNames[index] : "interrupt \(index)"
            let info = try device.interruptInfo(InterruptIndex(rawValue: UInt32(index)))
            guard info.count > 0 else { continue }
            var flags: [String] = []
            if info.isMaskable { flags.append("maskable") }
            if info.masksItself { flags.append("masks itself") }
            if info.isFixedSize { flags.append("enabled all at once") }
            interrupts.append(InterruptEntry(name: name, count: info.count, flags: flags))
        }
        let configuration = device.configuration
        let classCode = isPCI ? try configuration.classCode : nil
        let capabilities = try isPCI ? configuration.capabilities() : []
        let extended = try isPCI ? configuration.extendedCapabilities() : []
        return Report(
            address: "\(device.id)", bus: device.id.bus.name,
            vendor: isPCI ? hexadecimal(try configuration.vendor, digits: 4) : nil,
            device: isPCI ? hexadecimal(try configuration.deviceID, digits: 4) : nil,
            classCode: classCode.map { hexadecimal($0, digits: 6) },
            className: classCode.map { PCIClass.name($0) },
            route: "\(device.route.kind)", routeReason: device.route.reason, canReset: device.canReset,
            regions: regions, interrupts: interrupts,
            capabilities: capabilities.map {
                CapabilityEntry(offset: $0.offset, id: Int($0.id), name: CapabilityName.of($0.id))
            },
            extendedCapabilities: extended.map {
                CapabilityEntry(
                    offset: $0.offset, id: Int($0.id), name: CapabilityName.ofExtended($0.id))
            },
            usableAddresses: device.addressSpace.usableRanges.map {
                RangeEntry(first: "\($0.first)", last: "\($0.last)")
            },
            pageSizes: (0..<64).map { UInt64(1) << $0 }.filter { device.addressSpace.pageSizes & $0 != 0 })
    }

    private static func show(_ report: Report) {
        let console = Console()
        var identity = "\(report.bus) device"
        if let vendor = report.vendor, let device = report.device, let name = report.className {
            identity = "\(vendor):\(device)  \(name)"
        }
        console.heading("\(report.address)  \(identity)")
        print("opened through \(report.route): \(report.routeReason)")
        print(report.canReset ? "can be reset" : "can't be reset")
        print("\nregions")
        for region in report.regions {
            var line = "  \(region.name): \(Human.bytes(region.byteCount)), \(region.access)"
            if !region.mapped.isEmpty {
                line +=
                    ", mapped: "
                    + region.mapped.map {
                        "\(Human.bytes(UInt64($0.byteCount))) at 0x\(hexadecimal($0.offset))"
                    }
                    .joined(separator: ", ")
            }
            print(line)
        }
        if !report.interrupts.isEmpty { print("\ninterrupts") }
        for interrupt in report.interrupts {
            let flags = interrupt.flags.isEmpty ? "" : " (\(interrupt.flags.joined(separator: ", ")))"
            print("  \(interrupt.name): \(interrupt.count)\(flags)")
        }
        if !(report.capabilities.isEmpty && report.extendedCapabilities.isEmpty) { print("\ncapabilities") }
        for capability in report.capabilities + report.extendedCapabilities {
            print("  0x\(hexadecimal(capability.offset, digits: 2)): \(capability.name)")
        }
        print("\naddresses for DMA")
        for range in report.usableAddresses { print("  \(range.first) to \(range.last)") }
        print("  pages: \(pages(report.pageSizes))")
    }

    /// "4 KiB, 2 MiB"; a long run of sizes is told by its ends.
    private static func pages(_ sizes: [UInt64]) -> String {
        guard sizes.count > 4, let first = sizes.first, let last = sizes.last else {
            return sizes.map { Human.bytes($0) }.joined(separator: ", ")
        }
        return "\(Human.bytes(first)) to \(Human.bytes(last)), \(sizes.count) sizes"
    }
}
