import LinuxSystem
import VFIOHost

/// What some cases need besides the uAPI: the levers that an administrator has on the machine.
///
/// Each change is put back by the case that makes it.
public protocol MachineControl: AnyObject, Sendable {
    /// Binds a device to a driver, or takes it from its driver (nil). Waits, as Linux does, while somebody has
    /// the device open.
    func bind(_ device: PCIAddress, to driver: String?) throws(Errno)

    /// The driver that a device is bound to; nil for none, also while it is being taken from its driver.
    ///
    /// Unlike an inventory this never waits: Linux 6.1 holds back some of sysfs's files until a device that is being
    /// unbound has been released.
    func driver(of device: PCIAddress) -> String?

    /// How many bytes of memory the program may lock from now on (`RLIMIT_MEMLOCK`); nil for no limit.
    func setLockedMemoryLimit(_ byteCount: UInt64?) throws(Errno)

    /// Gives up a capability, for the calling thread at least, or takes it up again.
    func setCapability(_ capability: ProcessCapability, _ isHeld: Bool) throws(Errno)

    /// A module parameter's text, by the name that the kernel's command line has for it, e.g.
    /// "vfio_iommu_type1.dma_entry_limit".
    /// - Throws: `ENOENT` for one that doesn't exist.
    func parameter(_ name: String) throws(Errno) -> String

    /// Changes a module parameter.
    func setParameter(_ name: String, to text: String) throws(Errno)

    /// The number that every descriptor of the program must be below from now on (`RLIMIT_NOFILE`); nil for the limit
    /// that there was.
    /// - Throws: `EOPNOTSUPP` where others in the process would be hit.
    func setDescriptorLimit(_ count: UInt64?) throws(Errno)

    /// A virtual machine's set of groups and devices (`KVM_DEV_TYPE_VFIO`), empty.
    /// - Throws: why there is none, e.g. `ENOENT` on a machine without KVM.
    func makeVirtualMachineFiles() throws(Errno) -> any VirtualMachineFiles

    /// The ways in which a device is reset, in the order in which they are tried: sysfs's `reset_method`.
    func resetMethods(of device: PCIAddress) throws(Errno) -> String

    /// Writes sysfs's `reset_method`: words, "default", or nothing for no way at all.
    func setResetMethods(_ text: String, of device: PCIAddress) throws(Errno)

    /// Resets a device behind its user's back: sysfs's `reset`.
    func reset(_ device: PCIAddress) throws(Errno)

    /// Makes virtual functions of a device: sysfs's `sriov_numvfs`.
    func setVirtualFunctionCount(_ count: Int, of device: PCIAddress) throws(Errno)

    /// Lets a device fail, once, on its way to another host.
    /// - Parameters:
    ///   - state: the arc that leads to this state fails.
    ///   - isFatal: whether the device is in the state of error afterwards; else it stays where the arc begins.
    /// - Throws: `EOPNOTSUPP` where devices can't be made to fail.
    func failNextMove(of device: PCIAddress, entering state: UInt32, isFatal: Bool) throws(Errno)

    /// Makes a group with one device whose DMA the kernel carries out without an IOMMU: on Linux a mediated
    /// device of the kernel's sample driver `mtty`. There is at most one at a time.
    /// - Returns: the group's number.
    /// - Throws: `ENOENT` where no such device can be made.
    func addEmulatedGroup() throws(Errno) -> Int

    /// Removes what ``addEmulatedGroup()`` made.
    func removeEmulatedGroup()

    /// Who makes mediated devices on the machine.
    /// - Throws: `EOPNOTSUPP` where nobody does.
    func mediatedDevices() throws(Errno) -> any MediatedDeviceMaker
}

/// A right that VFIO asks for.
public enum ProcessCapability: Sendable {
    /// `CAP_IPC_LOCK`: lock memory beyond the limit.
    case lockMemory
    /// `CAP_SYS_RAWIO`: use devices without an IOMMU.
    case rawIO
}
