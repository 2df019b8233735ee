import CLinux

/// Another process whose memory this one reaches, because it does work for it that a kernel would do.
///
/// Its memory outlives neither it nor the program that it runs: ``end()`` says so, and from then on nothing of it
/// can be reached, whoever gets its number next.
public final class RemoteProcess: @unchecked Sendable {
    // SAFETY: `isGone` is only touched with `lock` held; the rest never changes.
    private let lock = Lock()
    private var isGone = false
    /// Its number.
    public let number: Int32
    /// Tells it from others in addresses: 1 to 32,766.
    fileprivate(set) var index: UInt64 = 0

    /// Gets to know a process.
    /// - Throws: `EAGAIN` if 32,766 are known.
    public init(_ number: Int32) throws(Errno) {
        self.number = number
        index = try RemoteMemory.enter(self)
    }

    /// It has ended, or runs another program.
    public func end() {
        lock.withLock { isGone = true }
        RemoteMemory.leave(index)
    }

    /// Copies from its memory.
    /// - Returns: how many bytes were read, or a negative errno.
    func read(_ from: UInt, _ to: UnsafeMutableRawPointer?, _ count: Int) -> Int {
        lock.withLock {
            // SAFETY: the caller vouches for its own side; the other is looked at by the kernel.
            isGone ? -Int(ESRCH) : unsafe clinux_other_memory_read(number, from, to, count)
        }
    }

    /// Copies to its memory.
    /// - Returns: how many bytes were written, or a negative errno.
    func write(_ from: UnsafeRawPointer?, _ to: UInt, _ count: Int) -> Int {
        lock.withLock {
            // SAFETY: as above.
            isGone ? -Int(ESRCH) : unsafe clinux_other_memory_write(number, to, from, count)
        }
    }
}

/// What a thread that serves another process asks of it.
///
/// Some things only the process itself can do or tell; it is waiting for an answer anyway.
public protocol RemoteCaller: AnyObject {
    /// The process.
    var process: RemoteProcess { get }

    /// Makes sure that every page of a range of its memory is there; see
    /// ``UserMemory/populate(_:byteCount:writable:)``.
    func populate(_ address: HostAddress, byteCount: Int, writable: Bool) throws(Errno)

    /// A further descriptor, of this process, for an open file of the caller's.
    /// - Throws: `EBADF` if it isn't open there.
    func descriptor(_ number: Int32) throws(Errno) -> Descriptor

    /// Which of the things that were given to processes by descriptor the caller's number stands for; nil if
    /// none.
    func identity(of number: Int32) -> Int32?

    /// Takes the number of the caller's that is ready for the next thing it is given, and this process's end of it.
    /// - Throws: `EMFILE` if none is ready.
    func takePlace() throws(Errno) -> (number: Int32, end: Int32)

    /// The number taken by ``takePlace()`` isn't needed after all.
    /// - Returns: this process's end of it, as taken; nil if none was.
    func returnPlace() -> Int32?
}

/// Whom a thread works for.
public enum CallerOfThread {
    private final class Box {
        let caller: any RemoteCaller
        init(_ caller: any RemoteCaller) { self.caller = caller }
    }

    private static let key: Int = clinux_key_create()

    /// Works for another process while `body` runs.
    public static func serving(_ caller: any RemoteCaller, _ body: () -> Void) {
        let box = Box(caller)
        let former = clinux_key_value(key)
        // SAFETY: the box lives until the value is set back, below.
        clinux_key_set(key, unsafe UInt(bitPattern: Unmanaged.passUnretained(box).toOpaque()))
        body()
        clinux_key_set(key, former)
        withExtendedLifetime(box) {}
    }

    /// The process that the calling thread works for; nil for this one.
    public static var remote: (any RemoteCaller)? {
        guard unsafe RemoteMemory.exists else { return nil }
        guard let value = unsafe UnsafeRawPointer(bitPattern: clinux_key_value(key)) else { return nil }
        // SAFETY: set by `serving`, whose box lives as long as the value is there.
        return unsafe Unmanaged<Box>.fromOpaque(value).takeUnretainedValue().caller
    }
}

/// Memory of other processes, at addresses that no program can have: the highest bit is set, and the sixteen highest
/// tell the process.
public enum RemoteMemory {
    /// Whether there has ever been another process.
    // SAFETY: a word that is set once, before the first thread serves another process.
    @usableFromInline nonisolated(unsafe) static var exists = false

    private static let lock = Lock()
    // SAFETY: only touched with `lock` held.
    nonisolated(unsafe) private static var processes: [RemoteProcess?] = []
    // SAFETY: as above.
    nonisolated(unsafe) private static var next = 0

    private static let most = 0x7ffe
    /// Bits of an address within a process.
    private static let bits: UInt64 = 48
    /// The index of no process.
    private static let nobody: UInt64 = 0x7fff

    fileprivate static func enter(_ process: RemoteProcess) throws(Errno) -> UInt64 {
        lock.lock()
        defer { lock.unlock() }
        unsafe exists = true
        // Each place in turn, so that an index isn't used again soon.
        for _ in 0..<most {
            let index = unsafe next
            unsafe next = (index + 1) % most
            while unsafe processes.count <= index { unsafe processes.append(nil) }
            if unsafe processes[index] == nil {
                unsafe processes[index] = process
                return UInt64(index + 1)
            }
        }
        throw .again
    }

    fileprivate static func leave(_ index: UInt64) {
        lock.withLock { unsafe processes[Int(index) - 1] = nil }
    }

    private static func process(_ index: UInt64) -> RemoteProcess? {
        lock.withLock {
            guard index >= 1, unsafe UInt64(processes.count) >= index else { return nil }
            return unsafe processes[Int(index) - 1]
        }
    }

    /// Whether an address is one of memory of another process.
    @inlinable @inline(__always)
    public static func contains(_ address: HostAddress) -> Bool { UInt64(address.rawValue) >> 63 != 0 }

    /// An address of the caller's as one that has the same meaning for whoever uses it later, on any thread.
    ///
    /// Addresses that aren't a program's stay addresses that can't be reached.
    /// - Parameter byteCount: how long the memory there is, in bytes.
    public static func address(ofCaller address: UInt64, byteCount: UInt64) -> UInt64 {
        guard unsafe exists else { return address }
        let (end, overflow) = address.addingReportingOverflow(byteCount)
        guard let caller = CallerOfThread.remote else {
            return address >> 63 == 0 ? address : nobody << bits | 1 << 63 | address & (1 << bits - 1)
        }
        guard !overflow, end <= 1 << bits else {
            return nobody << bits | 1 << 63 | address & (1 << bits - 1)
        }
        return 1 << 63 | caller.process.index << bits | address
    }

    /// A place in another process.
    struct Place {
        /// Nil for a process that has ended.
        let process: RemoteProcess?
        let address: UInt
        /// The process itself, if the thread works for it.
        let caller: (any RemoteCaller)?

        func populate(byteCount: Int, writable: Bool) throws(Errno) {
            if let caller {
                return try caller.populate(
                    HostAddress(rawValue: address), byteCount: byteCount, writable: writable)
            }
            guard let process else { throw .badAddress }
            // Nobody there to do it: a byte of each page is read.
            var offset = 0
            while offset < byteCount {
                var byte: UInt8 = 0
                // SAFETY: one byte is written into a local variable.
                let result = unsafe withUnsafeMutableBytes(of: &byte) {
                    unsafe process.read(address &+ UInt(offset), $0.baseAddress, 1)
                }
                if result != 1 { throw .badAddress }
                offset += pageSize
            }
        }
    }

    /// Where an address lies, on the calling thread; nil for memory of this process.
    static func place(of address: HostAddress) -> Place? {
        let caller = CallerOfThread.remote
        let value = UInt64(address.rawValue)
        if contains(address) {
            let index = value >> bits & 0x7fff
            let inside = UInt(value & (1 << bits - 1))
            if let caller, caller.process.index == index {
                return Place(process: caller.process, address: inside, caller: caller)
            }
            return Place(process: process(index), address: inside, caller: nil)
        }
        guard let caller else { return nil }
        return Place(process: caller.process, address: address.rawValue, caller: caller)
    }

    @usableFromInline @inline(never)
    static func read(_ address: HostAddress, _ room: UnsafeMutableRawPointer?, _ count: Int) -> Int {
        // SAFETY: the caller vouches for its own side; the other is looked at by the kernel.
        guard let place = place(of: address) else {
            return unsafe clinux_own_memory_read(address.rawValue, room, count)
        }
        return unsafe place.process?.read(place.address, room, count) ?? -Int(EFAULT)
    }

    @usableFromInline @inline(never)
    static func write(_ bytes: UnsafeRawPointer?, _ address: HostAddress, _ count: Int) -> Int {
        // SAFETY: as above.
        guard let place = place(of: address) else {
            return unsafe clinux_own_memory_write(address.rawValue, bytes, count)
        }
        return unsafe place.process?.write(bytes, place.address, count) ?? -Int(EFAULT)
    }

    /// Lets a device that reaches memory directly reach that of another process: through a copy, piece by piece.
    ///
    /// What a process had when it ended stays pinned in a kernel, with nobody to see it; here it reads as zeros.
    /// - Parameters:
    ///   - window: the memory, with the address of another process's; not to be touched by itself.
    ///   - isWritten: whether what `body` leaves is written back.
    ///   - body: gets each piece and how far from the beginning it lies; returns false to stop.
    /// - Returns: what `body` returned last.
    @inline(never)
    public static func visit(
        _ window: MemoryWindow, isWritten: Bool, _ body: (MemoryWindow, Int) -> Bool
    ) -> Bool {
        var room = [UInt64](repeating: 0, count: min(window.byteCount, 1 << 16) / 8 + 1)
        var offset = 0
        var goesOn = true
        var span = room.mutableSpan
        // SAFETY: pieces are no longer than the room is; it lives through the body.
        unsafe span.withUnsafeMutableBytes { buffer in
            while goesOn && offset < window.byteCount {
                let count = min(window.byteCount - offset, 1 << 16)
                let address = window.address + offset
                if unsafe read(address, buffer.baseAddress, count) != count {
                    unsafe buffer.initializeMemory(as: UInt8.self, repeating: 0)
                }
                let copy = unsafe MemoryWindow(
                    unsafeAddress: HostAddress(rawValue: UInt(bitPattern: buffer.baseAddress)),
                    byteCount: count)
                goesOn = body(copy, offset)
                if isWritten { _ = unsafe write(UnsafeRawPointer(buffer.baseAddress), address, count) }
                offset += count
            }
        }
        return goesOn
    }
}

/// Descriptors by the caller's numbers: of this process, or of another on a thread that serves it.
public enum UserDescriptor {
    /// A further descriptor for an open file of the caller's.
    /// - Throws: `EBADF` if it isn't open; `EMFILE`
    public static func duplicate(_ number: Int32) throws(Errno) -> Descriptor {
        if let caller = CallerOfThread.remote { return try caller.descriptor(number) }
        return try Descriptor(duplicating: number)
    }

    /// Whether a number of the caller's stands for an open descriptor.
    public static func isOpen(_ number: Int32) -> Bool {
        guard let caller = CallerOfThread.remote else { return Descriptor.isOpen(number) }
        do throws(Errno) {
            _ = try caller.descriptor(number)
            return true
        } catch {
            return false
        }
    }
}
