import LinuxSystem
import VFIOABI
import VFIOHost

/// A feature's request with its data.
struct FeatureRequest<Body: BitwiseCopyable>: BitwiseCopyable {
    var header: DeviceFeature
    var body: Body

    init(_ feature: Feature, _ operation: FeatureFlags, _ body: Body) {
        header = DeviceFeature(
            argsz: UInt32(8 + MemoryLayout<Body>.size), flags: FeatureFlags(feature, operation))
        self.body = body
    }
}

/// A device that can be moved to another host, and is open.
struct Movable {
    let trial: Trial
    let device: File
    /// How it can be moved.
    let flags: MigrationFlags
    /// How it was opened; nil for the kernel's sample serial port.
    let setup: Setup?
    /// Whether it is the kernel's sample serial port, which does no DMA and takes some things lightly.
    var isSample: Bool { setup == nil }

    /// The state that it is in, by its number; or the errno.
    var state: String {
        var request = FeatureRequest(.migrationDeviceState, .get, MigrationStateFeature(dataFD: 77))
        let answer = device.request(.deviceFeature, &request)
        guard answer == .success else { return "\(answer)" }
        return "\(request.body.deviceState.rawValue)\(request.body.dataFD == -1 ? "" : ", a descriptor")"
    }

    /// Brings it to a state.
    /// - Returns: the answer, and the session if one has begun.
    func set(_ state: MigrationState) -> (answer: Answer, session: File?) {
        var request = FeatureRequest(
            .migrationDeviceState, .set, MigrationStateFeature(deviceState: state, dataFD: 77))
        let answer = device.request(.deviceFeature, &request)
        guard answer == .success, request.body.dataFD >= 0 else { return (answer, nil) }
        return (answer, trial.adopt(request.body.dataFD))
    }

    /// Resets it, which is how every way out of every state begins.
    func reset() throws { try trial.require(device.request(.deviceReset), "RESET") }

    /// A session that must begin.
    func begin(_ state: MigrationState) throws -> File {
        let (answer, session) = set(state)
        guard let session else {
            throw Halt.broken("no session on the way to state \(state.rawValue): \(answer)")
        }
        return session
    }

    /// Its state as it is now; it is running before and afterwards.
    func saved() throws -> [UInt8] {
        let session = try begin(.stopCopy)
        let bytes = try session.readAll()
        session.close()
        try trial.require(set(.running).answer, "RUNNING")
        return bytes
    }

    /// Brings it from anywhere to a state from which every way is open: to one that takes state, with all of it.
    func bring(to state: MigrationState, _ saved: [UInt8]) throws -> File? {
        try reset()
        if state == .running { return nil }
        let (answer, session) = set(state)
        try trial.require(answer, "from RUNNING to \(state.rawValue)")
        if state == .resuming, let session { try session.writeAll(saved) }
        return session
    }
}

extension File {
    /// Reads what comes next.
    func readNext(_ count: Int) -> (answer: Answer, bytes: [UInt8]) {
        var bytes = [UInt8](repeating: 0, count: count)
        let answer = Answer.of { () throws(Errno) in
            var span = bytes.mutableSpan
            // SAFETY: any byte is a UInt8.
            var raw = unsafe span.mutableBytes
            return Int32(try host.read(number, into: &raw))
        }
        if case .value(let count) = answer { return (answer, Array(bytes.prefix(Int(count)))) }
        return (answer, [])
    }

    /// Writes what comes next.
    func writeNext(_ bytes: [UInt8]) -> Answer {
        .of { () throws(Errno) in
            // SAFETY: the array's bytes are all initialised.
            Int32(try host.write(number, unsafe bytes.span.bytes))
        }
    }

    /// Reads until nothing comes.
    func readAll() throws -> [UInt8] {
        var all: [UInt8] = []
        while all.count < 64 << 20 {
            let (answer, bytes) = readNext(4096)
            if bytes.isEmpty {
                if answer == .value(0) || answer == .errno(.noMessage) { return all }
                throw Halt.broken("reading the state: \(answer)")
            }
            all += bytes
        }
        throw Halt.broken("a state without end")
    }

    /// Writes all.
    func writeAll(_ bytes: [UInt8]) throws {
        var done = 0
        while done < bytes.count {
            guard case .value(let count) = writeNext(Array(bytes[done...])), count > 0 else {
                throw Halt.broken("writing the state")
            }
            done += Int(count)
        }
    }

    /// `VFIO_MIG_GET_PRECOPY_INFO`
    func precopyInfo(
        _ flags: PrecopyInfoFlags = [], argsz: UInt32 = 24
    ) -> (answer: Answer, info: PrecopyInfo) {
        var info = PrecopyInfo(argsz: argsz, flags: flags)
        let answer = request(.migrationGetPrecopyInfo, &info)
        return (answer, info)
    }
}

extension MigrationFlags {
    /// What a device can do that can do everything.
    static var all: MigrationFlags { [.stopCopy, .p2p, .preCopy] }
}

extension MigrationState {
    /// Its name.
    var text: String {
        let names = [
            "ERROR", "STOP", "RUNNING", "STOP_COPY", "RESUMING", "RUNNING_P2P", "PRE_COPY", "PRE_COPY_P2P",
        ]
        return rawValue < 8 ? names[Int(rawValue)] : "\(rawValue)"
    }

    /// Whether a device has it that can be moved in such a way.
    func isHad(_ flags: MigrationFlags) -> Bool {
        switch self {
        case .stop, .running, .stopCopy, .resuming: true
        case .runningP2P: flags.contains(.p2p)
        case .preCopy: flags.contains(.preCopy)
        case .preCopyP2P: flags.contains([.p2p, .preCopy])
        default: false
        }
    }

    /// Whether state goes out.
    var isSaving: Bool { self == .preCopy || self == .preCopyP2P || self == .stopCopy }
}

extension Trial {
    /// Opens a device that can be moved: one with a driver that does that, or a sample of the kernel's.
    func openMovable(with flags: MigrationFlags = .all) throws -> Movable {
        for record in try movableDevices where record.driver?.name != "historic-vfio-pci" {
            let setup = try setUp(record)
            if let movable = movable(setup.device, flags, setup) { return movable }
            for file in [setup.device, setup.group, setup.container, setup.iommufd] { file?.close() }
        }
        guard kernel.kind != .vfioUser, flags == .all else {
            throw skip("it needs a device that can be moved, by flags \(flags.rawValue)")
        }
        guard let movable = movable(try mediated("mtty-1").device, flags, nil) else {
            throw skip("the kernel's sample device can't be moved")
        }
        return movable
    }

    private func movable(_ device: File, _ flags: MigrationFlags, _ setup: Setup?) -> Movable? {
        var request = FeatureRequest(.migration, .get, MigrationFeature())
        guard device.request(.deviceFeature, &request) == .success, request.body.flags == flags else {
            return nil
        }
        return Movable(trial: self, device: device, flags: flags, setup: setup)
    }
}
