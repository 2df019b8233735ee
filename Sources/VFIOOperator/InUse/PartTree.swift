import LinuxSystem
import VFIOHost

/// A thing that a driver has made of a device: a folder below it in sysfs with a `subsystem`.
struct Part: Equatable {
    /// What the kernel calls it, such as "nvme0n1p2".
    let name: String
    /// Its class or bus, such as "block".
    let subsystem: String
    /// Its folder.
    let path: String
}

/// The folders below a device in sysfs.
struct PartTree {
    /// How many folders, and names in them, are looked at, and how deep.
    private static let (mostFolders, mostNames, deepest) = (4096, 131_072, 24)
    /// Folders with many files that hold no parts.
    private static let skipped: Set<String> = [
        "power", "msi_irqs", "statistics", "queues", "mq", "integrity", "holders", "slaves", "trace",
        "of_node", "vfio-dev",
    ]

    private let root: String
    private let sysfs: String
    private var folders = 0
    private var names = 0
    /// The parts, those above before those below.
    private(set) var parts: [Part] = []
    /// Whether the device's own folder could be listed.
    private(set) var isReadable = true
    /// Whether there was more than is looked at.
    private(set) var isCut = false

    init(of root: String, sysfs: String) {
        self.root = root
        self.sysfs = sysfs
    }

    mutating func walk() {
        guard let names = try? FileSystem.names(in: root, limit: Self.mostNames) else {
            isReadable = false
            return
        }
        // What is behind a bridge stays when the bridge's driver goes, and is asked for by itself. (A root bus of
        // its own below a device, as Intel's volume management device has, goes with it.)
        visit(root, names.filter { PCIAddress($0) == nil }, depth: 0)
    }

    private mutating func visit(_ path: String, _ names: [String], depth: Int) {
        // In a fixed order, whatever the file system's is.
        for name in names.sorted() where !Self.skipped.contains(name) {
            if folders >= Self.mostFolders || self.names >= Self.mostNames || depth > Self.deepest {
                isCut = true
                return
            }
            self.names += 1
            let below = path + "/" + name
            // Links lead elsewhere; what isn't a folder can't be listed.
            if (try? FileSystem.linkTarget(below)) != nil { continue }
            guard let inside = try? FileSystem.names(in: below, limit: Self.mostNames) else { continue }
            folders += 1
            if let target = try? FileSystem.linkTarget(below + "/subsystem") {
                parts.append(Part(name: name, subsystem: PathText.last(target), path: below))
            }
            visit(below, inside, depth: depth + 1)
        }
    }
}

/// Pieces of paths.
enum PathText {
    /// The last name of a path.
    static func last(_ path: String) -> String {
        String(path[(path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex)...])
    }
}

/// Numbers as sysfs writes them.
enum HexadecimalText {
    /// The number in a text such as "0x1003"; nil for anything else.
    static func value(_ text: String) -> UInt64? {
        guard text.hasPrefix("0x"), text.utf8.count <= 18, !text.dropFirst(2).hasPrefix("+") else {
            return nil
        }
        return UInt64(text.dropFirst(2), radix: 16)
    }
}
