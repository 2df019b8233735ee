import LinuxSystem

/// What reading something gave.
enum Reading<Value> {
    case found(Value)
    case absent
    case unreadable(Errno)

    /// What stood there; nil where nothing did or it couldn't be read.
    var value: Value? {
        if case .found(let value) = self { value } else { nil }
    }

    var isAbsent: Bool {
        if case .absent = self { true } else { false }
    }

    /// Whether nobody can tell what stands there.
    var isUnreadable: Bool {
        if case .unreadable = self { true } else { false }
    }

    func map<Other>(_ body: (Value) -> Other) -> Reading<Other> {
        switch self {
        case .found(let value): .found(body(value))
        case .absent: .absent
        case .unreadable(let errno): .unreadable(errno)
        }
    }
}

/// Reads for a check and keeps what was read as evidence.
struct Notes {
    /// What was read so far.
    private(set) var evidence: [Evidence] = []

    /// Keeps something as evidence.
    mutating func note(_ place: String, _ found: String) {
        let new = Evidence(place, found)
        // Two questions may need the same file.
        if !evidence.contains(new) { evidence.append(new) }
    }

    /// A small text file without the white space at its end.
    mutating func text(_ path: String) -> Reading<String> {
        let reading = Self.read { () throws(Errno) in try FileSystem.text(of: path) }
        note(path, reading) { $0.isEmpty ? "(empty)" : $0 }
        return reading
    }

    /// A file of which only some lines are worth keeping.
    /// - Parameter keep: whether a line is evidence.
    mutating func lines(
        _ path: String, limit: Int = 1 << 20, keep: (Substring) -> Bool
    ) -> Reading<[Substring]> {
        let reading = Self.read { () throws(Errno) in try FileSystem.bytes(of: path, limit: limit) }
            .map { String(decoding: $0, as: UTF8.self).split(separator: "\n").filter(keep) }
        note(path, reading) { $0.isEmpty ? "(nothing about it)" : $0.prefix(4).joined(separator: "; ") }
        return reading
    }

    /// The names in a folder, in order.
    mutating func names(_ path: String, limit: Int = 65_536) -> Reading<[String]> {
        let reading = Self.read { () throws(Errno) in try FileSystem.names(in: path, limit: limit) }
            .map { $0.sorted() }
        note(path, reading) { names in
            if names.isEmpty { return "(empty)" }
            let shown = names.prefix(8).joined(separator: " ")
            return names.count > 8 ? "\(shown) and \(names.count - 8) more" : shown
        }
        return reading
    }

    /// The last part of what a symbolic link says.
    mutating func link(_ path: String) -> Reading<String> {
        let reading = Self.read { () throws(Errno) in try FileSystem.linkTarget(path) }
            .map { $0.split(separator: "/").last.map(String.init) ?? "" }
        note(path, reading) { "→ " + $0 }
        return reading
    }

    /// A file of bytes; the caller says what is evidence in it.
    mutating func bytes(_ path: String, limit: Int, _ found: ([UInt8]) -> String) -> Reading<[UInt8]> {
        let reading = Self.read { () throws(Errno) in try FileSystem.bytes(of: path, limit: limit) }
        note(path, reading, found)
        return reading
    }

    /// Whether there is such a file or folder.
    mutating func exists(_ path: String) -> Bool {
        let exists = FileSystem.exists(path)
        note(path, exists ? "there" : "not there")
        return exists
    }

    private mutating func note<Value>(_ path: String, _ reading: Reading<Value>, _ found: (Value) -> String) {
        switch reading {
        case .found(let value): note(path, found(value))
        case .absent: note(path, "not there")
        case .unreadable(let errno): note(path, "can't be read: \(errno)")
        }
    }

    private static func read<Value>(_ body: () throws(Errno) -> Value) -> Reading<Value> {
        do throws(Errno) {
            return .found(try body())
        } catch {
            return error == .noSuchEntry || error == .notDirectory ? .absent : .unreadable(error)
        }
    }
}
