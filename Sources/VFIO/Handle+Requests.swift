import LinuxSystem
import VFIOABI
import VFIOHost

/// A handle that somebody else owns and keeps open: sends requests, reads and writes.
struct OpenHandle: Sendable {
    let host: any Host
    let number: Int32

    /// Sends a request with an integer, or without an argument.
    @discardableResult
    func send(_ request: Request, _ argument: UInt = 0) throws(Errno) -> Int32 {
        try host.control(number, UInt32(truncatingIfNeeded: request.rawValue), argument)
    }

    /// Sends a request with a structure, which the host may change.
    @discardableResult
    func send<T: ABIValue>(_ request: Request, _ structure: inout T) throws(Errno) -> Int32 {
        // SAFETY: the address is used during the call only; the structure declares its own size.
        try unsafe withUnsafeMutableBytes(of: &structure) { (bytes) throws(Errno) -> Int32 in
            try send(request, UInt(bitPattern: bytes.baseAddress))
        }
    }

    /// Sends a request with a structure that is followed by further data.
    @discardableResult
    func send(_ request: Request, bytes: inout [UInt8]) throws(Errno) -> Int32 {
        var span = bytes.mutableSpan
        // SAFETY: the address is used during the call only; the structure declares no more than the array holds.
        return try unsafe span.withUnsafeMutableBytes { (buffer) throws(Errno) -> Int32 in
            try send(request, UInt(bitPattern: buffer.baseAddress))
        }
    }

    /// Asks a question whose answer may be longer than the structure: asks again with as much room as the host
    /// says (in `argsz`) that it needs.
    /// - Throws: `EMSGSIZE` if the host wants more than a mebibyte, or more each time it is asked.
    func ask<T: SizePrefixed>(_ request: Request, _ question: T) throws(Errno) -> [UInt8] {
        var room = T.byteCount
        for _ in 0..<4 {
            var bytes = [UInt8](repeating: 0, count: room)
            bytes.put(question, at: 0)
            // `argsz` is the first field of every structure that can be followed by more.
            bytes.put(UInt32(room), at: 0)
            try send(request, bytes: &bytes)
            let wanted = bytes.get(UInt32.self).map { Int($0) } ?? 0
            if wanted <= room { return bytes }
            if wanted > 1 << 20 { break }
            room = wanted
        }
        throw .messageSize
    }

    /// Reads one register.
    /// - Throws: `EIO` if the host gave fewer bytes.
    func load<T: FixedWidthInteger & BitwiseCopyable>(_ initial: T, at offset: UInt64) throws(Errno) -> T {
        var one = InlineArray<1, T>(repeating: initial)
        var span = one.mutableSpan
        // SAFETY: any bytes are a value of a fixed-width integer.
        var bytes = unsafe span.mutableBytes
        guard try host.read(number, at: offset, into: &bytes) == MemoryLayout<T>.size else {
            throw .inputOutput
        }
        return one[0]
    }

    /// Writes one register.
    /// - Throws: `EIO` if the host took fewer bytes.
    func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at offset: UInt64) throws(Errno) {
        let one = InlineArray<1, T>(repeating: value)
        // SAFETY: a fixed-width integer has no padding: all its bytes are initialised.
        guard try host.write(number, at: offset, unsafe one.span.bytes) == MemoryLayout<T>.size else {
            throw .inputOutput
        }
    }
}

extension Handle {
    /// The handle without its ownership; valid as long as the owner lives.
    var borrowed: OpenHandle { OpenHandle(host: host, number: number) }
}

extension [UInt8] {
    /// Stores a value that fits.
    mutating func put(_ value: some ABIValue, at offset: Int) {
        var span = mutableSpan
        // SAFETY: the array holds plain bytes: any value written into it is one of its own.
        var raw = unsafe span.mutableBytes
        let fitted = value.write(to: &raw, at: offset)
        precondition(fitted, "beyond the buffer")
    }

    /// Loads a value; nil beyond the end.
    func get<T: ABIValue>(_ type: T.Type, at offset: Int = 0) -> T? {
        // SAFETY: the array holds plain bytes, all of them initialised.
        T(unsafe span.bytes, at: offset)
    }
}
