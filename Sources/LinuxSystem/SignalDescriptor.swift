import CLinux

/// Signals of this process as something to wait for: signalfd(2).
///
/// As long as it lives, the signals don't end the process; afterwards they do again. Make it before there are
/// other threads: those that run already would still get the signals.
public final class SignalDescriptor: Sendable {
    /// A signal that programs are sent by people and by those who run them.
    public enum Signal: Int32, Sendable, CaseIterable {
        /// `SIGHUP`: the terminal has gone.
        case hangUp = 1
        /// `SIGINT`: the interrupt key.
        case interrupt = 2
        /// `SIGUSR1`: what the program says it means.
        case user1 = 10
        /// `SIGUSR2`: what the program says it means.
        case user2 = 12
        /// `SIGTERM`: please end.
        case terminate = 15
        /// `SIGWINCH`: the terminal has got another size.
        case resized = 28
    }

    private let descriptor: Descriptor
    private let set: UInt64

    /// Holds signals back and collects them.
    /// - Throws: `EMFILE` and its like, where descriptors are lacking.
    public init(_ signals: [Signal]) throws(Errno) {
        var set: UInt64 = 0
        for signal in signals { set |= 1 << UInt64(signal.rawValue - 1) }
        let wanted = set
        descriptor = Descriptor(owning: Int32(try checked { clinux_signalfd(wanted) }))
        self.set = set
        _ = try checked { clinux_hold_signals(wanted, 1) }
    }

    deinit { _ = clinux_hold_signals(set, 0) }

    /// The descriptor's number, to be polled: it is readable when a signal has come.
    public var number: Int32 { descriptor.number }

    /// Takes a signal that has come.
    /// - Returns: nil if none has.
    public func take() throws(Errno) -> Signal? {
        Signal(rawValue: Int32(try checked { clinux_signal_take(descriptor.number) }))
    }

    /// Sends a signal: kill(2).
    /// - Throws: `ESRCH` where there is no such process, `EPERM` where it is somebody else's.
    public static func send(_ signal: Signal, to process: Int32) throws(Errno) {
        _ = try checked { clinux_signal_send(process, signal.rawValue) }
    }
}
