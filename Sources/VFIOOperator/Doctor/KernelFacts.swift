/// A kernel's version, as far as features depend on it.
struct KernelVersion: Comparable, CustomStringConvertible {
    let major: Int
    let minor: Int

    init(_ major: Int, _ minor: Int) {
        self.major = major
        self.minor = minor
    }

    /// Reads the beginning of a release such as "6.1.0-56-amd64" or "7.2-rc1".
    init?(release: String) {
        let parts = release.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count >= 2, let major = Int(parts[0]), let minor = Int(parts[1].prefix { $0.isNumber }),
            major >= 0
        else { return nil }
        self.init(major, minor)
    }

    var description: String { "\(major).\(minor)" }

    static func < (a: KernelVersion, b: KernelVersion) -> Bool { (a.major, a.minor) < (b.major, b.minor) }
}

extension Examination {
    /// The running kernel's release (`/proc/sys/kernel/osrelease`).
    func release(_ notes: inout Notes) -> Reading<String> {
        notes.text(roots.processes + "/sys/kernel/osrelease")
    }

    /// The kernel's command line, its words (`/proc/cmdline`). What follows "--" is for the first process.
    func commandLine(_ notes: inout Notes) -> Reading<CommandLine> {
        let path = roots.processes + "/cmdline"
        // The rest of it is nobody's business.
        return notes.bytes(path, limit: 65_536) { bytes in
            let words = CommandLine(String(decoding: bytes, as: UTF8.self)).words.filter { word in
                ["iommu", "intremap", "acs", "vfio", "hugepages"].contains { word.contains($0) }
            }
            return words.isEmpty ? "(nothing about it)" : words.joined(separator: " ")
        }.map { CommandLine(String(decoding: $0, as: UTF8.self)) }
    }
}

/// The words of a kernel's command line.
struct CommandLine {
    let words: [Substring]

    init(_ text: String) {
        words = Array(text.split { $0 == " " || $0 == "\t" || $0 == "\n" }.prefix { $0 != "--" })
    }

    /// What the last word of a name is set to; nil where there is none. Values may be lists ("on,sm_on").
    func value(of name: String) -> [Substring]? {
        words.last { $0.hasPrefix(name + "=") }?.dropFirst(name.count + 1).split(separator: ",")
    }

    /// The word by which an option of a name has one of some values, such as "intel_iommu=off".
    func word(_ name: String, _ values: Set<Substring>) -> String? {
        guard let value = value(of: name)?.first(where: { values.contains($0) }) else { return nil }
        return "\(name)=\(value)"
    }

    /// Whether a word stands there by itself or with a value.
    func has(_ name: String) -> Bool { words.contains { $0 == name || $0.hasPrefix(name + "=") } }
}
