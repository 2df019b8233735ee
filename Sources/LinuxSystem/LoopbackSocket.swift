import CLinux

/// A stream socket of this machine's own IPv4 address 127.0.0.1: nothing that comes from another machine reaches it.
public struct LoopbackSocket: ~Copyable, Sendable {
    /// The owned descriptor.
    public let descriptor: Descriptor

    private init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }

    private static func make(waits: Bool) throws(Errno) -> Descriptor {
        Descriptor(owning: Int32(try checked { clinux_tcp_socket(waits ? 1 : 0) }))
    }

    /// Listens.
    /// - Parameter port: the port; 0 lets the system choose one, which ``port()`` tells.
    /// - Throws: `EADDRINUSE`; `EACCES` for a port that only root may have.
    public init(listening port: UInt16, backlog: Int32 = 512) throws(Errno) {
        let socket = try Self.make(waits: false)
        let number = socket.number
        _ = try checked { clinux_loopback_bind(number, port) }
        _ = try checked { clinux_listen(number, backlog) }
        descriptor = socket
    }

    /// Connects.
    /// - Throws: `ECONNREFUSED` where nobody listens.
    public init(connecting port: UInt16) throws(Errno) {
        let socket = try Self.make(waits: true)
        let number = socket.number
        _ = try checked { clinux_loopback_connect(number, port) }
        descriptor = socket
    }

    /// The port that this end has.
    public func port() throws(Errno) -> UInt16 {
        UInt16(truncatingIfNeeded: try checked { clinux_socket_port(descriptor.number) })
    }

    /// Takes a connection of a listening socket, without waiting for one.
    /// - Throws: `EAGAIN` where there is none; `ECONNABORTED`; `EMFILE`.
    public func accept() throws(Errno) -> LoopbackSocket {
        LoopbackSocket(Descriptor(owning: Int32(try checked { clinux_accept(descriptor.number) })))
    }

    /// Receives what has come.
    /// - Parameter waits: whether to wait where nothing has.
    /// - Returns: the number of bytes; 0 when the other side has ended.
    /// - Throws: `EAGAIN` where nothing is there and `waits` is false; `ECONNRESET`.
    public func receive(into bytes: inout MutableRawSpan, waits: Bool = false) throws(Errno) -> Int {
        let number = descriptor.number
        // SAFETY: the kernel writes at most the buffer's length.
        let result = unsafe bytes.withUnsafeMutableBytes { buffer in
            uninterrupted { unsafe clinux_receive(number, buffer.baseAddress, buffer.count, waits ? 1 : 0) }
        }
        return try checked { result }
    }

    /// Sends as much as there is room for, without waiting.
    /// - Returns: how many bytes were sent.
    /// - Throws: `EAGAIN` where there is no room at all; `EPIPE`, `ECONNRESET`.
    public func send(_ bytes: RawSpan) throws(Errno) -> Int {
        let number = descriptor.number
        // SAFETY: the kernel reads at most the buffer's length.
        let result = unsafe bytes.withUnsafeBytes { buffer in
            uninterrupted { unsafe clinux_send_now(number, buffer.baseAddress, buffer.count) }
        }
        return try checked { result }
    }

    /// Gives the descriptor's number up to the caller, who owns it from then on.
    public consuming func release() -> Int32 { descriptor.release() }

    /// Says that nothing more is sent; what comes can still be received.
    public func endSending() { _ = clinux_shutdown_sending(descriptor.number) }
}
