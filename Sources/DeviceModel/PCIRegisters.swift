/// Configuration space as the hardware has it, wherever that is: in this process, or behind a socket, where every
/// access may fail.
package protocol PCIRegisters {
    /// How an access fails; `Never` in this process.
    associatedtype Failure: Error
    /// Length in bytes.
    var byteCount: Int { get }
    /// Reads 1, 2 or 4 bytes; what lies outside reads as zeros.
    func value(at offset: Int, width: Int) throws(Failure) -> UInt32
}

/// Configuration space that can be changed.
package protocol PCIWritableRegisters: PCIRegisters {
    /// Writes 1, 2 or 4 bytes as software does, and does what follows from it.
    func set(_ value: UInt32, at offset: Int, width: Int) throws(Failure)
}

extension PCIRegisters {
    /// Where the capability with this ID begins; nil if there is none.
    package func place(ofCapability id: UInt8) throws(Failure) -> Int? {
        var at = Int(try value(at: PCIConfiguration.Register.capabilities, width: 1) & 0xfc)
        for _ in 0..<48 where at >= 0x40 {
            let header = try value(at: at, width: 2)
            if UInt8(truncatingIfNeeded: header) == id { return at }
            at = Int(header >> 8) & 0xfc
        }
        return nil
    }

    /// Where the extended capability with this ID begins; nil if there is none.
    package func place(ofExtendedCapability id: UInt16) throws(Failure) -> Int? {
        var at = 0x100
        // A chain has at most one capability per eight bytes; a longer one is a loop.
        for _ in 0..<480 where at >= 0x100 && at < byteCount {
            let header = try value(at: at, width: 4)
            if header == 0 { return nil }
            if header & 0xffff == UInt32(id) { return at }
            at = Int(header >> 20) & 0xffc
        }
        return nil
    }
}

extension PCIConfiguration: PCIWritableRegisters {
    package typealias Failure = Never

    /// A reset that the write asks for isn't done.
    package func set(_ value: UInt32, at offset: Int, width: Int) {
        _ = store(value, at: offset, width: width)
    }
}

/// A part of configuration space as it was at one moment; what lies outside the part reads as zeros.
package struct PCIRegisterSnapshot: PCIRegisters {
    package typealias Failure = Never
    private let bytes: [UInt8]
    private let start: Int

    /// Keeps bytes.
    /// - Parameter start: where the first of them was.
    package init(_ bytes: [UInt8], from start: Int = 0) {
        self.bytes = bytes
        self.start = start
    }

    package var byteCount: Int { start + bytes.count }

    package func value(at offset: Int, width: Int) -> UInt32 {
        var value: UInt32 = 0
        for index in 0..<width where offset >= start && offset + index < byteCount {
            value |= UInt32(bytes[offset + index - start]) << UInt32(8 * index)
        }
        return value
    }
}
