import LinuxSystem

/// A socket that clients connect to. With a path, the name goes with its owner.
final class ListeningSocket: Sendable {
    let socket: UnixSocket
    /// The path that was made for it; nil for a socket that somebody else made.
    let path: String?

    /// Takes over a socket that listens already.
    init(_ descriptor: consuming Descriptor) {
        socket = UnixSocket(owning: descriptor)
        path = nil
    }

    /// Listens at a path. The name appears when clients can connect, not before; what a server left there that
    /// doesn't run any more is replaced.
    /// - Throws: `EADDRINUSE` where somebody listens there, `EEXIST` where something else has the name;
    ///   `ENAMETOOLONG`; the errno of bind(2).
    init(at path: String) throws(Errno) {
        // A longer name can be given, but nobody can connect to it.
        guard path.utf8.count < Self.longestPath else { throw .nameTooLong }
        try Self.clear(path)
        // Bound under another name in the same folder first: bind(2) makes the name before listen(2) makes it work.
        let number = Self.nextNumber.add(1)
        let name = Self.folder(of: path) + ".vfio-user-\(ProcessLimits.processID)-\(number)"
        try? FileSystem.unlink(name)
        let socket = try UnixSocket(listening: name)
        do throws(Errno) {
            try FileSystem.rename(name, toNew: path)
        } catch {
            try? FileSystem.unlink(name)
            throw error
        }
        self.socket = socket
        self.path = path
    }

    deinit {
        if let path { try? FileSystem.unlink(path) }
    }

    /// The length of `sun_path`, unix(7), with its final NUL.
    private static let longestPath = 108
    private static let nextNumber = AtomicWord()

    /// All of a path up to and with its last slash.
    private static func folder(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "" }
        return String(path[...slash])
    }

    /// Removes a socket that nobody listens on any more.
    private static func clear(_ path: String) throws(Errno) {
        guard let status = try? FileSystem.status(path) else { return }
        guard status.kind == .socket else { throw .exists }
        do throws(Errno) {
            _ = try UnixSocket(connecting: path)
        } catch .connectionRefused {
            try FileSystem.unlink(path)
            return
        }
        throw .addressInUse
    }
}
