import Testing
import VFIOABI

/// Reads a little-endian number.
private func number(_ bytes: [UInt8], at offset: Int, count: Int = 4) -> UInt64 {
    (0..<count).reduce(0) { $0 | UInt64(bytes[offset + $1]) << (8 * UInt64($1)) }
}

@Suite("Building a capability chain")
struct CapabilityBuilderTests {
    /// What Linux answers for type 1 with one range of IOVAs (kernel.md B.3).
    private static func type1() throws -> CapabilityBuilder<IOMMUType1Info> {
        var chain = CapabilityBuilder<IOMMUType1Info>()
        try chain.appendMigration(pageSizes: 4096, maxDirtyBitmapSize: 0x1000_0000)
        try chain.appendDMAAvailable(65535)
        let ranges = [Type1IOVARange(start: 0, end: 0xFEDF_FFFF)]
        try chain.appendIOVARanges(ranges.span)
        return chain
    }

    @Test("type 1 with one range is 104 bytes, with capabilities at 24, 56 and 72, as Linux 7.2 answers")
    func type1Layout() throws {
        let chain = try Self.type1()
        #expect(chain.byteCount == 80)
        let bytes = try #require(
            chain.answer(IOMMUType1Info(argsz: 104, flags: .pageSizes, pageSizes: 0xFFFF_F000)))
        let expected: [UInt8] = [
            0x68, 0, 0, 0,  // argsz, as given
            3, 0, 0, 0,  // page sizes and capabilities
            0, 0xF0, 0xFF, 0xFF, 0, 0, 0, 0,  // page sizes
            24, 0, 0, 0, 0, 0, 0, 0,  // cap_offset
            2, 0, 1, 0, 56, 0, 0, 0,  // 24: migration, version 1, next 56
            0, 0, 0, 0, 0, 0, 0, 0,  // flags
            0, 0x10, 0, 0, 0, 0, 0, 0,  // page size bitmap
            0, 0, 0, 0x10, 0, 0, 0, 0,  // largest bitmap
            3, 0, 1, 0, 72, 0, 0, 0,  // 56: DMA available, version 1, next 72
            0xFF, 0xFF, 0, 0, 0, 0, 0, 0,  // available, filled up to 16
            1, 0, 1, 0, 0, 0, 0, 0,  // 72: IOVA ranges, version 1, the last
            1, 0, 0, 0, 0, 0, 0, 0,  // one range
            0, 0, 0, 0, 0, 0, 0, 0,  // first
            0xFF, 0xFF, 0xDF, 0xFE, 0, 0, 0, 0,  // last
        ]
        #expect(bytes == expected)
    }

    @Test("a larger argsz stays as given and gets no more bytes")
    func oversized() throws {
        for argsz in [UInt32(105), 4096, .max] {
            let bytes = try #require(try Self.type1().answer(IOMMUType1Info(argsz: argsz)))
            #expect(bytes.count == 104)
            #expect(number(bytes, at: 0) == UInt64(argsz))
            #expect(number(bytes, at: 16) == 24)
        }
    }

    @Test("a short argsz learns the size needed, gets cap_offset 0 and never more bytes than it has room for")
    func short() throws {
        for argsz in UInt32(0)..<104 {
            let info = IOMMUType1Info(argsz: argsz, flags: .pageSizes, capabilityOffset: 0xDEAD)
            let answer = try Self.type1().answer(info)
            if argsz < 16 {
                #expect(answer == nil, "argsz \(argsz)")
                continue
            }
            let bytes = try #require(answer)
            #expect(bytes.count == min(Int(argsz), 24))
            #expect(number(bytes, at: 0) == 104)
            #expect(number(bytes, at: 4) == 3)
            if bytes.count >= 20 { #expect(number(bytes, at: 16) == 0) }
        }
    }

    @Test("region information needs all of its 32 bytes, and its chain starts behind them")
    func region() throws {
        var chain = CapabilityBuilder<RegionInfo>()
        let areas = [
            SparseMmapArea(offset: 0, size: 0x1000), SparseMmapArea(offset: 0x3000, size: 0x2000),
        ]
        try chain.appendSparseMmap(areas.span)
        try chain.appendType(RegionType(pciVendor: 0x8086), .intelIGDOpRegion)
        try chain.appendMSIXMappable()
        #expect(chain.byteCount == 48 + 16 + 8)

        #expect(chain.answer(RegionInfo(argsz: 31)) == nil)
        let short = try #require(chain.answer(RegionInfo(argsz: 103, flags: .read)))
        #expect(short.count == 32)
        #expect(number(short, at: 0) == 104)
        #expect(number(short, at: 4) == 9)
        #expect(number(short, at: 12) == 0)

        let whole = try #require(chain.answer(RegionInfo(argsz: 104, flags: .read, index: 3, size: 0x5000)))
        #expect(whole.count == 104)
        #expect(number(whole, at: 12) == 32)
        let raw = whole.rawSpan
        let info = try #require(whole.value(RegionInfo.self))
        #expect(info.index == 3 && info.size == 0x5000)
        var walk = CapabilityChain(of: info, in: raw, alignment: 8)
        if let capability = try walk.next(id: RegionCapabilityID.sparseMmap.rawValue) {
            let read = try capability.sparseMmapAreas()
            #expect(read.count == 2 && read[0] == areas[0] && read[1] == areas[1])
        } else {
            Issue.record("no sparse areas")
        }
        if let capability = try walk.next() {
            let type = try capability.regionType()
            #expect(type.type.pciVendorID == 0x8086 && type.subtype == .intelIGDOpRegion)
        }
        if let capability = try walk.next() {
            #expect(capability.id == 3 && capability.offset == 96 && capability.payload.byteCount == 0)
        }
        let end = try walk.next()
        if end != nil { Issue.record("a capability behind the end") }
    }

    @Test("without capabilities the flag is clear, cap_offset 0 and argsz as given")
    func none() throws {
        let device = try #require(
            CapabilityBuilder<DeviceInfo>().answer(
                DeviceInfo(argsz: 16, flags: [.pci, .caps], regionCount: 9, irqCount: 5)))
        #expect(device == [16, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 5, 0, 0, 0])

        let region = try #require(
            CapabilityBuilder<RegionInfo>().answer(RegionInfo(argsz: 200, capabilityOffset: 77)))
        #expect(region.count == 32)
        #expect(number(region, at: 0) == 200)
        #expect(number(region, at: 4) == 0)
        #expect(number(region, at: 12) == 0)
    }

    @Test("device information is cut to argsz, from 16 bytes on")
    func device() throws {
        var chain = CapabilityBuilder<DeviceInfo>()
        try chain.appendPCIAtomicCompletion([.completes32, .completes64])
        #expect(chain.answer(DeviceInfo(argsz: 15)) == nil)
        let cut = try #require(chain.answer(DeviceInfo(argsz: 17)))
        #expect(cut.count == 17)
        #expect(number(cut, at: 0) == 40)
        let whole = try #require(chain.answer(DeviceInfo(argsz: 40)))
        #expect(whole.count == 40)
        #expect(number(whole, at: 4) == 128)
        #expect(number(whole, at: 16) == 24)
        #expect(number(whole, at: 24, count: 2) == 5)
        #expect(number(whole, at: 32) == 3)
    }

    @Test("a chain never grows beyond its limit, and stays as it was when it would")
    func limit() throws {
        var chain = CapabilityBuilder<RegionInfo>(limit: 40)
        try chain.appendType(.graphics, .graphicsEDID)
        let areas = [SparseMmapArea](repeating: SparseMmapArea(), count: 1)
        #expect(throws: CapabilityBuilderError(limit: 40)) { try chain.appendSparseMmap(areas.span) }
        #expect(chain.byteCount == 16)
        try chain.appendMSIXMappable()
        try chain.append(id: 9, version: 2, payload: [UInt8](repeating: 7, count: 3).rawSpan)
        #expect(chain.byteCount == 40)
        #expect(throws: CapabilityBuilderError(limit: 40)) { try chain.appendMSIXMappable() }

        let bytes = try #require(chain.answer(RegionInfo(argsz: 72)))
        #expect(Array(bytes[32..<40]) == [2, 0, 1, 0, 48, 0, 0, 0])
        #expect(Array(bytes[48..<56]) == [3, 0, 1, 0, 56, 0, 0, 0])
        #expect(Array(bytes[56..<72]) == [9, 0, 2, 0, 0, 0, 0, 0, 7, 7, 7, 0, 0, 0, 0, 0])
    }

    @Test("what was built is walked again, for random chains")
    func roundTrip() throws {
        let seed = UInt64.random(in: .min ... .max)
        print("random built chains: seed \(seed)")
        var random = SplitMix(seed: seed)
        for _ in 0..<500 {
            var chain = CapabilityBuilder<DeviceInfo>()
            var payloads: [[UInt8]] = []
            for id in 0..<Int.random(in: 1...8, using: &random) {
                let payload = (0..<Int.random(in: 0...40, using: &random)).map { _ in
                    UInt8.random(in: .min ... .max, using: &random)
                }
                payloads.append(payload)
                try chain.append(id: UInt16(id), payload: payload.rawSpan)
            }
            let bytes = try #require(chain.answer(DeviceInfo(argsz: 4096)))
            let raw = bytes.rawSpan
            let info = try #require(bytes.value(DeviceInfo.self))
            var walk = CapabilityChain(of: info, in: raw, alignment: 8)
            var count = 0
            while let capability = try walk.next() {
                let payload = payloads[count]
                let start = capability.offset + 8
                #expect(Array(bytes[start..<start + payload.count]) == payload, "seed \(seed)")
                #expect(capability.payload.byteCount == (payload.count + 7) & ~7, "seed \(seed)")
                count += 1
            }
            #expect(count == payloads.count, "seed \(seed)")
        }
    }
}
