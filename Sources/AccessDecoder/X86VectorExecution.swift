/// A wide move is made in pieces of eight bytes (or of what there is, if that is less), from the lowest address up.
extension X86Instruction {
    func loadVector<Port: AccessPort>(_ address: UInt64, _ port: inout Port) throws(AccessFault) {
        var lanes = InlineArray<8, UInt64>(repeating: 0)
        if vector.mask != 0 {
            if !vector.zeroes { for lane in 0..<8 { lanes[lane] = port.vector(vector.register, lane: lane) } }
            try loadMasked(address, &lanes, &port)
            // Above what the instruction reaches there is nothing left.
            for lane in byteCount / 8..<8 { lanes[lane] = 0 }
        } else {
            switch vector.rest {
            case .zero: break
            case .kept: for lane in 0..<2 { lanes[lane] = port.vector(vector.register, lane: lane) }
            case .from(let other): for lane in 0..<2 { lanes[lane] = port.vector(other, lane: lane) }
            }
            var offset = 0
            while offset < byteCount {
                let piece = min(8, byteCount - offset)
                lanes[vector.firstLane + offset / 8] = try port.load(
                    address &+ UInt64(offset), byteCount: piece)
                offset += 8
            }
        }
        setVector(lanes, &port)
    }

    private func setVector<Port: AccessPort>(_ lanes: InlineArray<8, UInt64>, _ port: inout Port) {
        for lane in 0..<(vector.keepsUpper ? 2 : 8) {
            port.setVector(vector.register, lane: lane, to: lanes[lane])
        }
    }

    func storeVector<Port: AccessPort>(_ address: UInt64, _ port: inout Port) throws(AccessFault) {
        if vector.mask != 0 { return try storeMasked(address, &port) }
        var offset = 0
        while offset < byteCount {
            let lane = vector.firstLane + offset / 8
            let piece = min(8, byteCount - offset)
            let value = AccessWidth.truncate(port.vector(vector.register, lane: lane), piece)
            try port.store(address &+ UInt64(offset), value, byteCount: piece)
            offset += 8
        }
    }

    func broadcast<Port: AccessPort>(_ address: UInt64, _ port: inout Port) throws(AccessFault) {
        var lanes = InlineArray<8, UInt64>(repeating: 0)
        let first = try port.load(address, byteCount: min(8, byteCount))
        let second = byteCount == 16 ? try port.load(address &+ 8, byteCount: 8) : 0
        for lane in 0..<vector.filled / 8 {
            switch byteCount {
            case 1: lanes[lane] = first &* 0x0101_0101_0101_0101
            case 2: lanes[lane] = first &* 0x0001_0001_0001_0001
            case 4: lanes[lane] = first &* 0x0000_0001_0000_0001
            case 8: lanes[lane] = first
            default: lanes[lane] = lane & 1 == 0 ? first : second
            }
        }
        setVector(lanes, &port)
    }

    /// Which elements of eight bytes a mask selects, and whether these are all.
    private func selection(_ mask: UInt64, lane: Int) -> (bits: UInt64, isAll: Bool) {
        let perLane = 8 / vector.elementSize
        let bits = mask >> UInt64(lane * perLane) & ((1 << UInt64(perLane)) - 1)
        return (bits, bits == (1 << UInt64(perLane)) - 1)
    }

    /// Elements that the mask leaves out aren't touched in memory; eight bytes without a gap are one access.
    private func loadMasked<Port: AccessPort>(
        _ address: UInt64, _ lanes: inout InlineArray<8, UInt64>, _ port: inout Port
    ) throws(AccessFault) {
        let mask = port.mask(vector.mask)
        for lane in 0..<byteCount / 8 {
            let at = address &+ UInt64(lane * 8)
            let selected = selection(mask, lane: lane)
            if selected.isAll {
                lanes[lane] = try port.load(at, byteCount: 8)
                continue
            }
            var offset = 0
            while offset < 8 {
                if selected.bits >> UInt64(offset / vector.elementSize) & 1 != 0 {
                    let value = try port.load(at &+ UInt64(offset), byteCount: vector.elementSize)
                    let place = AccessWidth.mask(vector.elementSize) << UInt64(offset * 8)
                    lanes[lane] = lanes[lane] & ~place | value << UInt64(offset * 8)
                }
                offset += vector.elementSize
            }
        }
    }

    private func storeMasked<Port: AccessPort>(_ address: UInt64, _ port: inout Port) throws(AccessFault) {
        let mask = port.mask(vector.mask)
        for lane in 0..<byteCount / 8 {
            let at = address &+ UInt64(lane * 8)
            let selected = selection(mask, lane: lane)
            let value = port.vector(vector.register, lane: lane)
            if selected.isAll {
                try port.store(at, value, byteCount: 8)
                continue
            }
            var offset = 0
            while offset < 8 {
                if selected.bits >> UInt64(offset / vector.elementSize) & 1 != 0 {
                    let element = AccessWidth.truncate(value >> UInt64(offset * 8), vector.elementSize)
                    try port.store(at &+ UInt64(offset), element, byteCount: vector.elementSize)
                }
                offset += vector.elementSize
            }
        }
    }
}
