import CLinux

extension FileSystem {
    /// The number of the character device that a path leads to (links followed): `st_rdev`.
    /// - Returns: nil for what is no character device.
    /// - Throws: the errno of stat(2).
    public static func characterDeviceNumber(_ path: String) throws(Errno) -> (major: UInt32, minor: UInt32)?
    {
        var raw = stat()
        // SAFETY: the kernel fills the structure; the C string lives through the call.
        _ = try checked { unsafe path.withCString { unsafe clinux_stat($0, &raw) } }
        // SAFETY: the helper only reads the structure.
        guard unsafe clinux_mode(&raw) & 0o170000 == 0o020000 else { return nil }
        let number = UInt64(raw.st_rdev)
        // As makedev(3) lays them out on Linux.
        return (
            UInt32(truncatingIfNeeded: number >> 8 & 0xfff | number >> 32 & 0xffff_f000),
            UInt32(truncatingIfNeeded: number & 0xff | number >> 12 & 0xffff_ff00)
        )
    }
}
