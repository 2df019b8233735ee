import LinuxSystem

/// What is mounted, in the mount namespaces that this process may look into.
///
/// A file system is known by its device number; those that have none of their own (btrfs) by the node that they were
/// mounted from.
struct MountTable {
    /// A place where a file system is mounted.
    struct Mount: Equatable {
        /// "259:2"; of major number 0 for file systems without a device of their own.
        let number: String
        /// What was mounted: mostly a node's path.
        let source: String
        /// Where, as the process sees it.
        let place: String
        /// The process in whose mount namespace it is; nil for our own.
        let process: Int?
    }

    /// The most that is read of one table, in bytes, and of mounts and processes in all.
    private static let (mostBytes, mostMounts, mostProcesses) = (4 << 20, 65_536, 32_768)

    private(set) var mounts: [Mount] = []
    /// Whether our own table could be read, whole.
    private(set) var isComplete = true
    /// How many processes couldn't be looked into, so that their mounts aren't known.
    private(set) var unreadableProcesses = 0

    /// Reads the tables.
    /// - Parameter processes: where procfs is mounted.
    init(_ processes: String) {
        isComplete = add(processes + "/self/mountinfo", process: nil)
        var seen: Set<String> = []
        if let own = try? FileSystem.linkTarget(processes + "/self/ns/mnt") { seen.insert(own) }
        let names = (try? FileSystem.names(in: processes, limit: Self.mostProcesses)) ?? []
        for process in names.compactMap({ Int($0) }).sorted() {
            let folder = "\(processes)/\(process)"
            do throws(Errno) {
                guard seen.insert(try FileSystem.linkTarget(folder + "/ns/mnt")).inserted else { continue }
            } catch {
                // One that has ended meanwhile has no mounts; one without the link is no process of Linux.
                if error == .accessDenied || error == .notPermitted { unreadableProcesses += 1 }
                continue
            }
            _ = add(folder + "/mountinfo", process: process)
        }
    }

    /// The lines of a `mountinfo` (proc(5)): number, parent, device number, root, place, options, optional fields,
    /// "-", type, source, options of the file system.
    private mutating func add(_ path: String, process: Int?) -> Bool {
        guard let bytes = try? FileSystem.bytes(of: path, limit: Self.mostBytes) else { return false }
        for line in bytes.split(separator: 0x0a) {
            if mounts.count >= Self.mostMounts { return false }
            let words = line.split(separator: 0x20)
            guard words.count >= 10,
                let dash = words[6...].firstIndex(where: { $0.elementsEqual([UInt8(ascii: "-")]) }),
                dash + 2 < words.endIndex
            else { continue }
            mounts.append(
                Mount(
                    number: String(decoding: words[2], as: UTF8.self),
                    source: Self.unescaped(words[dash + 2]), place: Self.unescaped(words[4]),
                    process: process))
        }
        return bytes.count < Self.mostBytes
    }

    /// A field with `\ooo` for what would be taken for its end.
    static func unescaped(_ field: some Collection<UInt8>) -> String {
        var bytes: [UInt8] = []
        var rest = field[...]
        while let first = rest.first {
            let digits = rest.dropFirst().prefix(3)
            if first == UInt8(ascii: "\\"), digits.count == 3,
                digits.allSatisfy({ (0x30...0x37).contains($0) })
            {
                bytes.append(digits.reduce(0) { $0 << 3 | ($1 & 7) })
                rest = rest.dropFirst(4)
            } else {
                bytes.append(first)
                rest = rest.dropFirst()
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
