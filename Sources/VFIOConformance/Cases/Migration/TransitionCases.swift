import LinuxSystem
import VFIOABI
import VFIOHost

/// E.1 and E.2: what a device tells of its ways to another host, and each of them.
let transitionCases: [Case] =
    [
        Case("E.1", "a device that can be moved tells how, and starts in RUNNING", on: .translated) { t in
            let movable = try t.openMovable()
            var request = FeatureRequest(.migration, .get, MigrationFeature())
            t.expect(movable.device.request(.deviceFeature, &request), .success, "MIGRATION")
            t.expect(request.body.flags.rawValue, equals: 7, "flags")
            t.expect(movable.state, equals: "2", "MIG_DEVICE_STATE")
        },
        Case("E.1", "MIGRATION is there to be got, all eight bytes of it", on: .translated) { t in
            let device = try t.openMovable().device
            let zeros = [UInt8](repeating: 0, count: 8)
            t.expect(device.feature(.migration, [.probe, .get]), .success, "PROBE, GET")
            t.expect(device.feature(.migration, [.probe, .set]), .errno(.invalid), "PROBE, SET")
            t.expect(device.feature(.migration, .set, payload: zeros), .errno(.invalid), "SET")
            t.expect(
                device.feature(.migration, .get, payload: zeros, argsz: 15), .errno(.invalid), "argsz 15")
            let short = try t.buffer(atEndOfPage: 12)
            short.store(DeviceFeature(argsz: 16, flags: FeatureFlags(.migration, .get)))
            t.expect(device.request(.deviceFeature, short), .errno(.badAddress), "four of eight bytes")
        },
        Case("E.3", "MIG_DEVICE_STATE is there to be got and set, all eight bytes of it", on: .translated) {
            t in
            let movable = try t.openMovable()
            let device = movable.device
            for operation: FeatureFlags in [[.probe, .get], [.probe, .set], [.probe, .get, .set]] {
                t.expect(
                    device.feature(.migrationDeviceState, operation), .success, "\(operation.rawValue >> 16)")
            }
            let stop = bytes(of: [1, -1])
            t.expect(
                device.feature(.migrationDeviceState, .set, payload: stop, argsz: 15), .errno(.invalid),
                "argsz 15")
            let short = try t.buffer(atEndOfPage: 12)
            short.store(DeviceFeature(argsz: 16, flags: FeatureFlags(.migrationDeviceState, .set)))
            short.store(UInt32(1), at: 8)
            t.expect(device.request(.deviceFeature, short), .errno(.badAddress), "four of eight bytes")
            t.expect(movable.state, equals: "2", "it is where it was")
        },
        Case("E.3", "a request that fails tells of no descriptor, and of the state that was asked for") { t in
            let movable = try t.openMovable()
            for state: UInt32 in [0, 8, .max] {
                var request = FeatureRequest(
                    .migrationDeviceState, .set,
                    MigrationStateFeature(deviceState: MigrationState(rawValue: state), dataFD: 77))
                t.expect(movable.device.request(.deviceFeature, &request), .errno(.invalid), "state \(state)")
                t.expect(request.body.dataFD, equals: -1, "\(state): data_fd")
                t.expect(request.body.deviceState.rawValue, equals: state, "\(state): device_state")
            }
        },
    ] + tables.map { tableCase($0.0, $0.1) }

private let tables: [(MigrationFlags, String)] = [
    (.stopCopy, "can only be stopped and copied"), ([.stopCopy, .p2p], "can spare others"),
    ([.stopCopy, .preCopy], "can be copied while it works"), (.all, "can do everything"),
]

/// Every way between two states, and to those that the device hasn't got.
private func tableCase(_ flags: MigrationFlags, _ what: String) -> Case {
    Case("E.2", "all ways between the states of a device that \(what)", on: .translated) { t in
        let movable = try t.openMovable(with: flags)
        let saved = try movable.saved()
        let states = (0...8 as ClosedRange<UInt32>).map { MigrationState(rawValue: $0) }
        for from in states where from.isHad(flags) {
            for target in states {
                let before = try movable.bring(to: from, saved)
                let (answer, session) = movable.set(target)
                // What was read can't be read on after the device has worked again.
                let isForbidden = from == .stopCopy && target.isSaving && target != .stopCopy
                let isPossible = target.isHad(flags) && !isForbidden
                let way = "\(from.text) to \(target.text)"
                t.expect(answer, isPossible ? .success : .errno(.invalid), way)
                let goesOn = from == target || from.isSaving && target.isSaving && from != .stopCopy
                let begins = isPossible && (target.isSaving || target == .resuming) && !goesOn
                t.expect(session != nil, equals: begins, "\(way): a descriptor")
                t.expect(movable.state, equals: "\((isPossible ? target : from).rawValue)", "\(way): state")
                before?.close()
                session?.close()
            }
        }
    }
}
