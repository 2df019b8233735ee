import LinuxSystem
import VFIO
import VFIOHost

extension GuestDevices {
    /// Resets all devices, as when the machine is reset: call it while no processor of the guest runs.
    ///
    /// First all of them become quiet, because they may reach one another. Then those whose own reset is worth little
    /// (``/VFIO/ResetFacts/wantsHotReset``) are reset with their bus, if further devices of the guest are on it; what
    /// such a reset hits isn't reset once more. Then every other one is reset as by ``GuestDevice/reset()``. Last, all are told
    /// that it is over.
    ///
    /// What fails for one device keeps no other from being reset. Happens under the memory map's lock.
    public func reset() -> GuestResetReport {
        lock.withLock {
            let devices = containers.flatMap(\.devices)
            var results = devices.map { GuestReset(of: $0) }
            for (index, device) in devices.enumerated() { device.becomeQuiet(&results[index]) }
            let facts = devices.indices.map { resetFacts(of: devices[$0], &results[$0]) }
            for index in devices.indices where facts[index].wantsHotReset && !results[index].succeeded {
                resetTogether(devices, index, &results)
            }
            for index in devices.indices where !results[index].succeeded {
                resetAlone(devices[index], facts[index], devices, &results[index])
            }
            for (index, device) in devices.enumerated() { device.endQuiet(&results[index]) }
            return GuestResetReport(devices: results)
        }
    }

    fileprivate func reset(_ device: GuestDevice) throws(VFIOGuestError) -> GuestReset {
        let result = lock.withLock {
            var result = GuestReset(of: device)
            device.becomeQuiet(&result)
            let facts = resetFacts(of: device, &result)
            let before = result.errors.count
            resetAlone(device, facts, containers.flatMap(\.devices), &result)
            let failure = result.succeeded ? nil : combined(result.errors[before...], device)
            device.endQuiet(&result)
            return Result<GuestReset, VFIOGuestError>(result, failure)
        }
        return try result.get()
    }

    private func resetFacts(of device: GuestDevice, _ result: inout GuestReset) -> ResetFacts {
        do throws(VFIOGuestError) {
            return try device.device.resetFacts()
        } catch {
            result.errors.append(error)
            return ResetFacts(isOffered: device.device.canReset)
        }
    }

    /// Resets a device's bus, if further devices of the guest are on it.
    private func resetTogether(_ devices: [GuestDevice], _ index: Int, _ results: inout [GuestReset]) {
        let device = devices[index]
        do throws(VFIOGuestError) {
            let scope = try device.device.hotResetScope()
            guard devices.contains(where: { $0 !== device && scope[$0.id] != nil }) else { return }
            // What was reset is what this reset hit; who is there may have changed since the question.
            let hit = try device.device.hotReset(with: spaces)
            for index in devices.indices where hit[devices[index].id] != nil {
                results[index].method = .together(by: device.id)
            }
        } catch {
            // On a root bus there is nothing that could be reset together.
            if error.code != .notSupported { results[index].errors.append(error) }
        }
    }

    private func resetAlone(
        _ device: GuestDevice, _ facts: ResetFacts, _ devices: [GuestDevice], _ result: inout GuestReset
    ) {
        var failures: [VFIOGuestError] = []
        if !facts.wantsHotReset {
            if attempt(.alone, device.device.reset, &result, &failures) { return }
        }
        let byBus = { () throws(VFIOGuestError) in try self.resetBus(of: device, devices) }
        if attempt(.bus, byBus, &result, &failures) { return }
        if facts.isOffered && facts.hasPowerReset {
            if attempt(.alone, device.device.reset, &result, &failures) { return }
        }
        result.errors += failures
    }

    /// Tries a way. Its failure counts only if it is the last one, or unexpected.
    private func attempt(
        _ method: GuestResetMethod, _ body: () throws(VFIOGuestError) -> Void, _ result: inout GuestReset,
        _ failures: inout [VFIOGuestError]
    ) -> Bool {
        do throws(VFIOGuestError) {
            try body()
        } catch {
            failures.append(error)
            return false
        }
        result.method = method
        // That a way isn't there is no failure where there is another one.
        result.errors += failures.filter { $0.code != .notSupported && $0.code != .notOwned }
        return true
    }

    /// Resets a device's bus, unless another device of the guest is on it: that one would lose what it does.
    private func resetBus(of device: GuestDevice, _ devices: [GuestDevice]) throws(VFIOGuestError) {
        let scope = try device.device.hotResetScope()
        if let other = devices.first(where: { $0 !== device && scope[$0.id] != nil }) {
            throw VFIOGuestError(
                operation: "reset its bus", object: "\(device.id)", code: .notOwned,
                cause: "\(other.id) of the same guest would be reset with it",
                remedy: "reset all of the guest's devices together")
        }
        try device.device.hotReset(with: spaces)
    }

    /// What proves to the host that devices are the guest's.
    private var spaces: [VFIO.AddressSpace] { containers.map(\.iommu) }

    /// One error for all ways that were tried.
    private func combined(
        _ failures: some Collection<VFIOGuestError>, _ device: GuestDevice
    ) -> VFIOGuestError {
        VFIOGuestError(
            operation: "reset it for the guest", object: "\(device.id)",
            errno: failures.compactMap(\.errno).last,
            code: failures.allSatisfy { $0.code == .notSupported || $0.code == .notOwned }
                ? .notSupported : .refused,
            cause: failures.map { "can't \($0.operation): \($0.cause ?? $0.errno?.description ?? "refused")" }
                .joined(separator: "; "),
            remedy: failures.compactMap(\.remedy).last)
    }
}

extension GuestDevice {
    /// Resets the device, as when the guest resets the bus or the slot that it is in.
    ///
    /// By its own reset, if that resets everything; else with its bus on the host, if no other device of the guest is
    /// on it; else by its own reset after all. Happens under the memory map's lock.
    /// - Returns: how it was reset, and what failed on the way.
    /// - Throws: why each way failed, if none worked. The device is quiet then all the same.
    @discardableResult
    public func reset() throws(VFIOGuestError) -> GuestReset { try owner.reset(self) }
}

extension Result {
    /// The failure if there is one.
    fileprivate init(_ success: Success, _ failure: Failure?) {
        self = failure.map { .failure($0) } ?? .success(success)
    }
}
