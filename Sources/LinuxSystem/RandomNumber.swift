import CLinux

/// Numbers that nobody can guess, from the kernel (`getentropy`).
public enum RandomNumber {
    /// 64 random bits.
    /// - Throws: `ENOSYS` on a kernel that has none.
    public static func bits64() throws(Errno) -> UInt64 {
        var value: UInt64 = 0
        // SAFETY: a local variable is filled.
        _ = try checked { unsafe clinux_random64(&value) }
        return value
    }
}
