import LinuxSystem

/// What can be told of a program before it is started: whether a library can be loaded under it (`LD_PRELOAD`), and
/// whether its system calls will come by there.
///
/// A program that is started by another can't be looked at; neither can what a program does at run time.
struct ForeignProgram {
    /// Why a library wouldn't see a program's calls.
    enum Obstacle: Equatable {
        /// Nothing loads libraries for it.
        case isStatic
        /// Its run-time library makes system calls by itself. It may still use the C library for some things.
        case isGo
        /// The dynamic loader of another C library.
        case isMusl
        /// A program for other processors, or for this one's 32-bit mode.
        case isForeignArchitecture
        /// It runs with rights that whoever starts it doesn't have: the loader ignores `LD_PRELOAD` then.
        case changesRights
    }

    /// The file that the system runs in the end: for a script, its interpreter.
    let path: String
    /// The script that it interprets; nil if it is the program itself.
    let script: String?
    /// What stands in the way; nil if nothing is known to.
    let obstacle: Obstacle?

    /// Looks at a program as execvp(3) finds it.
    /// - Returns: nil if there is no such program, it can't be read, or isn't of a form that is known: starting it tells
    ///   more.
    init?(_ name: String) {
        guard var path = Self.find(name) else { return nil }
        var script: String?
        var head = Self.head(of: path)
        var depth = 0
        while let interpreter = Self.interpreter(head) {
            guard depth < 4, let next = Self.find(interpreter) else { return nil }
            if script == nil { script = path }
            path = next
            head = Self.head(of: path)
            depth += 1
        }
        self.path = path
        self.script = script
        guard let program = ProgramHead(head) else { return nil }
        let own = ProgramHead(Self.head(of: "/proc/self/exe"))
        if program.architecture != own?.architecture || !program.is64Bit {
            obstacle = .isForeignArchitecture
        } else if Self.changesRights(path) {
            obstacle = .changesRights
        } else if let loader = program.loader {
            obstacle = loader.contains("ld-musl") ? .isMusl : program.isGo ? .isGo : nil
        } else {
            // The dynamic loader itself has none, and loads what it is told to.
            obstacle = Self.isLoader(path) ? nil : .isStatic
        }
    }

    /// What stands in the way, in words for whoever wants to run it; nil if nothing is known to.
    var complaint: String? {
        guard let obstacle else { return nil }
        let name = script.map { "\($0) is run by \(path), which" } ?? path
        return switch obstacle {
        case .isStatic:
            "\(name) is statically linked: no library can be loaded under it, so it would see this machine's own devices"
        case .isGo:
            "\(name) is written in Go, which makes system calls by itself: what it opens by them is this machine's own"
        case .isMusl:
            "\(name) is linked with musl's C library; the library for vfio run needs the GNU C library"
        case .isForeignArchitecture:
            "\(name) is a program for another kind of processor than vfio run's library"
        case .changesRights:
            "\(name) runs with rights of its own (setuid, setgid or file capabilities), and then no library is loaded under it"
        }
    }

    // MARK: files

    private static func find(_ name: String) -> String? {
        if name.utf8.contains(UInt8(ascii: "/")) { return FileSystem.exists(name) ? name : nil }
        let path = ChildProcess.environmentValue("PATH") ?? "/bin:/usr/bin"
        for folder in path.split(separator: ":", omittingEmptySubsequences: false) {
            let place = (folder.isEmpty ? "." : folder) + "/" + name
            if FileSystem.isExecutable(place) { return place }
        }
        return nil
    }

    private static func head(of path: String) -> [UInt8] {
        (try? FileSystem.bytes(of: path, limit: 65_536)) ?? []
    }

    /// What a script's first line names; of `/usr/bin/env NAME`, the name.
    private static func interpreter(_ head: [UInt8]) -> String? {
        guard head.starts(with: [UInt8(ascii: "#"), UInt8(ascii: "!")]) else { return nil }
        let line = head.prefix(256).dropFirst(2).prefix { $0 != UInt8(ascii: "\n") }
        let words = line.split {
            $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") || $0 == UInt8(ascii: "\r")
        }
        .map { String(decoding: $0, as: UTF8.self) }
        guard let first = words.first else { return nil }
        if first.hasSuffix("/env"),
            let second = words.dropFirst().first(where: { !$0.hasPrefix("-") && !$0.contains("=") })
        {
            return second
        }
        return first
    }

    private static func changesRights(_ path: String) -> Bool {
        guard let rights = try? FileSystem.rights(of: path) else { return false }
        let user = ProcessLimits.userID
        if rights.mode & 0o4000 != 0 && rights.owner != user { return true }
        // Without a right to execute for the group, the bit means something else.
        if rights.mode & 0o2010 == 0o2010 && rights.group != ProcessLimits.groupID { return true }
        return user != 0 && FileSystem.hasAttribute("security.capability", path)
    }

    private static func isLoader(_ path: String) -> Bool {
        let name = path.split(separator: "/").last ?? ""
        return name.hasPrefix("ld-linux") || name.hasPrefix("ld.so") || name.hasPrefix("ld64.so")
            || name.hasPrefix("ld-2.")
    }
}

/// What the beginning of a program's file tells (ELF, little-endian).
struct ProgramHead: Equatable {
    /// Which processors it is for: `e_machine`.
    let architecture: UInt16
    let is64Bit: Bool
    /// Who loads it and its libraries (`PT_INTERP`); nil if nobody does.
    let loader: String?
    /// Whether Go's tools made it.
    let isGo: Bool

    /// Reads it.
    /// - Parameter bytes: the file's first bytes; what lies beyond isn't seen.
    /// - Returns: nil for what isn't such a program.
    init?(_ bytes: [UInt8]) {
        func number(_ at: Int, _ count: Int) -> Int? {
            guard at >= 0, count <= bytes.count, at <= bytes.count - count else { return nil }
            var value = 0
            for index in (0..<count).reversed() {
                guard value >> 55 == 0 else { return nil }
                value = value << 8 | Int(bytes[at + index])
            }
            return value
        }
        guard bytes.starts(with: [0x7f, 0x45, 0x4c, 0x46]), bytes.count >= 52, bytes[5] == 1 else {
            return nil
        }
        is64Bit = bytes[4] == 2
        architecture = UInt16(number(18, 2) ?? 0)
        var loader: String?
        var isGo = false
        let (start, size, count) =
            is64Bit
            ? (number(32, 8), number(54, 2), number(56, 2)) : (number(28, 4), number(42, 2), number(44, 2))
        if let start, let size, let count, size >= 32 {
            for index in 0..<count {
                let (at, overflow) = start.addingReportingOverflow(index * size)
                guard !overflow, let kind = number(at, 4),
                    let place = is64Bit ? number(at + 8, 8) : number(at + 4, 4),
                    let length = is64Bit ? number(at + 32, 8) : number(at + 16, 4), place < bytes.count
                else { continue }
                let part = bytes[place..<min(bytes.count, place + min(length, 4096))]
                // PT_INTERP, PT_NOTE.
                if kind == 3 { loader = String(decoding: part.prefix { $0 != 0 }, as: UTF8.self) }
                // A note's head is its name's length, its content's, and its type: 4 is Go's build ID.
                if kind == 4, part.starts(with: [4, 0, 0, 0]), part.count >= 16, part[place + 8] == 4,
                    part[(place + 12)...].starts(with: [0x47, 0x6f, 0, 0])
                {
                    isGo = true
                }
            }
        }
        self.loader = loader
        self.isGo = isGo
    }
}
