import LinuxSystem
import VFIOHost

extension Binder {
    /// Makes the changes of a plan.
    ///
    /// What the devices were is remembered before the first write. When a write fails, all that were made are taken back,
    /// the last one first. A write that doesn't come back in time is left to itself, and so is its device; the other
    /// devices are changed nevertheless.
    /// - Parameter say: told of everything as it happens.
    /// - Returns: what became of each device.
    /// - Throws: a refusal if things have changed since they were looked at, or if nothing can be remembered. Nothing has
    ///   been written then.
    public func carryOut(
        _ plan: BindPlan, say: (BindEvent) -> Void = { _ in }
    ) throws(BindRefusal) -> BindResult {
        if plan.steps.isEmpty && plan.purpose != .restore { return unchanged(plan, say) }
        let lock = try Self.withStore { () throws(BindingStore.Failure) in
            try store.lock(milliseconds: writeMilliseconds)
        }
        let records = try Self.withStore { () throws(BindingStore.Failure) in try store.load() }
        try checkUnchanged(plan)
        try Self.withStore { () throws(BindingStore.Failure) in
            try store.save(remembered(records, before: plan))
        }
        var run = BindRun(self)
        for move in plan.moves where run.failure == nil { run.carryOut(move, say) }
        if run.failure != nil { run.rollBack(say) }
        let devices = plan.moves.map { run.result(of: $0, say) }
        // The change has been made: if this can't be written now, what was written before it still tells what the devices
        // were.
        try? store.save(remembered(records, after: plan, devices, run.pending))
        _ = consume lock
        return BindResult(devices: devices, failure: run.failure)
    }

    /// Uses the store; what is wrong with it is a reason to do nothing.
    static func withStore<R: ~Copyable>(
        _ body: () throws(BindingStore.Failure) -> R
    ) throws(BindRefusal) -> R {
        do throws(BindingStore.Failure) {
            return try body()
        } catch {
            throw BindRefusal([BindRefusal.Reason(.state, nil, "\(error)")])
        }
    }

    private func unchanged(_ plan: BindPlan, _ say: (BindEvent) -> Void) -> BindResult {
        let run = BindRun(self)
        for move in plan.moves { say(.begins(move)) }
        return BindResult(devices: plan.moves.map { run.result(of: $0, say) }, failure: nil)
    }

    /// Looks whether the devices are still as they were when the plan was made.
    private func checkUnchanged(_ plan: BindPlan) throws(BindRefusal) {
        let reasons = plan.moves.filter { (try? DriverState(of: $0.device, in: roots)) != $0.from }.map {
            BindRefusal.Reason(
                .undetermined, $0.device, "somebody else has changed its driver just now", remedy: "try again"
            )
        }
        if !reasons.isEmpty { throw BindRefusal(reasons) }
    }

    /// What is remembered before the first write: whatever happens from then on, it leads back.
    private func remembered(_ records: [BindingRecord], before plan: BindPlan) -> [BindingRecord] {
        var records = records.filter { !plan.forgotten.contains($0.device) }
        for move in plan.moves where !move.steps.isEmpty {
            let known = records.firstIndex { $0.device == move.device }
            // One that somebody has changed since isn't what was left: it counts as it is now.
            if let known,
                plan.purpose == .restore || records[known].left == move.from
                    || records[known].pending != nil
            {
                records[known].left = move.to
                records[known].pending = nil
                continue
            }
            let record = BindingRecord(
                move.device, identity: roots.identity(of: move.device), original: move.from, left: move.to)
            if let known { records[known] = record } else { records.append(record) }
        }
        return records
    }

    /// What is remembered in the end.
    private func remembered(
        _ before: [BindingRecord], after plan: BindPlan, _ devices: [BindResult.Device],
        _ pending: [DeviceID: BindingRecord.Pending]
    ) -> [BindingRecord] {
        var records = remembered(before, before: plan)
        for device in devices {
            guard let index = records.firstIndex(where: { $0.device == device.device }) else { continue }
            switch device.outcome {
            case .pending: records[index].pending = pending[device.device]
            case .stranded: if let after = device.after { records[index].left = after }
            case .rolledBack:
                let old = before.first { $0.device == device.device }
                if let old { records[index] = old } else { records.remove(at: index) }
            case .done, .unchanged:
                // Whatever has come back to what it was needn't be remembered.
                if device.after == records[index].original { records.remove(at: index) }
            }
        }
        return records
    }
}
