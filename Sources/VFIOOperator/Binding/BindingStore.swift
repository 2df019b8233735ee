import JSONText
import LinuxSystem

/// The file in which the drivers are remembered that devices had before they were changed.
///
/// JSON with a `version`, replaced as a whole, so that whatever happens there is the old one or the new one. It belongs
/// below /run: a machine that starts again gives devices to their drivers anew.
public struct BindingStore: Sendable {
    private static let version: Int64 = 1
    /// The longest file that is read, and the most records in it.
    private static let (mostBytes, mostRecords) = (4 << 20, 4096)

    /// The file.
    public let path: String

    /// Names the file, which need not be there.
    public init(_ path: String) { self.path = path }

    /// The file of this user: `/run/vfio/bindings.json` for the super-user, one in `XDG_RUNTIME_DIR` for others; nil where
    /// that isn't set.
    public static var ofThisUser: BindingStore? {
        if ProcessLimits.isSuperUser { return BindingStore("/run/vfio/bindings.json") }
        guard let folder = ChildProcess.environmentValue("XDG_RUNTIME_DIR"), folder.hasPrefix("/") else {
            return nil
        }
        return BindingStore(folder + "/vfio/bindings.json")
    }

    /// Why the file is of no use.
    public enum Failure: Error, Sendable, Equatable {
        /// It can't be read or written.
        case refused(path: String, Errno)
        /// What is in it isn't ours, or is of a later version.
        case contents(path: String, String)
        /// Another process changes drivers right now.
        case busy(path: String)
    }

    /// What is remembered; nothing where there is no file.
    public func load() throws(Failure) -> [BindingRecord] {
        let bytes: [UInt8]
        do throws(Errno) {
            bytes = try FileSystem.bytes(of: path, limit: Self.mostBytes)
        } catch {
            if error == .noSuchEntry { return [] }
            throw .refused(path: path, error)
        }
        let json: JSON
        do throws(JSONError) {
            json = try JSON(bytes, maximumDepth: 6, maximumCount: Self.mostRecords * 16)
        } catch {
            throw .contents(path: path, "\(error)")
        }
        guard case .integer(let version) = json["version"], case .array(let items) = json["devices"] else {
            throw .contents(path: path, "it has no \"version\" and \"devices\"")
        }
        guard version == Self.version else {
            throw .contents(path: path, "it has version \(version), and \(Self.version) is known here")
        }
        var records: [BindingRecord] = []
        for (index, item) in items.enumerated() {
            guard let record = BindingRecord(item) else {
                throw .contents(path: path, "entry \(index) isn't understood")
            }
            guard !records.contains(where: { $0.device == record.device }) else {
                throw .contents(path: path, "\(record.device) is there twice")
            }
            records.append(record)
        }
        return records
    }

    /// Remembers this, and nothing else.
    public func save(_ records: [BindingRecord]) throws(Failure) {
        let document = JSON.object([
            JSON.Member("version", .integer(Self.version)),
            JSON.Member("devices", .array(records.map(\.json))),
        ])
        do throws(Errno) {
            try makeFolder()
            try FileSystem.replaceFile(path, Array((document.text + "\n").utf8))
        } catch {
            throw .refused(path: path, error)
        }
    }

    /// Keeps others out until the lock goes.
    func lock(milliseconds: Int) throws(Failure) -> Descriptor {
        do throws(Errno) {
            try makeFolder()
            let file = try Descriptor(opening: path + ".lock", [.readWrite, .create])
            try file.lockFile(milliseconds: milliseconds)
            return file
        } catch {
            if error == .again { throw .busy(path: path) }
            throw .refused(path: path, error)
        }
    }

    private func makeFolder() throws(Errno) {
        guard let slash = path.lastIndex(of: "/"), slash > path.startIndex else { return }
        try FileSystem.makeFolders(String(path[..<slash]))
    }
}

extension BindingStore.Failure: CustomStringConvertible {
    /// What is wrong, and what to do.
    public var description: String {
        switch self {
        case .refused(let path, let errno):
            "the previous drivers are kept in \(path), which can't be used: \(errno); name another file with --state"
        case .contents(let path, let problem):
            "\(path) isn't a list of previous drivers: \(problem); look at it, and move it away"
        case .busy(let path):
            "another process changes drivers right now (it has locked \(path).lock); try again when it is done"
        }
    }
}

extension BindingRecord.Pending {
    /// Whether the write still waits.
    func isAlive(_ processes: String) -> Bool {
        guard let stat = ProcessStat(process, processes), stat.state != "Z", stat.state != "X" else {
            return false
        }
        return started == nil || stat.started == started
    }

    /// Describes a write by a process that runs.
    init(_ kind: BindStep.Kind, process: Int32, in processes: String) {
        self.init(kind, process: process, started: ProcessStat(process, processes)?.started)
    }
}

/// What procfs tells of a process in `stat` (proc(5)).
struct ProcessStat {
    /// "R", "S", "D", "Z", …
    let state: String
    /// In ticks since the machine was started.
    let started: UInt64

    /// Nil for a process that isn't there.
    init?(_ process: Int32, _ processes: String) {
        // The name in parentheses may hold anything, also parentheses.
        guard let text = try? FileSystem.text(of: "\(processes)/\(process)/stat"),
            let end = text.lastIndex(of: ")")
        else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 19, let started = UInt64(fields[19]) else { return nil }
        state = String(fields[0])
        self.started = started
    }
}
