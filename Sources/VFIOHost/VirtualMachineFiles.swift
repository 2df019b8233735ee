import LinuxSystem

/// The groups and devices that a virtual machine knows: KVM's VFIO device. What is in it stays open, for the host,
/// until it is taken out or the virtual machine goes.
public protocol VirtualMachineFiles: AnyObject {
    /// Adds a group's handle, or that of a device that was opened through its own node: `KVM_DEV_VFIO_FILE_ADD`.
    /// - Throws: `EEXIST` where it is in already; `EBADF`, `EINVAL` for a handle that is none of the two.
    func add(_ handle: Int32) throws(Errno)
    /// Takes it out: `KVM_DEV_VFIO_FILE_DEL`.
    /// - Throws: `ENOENT` where it isn't in.
    func remove(_ handle: Int32) throws(Errno)
    /// Lets the virtual machine put what a guest on POWER enters into one of KVM's tables of translation control entries
    /// into the DMA window of a group at once, without the VMM: `KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE`. Ends when the group
    /// is taken out.
    /// - Parameters:
    ///   - table: the table's descriptor (`KVM_CREATE_SPAPR_TCE_64`); it stays the caller's.
    ///   - group: the group's handle, which was added.
    /// - Throws: `ENXIO` where there are no such tables (everywhere but on POWER); `EBADF` for handles that aren't open;
    ///   `ENOENT` for a group that isn't in; `EINVAL` for a descriptor that is no table of this machine's, or where none
    ///   of the group's windows is like it.
    func setTable(_ table: Int32, of group: Int32) throws(Errno)
    /// The virtual machine goes, and with it the set.
    func close()
}

extension VirtualMachineFiles {
    /// A machine without such tables: `ENXIO`.
    public func setTable(_ table: Int32, of group: Int32) throws(Errno) { throw .noSuchAddress }
}

/// KVM's VFIO device (`KVM_DEV_TYPE_VFIO`), of which a virtual machine has one.
///
/// Kernels before 6.6 take groups only.
public final class KVMDevice: VirtualMachineFiles {
    private var device: Descriptor?

    /// `struct kvm_create_device`
    private struct Creation: BitwiseCopyable {
        /// `KVM_DEV_TYPE_VFIO`
        var type: UInt32 = 4
        var descriptor: Int32 = -1
        var flags: UInt32 = 0
    }

    /// `struct kvm_device_attr`
    private struct Attribute: BitwiseCopyable {
        var flags: UInt32 = 0
        /// `KVM_DEV_VFIO_FILE`
        var group: UInt32 = 1
        var attribute: UInt64
        var address: UInt64
    }

    /// `struct kvm_vfio_spapr_tce`
    private struct KernelTable: BitwiseCopyable {
        var group: Int32
        var table: Int32
    }

    /// Makes it: `KVM_CREATE_DEVICE`.
    /// - Parameter machine: the virtual machine's descriptor; it stays the caller's.
    /// - Throws: `ENODEV` where the kernel has none; `EEXIST` where the virtual machine has it already.
    public init(of machine: Int32) throws(Errno) {
        var creation = Creation()
        try Self.control(machine, 0xc00c_aee0, &creation)
        device = Descriptor(owning: creation.descriptor)
    }

    /// A virtual machine without processors and memory: `KVM_CREATE_VM`.
    /// - Throws: `ENOENT` where there is no KVM, `EACCES` where it isn't for this user.
    public static func makeMachine() throws(Errno) -> Descriptor {
        let kvm = try Descriptor(opening: "/dev/kvm", .readWrite)
        return Descriptor(owning: try kvm.control(0xae01, 0))
    }

    /// `KVM_DEV_VFIO_FILE_ADD`
    public func add(_ handle: Int32) throws(Errno) { try change(1, handle) }
    /// `KVM_DEV_VFIO_FILE_DEL`
    public func remove(_ handle: Int32) throws(Errno) { try change(2, handle) }

    /// `KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE`
    public func setTable(_ table: Int32, of group: Int32) throws(Errno) {
        try change(3, KernelTable(group: group, table: table))
    }

    /// Lets go of the device. It lives on in its virtual machine, with all that is in it.
    public func close() { device = nil }

    private func change<T: BitwiseCopyable>(_ what: UInt64, _ argument: T) throws(Errno) {
        guard let number = device?.number else { throw .badDescriptor }
        var argument = argument
        try unsafe withUnsafeMutablePointer(to: &argument) { (place) throws(Errno) in
            // SAFETY: the address is used during the call only.
            var attribute = Attribute(
                attribute: what, address: UInt64(UInt(bitPattern: place)))
            // KVM_SET_DEVICE_ATTR
            try Self.control(number, 0x4018_aee1, &attribute)
        }
    }

    private static func control<T: BitwiseCopyable>(
        _ number: Int32, _ request: UInt, _ structure: inout T
    ) throws(Errno) {
        // SAFETY: the address is used during the call only.
        _ = try unsafe withUnsafeMutablePointer(to: &structure) { (place) throws(Errno) -> Int32 in
            try Descriptor.control(number, request, UInt(bitPattern: place))
        }
    }
}
