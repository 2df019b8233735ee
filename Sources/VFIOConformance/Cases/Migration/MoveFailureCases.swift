import LinuxSystem
import VFIOABI
import VFIOHost

/// E.6: what becomes of a device that fails on its way. Hardware can't be made to, so a software machine it is.
let moveFailureCases: [Case] = [
    Case("E.6", "a device that failed is in ERROR, out of which only RESET leads", on: .translated) { t in
        let movable = try t.openMovable()
        for state: MigrationState in [.stopCopy, .preCopy, .resuming, .stop, .runningP2P] {
            try t.failNextMove(of: movable, entering: state, isFatal: true)
            t.expect(movable.set(state).answer, .errno(.inputOutput), "to \(state.text)")
            t.expect(movable.state, equals: "0", "to \(state.text): state")
            for next: MigrationState in [.running, .stop, .resuming, .error] {
                t.expect(
                    movable.set(next).answer, next == .error ? .success : .errno(.invalid),
                    "ERROR to \(next.text)")
            }
            t.expect(movable.device.request(.deviceReset), .success, "RESET")
            t.expect(movable.state, equals: "2", "state after RESET")
        }
    },
    Case("E.6", "a failure on the way leaves the device where the arc begins", on: .translated) { t in
        let movable = try t.openMovable()
        // Each way, where it fails, and where the device is then.
        let ways: [(from: MigrationState, to: MigrationState, at: MigrationState, end: MigrationState)] = [
            (.running, .stopCopy, .runningP2P, .running), (.running, .stopCopy, .stop, .runningP2P),
            (.running, .stopCopy, .stopCopy, .stop), (.running, .resuming, .resuming, .stop),
            (.preCopy, .stopCopy, .preCopyP2P, .preCopy), (.preCopy, .stopCopy, .stopCopy, .preCopyP2P),
            (.preCopy, .resuming, .running, .preCopy), (.preCopy, .resuming, .stop, .runningP2P),
            (.stopCopy, .running, .stop, .stopCopy), (.stopCopy, .running, .running, .runningP2P),
        ]
        for way in ways {
            try movable.reset()
            if way.from != .running { try t.require(movable.set(way.from).answer, way.from.text) }
            try t.failNextMove(of: movable, entering: way.at, isFatal: false)
            let label = "\(way.from.text) to \(way.to.text), failing before \(way.at.text)"
            t.expect(movable.set(way.to).answer, .errno(.inputOutput), label)
            t.expect(movable.state, equals: "\(way.end.rawValue)", "\(label): state")
            t.expect(movable.set(way.to).answer, .success, "\(label): again")
        }
    },
    Case("E.6", "a session survives a failure as long as the state goes out", on: .translated) { t in
        let movable = try t.openMovable()
        let session = try movable.begin(.preCopy)
        let early = try session.readAll()
        try t.failNextMove(of: movable, entering: .stopCopy, isFatal: false)
        t.expect(movable.set(.stopCopy).answer, .errno(.inputOutput), "STOP_COPY")
        t.expect(session.readNext(1).answer, .errno(.noMessage), "reading on")
        t.expect(movable.set(.stopCopy).answer, .success, "STOP_COPY again")
        let late = try session.readAll()
        let into = try movable.begin(.resuming)
        try into.writeAll(early + late)
        try t.failNextMove(of: movable, entering: .runningP2P, isFatal: false)
        t.expect(movable.set(.running).answer, .errno(.inputOutput), "RUNNING")
        t.expect(movable.state, equals: "1", "it has taken its state")
        t.expect(into.writeNext([1]), .errno(.noDevice), "and takes no more")
        t.expect(movable.set(.running).answer, .success, "RUNNING again")
        let last = try movable.begin(.preCopy)
        try t.failNextMove(of: movable, entering: .stopCopy, isFatal: true)
        t.expect(movable.set(.stopCopy).answer, .errno(.inputOutput), "STOP_COPY, for good")
        t.expect(last.readNext(1).answer, .errno(.noDevice), "its session")
    },
]

extension Trial {
    /// Lets the device fail on its way.
    fileprivate func failNextMove(
        of movable: Movable, entering state: MigrationState, isFatal: Bool
    ) throws {
        guard let record = movable.setup?.record else { throw skip("the device can't be made to fail") }
        let machine = try machine
        do throws(Errno) {
            try machine.failNextMove(of: record.address, entering: state.rawValue, isFatal: isFatal)
        } catch {
            throw skip("the device can't be made to fail: \(error.name)")
        }
    }
}
