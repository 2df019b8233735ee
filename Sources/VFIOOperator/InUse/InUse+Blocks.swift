import LinuxSystem
import PCIDecoder

extension InUseReading {
    /// What the disks and partitions of a device are used for.
    mutating func readBlocks(_ parts: [Part]) {
        guard !parts.isEmpty else { return }
        var blocks = BlockReading(roots)
        for part in parts { blocks.read(part.name) }
        uses += blocks.uses
        undetermined += blocks.undetermined
    }
}

/// The reading of what block devices are used for, and of what is made of them.
private struct BlockReading {
    /// How many volumes over volumes are followed, and how many names in all.
    private static let (deepest, mostNames) = (16, 1024)

    private let sysfs: String
    private let devices: String
    private let table: MountTable
    /// The sources of swap: the paths of nodes or files; nil where that can't be read.
    private let swaps: [String]?
    /// The disks and partitions of mounted btrfs file systems, by name.
    private var poolMembers: Set<String> = []
    private var seen: Set<String> = []
    /// How many volumes have been followed: a hostile folder may have rings of them.
    private var visits = 0
    private(set) var uses: [Use] = []

    init(_ roots: SystemRoots) {
        sysfs = roots.sysfs
        devices = roots.devices
        table = MountTable(roots.processes)
        swaps = Self.swaps(roots.processes)
        // The kernel has a folder there for each btrfs file system that is mounted, with links to all of its devices,
        // of which `mountinfo` names one only.
        let pools = sysfs + "/fs/btrfs"
        for pool in (try? FileSystem.names(in: pools, limit: 1024)) ?? [] {
            poolMembers.formUnion((try? FileSystem.names(in: "\(pools)/\(pool)/devices", limit: 1024)) ?? [])
        }
    }

    private static func swaps(_ processes: String) -> [String]? {
        do throws(Errno) {
            return try FileSystem.bytes(of: processes + "/swaps").split(separator: 0x0a).dropFirst()
                .compactMap { line in
                    line.split(whereSeparator: { $0 == 0x20 || $0 == 0x09 }).first.map {
                        MountTable.unescaped($0)
                    }
                }
        } catch {
            // A kernel that is built without swap has no such file.
            return error == .noSuchEntry && FileSystem.exists(processes + "/self/mountinfo") ? [] : nil
        }
    }

    /// What couldn't be told.
    var undetermined: [String] {
        var sentences: [String] = []
        if !table.isComplete { sentences.append("what is mounted: the table of mounts can't be read whole") }
        if table.unreadableProcesses > 0 {
            let count = table.unreadableProcesses
            sentences.append(
                "what is mounted in other mount namespaces: \(count) "
                    + (count == 1 ? "process" : "processes") + " can't be looked into")
        }
        if swaps == nil { sentences.append("what is in use as swap: the list can't be read") }
        if FileSystem.exists(sysfs + "/module/zfs") {
            sentences.append("whether a ZFS pool uses it: ask `zpool status`")
        }
        return sentences
    }

    /// Reads a disk or a partition of the device itself.
    mutating func read(_ name: String) {
        // A path to a disk that several controllers lead to (`nvme0c1n1`) is used by the name of the disk (`nvme0n1`),
        // whose folder isn't below the device.
        if let head = Self.head(ofPath: name), FileSystem.exists("\(sysfs)/class/block/\(head)") {
            read(head)
            for partition in partitions(of: head) { read(partition) }
            return
        }
        guard seen.count < Self.mostNames, seen.insert(name).inserted else { return }
        own(name).forEach { add($0, of: name, through: nil) }
        for holder in holders(of: name) {
            let found = carried(by: holder, depth: 0)
            if found.isEmpty {
                uses.append(
                    Use(.volume, name, "\(name) belongs to \(label(holder))", isActive: true))
            }
            for (volume, fact) in found { add(fact, of: name, through: volume) }
        }
    }

    /// What a block device is used for by itself.
    private enum Fact {
        case mounted([MountTable.Mount])
        case swap
        case pool
    }

    private mutating func add(_ fact: Fact, of name: String, through volume: String?) {
        let subject = volume.map { "\(name) carries \(label($0)), which" } ?? name
        let node = "/dev/\(volume ?? name)"
        switch fact {
        case .mounted(let mounts):
            let places = mounts.map { PrintableText.of($0.place.utf8, limit: 1024) }
            var text = "\(subject) is mounted at " + places.prefix(4).joined(separator: ", ")
            if places.count > 4 { text += " and \(places.count - 4) more places" }
            if let process = mounts.first?.process {
                text += " (in the mount namespace of process \(process))"
            }
            // Nobody can unmount what the machine runs from, nor from here what another namespace has.
            let isOurs = mounts.allSatisfy { $0.process == nil && $0.place != "/" }
            uses.append(
                Use(
                    .mounted, name, text, isActive: true,
                    remedy: isOurs ? "umount " + places.joined(separator: " ") : nil))
        case .swap:
            uses.append(
                Use(.swap, name, "\(subject) is in use as swap", isActive: true, remedy: "swapoff \(node)"))
        case .pool:
            uses.append(
                Use(.mounted, name, "\(subject) is part of a mounted btrfs file system", isActive: true))
        }
    }

    /// What a block device is used for by itself.
    private func own(_ name: String) -> [Fact] {
        let number = try? FileSystem.text(of: "\(sysfs)/class/block/\(name)/dev")
        let mapped = try? FileSystem.text(of: "\(sysfs)/class/block/\(name)/dm/name")
        var facts: [Fact] = []
        let here = table.mounts.filter { mount in
            if mount.number == number { return true }
            return mount.number.hasPrefix("0:")
                && mount.source.split(separator: ":").contains { means(String($0), name, mapped) }
        }
        // Other namespaces mostly see what we see: they are of interest where we see nothing.
        let ours = here.filter { $0.process == nil }
        if let first = here.first {
            facts.append(.mounted(ours.isEmpty ? here.filter { $0.process == first.process } : ours))
        } else if poolMembers.contains(name) {
            facts.append(.pool)
        }
        if swaps?.contains(where: { means($0, name, mapped) }) == true { facts.append(.swap) }
        return facts
    }

    /// Whether a path is that of a block device's node.
    private func means(_ source: String, _ name: String, _ mapped: String?) -> Bool {
        guard source.hasPrefix("/dev/") else { return false }
        let path = source.dropFirst(5)
        if path == name || (mapped.map { path == "mapper/" + $0 } ?? false) { return true }
        guard let target = try? FileSystem.linkTarget(devices + "/" + path) else { return false }
        return PathText.last(target) == name
    }

    private func partitions(of name: String) -> [String] {
        let folder = "\(sysfs)/class/block/\(name)"
        return ((try? FileSystem.names(in: folder, limit: Self.mostNames)) ?? []).sorted().filter {
            $0.hasPrefix(name) && FileSystem.exists("\(folder)/\($0)/partition")
        }
    }

    private func holders(of name: String) -> [String] {
        ((try? FileSystem.names(in: "\(sysfs)/class/block/\(name)/holders", limit: 64)) ?? []).sorted()
    }

    /// What a volume and all that is made of it are used for.
    private mutating func carried(by name: String, depth: Int) -> [(String, Fact)] {
        guard depth < Self.deepest, visits < Self.mostNames else { return [] }
        visits += 1
        var found = own(name).map { (name, $0) }
        for part in partitions(of: name) { found += own(part).map { (part, $0) } }
        for holder in holders(of: name) + partitions(of: name).flatMap({ holders(of: $0) }) {
            found += carried(by: holder, depth: depth + 1)
        }
        return found
    }

    /// "dm-0 (vg-root)", "md0"
    private func label(_ name: String) -> String {
        let mapped = try? FileSystem.text(of: "\(sysfs)/class/block/\(name)/dm/name")
        return PrintableText.of((mapped.map { "\(name) (\($0))" } ?? name).utf8)
    }

    /// The disk that a path to it is for: "nvme0n1" for "nvme0c1n1"; nil for what is no such path.
    static func head(ofPath name: String) -> String? {
        guard name.hasPrefix("nvme"), let c = name.firstIndex(of: "c"),
            let n = name[c...].firstIndex(of: "n"),
            name[name.index(name.startIndex, offsetBy: 4)..<c].allSatisfy(\.isNumber),
            name[name.index(after: c)..<n].allSatisfy(\.isNumber)
        else { return nil }
        return name[..<c] + String(name[n...])
    }
}
