import AccessDecoder
import CLinux
import LinuxSystem
import VFIOHost

/// Where the accesses of a trapped instruction go: trapped ranges to the kernel here, all else to memory.
///
/// Each access is one read or write of the kernel's, as wide as the instruction's: 1, 2, 4 or 8 bytes. Wider ones, of
/// vector registers, are made in pieces of eight bytes from the lowest address up, as the decoder does.
struct TrapMemory {
    /// Where the kernel had nothing to read or write: a device whose memory is switched off, or that is gone.
    private(set) var missing: UInt?

    private func fault(_ address: UInt64, isStore: Bool) -> AccessFault {
        AccessFault(address: address, isStore: isStore)
    }

    mutating func load(_ address: UInt64, byteCount: Int) throws(AccessFault) -> UInt64 {
        var word: UInt64 = 0
        guard let range = TrapRanges.range(at: UInt(address)) else {
            do throws(Errno) {
                return try UserMemory.load(word, from: HostAddress(address), count: byteCount)
            } catch {
                throw fault(address, isStore: false)
            }
        }
        guard range.protection & PROT_READ != 0 else { throw fault(address, isStore: false) }
        guard UInt(byteCount) <= range.end - UInt(address) else {
            // Across the end of the range: byte by byte, whatever is behind.
            for index in 0..<byteCount {
                let byte = try load(address &+ UInt64(index), byteCount: 1)
                word |= byte << UInt64(index * 8)
            }
            return word
        }
        let offset = range.offset + UInt64(UInt(address) - range.start)
        var done = 0
        // SAFETY: the bytes of a plain number.
        unsafe withUnsafeMutableBytes(of: &word) { buffer in
            var bytes = unsafe MutableRawSpan(
                _unsafeBytes: UnsafeMutableRawBufferPointer(rebasing: buffer[..<byteCount]))
            do throws(Errno) { done = try Run.present.read(range.handle, at: offset, into: &bytes) } catch {}
        }
        guard done == byteCount else {
            missing = UInt(address)
            throw fault(address, isStore: false)
        }
        return word
    }

    mutating func store(_ address: UInt64, _ value: UInt64, byteCount: Int) throws(AccessFault) {
        guard let range = TrapRanges.range(at: UInt(address)) else {
            do throws(Errno) {
                try UserMemory.store(value, to: HostAddress(address), count: byteCount)
            } catch {
                throw fault(address, isStore: true)
            }
            return
        }
        guard range.protection & PROT_WRITE != 0 else { throw fault(address, isStore: true) }
        guard UInt(byteCount) <= range.end - UInt(address) else {
            for index in 0..<byteCount {
                try store(address &+ UInt64(index), value >> UInt64(index * 8), byteCount: 1)
            }
            return
        }
        let offset = range.offset + UInt64(UInt(address) - range.start)
        var done = 0
        // SAFETY: the bytes of a plain number.
        unsafe withUnsafeBytes(of: value) { buffer in
            let bytes = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: buffer[..<byteCount]))
            do throws(Errno) { done = try Run.present.write(range.handle, at: offset, bytes) } catch {}
        }
        guard done == byteCount else {
            missing = UInt(address)
            throw fault(address, isStore: true)
        }
    }
}

/// What is atomic to the processor is atomic to other threads here too.
enum ExclusiveAccess {
    // SAFETY: made by `prepare`.
    nonisolated(unsafe) private static var lock: Lock?

    static func prepare() { if unsafe lock == nil { unsafe lock = Lock() } }
    static func begin() { unsafe lock?.lock() }
    static func end() { unsafe lock?.unlock() }
    static func beginInChild() { unsafe lock = Lock() }
}
