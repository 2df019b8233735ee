import DeviceModel
import LinuxSystem
import NVMe
import NVMeController
import Testing

/// SplitMix64: the same seed gives the same run.
struct Generator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

@Suite("A hostile driver")
struct FuzzTests {
    private func field(_ random: inout Generator, _ rig: Rig) -> UInt64 {
        let inside = TestSlot.base + UInt64.random(in: 0..<UInt64(rig.slot.window.byteCount), using: &random)
        switch random.next() % 8 {
        case 0: return random.next()
        case 1: return 0
        case 2: return .max - random.next() % 8192
        case 3: return inside
        default: return inside & ~0xfff
        }
    }

    private func entry(_ random: inout Generator, _ rig: Rig) -> SubmissionEntry {
        let opcodes: [UInt8] = [0, 1, 2, 4, 5, 6, 8, 9, 0xa, 0xc, 0x7c]
        var entry = SubmissionEntry(opcode: opcodes.randomElement(using: &random) ?? 0)
        if random.next() % 16 == 0 { entry.opcode = UInt8(truncatingIfNeeded: random.next()) }
        entry.flags = random.next() % 4 == 0 ? UInt8(truncatingIfNeeded: random.next()) : 0
        if random.next() % 4 == 0 { entry.flags = 0x40 }
        entry.commandID = UInt16(truncatingIfNeeded: random.next() % 32)
        entry.namespaceID = [0, 1, 1, 1, 2, 9, 0xffff_ffff][Int(random.next() % 7)]
        entry.prp1 = field(&random, rig)
        entry.prp2 = field(&random, rig)
        if entry.flags == 0x40 {
            let kinds: [UInt64] = [0, 0, 1, 2, 3, 3, 4, 9]
            let kind = kinds[Int(random.next() % 8)]
            entry.prp2 = kind << 60 | [16, 32, 512, 4096, 8192, 0, 0xffff_fff0][Int(random.next() % 7)]
        }
        func dword(_ random: inout Generator) -> UInt32 {
            let value = UInt32(truncatingIfNeeded: random.next())
            switch random.next() % 4 {
            case 0: return value
            case 1: return value & 0x000f_000f
            default: return value & 0x1f
            }
        }
        entry.dword10 = dword(&random)
        entry.dword11 = dword(&random)
        entry.dword12 = dword(&random)
        entry.dword13 = dword(&random)
        return entry
    }

    @Test("Random commands, doorbells and registers never end the process, and a reset heals everything")
    func random() throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("NVMeController fuzz seed: \(seed)")
        var random = Generator(state: seed)
        for _ in 0..<40 {
            var settings = NVMeController.Settings()
            settings.queuePairs = Int(random.next() % 20)
            settings.queueEntries = Int(random.next() % 70)
            settings.maximumTransferExponent = UInt8(random.next() % 8)
            let rig = try Rig(namespaces: 2, settings: settings)
            rig.slot.lends = random.next() % 2 == 0
            // Memory full of plausible entries, so that lists, rings and shadows have something in them.
            for offset in stride(from: 0, to: rig.slot.window.byteCount, by: 8 * 61) {
                rig.slot.window.store64(offset, field(&random, rig))
            }
            for _ in 0..<8 {
                rig.slot.holes.insert(field(&random, rig) & ~0xfff)
            }
            for _ in 0..<300 {
                switch random.next() % 12 {
                case 0:
                    let offset = random.next() % 0x60 & ~3
                    rig.write(offset, UInt32(truncatingIfNeeded: random.next()))
                case 1:
                    let width = [1, 2, 4, 8][Int(random.next() % 4)]
                    let offset = random.next() % 0x4000 & ~UInt64(width - 1)
                    rig.controller.storeBAR(0, offset: offset, width: width, value: random.next())
                    _ = rig.controller.loadBAR(0, offset: offset, width: width)
                case 2:
                    let offset = 0x1000 + (random.next() % 48) * 4
                    rig.write(offset, UInt32(truncatingIfNeeded: random.next() % 80))
                case 3 where random.next() % 4 == 0:
                    rig.write(RegisterOffset.configuration, 0)
                    rig.bringUp(configuration: Rig.enabled | UInt32(random.next() % 6) << 7)
                case 4 where random.next() % 8 == 0:
                    rig.controller.performReset(.function)
                    rig.controller.function.configuration.write(6, at: 4, width: 2)
                default:
                    let count = random.next() % 6
                    for _ in 0..<count {
                        let entry = entry(&random, rig)
                        let at = rig.adminQueue.submission + UInt64(rig.adminQueue.tail) * 64
                        rig.slot.store(entry, at: at)
                        rig.adminQueue.tail = (rig.adminQueue.tail + 1) % 32
                    }
                    rig.ring(rig.adminQueue)
                    _ = rig.reap(rig.adminQueue)
                    for id in 1...3 as ClosedRange<UInt16> where random.next() % 2 == 0 {
                        rig.write(Doorbell(stride: 0).submissionTail(of: id), UInt32(random.next() % 16))
                        rig.write(Doorbell(stride: 0).completionHead(of: id), UInt32(random.next() % 16))
                    }
                    if !rig.status.isReady { rig.bringUp() }
                }
            }
            rig.slot.holes = []
            rig.controller.performReset(.function)
            rig.controller.function.configuration.write(6, at: 4, width: 2)
            rig.bringUp()
            #expect(rig.status.rawValue == 1, "seed \(seed)")
            let page = IdentifyController(rig.page(.identify(.controller)))
            #expect(page?.serialNumber == "SWIFTVFIO0", "seed \(seed)")
        }
    }

    @Test("Random commands on a working I/O queue each get exactly one completion")
    func oneCompletionEach() throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("NVMeController command fuzz seed: \(seed)")
        var random = Generator(state: seed)
        for lends in [true, false] {
            let rig = try Rig(namespaces: 2)
            rig.slot.lends = lends
            let queue = rig.makeQueue(1, entries: 256)
            // The rings stay out of the way of wild addresses.
            let low = TestSlot.base + 64 * 4096
            for offset in stride(from: 64 * 4096, to: rig.slot.window.byteCount, by: 8 * 3) {
                rig.slot.window.store64(offset, max(low, field(&random, rig)))
            }
            for _ in 0..<3000 {
                var entry = entry(&random, rig)
                entry.opcode = [0, 1, 2, 8, 9][Int(random.next() % 5)]
                if entry.prp1 < low { entry.prp1 = low + entry.prp1 % 4096 }
                if entry.prp2 < low { entry.prp2 = low }
                // Reads could still land on the rings through a list in memory.
                if entry.opcode == 2 { entry.dword12 &= 7 }
                if entry.opcode == 2 && entry.flags & 0xc0 != 0 { entry.opcode = 1 }
                let completion = rig.run(entry, on: queue)
                #expect(completion != nil, "seed \(seed)")
                if completion == nil { return }
            }
            #expect(rig.status.rawValue == 1, "seed \(seed)")
        }
    }
}
