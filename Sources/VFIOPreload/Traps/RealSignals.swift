import CLinux
import LinuxSystem

/// The C library's functions for signals, in front of which this library stands.
enum RealSignals {
    typealias Action = @convention(c) (Int32, UnsafeRawPointer?, UnsafeMutableRawPointer?) -> Int32
    typealias Mask = @convention(c) (Int32, UnsafeRawPointer?, UnsafeMutableRawPointer?) -> Int32

    /// Room for a `struct sigaction`.
    private typealias Room = InlineArray<32, UInt64>

    /// Sets what happens with a signal.
    /// - Returns: what happened before; nil if the signal doesn't exist or isn't to be had.
    @discardableResult
    static func set(_ number: Int32, _ action: SignalAction?) -> SignalAction? {
        let real = unsafe RealCalls.call(.sigaction, as: Action.self)
        var new = Room(repeating: 0)
        var old = Room(repeating: 0)
        // SAFETY: both have room for the structure (152 bytes).
        return unsafe withUnsafeMutableBytes(of: &new) { new in
            unsafe withUnsafeMutableBytes(of: &old) { old in
                guard let newPlace = new.baseAddress, let oldPlace = old.baseAddress else { return nil }
                if let action { unsafe action.write(to: newPlace) }
                let result = unsafe real(number, action == nil ? nil : UnsafeRawPointer(newPlace), oldPlace)
                return result == 0 ? unsafe SignalAction(UnsafeRawPointer(oldPlace)) : nil
            }
        }
    }

    /// A program that was started with SIGSEGV blocked goes on thinking so; really it is not.
    static func adoptInherited() {
        let inherited = change(SIG_BLOCK, SignalSet(bits: 0))
        guard inherited.contains(.fault) else { return }
        setMask(inherited.real)
    }

    /// Replaces the thread's mask.
    /// - Returns: the mask before.
    @discardableResult
    static func setMask(_ mask: SignalSet) -> SignalSet { change(SIG_SETMASK, mask) }

    /// Changes the thread's mask.
    @discardableResult
    static func change(_ how: Int32, _ mask: SignalSet) -> SignalSet {
        let real = unsafe RealCalls.call(.pthread_sigmask, as: Mask.self)
        var new = InlineArray<16, UInt64>(repeating: 0)
        var old = InlineArray<16, UInt64>(repeating: 0)
        new[0] = mask.bits
        // SAFETY: a `sigset_t` has 128 bytes.
        unsafe withUnsafeBytes(of: new) { new in
            unsafe withUnsafeMutableBytes(of: &old) { old in
                _ = unsafe real(how, new.baseAddress, old.baseAddress)
            }
        }
        return SignalSet(bits: old[0])
    }
}
