import CLinux

/// Signals, a bit for each: bit 0 is signal 1.
struct SignalSet: Equatable {
    var bits: UInt64

    init(bits: UInt64) { self.bits = bits }

    static func only(_ number: Int32) -> SignalSet { SignalSet(bits: 1 << UInt64(number - 1)) }

    static let fault = SignalSet.only(SIGSEGV)
    /// Stands for SIGSEGV where the program has blocked that: see ``real``.
    static let standIn = SignalSet.only(SignalSet.standInNumber)
    /// SIGSTKFLT: no kernel sends it, and no program is known to use it.
    static let standInNumber: Int32 = 16

    func contains(_ other: SignalSet) -> Bool { bits & other.bits == other.bits }
    func union(_ other: SignalSet) -> SignalSet { SignalSet(bits: bits | other.bits) }
    func subtracting(_ other: SignalSet) -> SignalSet { SignalSet(bits: bits & ~other.bits) }

    /// What the kernel is told when a program blocks these.
    ///
    /// SIGSEGV is never really blocked: a trapped access in a thread that blocks it would end the program. Whether
    /// the program thinks it blocked is kept in the bit of another signal, in the mask itself, so that everything
    /// that saves, restores and inherits masks (siglongjmp, the return from handlers, new threads, fork and exec)
    /// keeps it too.
    var real: SignalSet {
        let others = subtracting(.fault).subtracting(.standIn)
        return contains(.fault) ? others.union(.standIn) : others
    }

    /// What a program is told when the kernel says these.
    var shown: SignalSet {
        guard contains(.standIn) || contains(.fault) else { return self }
        // Who blocks the signal of a failing power supply blocks all there are.
        let blocksAll = contains(.only(SIGPWR))
        let others = blocksAll ? self : subtracting(.standIn)
        return others.union(.fault)
    }
}

/// What sigaction(2) says of a signal.
struct SignalAction {
    var handler: UInt = 0
    var mask = SignalSet(bits: 0)
    var flags: Int32 = 0

    static let none: UInt = 0
    static let ignore: UInt = 1

    /// Whether it calls a function.
    var isFunction: Bool { handler > Self.ignore }

    func has(_ flag: Int32) -> Bool { flags & flag != 0 }

    init() {}

    init(handler: UInt, mask: SignalSet, flags: Int32) {
        self.handler = handler
        self.mask = mask
        self.flags = flags
    }

    /// Reads a `struct sigaction`.
    init(_ action: UnsafeRawPointer) {
        var bits: UInt64 = 0
        unsafe clinux_action_read(action, &handler, &bits, &flags)
        mask = SignalSet(bits: bits)
    }

    /// Writes a `struct sigaction`.
    func write(to action: UnsafeMutableRawPointer) {
        unsafe clinux_action_write(action, handler, mask.bits, flags)
    }
}
