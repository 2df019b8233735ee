import LinuxSystem

/// KVM's VFIO device, of a virtual machine that has nothing else.
final class KVMFiles: VirtualMachineFiles {
    private var machine: Descriptor?
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

    init() throws(Errno) {
        let kvm = try Descriptor(opening: "/dev/kvm", .readWrite)
        // KVM_CREATE_VM, KVM_CREATE_DEVICE
        let machine = Descriptor(owning: try kvm.control(0xae01, 0))
        var creation = Creation()
        try Self.control(machine.number, 0xc00c_aee0, &creation)
        device = Descriptor(owning: creation.descriptor)
        self.machine = consume machine
    }

    func add(_ handle: Int32) throws(Errno) { try change(1, handle) }
    func remove(_ handle: Int32) throws(Errno) { try change(2, handle) }

    func close() {
        device = nil
        machine = nil
    }

    private func change(_ what: UInt64, _ handle: Int32) throws(Errno) {
        guard let number = device?.number else { throw .badDescriptor }
        var handle = handle
        try unsafe withUnsafeMutablePointer(to: &handle) { (place) throws(Errno) in
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
