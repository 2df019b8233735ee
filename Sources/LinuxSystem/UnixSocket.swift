import CLinux

/// A local stream socket that carries bytes and descriptors.
public struct UnixSocket: ~Copyable, Sendable {
    /// The owned descriptor.
    public let descriptor: Descriptor

    /// The most descriptors that one message carries here.
    public static let mostDescriptors = Int(CLINUX_MOST_DESCRIPTORS)

    /// Takes over a connected or listening socket.
    public init(owning descriptor: consuming Descriptor) { self.descriptor = descriptor }

    /// Gives the descriptor's number up to the caller, who owns it from then on.
    public consuming func release() -> Int32 { descriptor.release() }

    /// Connects to a path.
    public init(connecting path: String) throws(Errno) {
        let socket = Descriptor(owning: Int32(try checked { clinux_unix_socket(clinux_sock_stream()) }))
        let count = path.utf8.count
        let number = socket.number
        // SAFETY: the C string lives through the call and its length is its own.
        _ = try checked { unsafe path.withCString { unsafe clinux_unix_connect(number, $0, count) } }
        descriptor = socket
    }

    /// Listens on a path that must not exist yet.
    public init(listening path: String, backlog: Int32 = 8) throws(Errno) {
        let socket = Descriptor(owning: Int32(try checked { clinux_unix_socket(clinux_sock_stream()) }))
        let count = path.utf8.count
        let number = socket.number
        // SAFETY: the C string lives through the call and its length is its own.
        _ = try checked { unsafe path.withCString { unsafe clinux_unix_bind(number, $0, count) } }
        _ = try checked { clinux_listen(number, backlog) }
        descriptor = socket
    }

    /// Two sockets connected to one another; hands both to `body`.
    public static func withPair<R: ~Copyable>(
        _ body: (consuming UnixSocket, consuming UnixSocket) throws(Errno) -> R
    ) throws(Errno) -> R {
        var numbers: (Int32, Int32) = (-1, -1)
        // SAFETY: two numbers are written into a tuple of two.
        let result = unsafe withUnsafeMutableBytes(of: &numbers) {
            unsafe clinux_unix_pair(clinux_sock_stream(), $0.bindMemory(to: Int32.self).baseAddress)
        }
        _ = try checked { result }
        return try body(
            UnixSocket(owning: Descriptor(owning: numbers.0)),
            UnixSocket(owning: Descriptor(owning: numbers.1)))
    }

    /// Waits for a connection.
    public func accept() throws(Errno) -> UnixSocket { try Self.accept(on: descriptor.number) }

    /// Waits for a connection on a listening socket that somebody else owns.
    public static func accept(on number: Int32) throws(Errno) -> UnixSocket {
        UnixSocket(owning: Descriptor(owning: Int32(try checked { clinux_accept(number) })))
    }

    /// Sends bytes and descriptors; may send less than all of the bytes, the descriptors always with the first.
    /// - Throws: `EINVAL` for more than ``mostDescriptors``; `EPIPE` if the other side is gone.
    public func send(_ bytes: RawSpan, descriptors: [Int32] = []) throws(Errno) -> Int {
        let number = descriptor.number
        // SAFETY: both buffers live through the call and their lengths are their own.
        let result = unsafe bytes.withUnsafeBytes { buffer in
            unsafe descriptors.withUnsafeBufferPointer { numbers in
                uninterrupted {
                    unsafe clinux_send_descriptors(
                        number, buffer.baseAddress, buffer.count, numbers.baseAddress, UInt32(numbers.count))
                }
            }
        }
        return try checked { result }
    }

    /// Receives bytes and descriptors; may receive less than asked for, 0 when the other side has closed.
    /// - Parameter descriptors: gets the numbers of descriptors that the caller owns from then on.
    /// - Throws: `EMSGSIZE` if there were more descriptors than ``mostDescriptors``; none is left open.
    public func receive(into bytes: inout MutableRawSpan, descriptors: inout [Int32]) throws(Errno) -> Int {
        let number = descriptor.number
        var numbers = InlineArray<16, Int32>(repeating: -1)
        var count: UInt32 = 0
        var span = numbers.mutableSpan
        // SAFETY: the wrapper writes at most the buffer's length and at most 16 numbers.
        let result = unsafe bytes.withUnsafeMutableBytes { buffer in
            unsafe span.withUnsafeMutableBufferPointer { room in
                uninterrupted {
                    unsafe clinux_receive_descriptors(
                        number, buffer.baseAddress, buffer.count, room.baseAddress, &count)
                }
            }
        }
        for index in 0..<Int(count) { descriptors.append(numbers[index]) }
        return try checked { result }
    }
}

extension UnixSocket {
    /// Two sockets connected to one another, by their numbers, which the caller owns. Both are closed on exec.
    /// - Throws: `EMFILE`
    public static func makePair() throws(Errno) -> (Int32, Int32) {
        var numbers: (Int32, Int32) = (-1, -1)
        // SAFETY: two numbers are written into a tuple of two.
        let result = unsafe withUnsafeMutableBytes(of: &numbers) {
            unsafe clinux_unix_pair(clinux_sock_stream(), $0.bindMemory(to: Int32.self).baseAddress)
        }
        _ = try checked { result }
        return numbers
    }

    /// Gives a socket a name in no folder, which the other end can ask for (``hiddenPeer(of:_:)``), also when this end
    /// has been closed.
    /// - Parameter name: any plain bytes, up to 107.
    public static func name<T: BitwiseCopyable>(_ number: Int32, _ name: T) throws(Errno) {
        // SAFETY: only the value's own bytes are read.
        let result = unsafe withUnsafeBytes(of: name) {
            unsafe clinux_unix_bind_hidden(number, $0.baseAddress, $0.count)
        }
        _ = try checked { result }
    }

    /// The name that the other end of a socket was given by ``name(_:_:)``; nil if it has none of this size, or the number
    /// isn't a connected socket's.
    public static func hiddenPeer<T: BitwiseCopyable>(of number: Int32, _ initial: T) -> T? {
        var name = initial
        let room = MemoryLayout<T>.size
        // SAFETY: at most the value's own bytes are written, and any bits are a value of a BitwiseCopyable structure.
        let count = unsafe withUnsafeMutableBytes(of: &name) {
            unsafe clinux_unix_hidden_peer(number, $0.baseAddress, room)
        }
        return count == room ? name : nil
    }

    /// The process that connected a socket; 0 if the system doesn't tell.
    public var peerProcess: Int32 { clinux_peer_process(descriptor.number) }
}
