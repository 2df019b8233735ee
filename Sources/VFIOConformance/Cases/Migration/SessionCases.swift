import LinuxSystem
import VFIOABI
import VFIOHost

/// E.3: the descriptors by which a device's state goes out and comes in.
let sessionCases: [Case] = [
    Case("E.3", "a device's state is read to its end, which comes again and again", on: .translated) { t in
        let movable = try t.openMovable()
        let session = try movable.begin(.stopCopy)
        let first = session.readNext(1)
        t.expect(first.answer, .value(1), "one byte")
        let rest = try session.readAll()
        t.expect(rest.count > 1, "more bytes")
        for _ in 0..<2 { t.expect(session.readNext(16).answer, .value(0), "the end") }
        t.expect(movable.set(.stop).answer, .success, "STOP")
        t.expect(session.readNext(16).answer, .errno(.noDevice), "after it")
        t.expect(movable.set(.running).answer, .success, "RUNNING")
        t.expect(session.readNext(16).answer, .errno(.noDevice), "and later")
    },
    Case("E.3", "a state that goes out is only read, one that comes in only written", on: .translated) { t in
        let movable = try t.openMovable()
        let out = try movable.begin(.stopCopy)
        t.expect(out.writeNext([1]), .errno(.badDescriptor), "writing what goes out")
        let into = try movable.begin(.resuming)
        t.expect(into.readNext(1).answer, .errno(.badDescriptor), "reading what comes in")
        t.expect(out.readNext(1).answer, .errno(.noDevice), "what goes out is over")
    },
    Case("E.3", "a session has no places, no memory and hardly any requests", on: .translated) { t in
        let movable = try t.openMovable()
        let out = try movable.begin(.stopCopy)
        t.expect(out.read(at: 0, count: 1).answer, .errno(.illegalSeek), "pread")
        t.expect(out.map(at: 0, byteCount: pageSize, .read).answer, .errno(.noDevice), "mmap")
        t.expect(out.request(.deviceReset), .errno(.noSuchRequest), "RESET")
        let into = try movable.begin(.resuming)
        t.expect(into.write(at: 0, [1]), .errno(.illegalSeek), "pwrite")
        t.expect(into.precopyInfo().answer, .errno(.noSuchRequest), "PRECOPY_INFO of what comes in")
    },
    Case("E.3", "a session never lets wait whoever polls it", on: .translated) { t in
        let movable = try t.openMovable()
        let out = try movable.begin(.stopCopy)
        t.expect(out.isReady(.readable), "something is there")
        _ = try out.readAll()
        t.expect(out.isReady(.readable), "the end")
        t.expect(movable.set(.stop).answer, .success, "STOP")
        t.expect(out.isReady(.readable), "after it, where reading is an error")
        let into = try movable.begin(.resuming)
        t.expect(into.isReady(.writable), "there is room")
        try movable.reset()
    },
    Case("E.3", "a session that is closed early changes nothing, and another can begin", on: .translated) {
        t in
        let movable = try t.openMovable()
        try movable.begin(.stopCopy).close()
        t.expect(movable.state, equals: "3", "state")
        t.expect(movable.set(.stopCopy).session == nil, "none begins by staying")
        let into = try movable.begin(.resuming)
        into.close()
        t.expect(movable.state, equals: "4", "state")
        try movable.reset()
        t.expect(try movable.begin(.stopCopy).readNext(1).answer, .value(1), "a new one")
    },
    Case("E.3", "a session is the one that was begun last: the one before stays over", on: .translated) { t in
        let movable = try t.openMovable()
        let old = try movable.begin(.preCopy)
        try t.require(movable.set(.running).answer, "RUNNING")
        let new = try movable.begin(.preCopy)
        t.expect(old.readNext(1).answer, .errno(.noDevice), "reading the old one")
        t.expect(old.precopyInfo().answer, .errno(.noDevice), "PRECOPY_INFO of the old one")
        t.expect(new.readNext(1).answer, .value(1), "reading the new one")
    },
    Case("E.3", "a state that was read is taken by a device of the kind, which works again", on: .translated)
    { t in
        let movable = try t.openMovable()
        let saved = try movable.saved()
        for pieces in [1, 7] {
            let into = try movable.begin(.resuming)
            for start in stride(from: 0, to: saved.count, by: max(1, saved.count / pieces)) {
                let end = min(saved.count, start + max(1, saved.count / pieces))
                t.expect(
                    into.writeNext(Array(saved[start..<end])) == .value(Int32(end - start)),
                    "in \(pieces) pieces: writing")
            }
            t.expect(movable.set(.running).answer, .success, "in \(pieces) pieces: RUNNING")
            t.expect(into.writeNext([1]), .errno(.noDevice), "in \(pieces) pieces: writing afterwards")
        }
        t.expect(try movable.saved() == saved, "its state is the same again")
    },
    Case("E.3", "a state that ends too early is refused when it is to be taken", on: .translated) { t in
        let movable = try t.openMovable()
        let saved = try movable.saved()
        for (count, what) in [(0, "nothing"), (1, "a byte"), (saved.count - 1, "all but a byte")] {
            let into = try movable.begin(.resuming)
            if count > 0 { try into.writeAll(Array(saved[..<count])) }
            t.expect(movable.set(.running).answer, .errno(.invalid), "\(what): RUNNING")
            t.expect(movable.state, equals: "4", "\(what): state")
            try movable.reset()
            t.expect(movable.state, equals: "2", "\(what): state after RESET")
        }
        t.expect(try movable.saved() == saved, "its state is as before")
    },
    Case("E.3", "more than a device can take is refused at once", on: .translated) { t in
        let movable = try t.openMovable()
        let saved = try movable.saved()
        let into = try movable.begin(.resuming)
        t.expect(
            into.writeNext([UInt8](repeating: 0, count: 1 << 20)), .errno(.noMemory), "a mebibyte",
            .when(
                saved.count > 1 << 20, .value(1 << 20), "a device's state may be longer than that"))
        t.expect(movable.state, equals: "4", "state")
    },
    Case("E.3", "a state of another kind is refused, and a reset lets the device go on", on: .translated) {
        t in
        let movable = try t.openMovable()
        let saved = try movable.saved()
        // The first bytes of both devices' states say what they are.
        for place in [0, 3] {
            var changed = saved
            changed[place] ^= 0x10
            let into = try movable.begin(.resuming)
            var answer = into.writeNext(changed)
            if answer == .value(Int32(changed.count)) { answer = movable.set(.stop).answer }
            t.expect(
                answer, .errno(.invalid), "byte \(place)",
                .when(
                    movable.isSample, .errno(.badAddress), "the sample says so, drivers of hardware EINVAL"))
            try movable.reset()
            t.expect(movable.state, equals: "2", "byte \(place): state after RESET")
        }
        t.expect(try movable.saved() == saved, "its state is as before")
    },
    Case("E.3", "RESET ends every session, from every state", on: .translated) { t in
        let movable = try t.openMovable()
        for state: MigrationState in [.stopCopy, .preCopy, .preCopyP2P, .resuming] {
            let session = try movable.begin(state)
            t.expect(movable.device.request(.deviceReset), .success, "\(state.text): RESET")
            t.expect(movable.state, equals: "2", "\(state.text): state")
            let answer = state == .resuming ? session.writeNext([1]) : session.readNext(1).answer
            t.expect(answer, .errno(.noDevice), "\(state.text): its session")
        }
        for state: MigrationState in [.stop, .runningP2P] {
            try t.require(movable.set(state).answer, state.text)
            t.expect(movable.device.request(.deviceReset), .success, "\(state.text): RESET")
            t.expect(movable.state, equals: "2", "\(state.text): state")
        }
    },
    Case("E.3", "without a descriptor left the device gets to the state, but its session is lost") { t in
        let movable = try t.openMovable()
        let machine = try t.machine
        do throws(Errno) {
            try machine.setDescriptorLimit(0)
        } catch {
            throw t.skip("the number of descriptors can't be limited: \(error.name)")
        }
        let (answer, session) = movable.set(.stopCopy)
        try machine.setDescriptorLimit(nil)
        t.expect(answer, .errno(.tooManyDescriptors), "STOP_COPY")
        t.expect(session == nil, "there is no session")
        t.expect(movable.state, equals: "3", "state")
        t.expect(movable.set(.running).answer, .success, "RUNNING")
    },
]
