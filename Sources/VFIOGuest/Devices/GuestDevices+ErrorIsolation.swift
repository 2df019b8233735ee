import LinuxSystem
import VFIO
import VFIOABI

// Errors of devices that are isolated (EEH), as the firmware of a POWER guest asks for it: by address space.

extension GuestDevices {
    /// What is frozen together when a device fails that sees an address space.
    ///
    /// A space has one if all its devices are in one container and one group: a container's groups are asked one after
    /// the other, and nobody could bring them into the same state.
    /// - Throws: `ENODEV` if the space has no container, or several; `EPERM` if the container doesn't have exactly one
    ///   group; ``/VFIO/VFIOError/Code/notSupported`` without an errno if the machine doesn't isolate errors.
    public func partitionableEndpoint(
        of space: GuestAddressSpace
    ) throws(VFIOGuestError) -> PartitionableEndpoint {
        try lock.withLock { () throws(VFIOGuestError) in
            let found = containers.filter { $0.space === space }
            guard let container = found.first, found.count == 1 else {
                throw VFIOGuestError(
                    operation: "handle errors of its devices", object: "\(space)", errno: .noDevice,
                    code: .notSupported,
                    cause: found.isEmpty
                        ? "it has no device of the host's" : "its devices are in \(found.count) containers",
                    remedy: found.isEmpty ? nil : "give each device an address space of its own")
            }
            // The group of a device that was taken away is there until the device is closed.
            let count = max(container.groups.count, container.iommu.isolatedGroupCount)
            guard count == 1, let device = container.devices.first else {
                throw VFIOGuestError(
                    operation: "handle errors of its devices", object: "\(space)", errno: .notPermitted,
                    code: .notSupported,
                    cause: "its devices are in \(count) groups, and errors are handled for one",
                    remedy: count == 0 ? nil : "give the devices of each group an address space of their own")
            }
            return try device.device.partitionableEndpoint
        }
    }

    /// Whether errors of the devices that see an address space can be handled.
    public func isolatesErrors(of space: GuestAddressSpace) -> Bool {
        (try? partitionableEndpoint(of: space)) != nil
    }

    /// Does something to what ``partitionableEndpoint(of:)`` stands for: `VFIO_EEH_PE_OP`.
    /// - Returns: what the host answers: a ``/VFIOABI/EEHState`` for ``/VFIOABI/EEHOperation/getState``, otherwise 0.
    /// - Throws: as ``partitionableEndpoint(of:)``, or the host's errno.
    @discardableResult
    public func handleErrors(
        of space: GuestAddressSpace, _ operation: EEHOperation, _ error: EEHError = EEHError()
    ) throws(VFIOGuestError) -> UInt32 {
        try lock.withLock { () throws(VFIOGuestError) in
            try partitionableEndpoint(of: space).perform(operation, error)
        }
    }
}
