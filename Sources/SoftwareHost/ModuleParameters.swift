import LinuxSystem

/// The parameters of the kernel's VFIO modules, as `/sys/module/<module>/parameters` has them (kernel.md J).
///
/// Written at run time through ``SoftwareHost/parameters``. As on Linux, some are looked at whenever they
/// matter, others once: each says so.
public struct ModuleParameters: Sendable, Equatable {
    /// `vfio.enable_unsafe_noiommu_mode`: devices without an IOMMU may be used, in groups `noiommu-<number>`.
    /// Looked at when a driver is bound and when a container is asked.
    public var enableUnsafeNoIOMMUMode = false
    /// `vfio_iommu_type1.allow_unsafe_interrupts`: groups whose interrupts can be forged may be used. Looked at
    /// when a group is attached.
    public var allowUnsafeInterrupts = false
    /// `iommufd.allow_unsafe_interrupts`: the same for devices that are bound to an iommufd.
    public var iommufdAllowUnsafeInterrupts = false
    /// `vfio_iommu_type1.disable_hugepages`: memory is put into page tables page by page. Looked at for every
    /// mapping.
    public var disableHugepages = false
    /// `vfio_iommu_type1.dma_entry_limit`: how many mappings a container may have. Looked at by VFIO_SET_IOMMU.
    public var dmaEntryLimit: UInt32 = 65535
    /// `vfio_pci.nointxmask`: the Interrupt Disable bit isn't used to mask the interrupt line. Looked at when a
    /// device is bound.
    public var noINTxMask = false
    /// `vfio_pci.disable_idle_d3`: devices that nobody uses stay in D0. Looked at when a device is bound.
    public var disableIdleD3 = false
    /// `vfio_pci.disable_vga`: VGA devices don't get the VGA region. Looked at when a device is opened.
    public var disableVGA = false
    /// `vfio_pci.enable_sriov`: virtual functions can be made of a device that is bound to vfio-pci.
    public var enableSRIOV = false
    /// `vfio_pci.disable_denylist`: devices known to be unsafe may be bound all the same. Looked at when a
    /// device is bound.
    public var disableDenylist = false
    /// `vfio_platform.reset_required`: a device on the platform bus that can't be reset can't be bound. Looked at when
    /// a device is bound.
    public var platformResetRequired = true

    /// The defaults of Linux.
    public init() {}

    /// The names of all parameters, as the kernel's command line has them: "vfio_pci.disable_vga".
    public static var names: [String] { Field.all.map { $0.name } }

    /// A parameter as sysfs shows it: "Y" or "N", or a number.
    /// - Parameter name: one of ``names``; nil for any other.
    public func text(of name: String) -> String? {
        guard let field = Field(name) else { return nil }
        switch field.kind {
        case .switch(let get, _): return get(self) ? "Y" : "N"
        case .limit: return "\(dmaEntryLimit)"
        }
    }

    /// Sets a parameter from a text, as sysfs takes it: "Y", "y", "1", "N", "n" or "0", or a number in decimal.
    /// - Parameter name: one of ``names``.
    /// - Throws: `ENOENT` for a name that isn't one of them, `EINVAL` for a text that isn't a value.
    public mutating func set(_ name: String, to text: String) throws(Errno) {
        guard let field = Field(name) else { throw .noSuchEntry }
        switch field.kind {
        case .switch(_, let set):
            switch text.utf8.count == 1 ? text.utf8.first : nil {
            case UInt8(ascii: "Y"), UInt8(ascii: "y"), UInt8(ascii: "1"): set(&self, true)
            case UInt8(ascii: "N"), UInt8(ascii: "n"), UInt8(ascii: "0"): set(&self, false)
            default: throw .invalid
            }
        case .limit:
            guard let number = UInt32(text) else { throw .invalid }
            dmaEntryLimit = number
        }
    }

    /// One parameter: its name, and where it is kept.
    private struct Field {
        enum Kind {
            case `switch`((ModuleParameters) -> Bool, (inout ModuleParameters, Bool) -> Void)
            case limit
        }
        let name: String
        let kind: Kind

        init(_ name: String, _ kind: Kind) {
            self.name = name
            self.kind = kind
        }

        init?(_ name: String) {
            guard let field = Field.all.first(where: { $0.name.utf8.elementsEqual(name.utf8) }) else {
                return nil
            }
            self = field
        }

        static var all: [Field] {
            [
                Field(
                    "vfio.enable_unsafe_noiommu_mode",
                    .switch({ $0.enableUnsafeNoIOMMUMode }, { $0.enableUnsafeNoIOMMUMode = $1 })),
                Field(
                    "vfio_iommu_type1.allow_unsafe_interrupts",
                    .switch({ $0.allowUnsafeInterrupts }, { $0.allowUnsafeInterrupts = $1 })),
                Field(
                    "iommufd.allow_unsafe_interrupts",
                    .switch({ $0.iommufdAllowUnsafeInterrupts }, { $0.iommufdAllowUnsafeInterrupts = $1 })),
                Field(
                    "vfio_iommu_type1.disable_hugepages",
                    .switch({ $0.disableHugepages }, { $0.disableHugepages = $1 })),
                Field("vfio_iommu_type1.dma_entry_limit", .limit),
                Field("vfio_pci.nointxmask", .switch({ $0.noINTxMask }, { $0.noINTxMask = $1 })),
                Field("vfio_pci.disable_idle_d3", .switch({ $0.disableIdleD3 }, { $0.disableIdleD3 = $1 })),
                Field("vfio_pci.disable_vga", .switch({ $0.disableVGA }, { $0.disableVGA = $1 })),
                Field("vfio_pci.enable_sriov", .switch({ $0.enableSRIOV }, { $0.enableSRIOV = $1 })),
                Field(
                    "vfio_pci.disable_denylist",
                    .switch({ $0.disableDenylist }, { $0.disableDenylist = $1 })),
                Field(
                    "vfio_platform.reset_required",
                    .switch({ $0.platformResetRequired }, { $0.platformResetRequired = $1 })),
            ]
        }
    }
}

/// A value that any thread may read and replace.
final class Shared<Value: Sendable>: @unchecked Sendable {
    // SAFETY: only touched with `lock` held.
    private var held: Value
    private let lock = Lock()

    init(_ value: Value) { held = value }

    var value: Value {
        get { lock.withLock { held } }
        set { lock.withLock { held = newValue } }
    }

    /// Changes it in one step. Nothing that takes long, or another lock, belongs into `body`.
    func update<R>(_ body: (inout Value) -> R) -> R { lock.withLock { body(&held) } }
}
