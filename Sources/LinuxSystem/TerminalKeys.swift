import CLinux

/// The keys of a terminal one by one, as they are pressed: not shown, not gathered into lines, and none of them a signal.
/// When it goes the terminal is as it was.
public final class TerminalKeys {
    private let number: Int32
    private let saved: InlineArray<128, UInt8>

    /// Takes the keys of a terminal.
    /// - Parameter number: its descriptor, which stays open as long as this lives.
    /// - Throws: `ENOTTY` for what isn't a terminal.
    public init(of number: Int32) throws(Errno) {
        var saved = InlineArray<128, UInt8>(repeating: 0)
        // A structure of the C library's, which no other call looks into.
        guard clinux_terminal_state_size() <= saved.count else { throw .noMemory }
        var span = saved.mutableSpan
        // SAFETY: there is room for the structure, which is all that is written.
        let result = unsafe span.withUnsafeMutableBytes {
            unsafe clinux_terminal_take_keys(number, $0.baseAddress)
        }
        _ = try checked { result }
        self.number = number
        self.saved = saved
    }

    /// The keys that were pressed since they were last asked for, as the terminal sends them: a letter is its byte, and
    /// the interrupt key 3.
    public func take() -> [UInt8] {
        var room = InlineArray<64, UInt8>(repeating: 0)
        var span = room.mutableSpan
        // SAFETY: a UInt8 has no padding.
        var bytes = unsafe span.mutableBytes
        let count = (try? Descriptor.read(number, into: &bytes)) ?? 0
        return (0..<count).map { room[$0] }
    }

    deinit {
        // SAFETY: what `init` was given.
        _ = unsafe saved.span.withUnsafeBytes { unsafe clinux_terminal_restore(number, $0.baseAddress) }
    }
}
