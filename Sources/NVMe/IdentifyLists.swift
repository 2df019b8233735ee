/// A list of namespace identifiers: 4096 bytes, 1024 identifiers, ascending, ended by a zero
/// (NVMe Base 2.0, 4.4.2).
public struct NamespaceList: BytePage {
    /// The number of bytes of the structure.
    public static let byteCount = 4096
    /// The most identifiers of a list.
    public static let capacity = 1024
    /// The bytes, as they go over DMA.
    public var bytes: PageBytes
    /// A structure with these bytes, which the caller knows to be `byteCount` many.
    public init(unchecked bytes: PageBytes) { self.bytes = bytes }

    /// A list of the first 1024 of these identifiers.
    public init(_ identifiers: some Sequence<UInt32>) {
        self.init()
        var index = 0
        for identifier in identifiers where index < NamespaceList.capacity {
            bytes.store(identifier, 4 * index)
            index += 1
        }
    }

    /// The identifiers up to the first zero.
    public var identifiers: [UInt32] {
        var list: [UInt32] = []
        for index in 0..<NamespaceList.capacity {
            let identifier: UInt32 = bytes.load(4 * index)
            if identifier == 0 { break }
            list.append(identifier)
        }
        return list
    }
}

/// A list of controller identifiers: 4096 bytes, a count and up to 2047 identifiers, ascending
/// (NVMe Base 2.0, 4.4.1).
public struct ControllerList: BytePage {
    /// The number of bytes of the structure.
    public static let byteCount = 4096
    /// The most identifiers of a list.
    public static let capacity = 2047
    /// The bytes, as they go over DMA.
    public var bytes: PageBytes
    /// A structure with these bytes, which the caller knows to be `byteCount` many.
    public init(unchecked bytes: PageBytes) { self.bytes = bytes }

    /// A list of the first 2047 of these identifiers.
    public init(_ identifiers: some Sequence<UInt16>) {
        self.init()
        var index = 0
        for identifier in identifiers where index < ControllerList.capacity {
            bytes.store(identifier, 2 + 2 * index)
            index += 1
        }
        bytes.store(UInt16(index), 0)
    }

    /// The identifiers; a count beyond the page is cut.
    public var identifiers: [UInt16] {
        let count = min(Int(bytes.load(0, as: UInt16.self)), ControllerList.capacity)
        var list: [UInt16] = []
        for index in 0..<count { list.append(bytes.load(2 + 2 * index)) }
        return list
    }
}

/// The namespace identification descriptors of a namespace: 4096 bytes (CNS 03h; NVMe Base 2.0, Figure 277).
public struct NamespaceDescriptors: BytePage {
    /// The number of bytes of the structure.
    public static let byteCount = 4096
    /// The bytes, as they go over DMA.
    public var bytes: PageBytes
    /// A structure with these bytes, which the caller knows to be `byteCount` many.
    public init(unchecked bytes: PageBytes) { self.bytes = bytes }

    /// One descriptor.
    public struct Descriptor: Equatable, Sendable {
        /// NIDT: the type of the identifier.
        public var kind: Kind
        /// NID: the identifier's bytes.
        public var identifier: [UInt8]
        /// A descriptor of a type and an identifier.
        public init(_ kind: Kind, _ identifier: [UInt8]) {
            self.kind = kind
            self.identifier = identifier
        }
    }

    /// NIDT: the type of an identifier.
    public struct Kind: RawRepresentable, Equatable, Sendable {
        /// The NIDT byte.
        public var rawValue: UInt8
        /// A type from its byte.
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        /// EUI64: 8 bytes.
        public static let eui64 = Kind(rawValue: 1)
        /// NGUID: 16 bytes.
        public static let nguid = Kind(rawValue: 2)
        /// UUID: 16 bytes.
        public static let uuid = Kind(rawValue: 3)
        /// CSI: 1 byte, the command set.
        public static let commandSet = Kind(rawValue: 4)
    }

    /// A page of these descriptors; those that don't fit are left out.
    public init(_ descriptors: [Descriptor]) {
        self.init()
        var offset = 0
        for descriptor in descriptors {
            let count = descriptor.identifier.count
            // The list ends with a descriptor of length zero, which needs its four bytes, too.
            guard count > 0, count <= 255, offset + 8 + count <= NamespaceDescriptors.byteCount else {
                continue
            }
            bytes.store(descriptor.kind.rawValue, offset)
            bytes.store(UInt8(count), offset + 1)
            bytes.store(descriptor.identifier, at: offset + 4)
            offset += 4 + count
        }
    }

    /// The descriptors up to the first of length zero, or up to one that reaches past the page.
    public var descriptors: [Descriptor] {
        var list: [Descriptor] = []
        var offset = 0
        while offset + 4 <= NamespaceDescriptors.byteCount {
            let kind = Kind(rawValue: bytes.load(offset))
            let count = Int(bytes.load(offset + 1, as: UInt8.self))
            guard count > 0, offset + 4 + count <= NamespaceDescriptors.byteCount else { break }
            list.append(Descriptor(kind, bytes.bytes(at: offset + 4, count: count)))
            offset += 4 + count
        }
        return list
    }
}

/// What the NVM command set tells of the controller: 4096 bytes (CNS 06h, CSI 0; NVM Command Set 1.0,
/// Figure 102). Limits are 0 where the controller has none.
public struct IdentifyNVMController: BytePage {
    /// The number of bytes of the structure.
    public static let byteCount = 4096
    /// The bytes, as they go over DMA.
    public var bytes: PageBytes
    /// A structure with these bytes, which the caller knows to be `byteCount` many.
    public init(unchecked bytes: PageBytes) { self.bytes = bytes }

    /// VSL: Verify works on up to 2 ^ this pages of CAP.MPSMIN.
    public var verifyExponent: UInt8 {
        get { bytes.load(0) }
        set { bytes.store(newValue, 0) }
    }
    /// WZSL: Write Zeroes works on up to 2 ^ this pages of CAP.MPSMIN.
    public var writeZeroesExponent: UInt8 {
        get { bytes.load(1) }
        set { bytes.store(newValue, 1) }
    }
    /// WUSL: Write Uncorrectable works on up to 2 ^ this pages of CAP.MPSMIN.
    public var writeUncorrectableExponent: UInt8 {
        get { bytes.load(2) }
        set { bytes.store(newValue, 2) }
    }
    /// DMRL: the most ranges of Dataset Management.
    public var datasetRanges: UInt8 {
        get { bytes.load(3) }
        set { bytes.store(newValue, 3) }
    }
    /// DMRSL: the most blocks of one range of Dataset Management.
    public var datasetRangeBlocks: UInt32 {
        get { bytes.load(4) }
        set { bytes.store(newValue, 4) }
    }
    /// DMSL: the most blocks of all ranges of Dataset Management.
    public var datasetBlocks: UInt64 {
        get { bytes.load(8) }
        set { bytes.store(newValue, 8) }
    }
}

/// What the NVM command set tells of a namespace: 4096 bytes (CNS 05h, CSI 0; NVM Command Set 1.0, Figure 100).
public struct IdentifyNVMNamespace: BytePage {
    /// The number of bytes of the structure.
    public static let byteCount = 4096
    /// The bytes, as they go over DMA.
    public var bytes: PageBytes
    /// A structure with these bytes, which the caller knows to be `byteCount` many.
    public init(unchecked bytes: PageBytes) { self.bytes = bytes }

    /// LBSTM: the bits of the storage tag that are checked.
    public var storageTagMask: UInt64 {
        get { bytes.load(0) }
        set { bytes.store(newValue, 0) }
    }
    /// PIC: what protection information can do.
    public var protectionCapabilities: UInt8 {
        get { bytes.load(8) }
        set { bytes.store(newValue, 8) }
    }
}

/// What doesn't depend on a namespace's command set: 4096 bytes (CNS 08h; NVMe Base 2.0, Figure 280).
public struct IdentifyIndependentNamespace: BytePage {
    /// The number of bytes of the structure.
    public static let byteCount = 4096
    /// The bytes, as they go over DMA.
    public var bytes: PageBytes
    /// A structure with these bytes, which the caller knows to be `byteCount` many.
    public init(unchecked bytes: PageBytes) { self.bytes = bytes }

    /// NSFEAT: bit 3, identifiers aren't used again.
    public var features: UInt8 {
        get { bytes.load(0) }
        set { bytes.store(newValue, 0) }
    }
    /// NMIC: bit 0, more than one controller may have the namespace.
    public var sharing: UInt8 {
        get { bytes.load(1) }
        set { bytes.store(newValue, 1) }
    }
    /// NSATTR: bit 0, the namespace is write protected.
    public var attributes: UInt8 {
        get { bytes.load(8) }
        set { bytes.store(newValue, 8) }
    }
    /// NSTAT: bit 0, the namespace is ready.
    public var status: UInt8 {
        get { bytes.load(14) }
        set { bytes.store(newValue, 14) }
    }
}
