import LinuxSystem
import NVMe
import VFIO

// Admin commands, one at a time. The lock is held in all of this.

extension ControllerCore {
    /// Sends a command without data, or whose data pointer is already there, and waits for its end.
    func execute(_ entry: SubmissionEntry, _ operation: StaticString) throws(NVMeError) -> Completion {
        try checkRunning(operation)
        let token: RequestToken
        do throws(SubmissionFailure) {
            token = try admin.submit(entry, tag: 0)
        } catch {
            throw failure(error.reason, "\(operation)")
        }
        return try finish(token, operation, entry.namespaceID)
    }

    /// Sends a command with data and waits for its end.
    func execute(
        _ entry: SubmissionEntry, _ segment: DMASegment, _ operation: StaticString
    ) throws(NVMeError) -> Completion {
        try checkRunning(operation)
        let token: RequestToken
        do throws(SubmissionFailure) {
            token = try admin.submit(entry, segment, RequestOptions(style: .prp))
        } catch {
            throw failure(error.reason, "\(operation)")
        }
        return try finish(token, operation, entry.namespaceID)
    }

    /// Sends a command and returns the data it brings.
    /// - Precondition: `byteCount` is at most `scratchByteCount`.
    func fetch(
        _ entry: SubmissionEntry, byteCount: Int, _ operation: StaticString
    ) throws(NVMeError) -> [UInt8] {
        scratch.zero(at: 0, byteCount: byteCount)
        _ = try execute(entry, scratchSegment(byteCount), operation)
        var bytes = [UInt8](repeating: 0, count: byteCount)
        var span = bytes.mutableSpan
        // SAFETY: any byte is a value of UInt8.
        var raw = unsafe span.mutableBytes
        scratch.read(at: 0, into: &raw)
        return bytes
    }

    /// Sends a command together with its data.
    /// - Precondition: there are at most `scratchByteCount` bytes.
    func send(
        _ entry: SubmissionEntry, _ bytes: [UInt8], _ operation: StaticString
    ) throws(NVMeError) -> Completion {
        // SAFETY: bytes have no padding that could be read uninitialised.
        unsafe scratch.write(bytes.span.bytes, at: 0)
        return try execute(entry, scratchSegment(bytes.count), operation)
    }

    /// Waits for the end of a command.
    private func finish(
        _ token: RequestToken, _ operation: StaticString, _ namespace: UInt32
    ) throws(NVMeError) -> Completion {
        admin.ring()
        let milliseconds = max(1, options.adminTimeout)
        let deadline = Clock.now + UInt64(milliseconds) * 1_000_000
        var waiter = Waiter()
        while true {
            if let done = admin.next() {
                guard done.token == token else {
                    take(done)
                    continue
                }
                guard done.isSuccess else {
                    throw NVMeError(
                        done.isCancelled ? .cancelled : .status(done.status), "\(operation)", on: name,
                        namespace: namespace == 0 ? nil : namespace)
                }
                return done
            }
            if waiter.spin() { continue }
            do throws(NVMeError) {
                try checkAlive(operation)
                guard Clock.now < deadline else {
                    throw failure(.timedOut(milliseconds: milliseconds, aborted: false), "\(operation)")
                }
            } catch {
                // The command may still be carried out and write to the scratch memory: stop that.
                stopNow()
                throw error
            }
            try throughVFIO(operation, name) { () throws(VFIOError) in try waiter.block(interrupts, 0) }
        }
    }

    /// Takes a completion that nobody waits for: an event, or a late answer.
    private func take(_ done: Completion) {
        guard done.opcode == AdminOpcode.asynchronousEventRequest.rawValue, done.isSuccess else { return }
        if events.count < 64 {
            events.append(AsynchronousEvent(rawValue: done.result))
        } else {
            lostEventCount += 1
        }
        requestEvent()
    }

    /// Leaves a request for one event with the controller.
    private func requestEvent() {
        // A full queue can't be: fewer requests than entries are left there, and one command besides.
        guard (try? admin.submit(.asynchronousEventRequest(), tag: 0)) != nil else { return }
        admin.ring()
    }

    /// Asks for asynchronous events and leaves as many requests for them as the controller takes.
    func askForEvents() throws(NVMeError) {
        guard options.events == .all else { return }
        let optional = AsynchronousEventConfiguration(rawValue: identity.optionalEvents)
        let wanted: AsynchronousEventConfiguration = [.namespaceAttributes, .firmwareActivation]
        let value = optional.intersection(wanted).union([.criticalWarnings])
        do throws(NVMeError) {
            _ = try execute(
                .setFeatures(.asynchronousEventConfiguration, value: value.rawValue), "ask for events")
        } catch {
            // Events of errors come anyway; a controller that can't be told about others still works.
            guard error.status != nil else { throw error }
        }
        for _ in 0..<min(4, identity.eventRequestLimit, admin.shape.requestCount / 2) { requestEvent() }
    }

    /// The next event, if one has come.
    func nextEvent() throws(NVMeError) -> AsynchronousEvent? {
        try checkRunning("look for events")
        while let done = admin.next() { take(done) }
        return events.isEmpty ? nil : events.removeFirst()
    }

    /// Identifies the controller and its namespaces.
    func identifyAll() throws(NVMeError) {
        let bytes = try fetch(.identify(.controller), byteCount: IdentifyController.byteCount, "identify")
        identity = IdentifyController(unchecked: PageBytes(bytes))
        let submission = identity.submissionEntrySize
        let completion = identity.completionEntrySize
        guard (submission & 0xf) <= 6, submission >> 4 >= 6, (completion & 0xf) <= 4, completion >> 4 >= 4
        else {
            throw failure(.unsupported(.entrySizes), "identify")
        }
        commandSetLimits = IdentifyNVMController()
        if version >= .v2_0 || capabilities.supportsCommandSetProfiles {
            do throws(NVMeError) {
                let bytes = try fetch(
                    .identify(.commandSetController), byteCount: IdentifyNVMController.byteCount, "identify")
                commandSetLimits = IdentifyNVMController(unchecked: PageBytes(bytes))
            } catch {
                // Optional before NVMe 2.0: no limits are told.
                guard error.status != nil else { throw error }
            }
        }
        try identifyNamespaces()
    }

    /// Lists the active namespaces and identifies each.
    func identifyNamespaces() throws(NVMeError) {
        var found: [Namespace] = []
        for identifier in try activeNamespaces() {
            let bytes = try fetch(
                .identify(.namespace, namespaceID: identifier), byteCount: IdentifyNamespace.byteCount,
                "identify")
            found.append(
                Namespace(identifier: identifier, IdentifyNamespace(unchecked: PageBytes(bytes))))
        }
        namespaces = found
    }

    /// How many namespaces are identified at most: what a controller tells is not to be trusted with memory.
    static let maximumNamespaceCount = 4096

    private func activeNamespaces() throws(NVMeError) -> [UInt32] {
        var all: [UInt32] = []
        do throws(NVMeError) {
            var last: UInt32 = 0
            while all.count < Self.maximumNamespaceCount {
                let bytes = try fetch(
                    .identify(.activeNamespaces, namespaceID: last), byteCount: NamespaceList.byteCount,
                    "list namespaces")
                // Ascending and beyond the last one asked for, else the list would never end.
                for identifier in NamespaceList(unchecked: PageBytes(bytes)).identifiers {
                    guard identifier > last else { return all }
                    all.append(identifier)
                    last = identifier
                }
                guard all.count > 0, all.count % NamespaceList.capacity == 0 else { break }
            }
        } catch {
            // Controllers of NVMe 1.0 don't have the list; their identifiers run from 1.
            guard error.status != nil else { throw error }
            all = Array(1...max(1, min(identity.namespaceCount, UInt32(Self.maximumNamespaceCount))))
        }
        return all
    }
}

extension SubmissionFailure {
    /// The failure as an error tells it.
    var reason: NVMeError.Reason {
        switch self {
        case .queueFull: .queueFull
        case .dataPointer(let error): .dataPointer(error)
        }
    }
}
