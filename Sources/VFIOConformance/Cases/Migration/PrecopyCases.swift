import LinuxSystem
import VFIOABI
import VFIOHost

/// E.4: state that goes out while the device works.
let precopyCases: [Case] = [
    Case(
        "E.4", "what is known goes out while the device works, and the rest by the same descriptor",
        on: .translated
    ) {
        t in
        let movable = try t.openMovable()
        let session = try movable.begin(.preCopy)
        let info = session.precopyInfo()
        t.expect(info.answer, .success, "PRECOPY_INFO")
        t.expect(info.info.initialBytes > 0, "there are initial bytes")
        t.expect(info.info.dirtyBytes, equals: 0, "dirty bytes")
        let early = try session.readAll()
        t.expect(UInt64(early.count) == info.info.initialBytes, "as many come")
        t.expect(session.precopyInfo().info.initialBytes, equals: 0, "initial bytes afterwards")
        let (answer, other) = movable.set(.stopCopy)
        t.expect(answer, .success, "STOP_COPY")
        t.expect(other == nil, "no other descriptor")
        let late = try session.readAll()
        t.expect(!late.isEmpty, "more bytes come")
        let into = try movable.begin(.resuming)
        t.expect(into.writeNext(early) == .value(Int32(early.count)), "writing the first part")
        t.expect(into.writeNext(late) == .value(Int32(late.count)), "writing the rest")
        t.expect(movable.set(.running).answer, .success, "RUNNING")
    },
    Case("E.4", "nothing left while the device works isn't the end", on: .translated) { t in
        let movable = try t.openMovable()
        let session = try movable.begin(.preCopy)
        _ = try session.readAll()
        t.expect(
            session.readNext(1).answer, .errno(.noMessage), "reading on",
            .when(movable.isSample, .value(0), "the sample says that it is the end"))
        try t.require(movable.set(.preCopyP2P).answer, "PRE_COPY_P2P")
        t.expect(
            session.readNext(1).answer, .errno(.noMessage), "while it spares others",
            .when(movable.isSample, .value(0), "the sample says that it is the end"))
    },
    Case("E.4", "PRECOPY_INFO is for the states before the device stops", on: .translated) { t in
        let movable = try t.openMovable()
        let session = try movable.begin(.preCopy)
        t.expect(session.precopyInfo().answer, .success, "PRE_COPY")
        try t.require(movable.set(.preCopyP2P).answer, "PRE_COPY_P2P")
        t.expect(session.precopyInfo().answer, .success, "PRE_COPY_P2P")
        try t.require(movable.set(.stopCopy).answer, "STOP_COPY")
        t.expect(session.precopyInfo().answer, .errno(.invalid), "STOP_COPY")
        try t.require(movable.set(.running).answer, "RUNNING")
        t.expect(session.precopyInfo().answer, .errno(.invalid), "RUNNING, when it is over")
    },
    Case("E.4", "PRECOPY_INFO needs 24 bytes", on: .translated) { t in
        let session = try t.openMovable().begin(.preCopy)
        for size: UInt32 in [0, 23] {
            t.expect(session.precopyInfo(argsz: size).answer, .errno(.invalid), "argsz \(size)")
        }
        t.expect(session.precopyInfo(argsz: .max).answer, .success, "argsz 4294967295")
        let short = try t.buffer(atEndOfPage: 23)
        short.store(UInt32(24))
        t.expect(session.request(.migrationGetPrecopyInfo, short), .errno(.badAddress), "23 bytes")
        let exact = try t.buffer(atEndOfPage: 24)
        exact.store(UInt32(24))
        t.expect(session.request(.migrationGetPrecopyInfo, exact), .success, "24 bytes")
    },
    Case("E.4", "PRECOPY_INFO's flags are an answer for those only who asked for them", on: .translated) {
        t in
        let movable = try t.openMovable()
        let new = Exception.before(7, 1, .errno(.noSuchRequest), "the feature is new")
        var session = try movable.begin(.preCopy)
        let unknown = PrecopyInfoFlags(rawValue: 0xf0)
        t.expect(session.precopyInfo(unknown).info.flags.rawValue, equals: 0xf0, "as they came")
        try t.require(movable.set(.running).answer, "RUNNING")
        let device = movable.device
        t.expect(device.feature(.migrationPrecopyInfoV2, [.probe, .set]), .success, "PROBE, SET", new)
        t.expect(
            device.feature(.migrationPrecopyInfoV2, [.probe, .get]), .errno(.invalid), "PROBE, GET", new)
        t.expect(device.feature(.migrationPrecopyInfoV2, .get), .errno(.invalid), "GET", new)
        t.expect(device.feature(.migrationPrecopyInfoV2, .set), .success, "SET", new)
        session = try movable.begin(.preCopy)
        t.expect(
            session.precopyInfo(unknown).info.flags.rawValue, equals: 0, "after it was asked for",
            .before(7, 1, value: 0xf0, "the feature is new"))
    },
    Case(
        "E.4", "a device that can't be copied while it works has no second form of PRECOPY_INFO",
        on: .translated
    ) {
        t in
        let movable = try t.openMovable(with: [.stopCopy, .p2p])
        for operation: FeatureFlags in [.set, [.probe, .set], .get] {
            t.expect(
                movable.device.feature(.migrationPrecopyInfoV2, operation), .errno(.invalid),
                "\(operation.rawValue >> 16)")
        }
    },
    Case("E.4", "MIG_DATA_SIZE tells how much there is, in every state", on: .translated) { t in
        let movable = try t.openMovable()
        let count = try movable.saved().count
        let zeros = [UInt8](repeating: 0, count: 8)
        t.expect(
            movable.device.feature(.migrationDataSize, .set, payload: zeros), .errno(.invalid), "SET")
        t.expect(
            movable.device.feature(.migrationDataSize, .get, payload: zeros, argsz: 15), .errno(.invalid),
            "argsz 15")
        for state: MigrationState in [.running, .preCopy, .stopCopy, .stop] {
            _ = movable.set(state)
            var request = FeatureRequest(.migrationDataSize, .get, MigrationDataSize())
            t.expect(movable.device.request(.deviceFeature, &request), .success, "\(state.text)")
            t.expect(request.body.stopCopyLength >= UInt64(count), "\(state.text): as much as comes, or more")
        }
    },
]
