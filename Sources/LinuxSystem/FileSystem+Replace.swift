import CLinux

extension FileSystem {
    /// Puts a file with these bytes in the place of whatever has the name, so that others see the old contents or the
    /// new ones, whole, also after the machine has lost its power.
    ///
    /// In the meantime there is a file with ".new" behind the name.
    public static func replaceFile(_ path: String, _ bytes: [UInt8]) throws(Errno) {
        let new = path + ".new"
        // One that was left behind, and may be a link to somewhere else.
        do throws(Errno) { try unlink(new) } catch { if error != .noSuchEntry { throw error } }
        let file = try Descriptor(opening: new, [.writeOnly, .create, .exclusive])
        var done = 0
        while done < bytes.count {
            // SAFETY: the array's bytes are all initialised.
            let rest = unsafe bytes.span.extracting(droppingFirst: done).bytes
            let count = try file.write(at: UInt64(done), rest)
            if count == 0 { throw .inputOutput }
            done += count
        }
        try file.synchronizeData()
        // SAFETY: the C strings live through the call.
        _ = try checked {
            unsafe new.withCString { from in unsafe path.withCString { unsafe clinux_rename(from, $0) } }
        }
    }
}
