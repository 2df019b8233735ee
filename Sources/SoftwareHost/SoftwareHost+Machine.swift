import DeviceModel
import LinuxSystem
import VFIOHost

extension SoftwareHost {
    /// Makes a host of a machine.
    /// - Throws: what is wrong with the description.
    public convenience init(_ machine: MachineDescription) throws(MachineError) {
        try self.init(machine) { (model, address, faults) throws(Errno) -> any BusDriver in
            PCIBusDriver(model: model, address: address, faults: faults)
        }
    }

    /// Makes a host of a machine that is put together on the spot:
    /// ```swift
    /// let host = try SoftwareHost {
    ///     IOMMU(.type1, pageSizes: [.kib4, .mib2])
    ///     IOMMUGroup(26) { PCIDevice(disk, at: "0000:01:00.0") }
    /// }
    /// ```
    /// - Throws: what is wrong with the description.
    public convenience init(@MachineBuilder _ parts: () -> [MachineBuilder.Part]) throws(MachineError) {
        try self.init(MachineDescription(parts))
    }
}
