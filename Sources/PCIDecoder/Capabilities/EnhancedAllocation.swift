/// Enhanced allocation (PCI Express Base 4.0, 7.8.5): ranges that are fixed, in the place of BARs.
enum EnhancedAllocation {
    static func decode(_ body: inout CapabilityBody) {
        let count = Int(body.register("Entry Count", 0x02, 1, [.value(0...5, "Entries") { "\($0)" }]) & 0x3f)
        var offset = 4
        if body.headerType == 1 {
            body.register("Fixed Secondary Bus Number", 0x04, 1)
            body.register("Fixed Subordinate Bus Number", 0x05, 1)
            offset = 8
        }
        body.summary = "\(count) entr\(count == 1 ? "y" : "ies")"
        for index in 0..<count {
            guard body.has(offset, 4) else { return }
            let length = entry(index, at: offset, &body)
            offset += 4 + 4 * length
        }
    }

    /// - Returns: how many words of 4 bytes follow its first one.
    private static func entry(_ index: Int, at offset: Int, _ body: inout CapabilityBody) -> Int {
        let head = body.register("Entry \(index)", offset, 4, layout)
        let length = Int(head & 7)
        // Base and largest offset, each with an upper half where its bit 1 says so.
        let isWide = (base: body.number(offset + 4, 4) & 2 != 0, last: body.number(offset + 8, 4) & 2 != 0)
        let wanted = 2 + (isWide.base ? 1 : 0) + (isWide.last ? 1 : 0)
        guard length >= wanted else {
            body.complain("entry \(index) has \(length) words after its first one, and needs \(wanted)")
            return length
        }
        var base = body.number(offset + 4, 4) & ~3
        var last = body.number(offset + 8, 4) | 3
        var next = offset + 12
        if isWide.base {
            base |= body.number(next, 4) << 32
            next += 4
        }
        if isWide.last { last |= body.number(next, 4) << 32 }
        let end = base &+ last
        let range = end < base ? "0x\(hex(base)) and more than there is" : "0x\(hex(base)) to 0x\(hex(end))"
        body.register("Entry \(index) Base", offset + 4, 4) { _ in range }
        body.register("Entry \(index) MaxOffset", offset + 8, 4) { _ in "" }
        var upper = offset + 12
        if isWide.base {
            body.register("Entry \(index) Base Upper 32 Bits", upper, 4) { _ in "" }
            upper += 4
        }
        if isWide.last { body.register("Entry \(index) MaxOffset Upper 32 Bits", upper, 4) { _ in "" } }
        return length
    }

    private static let layout: [FieldLayout] = [
        .number(0...2, "Entry Size"),
        .value(4...7, "BAR Equivalent Indicator") {
            switch $0 {
            case 0...5: "BAR \($0)"
            case 6: "behind the bridge"
            case 7: "not a BAR"
            case 8: "expansion ROM"
            case 9...14: "VF BAR \($0 - 9)"
            default: "reserved"
            }
        },
        .value(8...15, "Primary Properties", properties),
        .value(16...23, "Secondary Properties", properties),
        .flag(30, "Writable"),
        .flag(31, "Enable"),
    ]

    @Sendable private static func properties(_ value: UInt64) -> String? {
        switch value {
        case 0: "memory"
        case 1: "prefetchable memory"
        case 2: "I/O ports"
        case 3: "VF prefetchable memory"
        case 4: "VF memory"
        case 5: "memory behind the bridge"
        case 6: "prefetchable memory behind the bridge"
        case 7: "I/O ports behind the bridge"
        case 0xfd: "memory not to be used"
        case 0xfe: "I/O ports not to be used"
        case 0xff: "not available"
        default: "reserved (0x\(hex(value)))"
        }
    }
}
