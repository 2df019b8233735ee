import LinuxSystem
import VFIOHost

/// Why no host can be made from a ``MachineDescription``.
public enum MachineError: Error, Sendable {
    /// A device's address isn't one.
    case malformedAddress(String)
    /// Two devices sit at one address, or have one name on a bus.
    case duplicateAddress(DeviceID)
    /// A group is described twice.
    case duplicateGroup(Int)
    /// A group's number is negative, or doesn't fit into 31 bits.
    case impossibleGroup(Int)
    /// A group is described for a machine without an IOMMU.
    case groupWithoutIOMMU(Int)
    /// A device is to be bound to a VFIO driver, but is only there: nobody answers its registers.
    case noModel(DeviceID, driver: String)
    /// A device is to be bound to a VFIO driver and belongs to no group, and the machine doesn't allow that
    /// (``ModuleParameters/enableUnsafeNoIOMMUMode``).
    case noGroup(DeviceID, driver: String)
    /// The IOMMU has no page size, or none of its page sizes makes sense.
    case noPageSize
    /// The IOMMU translates no addresses.
    case noAperture
    /// The IOMMU of a POWER machine can't be as it is described.
    case impossibleWindows
    /// A mediated device can't be made: see ``SoftwareHost/createMediatedDevice(_:type:of:)``.
    case mediated(String, type: String, Errno)
    /// A device's driver refused it.
    case refused(DeviceID, driver: String, Errno)
}

extension MachineError: CustomStringConvertible {
    /// What is wrong, in plain words.
    public var description: String {
        switch self {
        case .malformedAddress(let text): "\"\(text)\" isn't a PCI address such as 0000:01:00.0"
        case .duplicateAddress(let address):
            address.address == nil ? "two devices are called \(address)" : "two devices sit at \(address)"
        case .duplicateGroup(let number): "group \(number) is described twice"
        case .impossibleGroup(let number): "\(number) can't be the number of a group"
        case .groupWithoutIOMMU(let number):
            "group \(number) is described, but the machine has no IOMMU that would make groups"
        case .noModel(let address, let driver):
            "\(address) can't be bound to \(driver): nobody answers its registers"
        case .noGroup(let address, let driver):
            "\(address) can't be bound to \(driver): it is in no IOMMU group, and unprotected groups aren't"
                + " allowed"
        case .noPageSize: "the IOMMU has no page size"
        case .noAperture: "the IOMMU translates no addresses"
        case .impossibleWindows:
            "the sPAPR IOMMU can't be: its default window must be a power of two of 4 KiB or more below 4 GiB"
                + " with pages of 4 KiB, with at most \(SPAPRIOMMU.mostWindows) windows and 1 to"
                + " \(SPAPRIOMMU.mostLevels) levels"
        case .mediated(let uuid, let type, let errno):
            "a mediated device of type \(type) can't be made with the name \(uuid): \(errno)"
        case .refused(let address, let driver, let errno): "\(driver) refused \(address): \(errno)"
        }
    }
}

extension MachineDescription {
    /// Finds what is wrong with the description as a whole, before anything is made of it.
    func validate() throws(MachineError) {
        guard iommu.pageSizes.rawValue != 0 else { throw .noPageSize }
        guard iommu.kind == .none || !iommu.apertures.isEmpty else { throw .noAperture }
        guard iommu.spapr?.isPossible != false else { throw .impossibleWindows }
        var numbers: [Int] = []
        var names: [DeviceID] = []
        for group in groups {
            try Self.validate(group: group.number, group.isEmulated ? nil : iommu)
            if numbers.contains(group.number) { throw .duplicateGroup(group.number) }
            numbers.append(group.number)
            for device in group.devices { try device.validate(&names) }
            for device in group.otherDevices { try device.id.validate(&names) }
        }
        for device in ungroupedDevices { try device.validate(&names) }
    }

    /// Looks whether a machine with this IOMMU can have a group of this number.
    /// - Parameter iommu: nil for a group that needs none.
    static func validate(group number: Int, _ iommu: IOMMU?) throws(MachineError) {
        guard 0...Int(Int32.max) ~= number else { throw .impossibleGroup(number) }
        if iommu?.kind == IOMMU.Kind.none { throw .groupWithoutIOMMU(number) }
    }
}

extension PCIDevice {
    /// Finds what is wrong with one device, and remembers its address.
    func validate(_ names: inout [DeviceID]) throws(MachineError) {
        guard let address else { throw .malformedAddress(addressText) }
        try DeviceID(address).validate(&names)
    }
}

extension DeviceID {
    /// Looks whether a name is free, and remembers it.
    func validate(_ names: inout [DeviceID]) throws(MachineError) {
        if names.contains(self) { throw .duplicateAddress(self) }
        names.append(self)
    }
}

// Comparing texts needs Unicode's tables, which Embedded Swift would have to carry along.
#if !hasFeature(Embedded)
    extension MachineError: Equatable {}
#endif
