import LinuxSystem
import VFIOABI
import VFIOHost

/// An open node, or a descriptor that a request returned. Closed by ``close()``, or when the case is over.
final class File {
    /// Its number, e.g. for a uAPI structure.
    let number: Int32
    let host: any Host
    private var isOpen = true

    init(_ number: Int32, on host: any Host) {
        self.number = number
        self.host = host
    }

    /// Closes it; nothing happens the second time.
    func close() {
        if isOpen { host.close(number) }
        isOpen = false
    }

    /// Whether poll(2) says that something could be done without waiting.
    func isReady(_ interest: Poller.Interest) -> Bool {
        Poller.readiness(of: number, interest).contains(interest)
    }

    /// Sends a request with an integer, an address, or nothing.
    func request(_ request: Request, _ argument: UInt = 0) -> Answer {
        let number = number
        let host = host
        return .of { () throws(Errno) in
            try host.control(number, UInt32(truncatingIfNeeded: request.rawValue), argument)
        }
    }

    /// Sends a request with a structure, which the host may change.
    @_disfavoredOverload
    func request<T: BitwiseCopyable>(_ request: Request, _ structure: inout T) -> Answer {
        // SAFETY: the address is used during the call only.
        unsafe withUnsafeMutableBytes(of: &structure) { bytes in
            self.request(request, UInt(bitPattern: bytes.baseAddress))
        }
    }

    /// Sends a request with a structure whose changes don't matter.
    ///
    /// Disfavoured, because a literal would be one: `request(.setIOMMU, 3)` is a request with the integer 3.
    @_disfavoredOverload
    func request<T: BitwiseCopyable>(_ request: Request, _ structure: T) -> Answer {
        var copy = structure
        return self.request(request, &copy)
    }

    /// Sends a request with a buffer.
    func request(_ request: Request, _ buffer: UserBuffer) -> Answer {
        self.request(request, buffer.address.rawValue)
    }

    /// Reads at an offset.
    /// - Returns: how many bytes, or the errno; and the bytes.
    func read(at offset: UInt64, count: Int) -> (answer: Answer, bytes: [UInt8]) {
        var bytes = [UInt8](repeating: 0, count: count)
        let answer = Answer.of { () throws(Errno) in
            var span = bytes.mutableSpan
            // SAFETY: the array holds plain bytes: any value written into it is one of its own.
            var raw = unsafe span.mutableBytes
            return Int32(try host.read(number, at: offset, into: &raw))
        }
        return (answer, bytes)
    }

    /// Reads a number of 1, 2, 4 or 8 bytes.
    /// - Throws: if it can't be read.
    func load<T: FixedWidthInteger>(_ type: T.Type, at offset: UInt64) throws -> T {
        let (answer, bytes) = read(at: offset, count: MemoryLayout<T>.size)
        guard answer == .value(Int32(bytes.count)) else {
            throw Halt.broken("reading \(bytes.count) bytes at \(offset): \(answer)")
        }
        return bytes.reversed().reduce(0) { $0 << 8 | T(truncatingIfNeeded: $1) }
    }

    /// Writes at an offset.
    func write(at offset: UInt64, _ bytes: [UInt8]) -> Answer {
        .of { () throws(Errno) in
            // SAFETY: the array's bytes are all initialised.
            Int32(try host.write(number, at: offset, unsafe bytes.span.bytes))
        }
    }

    /// Writes a number of 1, 2, 4 or 8 bytes.
    @discardableResult
    func store<T: FixedWidthInteger>(_ value: T, at offset: UInt64) -> Answer {
        write(
            at: offset,
            (0..<MemoryLayout<T>.size).map { UInt8(truncatingIfNeeded: value >> T(8 * $0)) })
    }

    /// Maps a part of it; the mapping is ended by ``unmap(_:)``.
    func map(
        at offset: UInt64, byteCount: Int, _ protection: Mapping.Protection = [.read, .write]
    ) -> (answer: Answer, window: MemoryWindow?) {
        do throws(Errno) {
            return (.success, try host.map(number, at: offset, byteCount: byteCount, protection: protection))
        } catch {
            return (.errno(error), nil)
        }
    }

    /// Ends a mapping.
    func unmap(_ window: MemoryWindow) { host.unmap(window) }
}
