import LinuxSystem
import VFIOABI
import VFIOHost

extension Device {
    /// Resets the device's slot or bus with every function on it: `VFIO_DEVICE_PCI_HOT_RESET`. Open functions are as
    /// after power-up where the host doesn't keep their state; enabled interrupts stay enabled. Whoever has other
    /// functions open must have made them quiet.
    ///
    /// The host does it only for whoever owns all of them. A device that was opened through its group proves it by
    /// the groups that its own address space and the given ones hold, as they do while a device of the group is
    /// open there; one that was opened through its own node owns what is bound to the same iommufd, and with
    /// it the unopened functions of those groups.
    /// - Parameter spaces: address spaces that hold further groups; those of other hosts don't count.
    /// - Returns: what was reset.
    /// - Throws: ``VFIOError/Code/notSupported`` if neither slot nor bus can be reset; ``VFIOError/Code/notOwned``
    ///   with the function or group that isn't the caller's; ``VFIOError/Code/boundToOtherDriver`` or
    ///   ``VFIOError/Code/noDriver`` with a function that VFIO doesn't have; ``VFIOError/Code/busy``.
    @discardableResult
    public func hotReset(with spaces: [AddressSpace] = []) throws(VFIOError) -> HotResetScope {
        let scope = try hotResetScope()
        let operation = "reset its bus"
        let groups = try proof(scope, spaces, operation)
        let byteCount = PCIHotReset.byteCount + groups.count * MemoryLayout<Int32>.size
        var bytes = [UInt8](repeating: 0, count: byteCount)
        bytes.put(PCIHotReset(argsz: UInt32(byteCount), count: UInt32(groups.count)), at: 0)
        for (index, group) in groups.enumerated() {
            bytes.put(
                UInt32(bitPattern: group.number),
                at: PCIHotReset.byteCount + index * MemoryLayout<Int32>.size)
        }
        do throws(Errno) {
            defer { withExtendedLifetime(groups) {} }
            try handle.send(.devicePCIHotReset, bytes: &bytes)
        } catch {
            if error == .invalid, let failure = undriven(scope, operation) { throw failure }
            throw hotResetError(operation, error)
        }
        return scope
    }

    /// The descriptors that prove that everything is the caller's; none where the host knows by itself.
    private func proof(
        _ scope: HotResetScope, _ spaces: [AddressSpace], _ operation: String
    ) throws(VFIOError) -> [KeptDescriptor] {
        if let function = scope.functions.first(where: { $0.owner == .stranger }) {
            if var failure = undriven(scope, operation) {
                failure.errno = nil
                throw failure
            }
            throw VFIOError(
                operation: operation, object: name, code: .notOwned,
                cause: "\(function.address) would be reset with it, and isn't bound to the same iommufd",
                remedy: "close \(function.address) where it is open, or open it in the same address space")
        }
        let holders = [addressSpace] + spaces.filter { $0 !== addressSpace && $0.host === addressSpace.host }
        var descriptors: [KeptDescriptor] = []
        for number in scope.groups {
            var descriptor: KeptDescriptor?
            for space in holders where descriptor == nil {
                descriptor = space.lock.withLock { space.backend?.descriptor(ofGroup: number) }
            }
            guard let descriptor else { throw missingGroup(number, scope, operation) }
            descriptors.append(descriptor)
        }
        return descriptors
    }

    /// Nobody who was asked holds a group.
    private func missingGroup(
        _ number: Int, _ scope: HotResetScope, _ operation: String
    ) -> VFIOError {
        let members = scope.functions.filter { $0.owner == .group(number) }.map { $0.address }
        var error = VFIOError(
            operation: operation, object: name, code: .notOwned,
            cause: Diagnosis.joined(members.map { "\($0)" })
                + " of group \(number) would be reset with it, and the group isn't held by this program",
            remedy: "open a device of group \(number), and give its address space along")
        guard let inventory = try? addressSpace.host.inventory() else { return error }
        // Without a device that VFIO drives the group can't be opened.
        let records = members.compactMap { inventory.device(at: $0) }
        if let record = records.first(where: { $0.driver?.isVFIO != true }) {
            let commands = Diagnosis.bindRemedy(record.summary, addressSpace.host.kind)
            error.remedy = commands + "; then open it, and give its address space along"
        }
        return error
    }

    /// A function that no driver of VFIO's has: the reset is refused for its sake, whoever has the group.
    private func undriven(_ scope: HotResetScope, _ operation: String) -> VFIOError? {
        guard let inventory = try? addressSpace.host.inventory() else { return nil }
        for function in scope.functions {
            guard let record = inventory.device(at: function.address), record.driver?.isVFIO != true else {
                continue
            }
            return VFIOError(
                operation: operation, object: name, errno: .invalid,
                code: record.driver == nil ? .noDriver : .boundToOtherDriver,
                cause: "\(record.address) would be reset with it, and "
                    + (record.driver.map { "is bound to \($0.name)" } ?? "has no driver that could be told"),
                remedy: Diagnosis.bindRemedy(record.summary, addressSpace.host.kind))
        }
        return nil
    }

    /// What the host says no to.
    func hotResetError(_ operation: String, _ errno: Errno) -> VFIOError {
        var error = VFIOError(operation: operation, object: name, errno: errno)
        switch errno {
        case .noDevice, .noSuchRequest:
            error.code = .notSupported
            error.cause =
                "neither its slot nor its bus can be reset: there is no bridge above that could do it"
        case .notPermitted:
            error.code = .noIOMMU
            error.cause = "a function that would be reset with it is in no group"
            error.remedy = "open the device through its own node"
        case .noSpace:
            error.code = .malformed
            error.cause = "the host tells of more functions each time it is asked, or of impossibly many"
        case .again:
            error.code = .busy
            error.cause = "a function on its bus is just being reset or reconfigured"
            error.remedy = "try again"
        case .busy:
            error.code = .busy
            error.cause = "a function on its bus is in use"
            error.remedy = "try again"
        case .invalid:
            error.code = .notOwned
            error.cause = "a function that would be reset with it isn't this program's any more"
        default: break
        }
        return error
    }
}
