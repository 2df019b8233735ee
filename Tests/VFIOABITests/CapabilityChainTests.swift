import Testing
import VFIOABI

/// What a walk found, copied out of the bytes so that expectations can be written down.
private struct Found: Equatable {
    var id: UInt16
    var version: UInt16
    var offset: Int
    var byteCount: Int
}

/// Walks a whole chain.
private func walk(
    _ bytes: [UInt8], from offset: UInt32, structureSize: Int = 32, alignment: Int = 4
) throws(CapabilityChainError) -> [Found] {
    var chain = CapabilityChain(
        bytes.rawSpan, startingAt: offset, structureSize: structureSize, alignment: alignment)
    var found: [Found] = []
    while let capability = try chain.next() {
        found.append(
            Found(
                id: capability.id, version: capability.version, offset: capability.offset,
                byteCount: capability.bytes.byteCount))
    }
    return found
}

extension [UInt8] {
    /// Writes a capability header.
    fileprivate mutating func header(at offset: Int, id: UInt16, version: UInt16 = 1, next: UInt32) {
        store(id, at: offset)
        store(version, at: offset + 2)
        store(next, at: offset + 4)
    }

    fileprivate mutating func store(_ value: some FixedWidthInteger, at offset: Int) {
        for byte in 0..<value.bitWidth / 8 {
            self[offset + byte] = UInt8(truncatingIfNeeded: value >> (8 * byte))
        }
    }
}

@Suite("Walking a capability chain")
struct CapabilityChainTests {
    /// Three capabilities at 24, 56 and 68, as Linux 6.1 answers the type 1 request: not aligned to 8.
    private static func linux61() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 100)
        bytes.store(UInt32(100), at: 0)
        bytes.store(UInt32(3), at: 4)
        bytes.store(UInt32(24), at: 16)
        bytes.header(at: 24, id: 2, next: 56)
        bytes.store(UInt64(4096), at: 40)
        bytes.store(UInt64(0x1000_0000), at: 48)
        bytes.header(at: 56, id: 3, next: 68)
        bytes.store(UInt32(0xFFFF), at: 64)
        bytes.header(at: 68, id: 1, next: 0)
        bytes.store(UInt32(1), at: 76)
        bytes.store(UInt64(0), at: 84)
        bytes.store(UInt64(0xFEDF_FFFF), at: 92)
        return bytes
    }

    @Test("a chain of Linux 6.1 is walked although its third capability is not aligned to 8")
    func oldKernel() throws {
        let bytes = Self.linux61()
        let info = try #require(bytes.value(IOMMUType1Info.self))
        #expect(info.flags == [.pageSizes, .caps])
        var chain = CapabilityChain(of: info, in: bytes.rawSpan)

        var capability = try chain.next(id: IOMMUCapabilityID.migration.rawValue)
        if capability == nil { Issue.record("no capability") }
        if let capability {
            let migration = try capability.migration()
            #expect(migration.pageSizes == 4096)
            #expect(migration.maxDirtyBitmapSize == 0x1000_0000)
        }
        capability = try chain.next()
        if let capability {
            #expect(capability.offset == 56)
            #expect(try capability.dmaAvailable().available == 0xFFFF)
            #expect(capability.payload.byteCount == 4)
        }
        capability = try chain.next(id: IOMMUCapabilityID.iovaRange.rawValue)
        #expect(capability?.offset == 68)
        if let capability {
            let ranges = try capability.iovaRanges()
            #expect(ranges.count == 1)
            #expect(ranges[0] == Type1IOVARange(start: 0, end: 0xFEDF_FFFF))
        }
        capability = try chain.next()
        if capability != nil { Issue.record("a capability behind the end") }
    }

    @Test("an alignment of 8 can be asked for and refuses that chain")
    func strictAlignment() {
        #expect(throws: CapabilityChainError(.misaligned, at: 56, value: 68)) {
            try walk(Self.linux61(), from: 24, structureSize: 24, alignment: 8)
        }
    }

    @Test("no capabilities: no flag, an offset of 0, or an answer that did not fit")
    func empty() throws {
        #expect(try walk([UInt8](repeating: 0xFF, count: 64), from: 0) == [])
        #expect(try walk([], from: 0) == [])

        let bytes = [UInt8](repeating: 0xFF, count: 64)
        for info in [
            RegionInfo(argsz: 64, flags: [.read], capabilityOffset: 32),
            RegionInfo(argsz: 64, flags: [.caps], capabilityOffset: 0),
        ] {
            var chain = CapabilityChain(of: info, in: bytes.rawSpan)
            let capability = try chain.next()
            if capability != nil { Issue.record("a capability behind the end") }
        }
    }

    @Test("a chain that turns back, to itself or to an earlier capability, is refused")
    func loops() {
        var bytes = [UInt8](repeating: 0, count: 96)
        bytes.header(at: 32, id: 1, next: 32)
        #expect(throws: CapabilityChainError(.backward, at: 32, value: 32)) { try walk(bytes, from: 32) }

        bytes.header(at: 32, id: 1, next: 48)
        bytes.header(at: 48, id: 2, next: 32)
        #expect(throws: CapabilityChainError(.backward, at: 48, value: 32)) { try walk(bytes, from: 32) }
    }

    @Test("an offset inside the structure, or inside the header that names it, is refused")
    func overlaps() {
        var bytes = [UInt8](repeating: 0, count: 96)
        #expect(throws: CapabilityChainError(.insideStructure, at: 0, value: 28)) {
            try walk(bytes, from: 28)
        }
        bytes.header(at: 32, id: 1, next: 16)
        #expect(throws: CapabilityChainError(.insideStructure, at: 32, value: 16)) {
            try walk(bytes, from: 32)
        }
        bytes.header(at: 32, id: 1, next: 36)
        #expect(throws: CapabilityChainError(.overlapping, at: 32, value: 36)) { try walk(bytes, from: 32) }
    }

    @Test("a misaligned offset is refused, in the structure and in the chain")
    func misaligned() {
        var bytes = [UInt8](repeating: 0, count: 96)
        #expect(throws: CapabilityChainError(.misaligned, at: 0, value: 34)) { try walk(bytes, from: 34) }
        bytes.header(at: 32, id: 1, next: 49)
        #expect(throws: CapabilityChainError(.misaligned, at: 32, value: 49)) { try walk(bytes, from: 32) }
    }

    @Test("an offset beyond the buffer and a header cut off by its end are refused")
    func outside() {
        var bytes = [UInt8](repeating: 0, count: 64)
        #expect(throws: CapabilityChainError(.outsideBuffer, at: 0, value: 64)) { try walk(bytes, from: 64) }
        #expect(throws: CapabilityChainError(.outsideBuffer, at: 0, value: .max)) {
            try walk(bytes, from: .max)
        }
        #expect(throws: CapabilityChainError(.truncatedHeader, at: 60, value: 60)) {
            try walk(bytes, from: 60)
        }
        bytes.header(at: 32, id: 1, next: 0xFFFF_FFFC)
        #expect(throws: CapabilityChainError(.outsideBuffer, at: 32, value: 0xFFFF_FFFC)) {
            try walk(bytes, from: 32)
        }
    }

    @Test("bytes beyond argsz are not part of the answer")
    func argszBounds() {
        var bytes = [UInt8](repeating: 0, count: 96)
        bytes.header(at: 32, id: 1, next: 48)
        bytes.header(at: 48, id: 2, next: 0)
        let info = RegionInfo(argsz: 48, flags: .caps, capabilityOffset: 32)
        #expect(throws: CapabilityChainError(.outsideBuffer, at: 32, value: 48)) {
            var chain = CapabilityChain(of: info, in: bytes.rawSpan)
            while let capability = try chain.next() { #expect(capability.id == 1) }
        }
    }

    @Test("after an error a chain is at its end")
    func afterError() throws {
        var bytes = [UInt8](repeating: 0, count: 64)
        bytes.header(at: 32, id: 1, next: 32)
        var chain = CapabilityChain(bytes.rawSpan, startingAt: 32, structureSize: 32)
        var capability = try chain.next()
        if capability == nil { Issue.record("no capability") }
        var refused = false
        do {
            capability = try chain.next()
        } catch {
            refused = true
        }
        #expect(refused)
        capability = try chain.next()
        if capability != nil { Issue.record("a capability behind the end") }
    }

    @Test("a capability is bounded by the next one, and announces no more records than it has")
    func payloadBounds() throws {
        var bytes = [UInt8](repeating: 0, count: 96)
        bytes.header(at: 32, id: 1, next: 64)
        bytes.store(UInt32(2), at: 40)
        bytes.header(at: 64, id: 2, version: 7, next: 0)
        #expect(
            try walk(bytes, from: 32) == [
                Found(id: 1, version: 1, offset: 32, byteCount: 32),
                Found(id: 2, version: 7, offset: 64, byteCount: 32),
            ])

        for (count, fits) in [(UInt32(0), true), (1, true), (2, false), (.max, false)] {
            bytes.store(count, at: 40)
            var chain = CapabilityChain(bytes.rawSpan, startingAt: 32, structureSize: 32)
            guard let capability = try chain.next() else {
                Issue.record("no capability")
                return
            }
            do throws(CapabilityChainError) {
                let areas = try capability.sparseMmapAreas()
                #expect(fits && areas.count == Int(count))
            } catch {
                #expect(!fits)
                #expect(error == CapabilityChainError(.truncatedPayload, at: 32, value: count))
            }
        }
    }

    @Test("a structure that is longer than its capability is refused")
    func truncatedStructure() throws {
        var bytes = [UInt8](repeating: 0, count: 44)
        bytes.header(at: 32, id: 2, next: 0)
        var chain = CapabilityChain(bytes.rawSpan, startingAt: 32, structureSize: 32)
        guard let capability = try chain.next() else {
            Issue.record("no capability")
            return
        }
        do throws(CapabilityChainError) {
            _ = try capability.regionType()
            Issue.record("12 bytes were taken for 16")
        } catch {
            #expect(error == CapabilityChainError(.truncatedPayload, at: 32, value: 16))
        }
    }

    @Test("version 1 of the zPCI capabilities is shorter; what it lacks is zero")
    func zpci() throws {
        var bytes = [UInt8](repeating: 0xAA, count: 72)
        bytes.header(at: 24, id: 1, version: 1, next: 56)
        bytes.store(UInt64(0x1000), at: 32)
        bytes.header(at: 56, id: 3, version: 1, next: 0)
        bytes.store(UInt32(4), at: 64)
        var chain = CapabilityChain(bytes.rawSpan, startingAt: 24, structureSize: 24)
        if let base = try chain.next() {
            #expect(try base.zpciBase().startDMA == 0x1000)
            #expect(try base.zpciBase().functionHandle == 0)
        }
        if let utility = try chain.next() {
            #expect(try utility.zpciUtilityString().byteCount == 4)
        }
        bytes.header(at: 24, id: 1, version: 2, next: 0)
        var second = CapabilityChain(bytes.rawSpan, startingAt: 24, structureSize: 24)
        if let base = try second.next() {
            #expect(try base.zpciBase().functionHandle == 0x0000_0001 << 16 | 3)
        }
    }

    @Test("random bytes never trap, and every walk ends")
    func random() {
        let seed = UInt64.random(in: .min ... .max)
        print("random capability chains: seed \(seed)")
        var random = SplitMix(seed: seed)
        var walked = 0
        var refused = 0
        for _ in 0..<20000 {
            let count = Int.random(in: 0...160, using: &random)
            var bytes = (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &random) }
            // Most random offsets are far outside: plant small ones, or the walk would never get far.
            if count >= 4 {
                for place in stride(from: 0, to: count - 3, by: 4) where Bool.random(using: &random) {
                    bytes.store(UInt32.random(in: 0...44, using: &random) * 4, at: place)
                }
            }
            let size = [0, 16, 24, 32].randomElement(using: &random) ?? 0
            let alignment = [1, 2, 4, 8].randomElement(using: &random) ?? 4
            var chain = CapabilityChain(
                bytes.rawSpan, startingAt: UInt32.random(in: 0...60, using: &random) * 4, structureSize: size,
                alignment: alignment)
            var steps = 0
            var end = 0
            do throws(CapabilityChainError) {
                while let capability = try chain.next() {
                    steps += 1
                    walked += 1
                    let good =
                        capability.offset >= max(size, end) && capability.offset % alignment == 0
                        && capability.bytes.byteCount >= 8
                        && capability.offset + capability.bytes.byteCount <= count && steps <= count / 8
                    #expect(good, "seed \(seed)")
                    guard good else { return }
                    end = capability.offset + 8
                    decode(capability)
                }
            } catch {
                refused += 1
            }
        }
        // Both outcomes happen, or the test would say nothing.
        #expect(walked > 1000 && refused > 1000, "seed \(seed)")
    }

    /// Reads a capability as everything that it could be: nothing may trap.
    private func decode(_ capability: borrowing Capability) {
        _ = try? capability.regionType()
        _ = try? capability.migration()
        _ = try? capability.dmaAvailable()
        _ = try? capability.pciAtomicCompletion()
        _ = try? capability.zpciBase()
        _ = try? capability.zpciGroup()
        _ = try? capability.nvlink2SSATarget()
        _ = try? capability.nvlink2LinkSpeed()
        do throws(CapabilityChainError) {
            let areas = try capability.sparseMmapAreas()
            for index in 0..<areas.count { _ = areas[index].size }
        } catch {}
        do throws(CapabilityChainError) {
            let ranges = try capability.iovaRanges()
            for index in 0..<ranges.count { _ = ranges[index].end }
        } catch {}
        do throws(CapabilityChainError) {
            _ = try capability.zpciUtilityString().byteCount
            _ = try capability.zpciFunctionPath().byteCount
        } catch {}
    }
}
