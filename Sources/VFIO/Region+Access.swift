import LinuxSystem
import VFIOABI
import VFIOHost

extension Region {
    /// Loads 8 bits.
    public func load8(_ offset: Int) throws(VFIOError) -> UInt8 {
        try check(offset, 1, "read")
        if let window = mapped(offset, 1) { return window.load8(0) }
        return try slowLoad(0, offset)
    }

    /// Loads 16 bits; the offset is even.
    public func load16(_ offset: Int) throws(VFIOError) -> UInt16 {
        try check(offset, 2, "read")
        if let window = mapped(offset, 2) { return window.load16(0) }
        return try slowLoad(0, offset)
    }

    /// Loads 32 bits; the offset is a multiple of 4.
    public func load32(_ offset: Int) throws(VFIOError) -> UInt32 {
        try check(offset, 4, "read")
        if let window = mapped(offset, 4) { return window.load32(0) }
        return try slowLoad(0, offset)
    }

    /// Loads 64 bits in one access; the offset is a multiple of 8.
    public func load64(_ offset: Int) throws(VFIOError) -> UInt64 {
        try check(offset, 8, "read")
        if let window = mapped(offset, 8) { return window.load64(0) }
        return try slowLoad(0, offset)
    }

    /// Loads 64 bits as two accesses of 32, the low half first; the offset is a multiple of 4.
    public func load64LowHigh(_ offset: Int) throws(VFIOError) -> UInt64 {
        let low = try load32(offset)
        return UInt64(low) | UInt64(try load32(offset + 4)) << 32
    }

    /// Stores 8 bits.
    public func store8(_ offset: Int, _ value: UInt8) throws(VFIOError) {
        try checkStore(offset, 1)
        if let window = mapped(offset, 1) { return window.store8(0, value) }
        try slowStore(value, offset)
    }

    /// Stores 16 bits; the offset is even.
    public func store16(_ offset: Int, _ value: UInt16) throws(VFIOError) {
        try checkStore(offset, 2)
        if let window = mapped(offset, 2) { return window.store16(0, value) }
        try slowStore(value, offset)
    }

    /// Stores 32 bits; the offset is a multiple of 4.
    public func store32(_ offset: Int, _ value: UInt32) throws(VFIOError) {
        try checkStore(offset, 4)
        if let window = mapped(offset, 4) { return window.store32(0, value) }
        try slowStore(value, offset)
    }

    /// Stores 64 bits in one access; the offset is a multiple of 8.
    public func store64(_ offset: Int, _ value: UInt64) throws(VFIOError) {
        try checkStore(offset, 8)
        if let window = mapped(offset, 8) { return window.store64(0, value) }
        try slowStore(value, offset)
    }

    /// Stores 64 bits as two accesses of 32, the low half first; the offset is a multiple of 4.
    public func store64LowHigh(_ offset: Int, _ value: UInt64) throws(VFIOError) {
        try store32(offset, UInt32(truncatingIfNeeded: value))
        try store32(offset + 4, UInt32(truncatingIfNeeded: value >> 32))
    }

    /// Fills all of `bytes` from the region through the host, which splits the access as it sees fit.
    public func read(at offset: Int, into bytes: inout MutableRawSpan) throws(VFIOError) {
        let count = bytes.byteCount
        try checkRange(offset, count, "read")
        do throws(Errno) {
            var done = 0
            while done < count {
                var rest = bytes._mutatingExtracting(done..<count)
                let step = try device.handle.host.read(
                    device.handle.number, at: place(offset + done), into: &rest)
                // A host that gives nothing, or more than was asked for, would never get to the end.
                guard step > 0, step <= count - done else { throw .inputOutput }
                done += step
            }
        } catch {
            throw failure("read \(counted(count, "byte")) at \(hex(offset))", error)
        }
    }

    /// Writes all of `bytes` to the region through the host, which splits the access as it sees fit.
    public func write(at offset: Int, _ bytes: RawSpan) throws(VFIOError) {
        let count = bytes.byteCount
        try checkRange(offset, count, "write")
        if touchesTable(offset, count) {
            throw tableError("write \(counted(count, "byte")) at \(hex(offset))")
        }
        do throws(Errno) {
            var done = 0
            while done < count {
                let rest = bytes.extracting(done..<count)
                let step = try device.handle.host.write(device.handle.number, at: place(offset + done), rest)
                guard step > 0, step <= count - done else { throw .inputOutput }
                done += step
            }
        } catch {
            throw failure("write \(counted(count, "byte")) at \(hex(offset))", error)
        }
    }

    /// Loads 1, 2, 4 or 8 bytes through the host, mapped or not: a device whose memory is disabled then answers with an
    /// error, while touching what is mapped would end the process.
    package func loadThroughHost(_ offset: Int, width: Int) throws(VFIOError) -> UInt64 {
        try check(offset, width, "read")
        switch width {
        case 1: return UInt64(try slowLoad(UInt8(0), offset))
        case 2: return UInt64(try slowLoad(UInt16(0), offset))
        case 4: return UInt64(try slowLoad(UInt32(0), offset))
        default: return try slowLoad(UInt64(0), offset)
        }
    }

    /// Stores the lowest 1, 2, 4 or 8 bytes through the host, mapped or not.
    package func storeThroughHost(_ offset: Int, _ value: UInt64, width: Int) throws(VFIOError) {
        try checkStore(offset, width)
        switch width {
        case 1: try slowStore(UInt8(truncatingIfNeeded: value), offset)
        case 2: try slowStore(UInt16(truncatingIfNeeded: value), offset)
        case 4: try slowStore(UInt32(truncatingIfNeeded: value), offset)
        default: try slowStore(value, offset)
        }
    }

    private func slowLoad<T: FixedWidthInteger & BitwiseCopyable>(
        _ initial: T, _ offset: Int
    ) throws(VFIOError) -> T {
        do throws(Errno) {
            return try device.handle.load(initial, at: place(offset))
        } catch {
            throw failure("read \(counted(MemoryLayout<T>.size, "byte")) at \(hex(offset))", error)
        }
    }

    private func slowStore<T: FixedWidthInteger & BitwiseCopyable>(
        _ value: T, _ offset: Int
    ) throws(VFIOError) {
        do throws(Errno) {
            try device.handle.store(value, at: place(offset))
        } catch {
            throw failure("write \(counted(MemoryLayout<T>.size, "byte")) at \(hex(offset))", error)
        }
    }

    @inline(__always)
    private func check(_ offset: Int, _ width: Int, _ verb: StaticString) throws(VFIOError) {
        if contains(offset, width) && offset & (width - 1) == 0 { return }
        try checkRange(offset, width, verb)
        throw VFIOError(
            operation: "\(verb) \(counted(width, "byte")) at \(hex(offset))", object: object,
            code: .misaligned,
            cause: "the offset isn't a multiple of \(width)")
    }

    @inline(__always)
    func checkStore(_ offset: Int, _ width: Int) throws(VFIOError) {
        try check(offset, width, "write")
        if touchesTable(offset, width) {
            throw tableError("write \(counted(width, "byte")) at \(hex(offset))")
        }
    }

    private func checkRange(_ offset: Int, _ width: Int, _ verb: StaticString) throws(VFIOError) {
        if contains(offset, width) { return }
        throw VFIOError(
            operation: "\(verb) \(counted(width, "byte")) at \(hex(offset))", object: object,
            code: .outOfBounds,
            cause: "the region is \(byteCount) bytes long")
    }

    private func tableError(_ operation: String) -> VFIOError {
        VFIOError(
            operation: operation, object: object, code: .notSupported,
            cause: "the MSI-X table lies there, which only the host may write",
            remedy: "enable interrupts with enableInterrupts(_:count:)")
    }

    private func failure(_ operation: String, _ errno: Errno) -> VFIOError {
        var error = VFIOError(operation: operation, object: object, errno: errno)
        if errno == .inputOutput, index.rawValue <= RegionIndex.rom.rawValue {
            error.cause =
                "the device doesn't answer: its memory may be disabled in the command register, or it "
                + "sleeps"
            error.remedy = "call setMemoryEnabled(true)"
        }
        return error
    }
}
