import DeviceModel
import LinuxSystem
import VFIOABI

/// Errors that wait for an access (kernel.md C.2).
extension DeviceFile {
    /// Looks whether an access to the device's registers is the one that an error was asked for, which then stops the
    /// device before the access reaches it. With no lock held.
    func stopIfHit(isStore: Bool, at offset: UInt64, byteCount: Int) {
        guard hasAccess, let endpoint = device.faults.endpoint, let place = bus.pci?.place(of: offset) else {
            return
        }
        let access: PartitionableEndpoint.Access = isStore ? .store(place.space) : .load(place.space)
        if endpoint.isHit(by: access, at: place.address, byteCount: byteCount) { endpoint.stopNow() }
    }
}

extension PCIBusDriver {
    /// Where an access goes on the bus; nil for what isn't on it.
    fileprivate func place(of offset: UInt64) -> (
        space: PartitionableEndpoint.Access.Space, address: UInt64
    )? {
        let index = offset >> PCIRegionOffset.shift
        let position = offset & PCIRegionOffset.mask
        if index == UInt64(PCIRegion.config.rawValue) { return (.configuration, position) }
        guard index < 6, let bar = function.bars[Int(index)], position < bar.byteCount else { return nil }
        return (bar.kind == .io ? .ports : .memory, assigned.bars[Int(index)] &+ position)
    }
}

extension SoftwareHost {
    /// Lets the devices of a group fail, as by a broken link or a wild access: they are frozen, as described at
    /// `VFIO_EEH_PE_OP`, until their user recovers them.
    /// - Returns: false for a group that doesn't exist, or whose errors aren't isolated
    ///   (``SPAPRIOMMU/hasErrorHandling``).
    @discardableResult
    public func freeze(group number: Int) -> Bool {
        guard let endpoint = endpoint(ofGroup: number) else { return false }
        endpoint.stopNow()
        return true
    }

    /// How the devices of a group are, as `VFIO_EEH_PE_GET_STATE` would tell; nil where errors aren't isolated.
    public func errorState(ofGroup number: Int) -> EEHState? { endpoint(ofGroup: number)?.state }

    private func endpoint(ofGroup number: Int) -> PartitionableEndpoint? {
        core.lock.withLock { core.iommuGroups.first { $0.number == number }?.endpoint }
    }
}
