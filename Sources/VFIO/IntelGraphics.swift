import LinuxSystem
import VFIOABI
import VFIOHost

extension Region.Kind {
    /// The operation region of Intel's integrated graphics: what the firmware tells its driver, read only; see
    /// ``IntelOperationRegion``.
    public static let intelOperationRegion = Region.Kind(
        type: RegionType(pciVendor: 0x8086), subtype: .intelIGDOpRegion)
    /// The configuration space of the host bridge (00:00.0), which tells that driver where stolen memory is; read
    /// only.
    public static let intelHostBridge = Region.Kind(
        type: RegionType(pciVendor: 0x8086), subtype: .intelIGDHostConfiguration)
    /// The configuration space of the LPC bridge (00:1f.0), by which that driver knows the chipset; read only.
    public static let intelISABridge = Region.Kind(
        type: RegionType(pciVendor: 0x8086), subtype: .intelIGDLPCConfiguration)
}

/// The head of the operation region of Intel's integrated graphics, as its firmware lays it out.
///
/// A virtual machine that passes the device through copies the whole region into guest memory and writes its
/// guest-physical address to register 0xfc of the device's configuration space.
public struct IntelOperationRegion: Sendable, Equatable {
    /// How a region begins: "IntelGraphicsMem".
    public static let signature = Array("IntelGraphicsMem".utf8)
    /// Where the device's configuration space tells of it.
    public static let addressRegister = 0xfc

    /// Its length in bytes, as its head says: a multiple of 1 KiB.
    public let byteCount: Int
    /// The version of its layout: major and minor.
    public let version: (major: UInt8, minor: UInt8)
    /// The mailboxes that it has: bit 0 is mailbox 1.
    public let mailboxes: UInt32
    /// The Video BIOS Table in mailbox 4, which describes the displays; empty if there is none.
    public let videoTable: [UInt8]

    /// Reads one.
    /// - Returns: nil for bytes that aren't one.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count >= 0x400, bytes.starts(with: Self.signature) else { return nil }
        byteCount = Int(Self.number(bytes, 16)) << 10
        guard byteCount > 0, byteCount <= bytes.count else { return nil }
        version = (bytes[0x17], bytes[0x16])
        mailboxes = Self.number(bytes, 0x58)
        videoTable = Self.table(bytes)
    }

    /// Reads the device's.
    /// - Throws: ``VFIOError/Code/notSupported`` if the device has none.
    public init(of device: Device) throws(VFIOError) {
        let region = try device.region(of: .intelOperationRegion)
        var bytes = [UInt8](repeating: 0, count: Int(min(region.byteCount, 1 << 20)))
        var span = bytes.mutableSpan
        // SAFETY: the array holds plain bytes: any value written into it is one of its own.
        var raw = unsafe span.mutableBytes
        try region.read(at: 0, into: &raw)
        guard let known = IntelOperationRegion(bytes) else {
            throw VFIOError(
                operation: "read the operation region", object: region.object, code: .malformed,
                cause: "it doesn't begin with \"IntelGraphicsMem\" and its length")
        }
        self = known
    }

    /// Mailbox 4: "$VBT", 20 bytes of name, and the table's length at 24.
    private static func table(_ bytes: [UInt8]) -> [UInt8] {
        let start = 0x400
        guard bytes.count >= start + 32, bytes[start..<start + 4].elementsEqual("$VBT".utf8) else {
            return []
        }
        let count = Int(bytes[start + 24]) | Int(bytes[start + 25]) << 8
        guard count >= 32, start + count <= bytes.count else { return [] }
        return Array(bytes[start..<start + count])
    }

    private static func number(_ bytes: [UInt8], _ at: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 | UInt32(bytes[at + $1]) << UInt32(8 * $1) }
    }

    /// Whether all of two regions is the same.
    public static func == (left: IntelOperationRegion, right: IntelOperationRegion) -> Bool {
        left.byteCount == right.byteCount && left.version == right.version
            && left.mailboxes == right.mailboxes && left.videoTable == right.videoTable
    }
}
