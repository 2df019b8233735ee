import LinuxSystem
import NVMe

/// A namespace: a store cut into blocks, with a name that is the same wherever it is met.
public struct NVMeNamespace {
    /// Where its blocks are kept.
    public let store: any BlockStore
    /// The bytes of a block: 512, 1024, 2048 or 4096.
    public let blockSize: Int
    /// Its UUID, 16 bytes; nil to have one made from the controller's serial number.
    public let uuid: [UInt8]?

    let blockShift: UInt64
    let blockCount: UInt64

    /// Makes a namespace.
    /// - Parameters:
    ///   - store: a positive multiple of `blockSize` long.
    ///   - blockSize: 512, 1024, 2048 or 4096.
    ///   - uuid: 16 bytes; anything else counts as nil.
    /// - Throws: ``BlockStoreError`` when store and block size don't fit.
    public init(_ store: any BlockStore, blockSize: Int = 512, uuid: [UInt8]? = nil) throws(BlockStoreError) {
        try checkLength(store.byteCount, blockSize: blockSize, path: "store")
        self.store = store
        self.blockSize = blockSize
        self.uuid = uuid?.count == 16 ? uuid : nil
        blockShift = UInt64(blockSize.trailingZeroBitCount)
        blockCount = store.byteCount >> blockShift
    }

    /// Whether a range of blocks lies inside.
    func contains(_ start: UInt64, _ count: UInt64) -> Bool {
        start <= blockCount && count <= blockCount - start
    }
}

/// Sixteen bytes that look random and depend on nothing but the text and the number (FNV-1a, twice), marked as
/// a UUID of version 8 (RFC 9562, 5.8).
func derivedUUID(_ text: String, _ number: UInt32) -> [UInt8] {
    var bytes: [UInt8] = []
    for half in 0..<2 as Range<UInt8> {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        func mix(_ byte: UInt8) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        mix(half)
        for byte in text.utf8 { mix(byte) }
        for shift in stride(from: 0, to: 32, by: 8) {
            mix(UInt8(truncatingIfNeeded: number >> UInt32(shift)))
        }
        for shift in stride(from: 56, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: hash >> UInt64(shift)))
        }
    }
    bytes[6] = bytes[6] & 0x0f | 0x80
    bytes[8] = bytes[8] & 0x3f | 0x80
    return bytes
}
