import LinuxSystem
import VFIOHost

/// KVM's VFIO device, of a virtual machine that has nothing else.
final class KVMFiles: VirtualMachineFiles {
    private var machine: Descriptor?
    private let device: KVMDevice

    init() throws(Errno) {
        let machine = try KVMDevice.makeMachine()
        device = try KVMDevice(of: machine.number)
        self.machine = consume machine
    }

    func add(_ handle: Int32) throws(Errno) { try device.add(handle) }
    func remove(_ handle: Int32) throws(Errno) { try device.remove(handle) }
    func setTable(_ table: Int32, of group: Int32) throws(Errno) { try device.setTable(table, of: group) }

    func close() {
        device.close()
        machine = nil
    }
}
