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

    /// Sends all of the bytes, waiting for room as often as needed.
    /// - Parameter passed: a descriptor to send along with the first byte; -1 for none. It stays the caller's.
    /// - Throws: `EPIPE`, `ECONNRESET` where the other side is gone.
    public func sendAll(_ bytes: RawSpan, passing passed: Int32 = -1) throws(Errno) {
        let number = descriptor.number
        var done = 0
        if passed >= 0 { done = try sendFirst(bytes, passed) }
        while done < bytes.byteCount {
            let rest = bytes.extracting(done..<bytes.byteCount)
            // SAFETY: the kernel reads at most the buffer's length.
            let result = unsafe rest.withUnsafeBytes { buffer in
                uninterrupted { unsafe clinux_send(number, buffer.baseAddress, buffer.count) }
            }
            done += try checked { result }
        }
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
