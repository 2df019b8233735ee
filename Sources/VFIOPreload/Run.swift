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
    // SAFETY: as `host`.
    nonisolated(unsafe) private static var ownHost: SoftwareHost?
    // SAFETY: made by the constructor.
    nonisolated(unsafe) private static var lock: Lock?

    // SAFETY: as `host`.
    nonisolated(unsafe) private static var bars: RegisterMapping.Policy?
    // SAFETY: as `host`.
    nonisolated(unsafe) private static var trace: String?

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
    }

    /// The kernel that answers; made when it is first asked for.
    /// - Throws: `ENODEV` if the machine can't be made; the reason is written to the standard error.
    static func kernel() throws(Errno) -> any Host {
        if let host = unsafe host { return host }
        guard let lock = unsafe lock else { throw .noDevice }
        lock.lock()
        defer { lock.unlock() }
        if let host = unsafe host { return host }
        try Handles.prepare()
        do throws(RunFailure) {
            let made = try makeOwn()
            let front = try traced(made)
            unsafe ownHost = made
            unsafe host = front
            RegisterMapping.start(unsafe bars ?? RegisterMapping.suitable())
            return front
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

    /// The kernel of this process; where it has none, one that is made to ask it something.
    static func kernelToAsk() throws(RunFailure) -> SoftwareHost {
        if let host = unsafe ownHost { return host }
        return try makeOwn()
    }

    /// A kernel as the run describes it, with what has become of its drivers meanwhile.
    private static func makeOwn() throws(RunFailure) -> SoftwareHost {
        let host = try make()
        DriverChanges.repeatAll(on: host, in: unsafe folder)
        return host
    }

    /// Writes down a change of a driver, for kernels that are made later.
    static func remember(_ change: DriverChange) { DriverChanges.append(change, in: unsafe folder) }

    /// Writes down which devices a driver was told of.
    static func remember(_ id: NewID) { DriverChanges.append(id, in: unsafe folder) }

    /// The devices that drivers were told of.
    static var newIDs: [NewID] { DriverChanges.newIDs(in: unsafe folder) }

    private static func make() throws(RunFailure) -> SoftwareHost {
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
        if case .string(let path)? = document["trace"] { unsafe trace = path }
        if case .string(let text)? = document["bars"] { unsafe bars = RegisterMapping.Policy(named: text) }
        var description: MachineDescription
        do throws(StrictObject.Problem) {
            description = try MachineFile.machine(machine, folder: base)
        } catch {
            throw RunFailure("the machine: \(error)")
        }
        description.memoryWriteObserver = TranslatedCode()
        do throws(MachineError) {
            let host = try SoftwareHost(description)
            host.watchHandles(NewHandles())
            return host
        } catch {
            throw RunFailure("the machine can't be made: \(error)")
        }
    }

    /// A host that writes down what goes through it, where the run is to be traced.
    private static func traced(_ host: SoftwareHost) throws(RunFailure) -> any Host {
        guard let trace = unsafe trace else { return host }
        do throws(TraceError) {
            return TracingHost(host, writingTo: try TraceWriter(appendingTo: trace))
        } catch {
            throw RunFailure("the trace \(trace): \(error.description)")
        }
    }
}

/// Why there is no kernel for a program.
struct RunFailure: Error {
    let text: String

    init(_ text: String) { self.text = text }
}
