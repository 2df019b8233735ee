import LinuxSystem
import VFIOHost

/// Finds out what keeps devices from being used through VFIO, and what would help. Writes nothing, and needs no
/// privilege: what can't be read is said to be undetermined.
///
/// Everything is read from folders, so that the same folders give the same findings; only nodes are tried with open(2)
/// besides, and QEMU is asked for its version.
public struct Doctor: Sendable {
    /// What is to be done with the machine.
    public struct Plan: Sendable, Equatable {
        /// How much memory devices are to reach, in bytes: that of a virtual machine, or a driver's buffers. Nil if
        /// nobody said.
        public var memory: UInt64?
        /// How many devices are to be used at once.
        public var devices: Int

        /// Describes what is planned.
        public init(memory: UInt64? = nil, devices: Int = 1) {
            self.memory = memory
            self.devices = max(1, devices)
        }
    }

    /// The folders of the machine that no kernel fills.
    public struct Folders: Sendable, Equatable {
        /// Where the kernels' modules are, by release: "/lib/modules".
        public var modules: String
        /// Where the kernels' configurations are: "/boot".
        public var boot: String
        /// The machine's settings: "/etc".
        public var settings: String

        /// Names the folders, each without a slash at its end.
        public init(modules: String = "/lib/modules", boot: String = "/boot", settings: String = "/etc") {
            self.modules = modules
            self.boot = boot
            self.settings = settings
        }
    }

    /// Where the kernel tells its facts.
    public var roots: SystemRoots
    /// Who answers there. A software machine has no firmware, no modules and no processes to look at.
    public var kind: HostKind
    /// What is planned.
    public var plan: Plan
    /// The machine's other folders.
    public var folders: Folders
    /// The QEMU that is asked what it can, by its path or its name in `PATH`; nil to ask none.
    public var qemu: String?
    /// The limit of locked memory in bytes, where the host tells it rather than the process's own facts; nil for those
    /// (`/proc/self/limits`).
    public var lockedMemoryLimit: UInt64?
    /// A folder that everything lies in and that isn't to be named: for a machine that is written out for this only.
    public var hiddenFolder: String?

    /// A doctor for a machine.
    public init(
        _ roots: SystemRoots = SystemRoots(), kind: HostKind = .linux, plan: Plan = Plan(),
        folders: Folders = Folders(), qemu: String? = Doctor.usualQEMU
    ) {
        self.roots = roots
        self.kind = kind
        self.plan = plan
        self.folders = folders
        self.qemu = qemu
    }

    /// The QEMU for this processor.
    public static var usualQEMU: String {
        #if arch(arm64)
            "qemu-system-aarch64"
        #else
            "qemu-system-x86_64"
        #endif
    }

    /// What is to be known of the machine, and a finding for each device that a VFIO driver has.
    public func checks() -> [Finding] {
        let examination = Examination(self)
        var findings = Self.machineChecks.compactMap { $0.finding(examination) }
        for summary in examination.boundDevices {
            findings.append(examination.of(summary).overview(Self.overviewChecks))
        }
        return findings.map(shown)
    }

    /// What is to be known of one device, besides the machine.
    /// - Parameter device: any device of a bus that VFIO knows; one that isn't there is a finding.
    public func checks(of device: DeviceID) -> [Finding] {
        let machine = Examination(self)
        var findings = Self.machineChecks.compactMap { $0.finding(machine) }
        guard let summary = machine.inventory?.summary(of: device) else {
            findings.append(machine.missing(device))
            return findings.map(shown)
        }
        let examination = machine.of(summary)
        findings += Self.deviceChecks.compactMap { $0.finding(examination) }
        return findings.map(shown)
    }

    /// A finding without the folder that isn't to be named.
    private func shown(_ finding: Finding) -> Finding {
        guard let hiddenFolder else { return finding }
        func cut(_ text: String) -> String { text.replacing(hiddenFolder, with: "") }
        var finding = finding
        finding.summary = cut(finding.summary)
        finding.evidence = finding.evidence.map { Evidence(cut($0.place), cut($0.found)) }
        finding.remedies = finding.remedies.map {
            Remedy(advice: $0.advice.map(cut), command: $0.command.map(cut))
        }
        return finding
    }

    /// Looks at the machine, in the order in which a person would.
    static let machineChecks: [any Check] = [
        IOMMUCheck(), TranslationCheck(), InterruptRemappingCheck(), KernelCheck(), ModulesCheck(),
        ContainerNodeCheck(), IOMMUFDNodeCheck(), UnprotectedCheck(), MemoryLockCheck(), MappingLimitCheck(),
        HugePagesCheck(), QEMUCheck(),
    ]

    /// Looks at one device.
    static let deviceChecks: [any Check] = [
        DriverCheck(), GroupCheck(), IsolationCheck(), DeviceNodeCheck(), HoldersCheck(), InUseCheck(),
        ConfigurationCheck(), PowerCheck(),
        ResetCheck(), RegionsCheck(), AddressesCheck(), VirtualFunctionsCheck(), MigrationCheck(),
    ]

    /// What decides whether a device can be used now.
    static let overviewChecks: [any Check] = [
        GroupCheck(), DeviceNodeCheck(), HoldersCheck(), ConfigurationCheck(),
    ]
}

extension [Finding] {
    /// How it stands on the whole: failed if anything failed, undetermined if something that matters couldn't be told,
    /// otherwise the worst.
    public var verdict: Finding.Result {
        if contains(where: { $0.result == .failed }) { return .failed }
        if contains(where: { $0.result == .undetermined && $0.isEssential }) { return .undetermined }
        return contains { $0.result == .warning } ? .warning : .ok
    }
}
