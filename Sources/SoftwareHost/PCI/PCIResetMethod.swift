import DeviceModel
import LinuxSystem

/// A way to reset a function, by the names that Linux's `reset_method` in sysfs has for them (kernel.md D.9,
/// H).
public enum PCIResetMethod: UInt8, Sendable, Equatable, CaseIterable {
    /// `device_specific`: what only this kind of device has. No device in software offers it.
    case deviceSpecific
    /// `acpi`: the firmware does it. There is none here.
    case firmware
    /// `flr`: function level reset by the PCI Express capability.
    case functionLevel
    /// `af_flr`: function level reset by the Advanced Features capability.
    case advancedFeatures
    /// `pm`: to D3hot and back, where that loses the state.
    case power
    /// `bus`: the bus that the function is alone on.
    case bus
    /// `cxl_bus`: the same below a CXL port. There is none here.
    case cxlBus

    /// The kernel's word.
    public var name: String {
        switch self {
        case .deviceSpecific: "device_specific"
        case .firmware: "acpi"
        case .functionLevel: "flr"
        case .advancedFeatures: "af_flr"
        case .power: "pm"
        case .bus: "bus"
        case .cxlBus: "cxl_bus"
        }
    }

    /// A method by the kernel's word; nil for any other.
    public init?(name: String) {
        for method in Self.allCases where method.name.utf8.elementsEqual(name.utf8) {
            self = method
            return
        }
        return nil
    }
}

/// What an administrator decided about a device's resets, and whether one is under way. It belongs to the
/// device and outlives its driver, as in Linux.
final class PCIResetPolicy: @unchecked Sendable {
    // SAFETY: all of it is guarded by `lock`.
    private let lock = Lock()
    private var chosen: [PCIResetMethod]?
    private var isTaken = false

    /// The methods to try, in order; nil for all that the function offers, in the kernel's order.
    var methods: [PCIResetMethod]? {
        get { lock.withLock { chosen } }
        set { lock.withLock { chosen = newValue } }
    }

    /// Takes the device for a reset, unless somebody has it: Linux's device lock, where it is only tried for.
    /// - Returns: whether it was free; then ``giveBack()`` has to follow.
    func take() -> Bool {
        lock.withLock {
            if isTaken { return false }
            isTaken = true
            return true
        }
    }

    func giveBack() { lock.withLock { isTaken = false } }
}

/// The ladder: which ways there are, and which is taken. With the device lock held, unless said otherwise.
extension PCIBusDriver {
    private typealias ID = PCICapabilityShape.Standard

    /// Whether the function offers a way. Needs no lock.
    func offers(_ method: PCIResetMethod) -> Bool {
        switch method {
        case .functionLevel:
            guard let at = configuration.capability(ID.express) else { return false }
            return configuration.value(at: at + 4, width: 4) & 1 << 28 != 0
        case .advancedFeatures:
            guard let at = configuration.capability(ID.advancedFeatures) else { return false }
            return configuration.value(at: at + 3, width: 1) & 3 == 3
        case .power:
            guard let at = configuration.capability(ID.powerManagement) else { return false }
            return configuration.value(at: at + 4, width: 2) & 8 == 0
        case .bus: return isAloneOnBus
        case .deviceSpecific, .firmware, .cxlBus: return false
        }
    }

    /// The ways that would be tried, in order: those that the function offers, or those of them that an
    /// administrator left. Needs no lock.
    var resetMethods: [PCIResetMethod] {
        // A chosen one that is no longer offered is passed over when its turn comes.
        resetPolicy.methods ?? PCIResetMethod.allCases.filter { offers($0) }
    }

    /// Resets by the first way of the ladder that the function offers, unless somebody else is at it.
    /// - Throws: `ENOTTY` if there is none, `EAGAIN` if somebody else is resetting the device.
    func tryReset() throws(Errno) {
        let methods = resetMethods
        guard !methods.isEmpty else { throw .noSuchRequest }
        guard resetPolicy.take() else { throw .again }
        defer { resetPolicy.giveBack() }
        try climb(methods)
    }

    /// The same for an administrator, who has taken the device already.
    func climb(_ methods: [PCIResetMethod]) throws(Errno) {
        for method in methods where offers(method) {
            reset(by: method)
            return
        }
        throw .noSuchRequest
    }
}
