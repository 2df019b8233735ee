import LinuxSystem
import VFIOABI

/// The capabilities that follow an information structure (kernel.md A.7), as an answer to be copied out.
struct CapabilityChain {
    private var bytes: [UInt8] = []
    private let structureByteCount: Int
    private var last: Int?

    /// A chain behind a structure of a given size.
    init(behind structureByteCount: Int) { self.structureByteCount = structureByteCount }

    /// Whether there are no capabilities.
    var isEmpty: Bool { bytes.isEmpty }

    /// Adds a capability, which begins with its header. Offsets count from the structure's first byte.
    mutating func add(_ capability: some ABIValue) {
        align()
        if let last {
            let next = UInt32(truncatingIfNeeded: structureByteCount + bytes.count)
            for index in 0..<4 {
                bytes[last + 4 + index] = UInt8(truncatingIfNeeded: next >> UInt32(8 * index))
            }
        }
        last = bytes.count
        extend(capability)
    }

    /// Adds to the latest capability what its structure is followed by.
    mutating func extend(_ part: some ABIValue) {
        part.withBytes { raw in
            for index in 0..<raw.byteCount {
                // SAFETY: inside the span; any byte is a UInt8.
                bytes.append(unsafe raw.unsafeLoad(fromByteOffset: index, as: UInt8.self))
            }
        }
    }

    private mutating func align() {
        while bytes.count % 8 != 0 { bytes.append(0) }
    }

    /// Copies the chain out behind the user's structure, if the user has room for all of it.
    /// - Parameters:
    ///   - argsz: the room that the user declared; becomes the room needed if that is more.
    /// - Returns: the offset of the first capability; 0 if nothing was copied.
    mutating func copyOut(to address: HostAddress, argsz: inout UInt32) throws(Errno) -> UInt32 {
        guard !bytes.isEmpty else { return 0 }
        align()
        let needed = structureByteCount + bytes.count
        guard Int(argsz) >= needed else {
            argsz = UInt32(truncatingIfNeeded: needed)
            return 0
        }
        // SAFETY: bytes are plain integers, all of them initialised.
        try unsafe UserMemory.write(bytes.span.bytes, to: address + structureByteCount)
        return UInt32(truncatingIfNeeded: structureByteCount)
    }
}
