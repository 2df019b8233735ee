import LinuxSystem
import VFIO
import VFIOHost

/// A look at one device: its report, and the device itself where it could be opened.
public struct DeviceInspection {
    /// What was found.
    public var report: DeviceReport
    /// The device; nil if it wasn't opened.
    public var device: Device?
    /// Why it couldn't be opened, where that was tried.
    public var refusal: VFIOError?

    /// Looks at a device.
    ///
    /// What the machine tells is had without opening it, and without privileges. A device that is opened is reset by
    /// most drivers of VFIO, and nobody else can have it meanwhile.
    /// - Parameters:
    ///   - id: the device.
    ///   - host: who answers.
    ///   - choice: which way in to take.
    ///   - isOpened: whether to open it.
    ///   - roots: where the machine's facts are, for its configuration space; nil where there are no such folders.
    /// - Throws: ``/VFIO/VFIOError/Code/noSuchDevice`` where neither the machine nor VFIO knows the device.
    public init(
        of id: DeviceID, on host: any Host, _ choice: RouteChoice = .automatic, opening isOpened: Bool = true,
        roots: SystemRoots? = nil
    ) throws(VFIOError) {
        report = DeviceReport(name: id.name, bus: id.bus.name, host: host.kind.word)
        // Of a machine inside this process nobody else has anything; this process will have it open in a moment.
        let holders =
            host.kind == .linux ? roots.map { Holders(in: $0, except: ProcessLimits.processID) } : nil
        if let holders, !holders.isComplete {
            report.missing.append(
                DeviceReport.Missing(
                    "some of those who have it open",
                    holders.isPartial
                        ? "not all processes could be looked at"
                        : "\(holders.unreadable) processes can be looked into by root only"))
        }
        var summary: DeviceSummary?
        var inventory: Inventory?
        do throws(InventoryError) {
            let found = try host.inventory()
            inventory = found
            summary = found.summary(of: id)
            if let summary {
                report.facts = DeviceReport.Facts(of: summary, in: found)
                report.facts.holders = holders?.words(of: summary) ?? []
            }
        } catch {
            report.missing.append(
                DeviceReport.Missing("what the machine tells", "\(error.path) can't be read: \(error.errno)"))
        }
        // VFIO's drivers don't take bridges: being told how to bind one would do harm.
        let isBridge =
            choice == .automatic && (report.facts.classCode ?? 0) >> 8 == 0x0604
            && summary?.driver?.isVFIO != true
        if isOpened, !isBridge {
            do throws(VFIOError) {
                let device = try Device(opening: id, on: host, choice)
                self.device = device
                report.opened = DeviceReport.Opened(of: device, inventory, &report.missing)
                report.readConfiguration(of: device)
                if let inventory, let holders { report.addHolders(holders, inventory) }
            } catch {
                refusal = error
            }
        }
        guard device == nil else { return }
        if summary == nil, inventory != nil {
            throw refusal
                ?? VFIOError(
                    operation: "inspect the device", object: id.name, code: .noSuchDevice,
                    cause: "there is no such device", remedy: "vfio list shows the devices that are there")
        }
        var reason = refusal.map { "the device couldn't be opened: \($0)" } ?? "the device wasn't opened"
        if isOpened, isBridge {
            reason = "it is a bridge, which VFIO doesn't take; its group can be used without it"
        }
        report.missing.append(
            DeviceReport.Missing("regions, interrupts, features and addresses for DMA", reason))
        // A server shows registers to whoever opens its device only.
        guard let roots, id.bus == .pci, host.kind != .vfioUser else { return }
        report.readConfiguration(id.name, in: roots)
    }
}

extension Holders {
    /// Who has a device or its group open.
    func words(of device: DeviceSummary) -> [String] {
        let all = of(device) + (device.group.map { ofGroup($0) } ?? [])
        return Set(all.map { "\($0)" }).sorted()
    }
}

extension DeviceReport {
    /// Says of the functions that a hot reset hits who has them open.
    fileprivate mutating func addHolders(_ holders: Holders, _ inventory: Inventory) {
        guard let functions = opened?.hotReset else { return }
        for (index, function) in functions.enumerated() {
            guard let id = DeviceID(function.address), let summary = inventory.summary(of: id) else {
                continue
            }
            opened?.hotReset?[index].holders = holders.words(of: summary)
        }
    }
}

extension HostKind {
    /// The word that command lines have for it.
    var word: String {
        switch self {
        case .linux: "linux"
        case .software: "soft"
        case .vfioUser: "user"
        }
    }
}

extension DeviceReport {
    /// What a device itself says, through VFIO.
    mutating func readConfiguration(of device: Device) {
        let count = min(device.configuration.byteCount, 4096)
        guard count > 0 else { return }
        do throws(VFIOError) {
            // The header is read by registers, as who watches the requests will want to see it.
            var bytes: [UInt8] = []
            for offset in stride(from: 0, to: min(count, 64) & ~3, by: 4) {
                let word = try device.configuration.load32(offset)
                for byte in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: word >> UInt32(8 * byte))) }
            }
            if count > bytes.count {
                let region = try device.region(.configuration, mapped: false)
                var rest = [UInt8](repeating: 0, count: count - bytes.count)
                var span = rest.mutableSpan
                // SAFETY: any byte is a value of UInt8.
                var raw = unsafe span.mutableBytes
                try region.read(at: bytes.count, into: &raw)
                bytes += rest
            }
            let read = Configuration(bytes: bytes, source: "vfio")
            facts.complete(from: read.decoded)
            configuration = read
        } catch {
            missing.append(Missing("configuration space", "\(error)"))
        }
    }

    /// What the machine shows of it: 64 bytes without privileges, all of it otherwise.
    mutating func readConfiguration(_ name: String, in roots: SystemRoots) {
        let path = "\(roots.sysfs)/bus/pci/devices/\(name)/config"
        do throws(Errno) {
            let bytes = try FileSystem.bytes(of: path, limit: 4096)
            guard !bytes.isEmpty else { return }
            configuration = Configuration(bytes: bytes, source: "sysfs")
            if bytes.count == 64 {
                missing.append(
                    Missing(
                        "capabilities",
                        "\(path) shows 64 bytes only to whoever lacks CAP_SYS_ADMIN; run it as root to see all"
                    ))
            }
        } catch {
            missing.append(Missing("configuration space", "\(path) can't be read: \(error)"))
        }
    }
}
