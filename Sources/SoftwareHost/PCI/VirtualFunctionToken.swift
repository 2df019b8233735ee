import DeviceModel
import LinuxSystem
import VFIOHost

// What the users of a physical function and of its virtual functions show to prove that they trust each other
// (kernel.md A.8).

extension DeviceUUID {
    /// The token at an address of the process.
    /// - Throws: `EFAULT`
    static func load(from address: HostAddress) throws(Errno) -> DeviceUUID {
        let first = try UserMemory.load(UInt64(0), from: address)
        return DeviceUUID(words: [first, try UserMemory.load(UInt64(0), from: address + 8)])
    }
}

extension Core {
    /// Whether somebody who shows a token, or none, may open a device (kernel.md A.8). With `lock` held.
    ///
    /// The token of a physical function that has no virtual function in use is what its user says from now on,
    /// whatever becomes of the opening.
    /// - Throws: `EACCES` for a token that is missing or wrong, `EINVAL` for one that nobody asks for.
    func admit(_ shown: DeviceUUID?, to device: MachineDevice) throws(Errno) {
        if device.pci?.physicalFunction != nil {
            guard let token = physicalFunction(of: device)?.pci?.token else {
                // Another driver has the physical function, and knows no tokens.
                if shown != nil { throw .invalid }
                return
            }
            guard let shown, shown == token else { throw .accessDenied }
        } else if let token = device.pci?.token {
            if virtualFunctions(of: device).contains(where: { $0.openCount > 0 }) {
                guard let shown, shown == token else { throw .accessDenied }
            } else if let shown {
                device.pci?.token = shown
            }
        } else if shown != nil {
            throw .invalid
        }
    }

    /// The physical function of a virtual one. With `lock` held.
    func physicalFunction(of device: MachineDevice) -> MachineDevice? {
        guard let address = device.pci?.physicalFunction else { return nil }
        return devices.first { $0.address == address }
    }

    /// The virtual functions of a physical one. With `lock` held.
    func virtualFunctions(of device: MachineDevice) -> [MachineDevice] {
        guard let address = device.address else { return [] }
        return devices.filter { $0.pci?.physicalFunction == address }
    }
}

extension DeviceFile {
    /// `VFIO_DEVICE_FEATURE_PCI_VF_TOKEN`: gives the token of a physical function another value, whoever uses its
    /// virtual functions.
    func setToken(
        _ operation: FeatureOperation, isProbe: Bool, payload: HostAddress, room: UInt32
    ) throws(Errno) -> Int32 {
        let isPhysical = core.lock.withLock { device.pci?.token != nil }
        guard isPhysical else { throw .noSuchRequest }
        guard try operation.isWanted(isProbe, room, needs: 16) else { return 0 }
        let token = try DeviceUUID.load(from: payload)
        core.lock.withLock { device.pci?.token = token }
        return 0
    }
}
