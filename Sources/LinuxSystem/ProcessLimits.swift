import CLinux

/// What this process may use.
public enum ProcessLimits {
    /// The user who started the process (its real user ID).
    public static var userID: UInt32 { clinux_real_user() }

    /// The group of the user who started the process (its real group ID).
    public static var groupID: UInt32 { clinux_real_group() }

    /// How much memory may be locked (`RLIMIT_MEMLOCK`): the soft limit in bytes, `UInt64.max` for no limit.
    public static var lockedMemory: UInt64 {
        var soft: UInt64 = 0
        var hard: UInt64 = 0
        // SAFETY: two local variables are filled.
        _ = unsafe clinux_memlock_limit(&soft, &hard)
        return soft
    }

    /// Sets the soft limit of locked memory, up to the hard limit (above it only with privilege).
    public static func setLockedMemory(_ byteCount: UInt64) throws(Errno) {
        var soft: UInt64 = 0
        var hard: UInt64 = 0
        // SAFETY: two local variables are filled.
        _ = unsafe clinux_memlock_limit(&soft, &hard)
        let newHard = max(hard, byteCount)
        _ = try checked { clinux_set_memlock_limit(byteCount, newHard) }
    }

    /// The number that every descriptor of this process is below (`RLIMIT_NOFILE`): the soft limit.
    public static var descriptors: UInt64 { clinux_descriptor_limit() }

    /// Sets the soft limit of descriptors, up to the hard limit. Those that are open stay open.
    public static func setDescriptors(_ count: UInt64) throws(Errno) {
        _ = try checked { clinux_set_descriptor_limit(count) }
    }

    /// A right that the super-user's processes have, and may do without (capabilities(7)).
    public enum Capability: Int32, Sendable {
        /// `CAP_IPC_LOCK`
        case lockMemory = 14
        /// `CAP_SYS_RAWIO`
        case rawIO = 17
    }

    /// Gives up a capability for the calling thread, or takes up one that it is permitted to have: the
    /// effective set only.
    public static func setCapability(_ capability: Capability, _ isHeld: Bool) throws(Errno) {
        _ = try checked { clinux_set_capability(capability.rawValue, isHeld ? 1 : 0) }
    }

    /// The process's number: getpid(2).
    public static var processID: Int32 { getpid() }

    /// The calling thread's number: gettid(2). The first thread of a process has the process's number.
    public static var threadID: Int32 { Int32(truncatingIfNeeded: clinux_thread_id()) }

    /// Whether the process runs as the super-user.
    public static var isSuperUser: Bool { clinux_effective_user() == 0 }
}
