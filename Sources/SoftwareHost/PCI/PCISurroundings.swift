import DeviceModel
import LinuxSystem
import VFIOABI

/// What the machine around a PCI device adds to what users are told of it (kernel.md D.2, D.14).
public struct PCISurroundings: Sendable, Equatable {
    /// The atomic operations of a PCI Express device that are completed on its way to memory: by the root port, and
    /// by all switches before it (`VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP`).
    public var atomicCompletions: PCIAtomicFlags
    /// What an IBM Z tells of the function; nil on any other machine.
    public var zpci: ZPCIFunction?

    /// Surroundings; by default of a PC whose root ports complete no atomic operations.
    public init(atomicCompletions: PCIAtomicFlags = [], zpci: ZPCIFunction? = nil) {
        self.atomicCompletions = atomicCompletions
        self.zpci = zpci
    }
}

/// What an IBM Z tells of a PCI function (`VFIO_DEVICE_INFO_CAP_ZPCI_…`): a machine whose firmware, and not
/// configuration space, describes its functions.
public struct ZPCIFunction: Sendable, Equatable {
    /// The function; the header is filled in by the host.
    public var base: ZPCIBaseCapability
    /// The group of functions that it belongs to; the header is filled in by the host.
    public var group: ZPCIGroupCapability
    /// The utility string, in EBCDIC, 64 bytes on real machines; empty for none.
    public var utilityString: [UInt8]
    /// The path to the function's inside, 4 bytes on real machines; empty for none.
    public var functionPath: [UInt8]

    /// A function.
    public init(
        base: ZPCIBaseCapability, group: ZPCIGroupCapability, utilityString: [UInt8] = [],
        functionPath: [UInt8] = []
    ) {
        self.base = base
        self.group = group
        self.utilityString = utilityString
        self.functionPath = functionPath
    }
}

extension PCIDevice {
    /// The same device in other surroundings.
    public func within(_ surroundings: PCISurroundings) -> PCIDevice {
        var device = self
        device.surroundings = surroundings
        return device
    }
}

extension PCIBusDriver {
    /// The capabilities of `VFIO_DEVICE_GET_INFO`.
    func describeSurroundings() throws(Errno) -> CapabilityBuilder<DeviceInfo> {
        var chain = CapabilityBuilder<DeviceInfo>()
        do throws(CapabilityBuilderError) {
            if let zpci = surroundings.zpci {
                try chain.appendZPCIBase(zpci.base)
                try chain.appendZPCIGroup(zpci.group)
                if !zpci.utilityString.isEmpty { try chain.appendZPCIUtility(zpci.utilityString.span) }
                if !zpci.functionPath.isEmpty { try chain.appendZPCIFunctionPath(zpci.functionPath.span) }
            }
            // A virtual function can't be allowed to make them: its physical function is.
            if isExpress, !function.isVirtual, !surroundings.atomicCompletions.isEmpty {
                try chain.appendPCIAtomicCompletion(surroundings.atomicCompletions)
            }
        } catch {
            throw .noMemory
        }
        return chain
    }
}
