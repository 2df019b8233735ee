import CLinux

/// The descriptors that came with a message (`SCM_RIGHTS`), up to ``UnixSocket/mostDescriptors`` of them: owned,
/// and closed at the end unless somebody takes them.
///
/// Lives without an allocation, so that a message without descriptors costs nothing.
public struct PassedDescriptors: ~Copyable, Sendable {
    @usableFromInline var numbers = InlineArray<16, Int32>(repeating: -1)
    @usableFromInline var first = 0
    @usableFromInline var end = 0

    /// None.
    @inlinable public init() {}

    deinit {
        for index in first..<end { _ = clinux_close(numbers[index]) }
    }

    /// How many are left.
    @inlinable public var count: Int { end - first }

    /// Takes the next one in the order in which they were sent; nil when none is left.
    public mutating func takeFirst() -> Descriptor? {
        guard first < end else { return nil }
        first += 1
        return Descriptor(owning: numbers[first - 1])
    }

    /// Adds a descriptor at the end; closes it where there is no room.
    public mutating func append(_ descriptor: consuming Descriptor) {
        guard end < 16 else { return }
        numbers[end] = descriptor.release()
        end += 1
    }
}

extension UnixSocket {
    /// What ``receiveMessage(into:waits:descriptors:)`` got.
    public struct Received: Sendable, Equatable {
        /// How many bytes came; 0 when the other side has closed.
        public let byteCount: Int
        /// Whether descriptors came that had no room; they are closed.
        public let lostDescriptors: Bool
    }

    /// Receives bytes and the descriptors that came with them, without allocating.
    ///
    /// Linux ends such a read behind the bytes that were sent together with descriptors: nothing that was sent
    /// later is among the bytes then.
    ///
    /// - Parameters:
    ///   - bytes: where the bytes go; must not be empty.
    ///   - waits: whether to wait where nothing is there.
    ///   - descriptors: replaced by those that came.
    /// - Throws: `EAGAIN` where nothing is there and `waits` is false; `ECONNRESET`.
    public func receiveMessage(
        into bytes: inout MutableRawSpan, waits: Bool = true, descriptors: inout PassedDescriptors
    ) throws(Errno) -> Received {
        let number = descriptor.number
        var numbers = InlineArray<16, Int32>(repeating: -1)
        var count: UInt32 = 0
        var surplus: UInt32 = 0
        var span = numbers.mutableSpan
        // SAFETY: the wrapper writes at most the buffer's length and at most 16 numbers.
        let result = unsafe bytes.withUnsafeMutableBytes { buffer in
            unsafe span.withUnsafeMutableBufferPointer { room in
                uninterrupted {
                    unsafe clinux_receive_message(
                        number, buffer.baseAddress, buffer.count, waits ? 1 : 0, room.baseAddress, &count,
                        &surplus)
                }
            }
        }
        if count > 0 || descriptors.count > 0 {
            descriptors = PassedDescriptors()
            for index in 0..<Int(count) { descriptors.append(Descriptor(owning: numbers[index])) }
        }
        return Received(byteCount: try checked { result }, lostDescriptors: surplus > 0)
    }

    /// Receives bytes alone, which costs less than ``receiveMessage(into:waits:descriptors:)``. Descriptors that come
    /// with them are closed.
    /// - Parameters:
    ///   - bytes: where the bytes go; must not be empty.
    ///   - waits: whether to wait where nothing is there.
    /// - Returns: how many bytes came; 0 when the other side has closed.
    /// - Throws: `EAGAIN` where nothing is there and `waits` is false; `ECONNRESET`.
    public func receive(into bytes: inout MutableRawSpan, waits: Bool = true) throws(Errno) -> Int {
        let number = descriptor.number
        // SAFETY: the kernel writes at most the buffer's length.
        let result = unsafe bytes.withUnsafeMutableBytes { buffer in
            uninterrupted {
                unsafe clinux_receive(number, buffer.baseAddress, buffer.count, waits ? 1 : 0)
            }
        }
        return try checked { result }
    }

    /// Sends all of the bytes, waiting for room as often as needed.
    /// - Parameters:
    ///   - passed: a descriptor to send along with the first byte; -1 for none. It stays the caller's.
    ///   - limit: how many milliseconds all of it may take where the other side doesn't read; nil for any time.
    ///     Needs ``setSendTimeout(milliseconds:)`` to be of use.
    /// - Throws: `EPIPE`, `ECONNRESET` where the other side is gone; `ETIMEDOUT` where it doesn't read. Part of the
    ///   bytes may have been sent.
    public func sendAll(
        _ bytes: RawSpan, passing passed: Int32 = -1, milliseconds limit: Int? = nil
    ) throws(Errno) {
        var done = 0
        if passed >= 0 { done = try sendFirst(bytes, passed) }
        try sendRest(bytes, from: done, milliseconds: limit)
    }

    /// Sends two stretches of bytes as if they were one; see ``sendAll(_:passing:milliseconds:)``.
    public func sendAll(_ head: RawSpan, _ body: RawSpan, milliseconds limit: Int? = nil) throws(Errno) {
        let number = descriptor.number
        // SAFETY: the kernel reads at most the buffers' lengths.
        let result = unsafe head.withUnsafeBytes { head in
            unsafe body.withUnsafeBytes { body in
                uninterrupted {
                    unsafe clinux_send_two(
                        number, head.baseAddress, head.count, body.baseAddress, body.count)
                }
            }
        }
        let done = try Self.sent(result)
        try sendRest(head, from: min(done, head.byteCount), milliseconds: limit)
        try sendRest(body, from: max(done - head.byteCount, 0), milliseconds: limit)
    }

    @inline(__always)
    private func sendRest(_ bytes: RawSpan, from start: Int, milliseconds limit: Int?) throws(Errno) {
        let number = descriptor.number
        var done = start
        var deadline: UInt64 = 0
        while done < bytes.byteCount {
            let rest = bytes.extracting(done..<bytes.byteCount)
            // SAFETY: the kernel reads at most the buffer's length.
            let result = unsafe rest.withUnsafeBytes { buffer in
                uninterrupted { unsafe clinux_send(number, buffer.baseAddress, buffer.count) }
            }
            done += try Self.sent(result)
            // The clock is looked at only where not all went out at once.
            guard done < bytes.byteCount, let limit else { continue }
            if deadline == 0 {
                deadline = Clock.moment(inMilliseconds: limit)
            } else if Clock.now >= deadline {
                throw .timedOut
            }
        }
    }

    /// A send that ended without a byte waited for room in vain.
    @inline(__always)
    private static func sent(_ result: Int) throws(Errno) -> Int {
        do throws(Errno) { return try checked { result } } catch .again { throw .timedOut }
    }

    /// Lets no send wait longer than this for room: 1 millisecond or more.
    public func setSendTimeout(milliseconds: Int) throws(Errno) {
        let time = UInt32(clamping: max(milliseconds, 1))
        _ = try checked { clinux_set_send_timeout(descriptor.number, time) }
    }

    /// Waits for bytes, or for the other side to close.
    /// - Parameter milliseconds: how long to wait; 0 only looks.
    /// - Returns: whether there is something to receive; a signal counts as nothing.
    public func waitReadable(milliseconds: Int) throws(Errno) -> Bool {
        let result = clinux_poll_one(descriptor.number, Int16(POLLIN), Int32(clamping: milliseconds))
        if result == -Int(EINTR) { return false }
        return try checked { result } != 0
    }

    /// Rare enough to allocate.
    @inline(never)
    private func sendFirst(_ bytes: RawSpan, _ passed: Int32) throws(Errno) -> Int {
        try send(bytes, descriptors: [passed])
    }

    /// Lets sending and receiving that have to wait fail with `EAGAIN` after some time.
    /// - Parameter milliseconds: how long to wait; 0 waits for ever.
    public func setTimeout(milliseconds: Int) throws(Errno) {
        let number = descriptor.number
        _ = try checked { clinux_socket_timeout(number, UInt64(max(0, milliseconds))) }
    }

    /// Ends the connection for both sides without closing the descriptor: whoever waits in it wakes.
    public func shutDown() { _ = clinux_shutdown(descriptor.number) }

    /// Ends the connection behind a number that somebody else owns; see ``shutDown()``.
    public static func shutDown(_ number: Int32) { _ = clinux_shutdown(number) }
}

extension PassedDescriptors {
    /// One descriptor.
    public init(owning number: Int32) {
        self.init()
        append(Descriptor(owning: number))
    }
}
