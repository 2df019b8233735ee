import IOVASpace
import PCIDecoder
import VFIO
import VFIOABI
import VFIOHost

extension DeviceReport.Facts {
    /// What an inventory tells of a device.
    init(of summary: DeviceSummary, in inventory: Inventory) {
        driver = summary.driver?.name
        group = summary.group
        deviceNode = summary.deviceNode
        if let record = summary.id.address.flatMap({ inventory.device(at: $0) }) {
            vendor = record.vendor
            device = record.device
            subsystemVendor = record.subsystemVendor
            subsystem = record.subsystem
            classCode = record.classCode
            revision = record.revision
            driverOverride = record.driverOverride
            numaNode = record.numaNode
            resetMethods = record.resetMethods
            physicalFunction = record.physicalFunction.map { "\($0)" }
        }
        guard let number = summary.group, let record = inventory.group(number) else { return }
        domainType = record.domainType
        reservedRegions = record.reservedRegions
        let members = record.devices.map { DeviceID($0) } + record.otherDevices
        groupMembers = members.filter { $0 != summary.id }.map { id in
            let driver = inventory.summary(of: id)?.driver
            return DeviceReport.Member(
                name: id.name, driver: driver?.name, blocks: driver?.letsGroupBeUsed == false)
        }
    }
}

extension DeviceReport.Facts {
    /// Takes from its configuration space who a device is, where the machine doesn't tell: mediated devices, and those
    /// in files.
    mutating func complete(from decoded: DecodedConfiguration) {
        func value(_ offset: Int) -> UInt64? { decoded.register(at: offset)?.value }
        vendor = vendor ?? value(0).map { UInt16(truncatingIfNeeded: $0) }
        device = device ?? value(2).map { UInt16(truncatingIfNeeded: $0) }
        revision = revision ?? value(8).map { UInt8(truncatingIfNeeded: $0) }
        classCode = classCode ?? value(9).map { UInt32(truncatingIfNeeded: $0) }
        guard decoded.headerType == 0 else { return }
        subsystemVendor = subsystemVendor ?? value(0x2c).map { UInt16(truncatingIfNeeded: $0) }
        subsystem = subsystem ?? value(0x2e).map { UInt16(truncatingIfNeeded: $0) }
    }
}

extension DeviceReport.Opened {
    /// More than any device has; a host that says so isn't asked for each.
    private static let mostParts = 4096

    private static let regionNames = [
        "BAR 0", "BAR 1", "BAR 2", "BAR 3", "BAR 4", "BAR 5", "ROM", "configuration", "VGA",
    ]

    private static let interruptNames = ["INTx", "MSI", "MSI-X", "error", "request"]

    /// Asks an open device for everything.
    /// - Parameter missing: what it doesn't answer is added.
    init(of device: Device, _ inventory: Inventory?, _ missing: inout [DeviceReport.Missing]) {
        self.init(route: "\(device.route.kind)", routeReason: device.route.reason)
        canReset = device.canReset
        let completes = device.info.atomics
        atomics = [(32, .completes32), (64, .completes64), (128, PCIAtomicFlags.completes128)]
            .filter { completes.contains($0.1) }.map(\.0)
        let isPCI = device.info.flags.contains(.pci)
        for index in 0..<min(device.info.regionCount, Self.mostParts) {
            let name = isPCI && index < Self.regionNames.count ? Self.regionNames[index] : "region \(index)"
            do throws(VFIOError) {
                if let region = try DeviceReport.Region(index, name, of: device) { regions.append(region) }
            } catch {
                missing.append(DeviceReport.Missing(name, "\(error)"))
            }
        }
        for index in 0..<min(device.info.interruptKindCount, Self.mostParts) {
            let name =
                isPCI && index < Self.interruptNames.count ? Self.interruptNames[index] : "interrupt \(index)"
            do throws(VFIOError) {
                let info = try device.interruptInfo(InterruptIndex(rawValue: UInt32(index)))
                guard info.count > 0 else { continue }
                var flags: [String] = []
                if info.isMaskable { flags.append("maskable") }
                if info.masksItself { flags.append("masks itself") }
                if info.isFixedSize { flags.append("enabled all at once") }
                interrupts.append(
                    DeviceReport.Interrupt(index: index, name: name, count: info.count, flags: flags))
            } catch {
                missing.append(DeviceReport.Missing(name, "\(error)"))
            }
        }
        askFeatures(device, &missing)
        askAddresses(device, &missing)
        guard isPCI else { return }
        do throws(VFIOError) {
            hotReset = try device.hotResetScope().functions.map {
                DeviceReport.ResetFunction(
                    address: "\($0.address)", owner: $0.owner.words,
                    driver: inventory?.device(at: $0.address)?.driver?.name)
            }
        } catch {
            if error.code == .notSupported {
                hotResetRefusal = error.cause ?? "\(error)"
            } else {
                missing.append(DeviceReport.Missing("hot reset", "\(error)"))
            }
        }
    }

    private mutating func askFeatures(_ device: Device, _ missing: inout [DeviceReport.Missing]) {
        for number in 0..<64 {
            let feature = VFIOABI.Feature(rawValue: UInt16(number))
            guard let word = feature.word else { continue }
            do throws(VFIOError) {
                features.append(
                    DeviceReport.Feature(
                        number: number, word: "\(word)", canGet: try device.has(feature, .get),
                        canSet: try device.has(feature, .set)))
            } catch {
                missing.append(DeviceReport.Missing("feature \(word)", "\(error)"))
            }
        }
        do throws(VFIOError) {
            let flags = try device.migrationCapabilities()
            guard !flags.isEmpty else { return }
            let words = [("STOP_COPY", MigrationFlags.stopCopy), ("P2P", .p2p), ("PRE_COPY", .preCopy)]
            migration = DeviceReport.Migration(
                flags: words.filter { flags.contains($0.1) }.map(\.0), state: nil)
            migration?.state = try device.migrationState().word
        } catch {
            missing.append(DeviceReport.Missing("migration", "\(error)"))
        }
    }

    private mutating func askAddresses(_ device: Device, _ missing: inout [DeviceReport.Missing]) {
        let space = device.addressSpace
        var addresses = DeviceReport.Addresses(
            ranges: space.usableRanges.map { $0.first.rawValue...$0.last.rawValue },
            pageSizes: space.pageSizes, dirtyPageSizes: space.information?.dirtyPageSizes ?? 0)
        if device.route.kind != .unprotected {
            do throws(VFIOError) {
                addresses.mappingsLeft = try space.mappingsLeft()
            } catch {
                missing.append(DeviceReport.Missing("remaining mappings", "\(error)"))
            }
        }
        self.addresses = addresses
    }
}

extension DeviceReport.Region {
    /// Asks for a region, and maps what can be mapped.
    /// - Returns: nil if the device doesn't have it.
    fileprivate init?(_ index: Int, _ name: String, of device: Device) throws(VFIOError) {
        let place = RegionIndex(rawValue: UInt32(index))
        let layout: RegionLayout
        do throws(VFIOError) {
            layout = try device.layout(of: place)
        } catch {
            // Most devices don't have all of PCI's regions; everything else that goes wrong is told.
            if error.code == .notSupported { return nil }
            throw error
        }
        guard layout.byteCount > 0 else { return nil }
        self.init(index: index, name: name, byteCount: layout.byteCount)
        isReadable = layout.flags.contains(.read)
        isWritable = layout.flags.contains(.write)
        isMappable = layout.flags.contains(.mmap)
        sparseAreas = layout.sparseAreas?.map { Self.area($0) }
        isMSIXMappable = layout.isMSIXMappable
        msixTable = layout.msixTable.map { Self.area($0) }
        type = layout.kind.map {
            DeviceReport.RegionType(type: $0.type.rawValue, subtype: $0.subtype.rawValue)
        }
        guard isMappable else { return }
        do throws(VFIOError) {
            mapped = try device.region(place).mappedAreas.map {
                DeviceReport.Area(offset: UInt64($0.offset), byteCount: UInt64($0.byteCount))
            }
        } catch {
            mappingProblem = "\(error)"
        }
    }

    private static func area(_ range: Range<UInt64>) -> DeviceReport.Area {
        DeviceReport.Area(offset: range.lowerBound, byteCount: range.upperBound - range.lowerBound)
    }
}

extension HotResetScope.Owner {
    /// Whose it is, as people read it.
    fileprivate var words: String {
        switch self {
        case .group(let number): "group \(number)"
        case .bound: "bound to the same iommufd"
        case .ownGroup: "unopened, of a group that is bound to the same iommufd"
        case .stranger: "somebody else's, or without a driver of VFIO's"
        }
    }
}

extension VFIOABI.MigrationState {
    /// The uAPI's word for it, without `VFIO_DEVICE_STATE_`.
    fileprivate var word: String {
        let words = [
            "ERROR", "STOP", "RUNNING", "STOP_COPY", "RESUMING", "RUNNING_P2P", "PRE_COPY", "PRE_COPY_P2P",
        ]
        return rawValue < UInt32(words.count) ? words[Int(rawValue)] : "state \(rawValue)"
    }
}
