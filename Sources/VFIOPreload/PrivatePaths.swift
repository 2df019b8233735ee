import CLinux

/// The paths that are answered from the run's own folder.
enum PrivatePaths {
    /// How long a path may be, with the NUL at its end: `PATH_MAX`.
    static let most = 4096

    // SAFETY: goes from false to true once.
    /// Whether this process has used one, or began in one of their folders: relative ones may lead there.
    nonisolated(unsafe) private(set) static var wereUsed = false

    /// Looks at the current folder. Called by the library's constructor.
    static func begin() {
        unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: most) { room in
            guard let start = room.baseAddress else { return }
            let result = unsafe RealCalls.call(.getcwd, as: RealCalls.CurrentFolder.self)(start, most)
            if unsafe result != nil, unsafe beginsWithRoot(start) { unsafe wereUsed = true }
        }
    }

    /// What the paths begin with: everything that tells of PCI devices, their groups and VFIO.
    private static let prefixes: InlineArray<_, StaticString> = [
        "/sys/bus/pci", "/sys/devices/pci", "/sys/kernel/iommu_groups", "/sys/class/vfio", "/sys/class/iommu",
        "/sys/module/vfio", "/sys/module/iommufd", "/sys/bus/mdev", "/sys/class/mdev_bus", "/dev/vfio",
        "/dev/iommu",
    ]

    /// Whether a path is one that the run's folder answers.
    static func contains(_ path: UnsafePointer<CChar>) -> Bool {
        // Most paths are told apart by a character or two.
        guard unsafe path[0] == CChar(UInt8(ascii: "/")) else { return false }
        let second = unsafe UInt8(bitPattern: path[1])
        guard second == UInt8(ascii: "s") || second == UInt8(ascii: "d") else { return false }
        for index in prefixes.indices where unsafe begins(path, prefixes[index]) { return true }
        return false
    }

    private static func begins(_ path: UnsafePointer<CChar>, _ prefix: StaticString) -> Bool {
        for index in 0..<prefix.utf8CodeUnitCount {
            // SAFETY: the index is below the prefix's length; a NUL in the path differs from all of the prefix.
            if unsafe UInt8(bitPattern: path[index]) != prefix.utf8Start[index] { return false }
        }
        return true
    }

    /// Calls a function with the path to use in place of another: one in the run's folder, or the path itself.
    @inline(__always)
    static func using<R>(_ path: UnsafePointer<CChar>?, _ body: (UnsafePointer<CChar>?) -> R) -> R {
        guard Run.isActive, let path = unsafe path, unsafe contains(path) else { return unsafe body(path) }
        return unsafe usingPrivate(path, body)
    }

    @inline(never)
    private static func usingPrivate<R>(
        _ path: UnsafePointer<CChar>, _ body: (UnsafePointer<CChar>?) -> R
    ) -> R {
        unsafe wereUsed = true
        return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: most) { room in
            var count = 0
            for byte in unsafe Run.root where count < most - 1 {
                unsafe room[count] = CChar(bitPattern: byte)
                count += 1
            }
            var at = 0
            // SAFETY: the program's path ends with a NUL, which ends the loop at the latest.
            while unsafe path[at] != 0 {
                // Too long for any path: the C library says so itself.
                guard count < most - 1 else { return unsafe body(path) }
                unsafe room[count] = path[at]
                count += 1
                at += 1
            }
            unsafe room[count] = 0
            return unsafe body(UnsafePointer(room.baseAddress))
        }
    }

    /// Whether a text begins with the run's folder and a path in it.
    static func beginsWithRoot(_ text: UnsafePointer<CChar>) -> Bool {
        let root = unsafe Run.root
        guard !root.isEmpty else { return false }
        for (index, byte) in root.enumerated() {
            // SAFETY: a NUL in the text differs from all of the root.
            if unsafe UInt8(bitPattern: text[index]) != byte { return false }
        }
        return unsafe text[root.count] == CChar(UInt8(ascii: "/"))
    }

    /// Takes the run's folder off the beginning of a path that the C library answered with.
    static func takeRootOff(_ path: UnsafeMutablePointer<CChar>) {
        guard unsafe beginsWithRoot(path) else { return }
        let count = unsafe Run.root.count
        // SAFETY: both lie in the same text, whose NUL moves along.
        unsafe memmove(path, path + count, strlen(path + count) + 1)
    }
}
