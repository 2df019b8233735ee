import CLinux

/// Small reads of the file system's names and small files, as sysfs needs them.
public enum FileSystem {
    /// What a path leads to (links followed): stat(2).
    public static func status(_ path: String) throws(Errno) -> Descriptor.Status {
        var raw = stat()
        // SAFETY: the kernel fills the structure; the C string lives through the call.
        _ = try checked { unsafe path.withCString { unsafe clinux_stat($0, &raw) } }
        return Descriptor.Status(raw)
    }

    /// Whether a path leads anywhere.
    public static func exists(_ path: String) -> Bool {
        // SAFETY: the C string lives through the call.
        unsafe path.withCString { unsafe clinux_access($0, F_OK) } == 0
    }

    /// Whether this process may read and write the file: access(2) with real ids.
    public static func isReadableAndWritable(_ path: String) -> Bool {
        // SAFETY: the C string lives through the call.
        unsafe path.withCString { unsafe clinux_access($0, R_OK | W_OK) } == 0
    }

    /// Whether this process may run the file: access(2) with real ids.
    public static func isExecutable(_ path: String) -> Bool {
        // SAFETY: the C string lives through the call.
        unsafe path.withCString { unsafe clinux_access($0, X_OK) } == 0
    }

    /// Who may do what with a file (links followed): its mode's low twelve bits, its owner and its group.
    public static func rights(
        of path: String
    ) throws(Errno) -> (mode: UInt32, owner: UInt32, group: UInt32) {
        var raw = stat()
        // SAFETY: the kernel fills the structure; the C string lives through the call.
        _ = try checked { unsafe path.withCString { unsafe clinux_stat($0, &raw) } }
        // SAFETY: the helper only reads the structure.
        return (unsafe clinux_mode(&raw) & 0o7777, raw.st_uid, raw.st_gid)
    }

    /// Whether a file has an extended attribute (links followed).
    public static func hasAttribute(_ name: String, _ path: String) -> Bool {
        // SAFETY: the C strings live through the call.
        unsafe path.withCString { path in
            unsafe name.withCString { unsafe clinux_has_attribute(path, $0) }
        } != 0
    }

    /// Where a symbolic link points, as text.
    public static func linkTarget(_ path: String) throws(Errno) -> String {
        var target = [UInt8](repeating: 0, count: 4096)
        // SAFETY: at most `count` bytes are written into the array's own memory.
        let result = unsafe target.withUnsafeMutableBytes { buffer in
            unsafe path.withCString { name in
                unsafe clinux_readlink(name, buffer.bindMemory(to: CChar.self).baseAddress, buffer.count)
            }
        }
        let count = try checked { result }
        return String(decoding: target[..<count], as: UTF8.self)
    }

    /// The names in a directory, without "." and "..", in no particular order; at most `limit`.
    public static func names(in path: String, limit: Int = 65_536) throws(Errno) -> [String] {
        var error: Int32 = 0
        // SAFETY: the stream is closed below and used in between only.
        guard let stream = unsafe path.withCString({ unsafe clinux_opendir($0, &error) }) else {
            throw Errno(rawValue: error)
        }
        defer { unsafe clinux_closedir(stream) }
        var names: [String] = []
        // SAFETY: the name is copied before the next readdir.
        while names.count < limit, let raw = unsafe clinux_readdir(stream) {
            let name = unsafe String(cString: raw)
            let bytes = name.utf8
            if bytes.first == UInt8(ascii: ".") && bytes.count <= 2
                && bytes.allSatisfy({ $0 == UInt8(ascii: ".") })
            {
                continue
            }
            names.append(name)
        }
        return names
    }

    /// A small file, whole.
    /// - Parameter limit: the most that is read, in bytes; the rest is left out.
    public static func bytes(of path: String, limit: Int = 65_536) throws(Errno) -> [UInt8] {
        let file = try Descriptor(opening: path)
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while bytes.count < limit {
            var span = chunk.mutableSpan
            // SAFETY: the array holds plain bytes: any value written into it is one of its own.
            var raw = unsafe span.mutableBytes
            let count = try file.read(at: UInt64(bytes.count), into: &raw)
            if count == 0 { break }
            bytes.append(contentsOf: chunk[..<min(count, limit - bytes.count)])
        }
        return bytes
    }

    /// A small text file without trailing white space, as sysfs writes its attributes.
    public static func text(of path: String) throws(Errno) -> String {
        var bytes = try bytes(of: path)
        while let last = bytes.last, last == 0x0a || last == 0x20 || last == 0 { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Writes a text to a file that exists, in one write(2), as the attributes of sysfs want it.
    public static func write(_ text: String, to path: String) throws(Errno) {
        let file = try Descriptor(opening: path, .writeOnly)
        let bytes = Array(text.utf8)
        // SAFETY: the array's bytes are all initialised.
        let count = try Descriptor.write(file.number, at: 0, unsafe bytes.span.bytes)
        guard count == bytes.count else { throw .inputOutput }
    }

    /// Makes a folder, and those above it that aren't there.
    /// - Throws: the errno of mkdir(2), other than that it exists.
    public static func makeFolders(_ path: String) throws(Errno) {
        let bytes = Array(path.utf8)
        for end in bytes.indices where end > 0 && bytes[end] == UInt8(ascii: "/") {
            try makeFolder(String(decoding: bytes[..<end], as: UTF8.self))
        }
        try makeFolder(path)
    }

    private static func makeFolder(_ path: String) throws(Errno) {
        do throws(Errno) {
            // SAFETY: the C string lives through the call.
            _ = try checked { unsafe path.withCString { unsafe clinux_mkdir($0, 0o755) } }
        } catch {
            if error != .exists { throw error }
        }
    }

    /// Makes a file with these bytes; one that is there is overwritten.
    public static func makeFile(_ path: String, _ bytes: [UInt8] = []) throws(Errno) {
        let file = try Descriptor(opening: path, [.writeOnly, .create, .truncate])
        var done = 0
        while done < bytes.count {
            // SAFETY: the array's bytes are all initialised.
            let rest = unsafe bytes.span.extracting(droppingFirst: done).bytes
            let count = try file.write(at: UInt64(done), rest)
            if count == 0 { throw .inputOutput }
            done += count
        }
    }

    /// Makes the name of a socket at which nobody listens: whoever opens it is told `ENXIO`.
    /// - Parameters:
    ///   - mode: who may do what with it (`0600`), whatever the process's mask.
    ///   - seconds: its time of change.
    ///   - nanoseconds: what is added to that; below 1 000 000 000.
    /// - Throws: `EEXIST` where the name is taken.
    public static func makeSocketName(
        _ path: String, mode: UInt32, seconds: Int64, nanoseconds: Int
    ) throws(Errno) {
        // SAFETY: the C string lives through the call.
        _ = try checked {
            unsafe path.withCString { unsafe clinux_make_socket_name($0, mode, seconds, nanoseconds) }
        }
    }

    /// Makes a symbolic link.
    /// - Parameters:
    ///   - path: the link's own name.
    ///   - target: what it says.
    /// - Throws: `EEXIST` where the name is taken.
    public static func makeLink(_ path: String, to target: String) throws(Errno) {
        // SAFETY: the C strings live through the call.
        _ = try checked {
            unsafe target.withCString { target in
                unsafe path.withCString { unsafe clinux_symlink(target, $0) }
            }
        }
    }

    /// Makes a folder of a name that nobody has, which only this user may enter: mkdtemp(3).
    /// - Parameter prefix: what its path begins with; six characters follow.
    /// - Returns: its path.
    public static func makeTemporaryFolder(_ prefix: String) throws(Errno) -> String {
        var path = Array(prefix.utf8) + Array("XXXXXX".utf8) + [0]
        // SAFETY: the function changes six bytes of the array, which ends with a NUL.
        _ = try checked(retrying: false) {
            unsafe path.withUnsafeMutableBytes { buffer in
                unsafe clinux_make_temporary_folder(buffer.bindMemory(to: CChar.self).baseAddress)
            }
        }
        return String(decoding: path.dropLast(), as: UTF8.self)
    }

    /// Names joined by slashes.
    @inline(never)
    public static func path(_ names: String...) -> String {
        var path = ""
        for name in names {
            if !path.utf8.isEmpty { path += "/" }
            path += name
        }
        return path
    }

    /// Removes a folder with everything in it. Links are removed, not followed; what can't be removed stays.
    /// - Parameter depth: how many levels of folders there may be.
    public static func removeFolder(_ path: String, depth: Int = 16) {
        if depth > 0, let names = try? names(in: path) {
            for name in names {
                let below = path + "/" + name
                // Unlinking a folder fails, and changes nothing.
                if (try? unlink(below)) == nil { removeFolder(below, depth: depth - 1) }
            }
        }
        // SAFETY: the C string lives through the call.
        _ = unsafe path.withCString { unsafe clinux_rmdir($0) }
    }

    /// Removes a name: unlink(2).
    public static func unlink(_ path: String) throws(Errno) {
        // SAFETY: the C string lives through the call.
        _ = try checked { unsafe path.withCString { unsafe clinux_unlink($0) } }
    }

    /// Gives a file another name that nobody has yet: renameat2(2) with `RENAME_NOREPLACE`.
    /// - Throws: `EEXIST` where the new name is taken.
    public static func rename(_ path: String, toNew name: String) throws(Errno) {
        // SAFETY: the C strings live through the call.
        _ = try checked {
            unsafe path.withCString { from in
                unsafe name.withCString { to in unsafe clinux_rename_new(from, to) }
            }
        }
    }
}
