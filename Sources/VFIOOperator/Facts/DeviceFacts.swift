import LinuxSystem
import PCIDecoder
import VFIOHost

/// What sysfs tells of a device besides what opening it needs: what an operator wants to know before touching it.
///
/// Reading it needs no rights. An attribute that isn't there is nil; one that is there and can't be read or understood
/// is nil too and stands in ``unknown``.
public struct DeviceFacts: Sendable, Equatable {
    /// Its name, driver, group and node.
    public var summary: DeviceSummary
    /// More of the same, for a PCI function; nil for devices of other buses.
    public var record: DeviceRecord?
    /// The interrupts that its driver has set up (`irq`, `msi_irqs`).
    public var interrupts = Interrupts()
    /// The state of power that it was seen in last: "D0", "D3hot", "D3cold", "unknown" (`power_state`).
    public var powerState: String?
    /// Whether the kernel has put it to sleep: "active", "suspended", "unsupported" (`power/runtime_status`).
    public var runtimeStatus: String?
    /// How often it was enabled and not disabled again; 0 for one that nobody uses (`enable`).
    public var enableCount: Int?
    /// Its virtual functions, for one that can have some (`sriov_totalvfs`, `sriov_numvfs`).
    public var virtualFunctions: VirtualFunctions?
    /// Which virtual function of its physical function it is, from 0 on (the link `virtfn<number>` there).
    public var virtualFunctionNumber: Int?
    /// The IOMMU that translates for it, such as "dmar0" (the link `iommu`).
    public var iommu: String?
    /// What sort of mediated device it is, such as "mtty-2" (the link `mdev_type`).
    public var mediatedType: String?
    /// The network interfaces that its driver has made of it.
    public var networkInterfaces: [String] = []
    /// The disks that its driver has made of it, without their partitions.
    public var disks: [String] = []
    /// The attributes that are there and couldn't be read or understood, by their files' names.
    public var unknown: [String] = []

    /// Interrupts as a driver has set them up.
    public struct Interrupts: Sendable, Equatable {
        /// The number of the line's interrupt (INTx), as the kernel counts them; nil without one.
        public var line: Int?
        /// How many interrupts by message there are.
        public var messages = 0
        /// Whether the messages are MSI-X, not MSI.
        public var isExtended = false

        /// Describes none.
        public init() {}
    }

    /// How many virtual functions a function can have, and has.
    public struct VirtualFunctions: Sendable, Equatable {
        /// The most that it can have.
        public var total: Int
        /// How many are enabled; nil where that can't be told.
        public var enabled: Int?

        /// Describes the virtual functions of a physical one.
        public init(total: Int, enabled: Int?) {
            self.total = total
            self.enabled = enabled
        }
    }

    /// Describes a device without more than this.
    public init(_ summary: DeviceSummary, record: DeviceRecord? = nil) {
        self.summary = summary
        self.record = record
    }

    /// What it is called.
    public var id: DeviceID { summary.id }

    /// Whether it is a bridge between buses: those don't keep a group from being used while `pcieport` drives them.
    public var isBridge: Bool { record.map { $0.classCode >> 8 == 0x0604 } ?? false }
}

extension DeviceFacts {
    /// Reads what sysfs tells.
    public init(of summary: DeviceSummary, record: DeviceRecord? = nil, in roots: SystemRoots) {
        self.init(summary, record: record)
        var folder = AttributeFolder("\(roots.sysfs)/bus/\(summary.id.bus.name)/devices/\(summary.id.name)")
        powerState = folder.word("power_state")
        runtimeStatus = folder.word("power/runtime_status")
        enableCount = folder.number("enable")
        iommu = folder.link("iommu")
        if summary.id.bus == .mdev {
            mediatedType = folder.link("mdev_type").map { PrintableText.of($0.utf8) }
        }
        interrupts.line = folder.number("irq").flatMap { $0 > 0 ? $0 : nil }
        // Each is a file of the interrupt's number that holds "msi" or "msix".
        let messages = folder.names("msi_irqs", limit: 4096)
        interrupts.messages = messages.count
        if let first = messages.first {
            interrupts.isExtended = folder.word("msi_irqs/" + first) == "msix"
        }
        if let total = folder.number("sriov_totalvfs"), total > 0 {
            virtualFunctions = VirtualFunctions(total: total, enabled: folder.number("sriov_numvfs"))
        }
        if let address = record?.address, record?.physicalFunction != nil {
            virtualFunctionNumber = folder.names("physfn", limit: 65_536).first { name in
                name.hasPrefix("virtfn") && folder.link("physfn/" + name) == "\(address)"
            }.flatMap { Int($0.dropFirst(6)) }
        }
        var tree = PartTree(of: folder.path, sysfs: roots.sysfs)
        tree.walk()
        networkInterfaces = tree.parts.filter { $0.subsystem == "net" }.map { Self.shown($0.name) }
        disks = tree.parts.filter {
            $0.subsystem == "block" && !FileSystem.exists($0.path + "/partition")
        }.map { Self.shown($0.name) }
        unknown = folder.unknown
    }

    private static func shown(_ name: String) -> String { PrintableText.of(name.utf8) }
}

/// The attributes of one device in sysfs; remembers those that couldn't be read or understood.
struct AttributeFolder {
    let path: String
    private(set) var unknown: [String] = []

    init(_ path: String) { self.path = path }

    /// A line of text.
    mutating func text(_ name: String) -> String? {
        do throws(Errno) {
            return try FileSystem.text(of: path + "/" + name)
        } catch {
            if error != .noSuchEntry && error != .notDirectory { unknown.append(name) }
            return nil
        }
    }

    /// A word of at most 32 printable bytes.
    mutating func word(_ name: String) -> String? {
        text(name).flatMap { $0.isEmpty ? nil : PrintableText.of($0.utf8, limit: 32) }
    }

    /// A number in decimal.
    mutating func number(_ name: String) -> Int? {
        guard let text = text(name) else { return nil }
        guard let value = Int(text) else {
            unknown.append(name)
            return nil
        }
        return value
    }

    /// The last name of where a link leads.
    func link(_ name: String) -> String? {
        (try? FileSystem.linkTarget(path + "/" + name)).map { PathText.last($0) }
    }

    /// The names in a folder, in order.
    mutating func names(_ name: String, limit: Int) -> [String] {
        do throws(Errno) {
            return try FileSystem.names(in: path + "/" + name, limit: limit).sorted()
        } catch {
            if error != .noSuchEntry && error != .notDirectory { unknown.append(name) }
            return []
        }
    }
}
