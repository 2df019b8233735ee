import VFIOABI
import VFIOHost

/// What a trace tells of one device: who it is, where its regions are, and as much of its configuration space as
/// somebody has read.
final class TracedDevice {
    /// What it is called: its address, or its name on another bus.
    let name: String
    var identity: TraceRecord.Identity?
    /// By index: where regions begin and how long they are.
    private var regions: [UInt32: (offset: UInt64, byteCount: UInt64)] = [:]
    private var isOfOtherBus = false
    /// The first 256 bytes of configuration space, as they were last seen.
    private var configuration = [UInt8?](repeating: nil, count: 256)
    private var doorbellStride: UInt8 = 0

    init(_ name: String) { self.name = name }

    private static let configurationRegion: UInt32 = 7
    private static let regionNames = [
        "BAR0", "BAR1", "BAR2", "BAR3", "BAR4", "BAR5", "ROM", "config", "VGA",
    ]

    private var isPCI: Bool { !isOfOtherBus }

    private var isNVMe: Bool {
        if let identity, identity.classCode != 0 { return identity.classCode == 0x010802 }
        return (9...11).map { configuration[$0] } == [0x02, 0x08, 0x01]
    }

    // MARK: learning

    /// Takes notice of a successful request.
    func learn(_ name: RequestName, _ fields: [DecodedField]) {
        func value(_ field: String) -> UInt64? { fields.first { $0.name == field }?.value }
        switch name.request {
        case .deviceGetInfo:
            if let flags = value("flags") {
                isOfOtherBus = !DeviceFlags(rawValue: UInt32(truncatingIfNeeded: flags)).contains(.pci)
            }
        case .deviceGetRegionInfo:
            guard let index = value("index"), let offset = value("offset"), let count = value("size") else {
                return
            }
            regions[UInt32(truncatingIfNeeded: index)] = (offset, count)
        default: break
        }
    }

    /// Takes notice of what was read, or written.
    func learn(at offset: UInt64, _ bytes: [UInt8], isWrite: Bool) {
        let (index, inside) = region(at: offset)
        if isPCI, index == Self.configurationRegion, !isWrite, inside < 256 {
            let start = Int(inside)
            for (place, byte) in bytes.prefix(256 - start).enumerated() {
                configuration[start + place] = byte
            }
        }
        if isNVMe, index == 0, !isWrite {
            // CAP.DSTRD: bits 35 to 32.
            if inside == 0, bytes.count == 8 { doorbellStride = bytes[4] & 0xf }
            if inside == 4, bytes.count == 4 { doorbellStride = bytes[0] & 0xf }
        }
    }

    // MARK: names

    /// The region at an offset of the device's file, and where in it.
    private func region(at offset: UInt64) -> (index: UInt32, inside: UInt64) {
        for (index, region) in regions where offset >= region.offset {
            if offset - region.offset < region.byteCount { return (index, offset - region.offset) }
        }
        // vfio-pci's way, which those who have asked for nothing know too.
        return (UInt32(truncatingIfNeeded: offset >> 40), offset & (1 << 40 - 1))
    }

    /// What is at an offset of the device's file.
    func place(at offset: UInt64) -> TracePlace {
        let (index, inside) = region(at: offset)
        let name = isPCI && index < 9 ? Self.regionNames[Int(index)] : "region\(index)"
        return TracePlace(region: name, offset: inside, register: register(index, inside))
    }

    private func register(_ region: UInt32, _ offset: UInt64) -> String? {
        guard isPCI else { return nil }
        if region == Self.configurationRegion {
            return offset < 256 ? configurationRegister(Int(offset)) : nil
        }
        if let name = messageTable(region, offset) { return name }
        return region == 0 && isNVMe ? RegisterNames.nvme(offset, stride: doorbellStride) : nil
    }

    private func configurationRegister(_ offset: Int) -> String? {
        if offset < 0x40 { return RegisterNames.pciHeader(offset) }
        var found: (start: Int, id: UInt8)?
        for capability in capabilities where capability.start <= offset {
            if capability.start >= found?.start ?? 0 { found = capability }
        }
        guard let found else { return nil }
        let control = found.start + 2 < 256 ? configuration[found.start + 2] ?? 0 : 0
        return RegisterNames.pciCapability(
            found.id, offset - found.start, is64Bit: control & 0x80 != 0)
    }

    /// The capabilities, as far as the chain has been read.
    private var capabilities: [(start: Int, id: UInt8)] {
        var found: [(start: Int, id: UInt8)] = []
        var at = Int((configuration[0x34] ?? 0) & 0xfc)
        // More steps than there is room for would be a loop.
        while at >= 0x40, found.count < 48, let id = configuration[at], let next = configuration[at + 1] {
            found.append((at, id))
            at = Int(next & 0xfc)
        }
        return found
    }

    /// A register of the MSI-X table.
    private func messageTable(_ region: UInt32, _ offset: UInt64) -> String? {
        guard let start = capabilities.first(where: { $0.id == 0x11 })?.start, start <= 256 - 12 else {
            return nil
        }
        func word(_ at: Int, _ count: Int) -> UInt64? {
            var value: UInt64 = 0
            for index in 0..<count {
                guard let byte = configuration[start + at + index] else { return nil }
                value |= UInt64(byte) << UInt64(8 * index)
            }
            return value
        }
        guard let control = word(2, 2), let table = word(4, 4), table & 7 == UInt64(region) else {
            return nil
        }
        let first = table & ~7
        guard offset >= first, offset - first < ((control & 0x7ff) + 1) * 16 else { return nil }
        let inside = offset - first
        let parts = ["ADDRESS", "ADDRESS.high", "DATA", "CONTROL"]
        return "MSIX[\(inside / 16)].\(parts[Int(inside % 16 / 4)])"
    }
}

/// A place in a region of a device.
public struct TracePlace: Sendable, Equatable {
    /// The region, e.g. "BAR0" or "config".
    public let region: String
    /// Where in the region, in bytes.
    public let offset: UInt64
    /// What the register there is called, where that is known, e.g. "CC" or "SQ0TDBL".
    public let register: String?

    /// E.g. "BAR0+0x14 CC".
    public var text: String {
        let place = "\(region)+0x" + String(offset, radix: 16)
        return register.map { "\(place) \($0)" } ?? place
    }
}
