import PCIDecoder
import Testing

@Suite("A configuration space that is wrong")
struct HostileConfigurationTests {
    @Test("a list that comes back to itself ends, and is said to loop")
    func loop() {
        var space = Space()
        space.list([(0x40, 0x01, []), (0x50, 0x05, [])])
        space.put(0x51, [0x40])
        let decoded = DecodedConfiguration(decoding: space.bytes)
        #expect(decoded.capabilities.count == 2)
        #expect(decoded.problems.map(\.text) == ["the list of capabilities loops back to 0x40"])
        #expect(decoded.problems.first?.offset == 0x51)
    }

    @Test("a list that leads into the header ends there")
    func intoHeader() {
        var space = Space()
        space.list([(0x40, 0x09, [3])])
        space.put(0x41, [0x10])
        let decoded = DecodedConfiguration(decoding: space.bytes)
        #expect(decoded.problems.map(\.text) == ["the list of capabilities leads to 0x10, where none can be"])
    }

    @Test("extended capabilities that loop or lie in the first 256 bytes end the list")
    func extended() {
        var space = Space(count: 4096)
        space.extended([(0x100, 0x03, 1, []), (0x200, 0x0d, 1, [])])
        var bytes = space.bytes
        bytes[0x203] = 0x10
        #expect(
            DecodedConfiguration(decoding: bytes).problems.map(\.text)
                == ["the list of extended capabilities loops back to 0x100"])
        bytes[0x203] = 0x04
        #expect(
            DecodedConfiguration(decoding: bytes).problems.map(\.text)
                == ["the list of extended capabilities leads to 0x40, where none can be"])
    }

    @Test("a capability that goes on beyond the space or overlaps another one says so")
    func places() {
        var space = Space()
        space.list([(0x40, 0x10, [0x02, 0]), (0x50, 0x01, [0x03, 0]), (0xfc, 0x05, [0x80, 0])])
        let decoded = DecodedConfiguration(decoding: space.bytes)
        #expect(decoded.capabilities.map(\.offset) == [0x40, 0x50, 0xfc])
        #expect(decoded.capabilities[1].problems == ["it overlaps the capability at 0x40"])
        #expect(
            decoded.capabilities[2].problems == ["it goes on beyond byte 0x100, where its space ends"])
    }

    @Test("a device that answers with ones only is gone; few bytes are told as they are")
    func short() {
        let gone = DecodedConfiguration(decoding: [UInt8](repeating: 0xff, count: 256))
        #expect(gone.isGone && gone.header.isEmpty && gone.problems.count == 1)
        let short = DecodedConfiguration(decoding: [1, 2, 3])
        #expect(short.problems.first?.text == "a header has 64 bytes, and only 3 are there")
        let header = DecodedConfiguration(decoding: Array(Space().bytes[..<64]))
        #expect(
            header.problems.isEmpty && header.capabilities.isEmpty && header.register(at: 0)?.value == 0x1b36)
        #expect(DecodedConfiguration(decoding: []).header.isEmpty)
    }

    @Test("random spaces, most of them with lists, are taken apart with all that holds for any")
    func random() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(state: seed)
        for round in 0..<20_000 {
            let decoded = DecodedConfiguration(decoding: random.space())
            #expect(decoded.capabilities.count <= 48 && decoded.extendedCapabilities.count <= 960)
            // The full check is slow: the expectations, not the decoder.
            if round % 100 == 0 { DecodedConfigurationTests.check(decoded) }
            for capability in decoded.capabilities + decoded.extendedCapabilities {
                for register in capability.registers
                where register.offset + register.byteCount > decoded.byteCount {
                    Issue.record("seed \(seed), round \(round): \(register.name) leaves the space")
                }
            }
        }
    }
}

/// Random spaces from a seed.
private struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }

    /// Noise in which known capabilities are frequent.
    mutating func space() -> [UInt8] {
        let count = [64, 256, 4096, Int(next() % 4097)][Int(next() % 4)]
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 8)
        while bytes.count < count {
            let word = next()
            for byte in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: word >> (8 * UInt64(byte)))) }
        }
        bytes.removeLast(bytes.count - count)
        if count >= 64 {
            bytes[6] |= 0x10
            bytes[14] &= 0x83
        }
        for offset in stride(from: 0x40, to: min(count, 256), by: 4) { bytes[offset] %= 0x18 }
        for offset in stride(from: 0x100, to: count - 1, by: 4) {
            bytes[offset] %= 0x38
            bytes[offset + 1] = 0
        }
        return bytes
    }
}
