/// What a physical function tells of the virtual functions that it can have (Single Root I/O Virtualization 1.1,
/// 3.3).
public struct VirtualFunctions: Sendable {
    /// How many there can be (TotalVFs), 1...256.
    public let total: Int
    /// How far the first one's routing ID is from the physical function's (First VF Offset).
    public let offset: Int
    /// How far two neighbours' routing IDs are apart (VF Stride).
    public let stride: Int
    /// The device ID of all of them (VF Device ID).
    public let device: UInt16
    /// The BARs that each of them has, six places; the physical function's capability tells where they are.
    public let bars: [BAR?]
    /// Where the capability begins in configuration space.
    public let place: Int
}

extension PCIFunction {
    /// Offsets in the SR-IOV capability (SR-IOV 1.1, 3.3).
    public enum VirtualizationRegister {
        /// SR-IOV Control, 16 bits.
        public static let control = 0x08
        /// InitialVFs, 16 bits.
        public static let initial = 0x0c
        /// TotalVFs, 16 bits.
        public static let total = 0x0e
        /// NumVFs, 16 bits.
        public static let count = 0x10
        /// First VF Offset, 16 bits.
        public static let offset = 0x14
        /// VF Stride, 16 bits.
        public static let stride = 0x16
        /// VF Device ID, 16 bits.
        public static let device = 0x1a
        /// The first Base Address Register of the virtual functions, 32 bits.
        public static let bar0 = 0x24
    }

    /// SR-IOV Control's VF Enable and VF MSE: the virtual functions exist, and answer accesses to memory.
    public static var virtualizationEnable: UInt16 { 0x0009 }

    /// Adds the SR-IOV capability: the function can have virtual functions, which its model makes
    /// (``DeviceModel/makeVirtualFunction(index:)``).
    /// - Parameters:
    ///   - total: how many there can be, 1...256.
    ///   - offset: from the function's own routing ID to the first one's, 1...65535.
    ///   - stride: from one routing ID to the next, 1...65535.
    ///   - device: their device ID.
    ///   - bars: the BARs that each of them has.
    /// - Precondition: the function is PCI Express.
    public func addVirtualFunctions(
        total: Int, offset: Int = 1, stride: Int = 1, device: UInt16, bars: [Int: BAR]
    ) {
        precondition(total >= 1 && total <= 256, "1 to 256 virtual functions")
        precondition(offset >= 1 && offset <= 0xffff && stride >= 1 && stride <= 0xffff, "no routing IDs")
        typealias Register = VirtualizationRegister
        var body = [UInt8](repeating: 0, count: 0x3c)
        var writable = [UInt8](repeating: 0, count: 0x3c)
        func put(_ value: UInt64, at register: Int, _ width: Int, in bytes: inout [UInt8]) {
            for index in 0..<width {
                bytes[register - 4 + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
            }
        }
        put(UInt64(total), at: Register.initial, 2, in: &body)
        put(UInt64(total), at: Register.total, 2, in: &body)
        put(UInt64(offset), at: Register.offset, 2, in: &body)
        put(UInt64(stride), at: Register.stride, 2, in: &body)
        put(UInt64(device), at: Register.device, 2, in: &body)
        put(0x553, at: 0x1c, 4, in: &body)  // supported page sizes: those that the specification asks for
        put(1, at: 0x20, 4, in: &body)  // the one in use: 4 KiB
        put(UInt64(Self.virtualizationEnable), at: Register.control, 2, in: &writable)
        put(0xffff, at: Register.count, 2, in: &writable)
        for index in 0..<6 {
            guard let bar = bars[index] else { continue }
            let at = Register.bar0 + 4 * index
            let isWide = bar.kind == .memory64
            precondition(bar.kind != .io && (!isWide || index < 5), "not a virtual function's BAR")
            put((isWide ? 4 : 0) | (bar.isPrefetchable ? 8 : 0), at: at, 4, in: &body)
            put(~(bar.byteCount - 1) & ~0xf, at: at, isWide ? 8 : 4, in: &writable)
        }
        let place = configuration.addExtendedCapability(id: 0x10, version: 1, body: body, writable: writable)
        virtualFunctions = VirtualFunctions(
            total: total, offset: offset, stride: stride, device: device, bars: (0..<6).map { bars[$0] },
            place: place)
    }
}
