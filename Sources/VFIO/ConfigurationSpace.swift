import LinuxSystem
import VFIOHost

/// A PCI device's configuration space: 256 bytes, or 4096 for PCI Express.
///
/// What the host virtualizes (BARs, interrupts, power) is read and written as a guest would see it (kernel.md
/// D.6).
public struct ConfigurationSpace: Sendable {
    /// The device.
    public let device: Device

    init(_ device: Device) { self.device = device }

    /// Its length in bytes; 0 for devices that aren't PCI devices.
    public var byteCount: Int { Int(clamping: device.configurationArea.byteCount) }

    /// Loads 8 bits.
    public func load8(_ offset: Int) throws(VFIOError) -> UInt8 { try load(0, offset) }
    /// Loads 16 bits; the offset is even.
    public func load16(_ offset: Int) throws(VFIOError) -> UInt16 { try load(0, offset) }
    /// Loads 32 bits; the offset is a multiple of 4.
    public func load32(_ offset: Int) throws(VFIOError) -> UInt32 { try load(0, offset) }
    /// Stores 8 bits.
    public func store8(_ offset: Int, _ value: UInt8) throws(VFIOError) { try store(value, offset) }
    /// Stores 16 bits; the offset is even.
    public func store16(_ offset: Int, _ value: UInt16) throws(VFIOError) { try store(value, offset) }
    /// Stores 32 bits; the offset is a multiple of 4.
    public func store32(_ offset: Int, _ value: UInt32) throws(VFIOError) { try store(value, offset) }

    /// The vendor ID.
    public var vendor: UInt16 { get throws(VFIOError) { try load16(0) } }
    /// The device ID.
    public var deviceID: UInt16 { get throws(VFIOError) { try load16(2) } }
    /// Base class, sub-class and programming interface.
    public var classCode: UInt32 { get throws(VFIOError) { try load32(8) >> 8 } }
    /// The revision ID.
    public var revision: UInt8 { get throws(VFIOError) { try load8(8) } }
    /// The command register.
    public var command: Command { get throws(VFIOError) { Command(rawValue: try load16(4)) } }

    /// Bits of the command register.
    public struct Command: OptionSet, Sendable {
        /// The register.
        public let rawValue: UInt16
        /// Wraps bits.
        public init(rawValue: UInt16) { self.rawValue = rawValue }
        /// The device answers at its port BARs.
        public static let ports = Command(rawValue: 1 << 0)
        /// The device answers at its memory BARs.
        public static let memory = Command(rawValue: 1 << 1)
        /// The device may start transactions.
        public static let busMaster = Command(rawValue: 1 << 2)
        /// The interrupt line is disabled.
        public static let interruptLineDisabled = Command(rawValue: 1 << 10)
    }

    /// Sets or clears bits of the command register and leaves the others.
    public func setCommand(_ bits: Command, _ on: Bool) throws(VFIOError) {
        var command = try command
        if on { command.formUnion(bits) } else { command.subtract(bits) }
        try store16(4, command.rawValue)
    }

    /// The offset of the first capability with an ID, e.g. 0x11 for MSI-X; nil if there is none.
    /// - Throws: ``VFIOError/Code/malformed`` if the list loops or leaves the configuration space.
    public func capability(_ id: UInt8) throws(VFIOError) -> Int? {
        do throws(Errno) {
            return try reader.capability(id)
        } catch {
            throw listError("find capability \(hex(id))", error)
        }
    }

    /// The offset of the first extended capability with an ID, e.g. 0x10 for SR-IOV; nil if there is none, or
    /// no extended configuration space.
    /// - Throws: ``VFIOError/Code/malformed`` if the list loops or leaves the configuration space.
    public func extendedCapability(_ id: UInt16) throws(VFIOError) -> Int? {
        do throws(Errno) {
            return try reader.extendedCapability(id)
        } catch {
            throw listError("find extended capability \(hex(id))", error)
        }
    }

    /// The IDs and offsets of all capabilities, in the list's order.
    /// - Throws: as ``capability(_:)``.
    public func capabilities() throws(VFIOError) -> [(id: UInt8, offset: Int)] {
        var found: [(id: UInt8, offset: Int)] = []
        do throws(Errno) {
            try reader.forEachCapability { id, offset in
                found.append((id, offset))
                return true
            }
        } catch {
            throw listError("list the capabilities", error)
        }
        return found
    }

    /// The IDs and offsets of all extended capabilities, in the list's order.
    /// - Throws: as ``extendedCapability(_:)``.
    public func extendedCapabilities() throws(VFIOError) -> [(id: UInt16, offset: Int)] {
        var found: [(id: UInt16, offset: Int)] = []
        do throws(Errno) {
            try reader.forEachExtendedCapability { id, offset in
                found.append((id, offset))
                return true
            }
        } catch {
            throw listError("list the extended capabilities", error)
        }
        return found
    }

    private var reader: ConfigurationReader {
        ConfigurationReader(handle: device.handle, area: device.configurationArea)
    }

    private var object: String { "the configuration space of \(device.name)" }

    private func load<T: FixedWidthInteger & BitwiseCopyable>(
        _ initial: T, _ offset: Int
    ) throws(VFIOError) -> T {
        let width = MemoryLayout<T>.size
        try check(offset, width)
        do throws(Errno) {
            return try reader.load(initial, at: offset)
        } catch {
            throw VFIOError(
                operation: "read \(counted(width, "byte")) at \(hex(offset))", object: object, errno: error)
        }
    }

    private func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, _ offset: Int) throws(VFIOError) {
        let width = MemoryLayout<T>.size
        try check(offset, width)
        do throws(Errno) {
            try device.handle.store(value.littleEndian, at: device.configurationArea.offset + UInt64(offset))
        } catch {
            throw VFIOError(
                operation: "write \(counted(width, "byte")) at \(hex(offset))", object: object, errno: error)
        }
    }

    private func check(_ offset: Int, _ width: Int) throws(VFIOError) {
        guard offset >= 0, offset <= byteCount, width <= byteCount - offset else {
            throw VFIOError(
                operation: "reach \(counted(width, "byte")) at \(hex(offset))", object: object,
                code: .outOfBounds,
                cause: "it is \(byteCount) bytes long")
        }
        guard offset % width == 0 else {
            throw VFIOError(
                operation: "reach \(counted(width, "byte")) at \(hex(offset))", object: object,
                code: .misaligned,
                cause: "the offset isn't a multiple of \(width)")
        }
    }

    private func listError(_ operation: String, _ errno: Errno) -> VFIOError {
        if errno == ConfigurationReader.malformedList {
            return VFIOError(
                operation: operation, object: object, code: .malformed,
                cause: "the list of capabilities loops or leaves the configuration space")
        }
        return VFIOError(operation: operation, object: object, errno: errno)
    }
}

/// Reads a configuration space and walks its lists, with bounds.
struct ConfigurationReader {
    let handle: OpenHandle
    let area: RegionArea

    /// What a walk throws when the list loops or leaves the space.
    static let malformedList = Errno.overflow

    private var byteCount: Int { Int(clamping: min(area.byteCount, 4096)) }

    func load<T: FixedWidthInteger & BitwiseCopyable>(_ initial: T, at offset: Int) throws(Errno) -> T {
        guard offset >= 0, offset <= byteCount, MemoryLayout<T>.size <= byteCount - offset else {
            throw Self.malformedList
        }
        return T(littleEndian: try handle.load(initial, at: area.offset + UInt64(offset)))
    }

    func capability(_ id: UInt8) throws(Errno) -> Int? {
        var found: Int?
        try forEachCapability { each, offset in
            if each == id { found = offset }
            return found == nil
        }
        return found
    }

    func extendedCapability(_ id: UInt16) throws(Errno) -> Int? {
        var found: Int?
        try forEachExtendedCapability { each, offset in
            if each == id { found = offset }
            return found == nil
        }
        return found
    }

    /// Visits the list that begins at 0x34 until `body` says that it has seen enough.
    func forEachCapability(_ body: (UInt8, Int) -> Bool) throws(Errno) {
        // Status bit 4: there is a list.
        guard byteCount >= 64, try load(UInt16(0), at: 6) & 0x10 != 0 else { return }
        var offset = Int(try load(UInt8(0), at: 0x34) & 0xfc)
        var seen: UInt64 = 0
        while offset != 0 {
            // One bit for each place where a capability can begin: no place is visited twice.
            let bit: UInt64 = 1 << UInt64(offset / 4)
            guard offset >= 0x40, seen & bit == 0 else { throw Self.malformedList }
            seen |= bit
            let header = try load(UInt16(0), at: offset)
            // All ones is what a device that is gone answers.
            if header == 0xffff { throw Self.malformedList }
            if !body(UInt8(header & 0xff), offset) { return }
            offset = Int(header >> 8 & 0xfc)
        }
    }

    /// Visits the list that begins at 0x100 until `body` says that it has seen enough.
    func forEachExtendedCapability(_ body: (UInt16, Int) -> Bool) throws(Errno) {
        guard byteCount >= 0x104 else { return }
        var offset = 0x100
        // As many as fit: a list that goes on is a loop.
        for _ in 0..<(byteCount - 0x100) / 4 {
            let header = try load(UInt32(0), at: offset)
            if header == 0 { return }
            if header == .max { throw Self.malformedList }
            let id = UInt16(header & 0xffff)
            // ID 0 stands for one that the host hides at the list's head.
            if id != 0, !body(id, offset) { return }
            offset = Int(header >> 20 & 0xffc)
            if offset == 0 { return }
            guard offset >= 0x100 else { throw Self.malformedList }
        }
        throw Self.malformedList
    }
}
