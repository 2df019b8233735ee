import CLinux
import JSONText
import LinuxSystem
import MachineFormat
import SoftwareHost
import VFIOHost

/// What `vfio run` left for this process to find: a folder with the machine's description and its files.
///
/// The environment names the folder (``variable``). In it are `run.json`, which says what the machine is, and
/// `root`, below which /sys and /dev look as they would on such a machine.
enum Run {
    /// The variable of the environment.
    static let variable: StaticString = "VFIO_RUN"

    // SAFETY: set by the library's constructor, before the program begins, and never changed.
    nonisolated(unsafe) private(set) static var root: [UInt8] = []
    // SAFETY: as above.
    nonisolated(unsafe) private static var folder = ""
    // SAFETY: only touched with `lock` held, except for being read by calls on handles, which exist only after it
    // was set.
    nonisolated(unsafe) private static var host: (any Host)?
    // SAFETY: as above: the kernel or the way to it, without what writes calls down.
    nonisolated(unsafe) private static var answering: (any Host)?
    // SAFETY: as above: the same object, if the kernel lives elsewhere.
    nonisolated(unsafe) private static var client: ForwardingHost?
    // SAFETY: as above: the kernel itself, if it lives here.
    nonisolated(unsafe) private static var ownHost: SoftwareHost?
    // SAFETY: as above: serves others, if the kernel lives here.
    nonisolated(unsafe) private static var service: KernelService?
    // SAFETY: set when `host` is first set.
    nonisolated(unsafe) private static var isReady = false
    // SAFETY: as `host`.
    nonisolated(unsafe) private static var trace: TraceWriter?
    // SAFETY: made by the constructor.
    nonisolated(unsafe) private static var lock: Lock?

    /// Whether the process runs under `vfio run`.
    static var isActive: Bool { unsafe !root.isEmpty }

    /// Looks at the environment. Called once, by the library's constructor.
    static func begin() {
        // SAFETY: a StaticString's text ends with a NUL; the environment's text is copied at once.
        let value = unsafe clinux_environment(
            UnsafeRawPointer(variable.utf8Start).assumingMemoryBound(to: CChar.self))
        guard let value = unsafe value else { return }
        let path = unsafe String(cString: value)
        guard path.utf8.first == UInt8(ascii: "/") else { return }
        unsafe lock = Lock()
        unsafe folder = path
        unsafe root = Array((path + "/root").utf8)
        adoptInherited()
    }

    /// The kernel that answers; made when it is first asked for.
    /// - Throws: `ENODEV` if the machine can't be made; the reason is written to the standard error.
    static func kernel() throws(Errno) -> any Host {
        if let host = unsafe host, unsafe service != nil {
            // What others have closed meanwhile is closed for what comes now.
            unsafe service?.collect()
            return host
        }
        guard let lock = unsafe lock else { throw .noDevice }
        lock.lock()
        defer { lock.unlock() }
        if let host = unsafe host {
            if unsafe service != nil { return host }
            if (try? unsafe client?.connect()) != nil { return host }
        }
        do throws(RunFailure) {
            return try decide()
        } catch {
            LineOutput(2).write("vfio run: \(error.text)")
            throw .noDevice
        }
    }

    /// The kernel that a handle belongs to.
    @inline(__always)
    static var present: any Host {
        // SAFETY: who asks has a handle, which no kernel but this one gave.
        unsafe host.unsafelyUnwrapped
    }

    /// The same for what the library wants to know itself, which isn't to be written down as the program's.
    static var unseen: any Host { unsafe answering.unsafelyUnwrapped }

    /// Carries out what is written to one of ``ControlFiles``, wherever the kernel is. Where there is none yet, nobody
    /// makes one meanwhile: it is to know of the change.
    static func write(_ bytes: [UInt8], to path: String) throws(Errno) {
        if unsafe ownHost != nil { return try ControlFiles.carryOut(path, bytes) }
        if let client = unsafe client, (try? client.connect()) != nil { return try client.write(path, bytes) }
        let turn: Descriptor
        do throws(RunFailure) { turn = try takeTurn() } catch { throw .noDevice }
        // What was known of may have been killed, and have a successor.
        let other = ForwardingHost(socketPath)
        guard (try? other.connect()) != nil else {
            try ControlFiles.carryOut(path, bytes)
            _ = consume turn
            return
        }
        _ = consume turn
        defer { other.forget() }
        try other.write(path, bytes)
    }

    /// The kernel of this process; where it has none, one that is made to ask it something.
    static func kernelToAsk() throws(RunFailure) -> SoftwareHost {
        if let host = unsafe ownHost { return host }
        return try make(try description(), places: nil)
    }

    /// Writes down a change of a driver, for kernels that are made later.
    static func remember(_ change: DriverChange) { DriverChanges.append(change, in: unsafe folder) }

    /// Writes down which devices a driver was told of.
    static func remember(_ id: NewID) { DriverChanges.append(id, in: unsafe folder) }

    /// The devices that drivers were told of.
    static var newIDs: [NewID] { DriverChanges.newIDs(in: unsafe folder) }

    // MARK: several processes

    private static var socketPath: String { unsafe folder + "/kernel" }

    /// Finds the kernel of the run, or makes it here if there is none. With `lock` held.
    private static func decide() throws(RunFailure) -> any Host {
        let turn = try takeTurn()
        var places: KernelPlaces?
        var isElsewhere: ForwardingHost?
        do throws(Errno) {
            try Handles.prepare()
            if unsafe host != nil { Handles.loseFiles() }
            let other = ForwardingHost(socketPath)
            if (try? other.connect()) != nil {
                isElsewhere = other
            } else {
                // What a kernel that was killed left behind.
                try? FileSystem.unlink(socketPath)
                places = try KernelPlaces()
            }
        } catch {
            throw RunFailure("the kernel of the run can't be found: \(error)")
        }
        let description = try description()
        try becomeReady(description)
        guard let places else {
            guard let other = isElsewhere else { throw RunFailure("the kernel of the run can't be found") }
            return begin(other, nil, nil)
        }
        let kernel = try make(description, places: places)
        do throws(Errno) {
            let made = try KernelService(kernel, places, at: socketPath)
            try made.start()
            _ = consume turn
            return begin(nil, kernel, made)
        } catch {
            throw RunFailure("the kernel can't be reached by other processes: \(error)")
        }
    }

    /// One process at a time looks for the kernel; its turn ends with the descriptor.
    private static func takeTurn() throws(RunFailure) -> Descriptor {
        do throws(Errno) {
            let turn = try Descriptor(opening: unsafe folder + "/kernel.lock", [.readWrite, .create])
            try turn.lockFile()
            return turn
        } catch {
            throw RunFailure("the folder of the run can't be used: \(error)")
        }
    }

    /// Makes ready what every process of the run has, wherever the kernel is.
    private static func becomeReady(_ description: Description) throws(RunFailure) {
        if unsafe isReady { return }
        do throws(Errno) {
            try Handles.prepare()
        } catch {
            throw RunFailure("there is no memory for the handles: \(error)")
        }
        if let path = description.trace {
            do throws(TraceError) {
                unsafe trace = try TraceWriter(appendingTo: path)
            } catch {
                throw RunFailure("the trace \(path): \(error.description)")
            }
        }
        RegisterMapping.start(description.bars ?? RegisterMapping.suitable())
        clinux_at_fork({ Run.willFork() }, { Run.didFork() }, { Run.becomeChild() })
        unsafe isReady = true
    }

    /// From now on calls go to one of these two. Each process writes its own calls down, where that is wanted.
    @discardableResult
    private static func begin(
        _ newClient: ForwardingHost?, _ kernel: SoftwareHost?, _ newService: KernelService?
    ) -> any Host {
        unsafe client = newClient
        unsafe ownHost = kernel
        unsafe service = newService
        if let kernel {
            unsafe answering = kernel
        } else if let newClient {
            unsafe answering = newClient
        }
        var front = unseen
        if let trace = unsafe trace { front = TracingHost(front, writingTo: trace) }
        unsafe host = front
        return front
    }

    /// Makes a descriptor that came from elsewhere known, if it is a handle of the run's kernel.
    static func adopt(_ number: Int32) {
        guard let name = HandleName.of(number), let lock = unsafe lock else { return }
        lock.lock()
        defer { lock.unlock() }
        do throws(RunFailure) {
            if unsafe host == nil {
                try becomeReady(try description())
                begin(ForwardingHost(socketPath, of: name.kernel), nil, nil)
            }
            HandleName.learn(number)
        } catch {
            // No memory for the table, or no description any more: the descriptor isn't ours then.
        }
    }

    /// What was open when this program took the place of another.
    private static func adoptInherited() {
        guard let names = try? FileSystem.names(in: "/proc/self/fd") else { return }
        for name in names {
            if let number = Int32(name) { adopt(number) }
        }
    }

    // MARK: the end of the process that has the kernel

    // SAFETY: changed by the thread that makes a keeper, between the two calls that it makes for that.
    nonisolated(unsafe) private static var isMakingKeeper = false
    // SAFETY: set once, by whoever ends the process.
    nonisolated(unsafe) private static var hasEnded = false

    /// The process is about to end.
    static func end() {
        guard isActive, unsafe !hasEnded, unsafe service != nil, Handles.isOwnProcess else { return }
        unsafe hasEnded = true
        // What is left then others have.
        Handles.forEach { number in
            Handles.remove(number)
            _ = clinux_close(number)
        }
        _ = makeKeeper()
    }

    /// Sees to it that the kernel goes on when this process ends, or becomes another program.
    /// - Returns: nil if nobody needs it, or it doesn't live here.
    static func makeKeeper() -> Keeper? {
        guard let service = unsafe service, Handles.isOwnProcess else { return nil }
        service.collect()
        guard service.places.count > 0 else { return nil }
        return Keeper.make(for: service) { unsafe isMakingKeeper = $0 }
    }

    private static func willFork() {
        unsafe lock?.lock()
        unsafe service?.lockForFork()
    }

    private static func didFork() {
        unsafe service?.unlockAfterFork()
        unsafe lock?.unlock()
    }

    /// The kernel stays with the parent: the child's calls go there.
    private static func becomeChild() {
        if unsafe isMakingKeeper { return didFork() }
        var kernel: UInt64 = 0
        if let service = unsafe service {
            kernel = service.places.kernel
            service.forget()
            // Nothing of the copy may be torn down: that would work on files that the parent has too.
            _ = unsafe Unmanaged.passRetained(service)
            if let own = unsafe ownHost { _ = unsafe Unmanaged.passRetained(own) }
        }
        if let client = unsafe client {
            kernel = client.identity
            client.forget()
        }
        begin(ForwardingHost(socketPath, of: kernel), nil, nil)
        unsafe lock?.unlock()
    }

    // MARK: the machine

    /// What `run.json` says.
    private struct Description {
        var machine: JSON
        /// What relative paths are put behind.
        var folder: String
        var bars: RegisterMapping.Policy?
        var trace: String?
    }

    private static func description() throws(RunFailure) -> Description {
        let bytes: [UInt8]
        do throws(Errno) {
            bytes = try FileSystem.bytes(of: unsafe folder + "/run.json", limit: 2 * MachineFile.byteLimit)
        } catch {
            throw RunFailure("the description of the run can't be read: \(error)")
        }
        let document: JSON
        do throws(JSONError) {
            document = try JSON(bytes, maximumDepth: 20, maximumCount: 70_000)
        } catch {
            throw RunFailure("the description of the run: \(error)")
        }
        guard let machine = document["machine"], case .string(let base)? = document["folder"] else {
            throw RunFailure("the description of the run lacks its machine")
        }
        var description = Description(machine: machine, folder: base)
        if case .string(let path)? = document["trace"] { description.trace = path }
        if case .string(let text)? = document["bars"] {
            description.bars = RegisterMapping.Policy(named: text)
        }
        return description
    }

    /// A kernel as the run describes it, with what has become of its drivers meanwhile.
    private static func make(
        _ run: Description, places: KernelPlaces?
    ) throws(RunFailure) -> SoftwareHost {
        var description: MachineDescription
        do throws(StrictObject.Problem) {
            description = try MachineFile.machine(run.machine, folder: run.folder)
        } catch {
            throw RunFailure("the machine: \(error)")
        }
        description.memoryWriteObserver = TranslatedCode()
        // A kernel that is only made to be asked something must not count what another one does.
        if places != nil { description.counterFile = unsafe folder + "/counters" }
        do throws(MachineError) {
            let host: SoftwareHost
            if let places {
                host = try SoftwareHost(description, places: places)
            } else {
                host = try SoftwareHost(description)
            }
            DriverChanges.repeatAll(on: host, in: unsafe folder)
            return host
        } catch {
            throw RunFailure("the machine can't be made: \(error)")
        }
    }
}

/// Why there is no kernel for a program.
struct RunFailure: Error {
    let text: String

    init(_ text: String) { self.text = text }
}
