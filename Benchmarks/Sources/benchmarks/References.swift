import Glibc

/// What numbers are compared with: things that everybody knows, measured in the same run.
struct References {
    /// A system call that does nothing.
    var systemCall: Timing

    /// Copying 4 KiB within the cache.
    var copy: Timing

    init(_ options: Options) {
        systemCall = measure(operations: 20_000, repeats: options.repeats) {
            for _ in 0..<20_000 { keep(UInt64(getppid())) }
        }
        copy = References.measureCopy(options)
    }

    private static func measureCopy(_ options: Options) -> Timing {
        let source = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
        let target = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
        defer {
            // SAFETY: allocated above, used below only.
            unsafe source.deallocate()
            unsafe target.deallocate()
        }
        // SAFETY: both are 4,096 bytes.
        unsafe memset(source, 1, 4096)
        unsafe memset(target, 1, 4096)
        return measure(operations: 20_000, repeats: options.repeats) {
            for _ in 0..<20_000 {
                // SAFETY: both are 4,096 bytes.
                unsafe memcpy(target, source, 4096)
                keep(unsafe target.load(as: UInt64.self))
            }
        }
    }

    /// Looking up a random one of `count` numbers in a Swift dictionary, each look-up waiting for the one
    /// before.
    static func dictionary(_ count: Int, _ options: Options) -> Timing {
        var random = FixedGenerator()
        var dictionary: [UInt64: UInt64] = [:]
        for index in 0..<count { dictionary[UInt64(index) << 13] = UInt64(index) }
        let keys = (0..<max(200_000, count)).map { _ in (random.next() % UInt64(count)) << 13 }
        return measure(operations: keys.count, repeats: options.repeats) {
            var chain: UInt64 = 0
            for key in keys {
                chain &+= dictionary[key | chain >> 63] ?? 0
            }
            keep(chain)
        }
    }

    func print() {
        var table = Table(["reference", "ns (minimum)", "ns (median)"])
        for (name, timing) in [
            ("getppid system call", systemCall), ("memcpy of 4 KiB", copy),
        ] {
            table.add([name, fixed(timing.minimum), fixed(timing.median)])
        }
        table.print()
    }
}
