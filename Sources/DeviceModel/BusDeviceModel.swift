import LinuxSystem

/// A device in software that isn't a PCI function: on the platform or AMBA bus, on the CDX bus, or an object of
/// Freescale's management complex. Registers, DMA and interrupts, written once, whoever hosts it.
///
/// What ``DeviceModel`` says about threads and hostile input holds here as well.
public protocol BusDeviceModel: AnyObject {
    /// What the device has. The model makes it in its initialiser and keeps it.
    var resources: BusResources { get }

    /// Answers a read of a register.
    /// - Parameters:
    ///   - region: which region, by its index.
    ///   - offset: bytes from its beginning; inside it and a multiple of `width`.
    ///   - width: 1, 2, 4 or 8 bytes.
    /// - Returns: the value in the low `width` bytes.
    func readRegister(region: Int, offset: UInt64, width: Int) -> UInt64

    /// Carries out a write to a register, with everything that follows from it.
    func writeRegister(region: Int, offset: UInt64, width: Int, value: UInt64)

    /// The reset that the device's bus or firmware carries out: ACPI's `_RST`, that of the CDX controller, that of a
    /// container of the management complex. Devices of a device tree have none: they are reset through their
    /// registers.
    /// - Throws: what is in the way.
    func reset() throws(Errno)

    /// The last user has gone: end all DMA and interrupts and finish what is under way before returning.
    func quiesce()

    // What follows is for hosts, and answered below for every model; see `DeviceModel`.

    /// Reads from a region as the bus sees it. For hosts; models don't implement it.
    /// - Returns: the value; all ones where there is no such region.
    func loadRegion(_ region: Int, offset: UInt64, width: Int) -> UInt64

    /// Writes to a region as the bus sees it. For hosts; models don't implement it. Nothing happens where there is no
    /// such region, and none that can be written.
    func storeRegion(_ region: Int, offset: UInt64, width: Int, value: UInt64)
}

extension BusDeviceModel {
    /// Nothing to end: a model that only ever acts inside a register access.
    public func quiesce() {}

    /// Plain memory is read here, registers by the model.
    public func loadRegion(_ region: Int, offset: UInt64, width: Int) -> UInt64 {
        guard resources.contains(region: region, offset: offset, width: width),
            resources.regions[region].kind == .memory
        else { return UInt64.max >> UInt64(64 - 8 * width) }
        if let memory = resources.regions[region].memory {
            return memory.window.loadRegister(Int(offset), width: width)
        }
        return readRegister(region: region, offset: offset, width: width)
    }

    /// Plain memory is written here, registers by the model.
    public func storeRegion(_ region: Int, offset: UInt64, width: Int, value: UInt64) {
        guard resources.contains(region: region, offset: offset, width: width),
            resources.regions[region].kind == .memory, !resources.regions[region].isReadOnly
        else { return }
        if let memory = resources.regions[region].memory {
            memory.window.storeRegister(Int(offset), width: width, value: value)
            return
        }
        writeRegister(region: region, offset: offset, width: width, value: value)
    }
}
