import LinuxSystem
import SoftwareDevices
import VFIO
import VFIOGuest
import VFIOHost

/// Numbers by chance that are the same for the same seed.
public struct Dice: Sendable {
    /// What the next number comes from.
    public var state: UInt64

    /// Begins with a seed.
    public init(_ seed: UInt64) { state = seed }

    /// The next number.
    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// A number below a limit.
    public mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }
}

/// What the guest of a ``SmallMachine`` does, one step after the other without an end: it writes all over its memory
/// and drives its devices, and checks what it finds. Its registers are a few numbers, so that it can go on elsewhere.
struct GuestProgram {
    /// The registers.
    struct Registers: Equatable {
        var dice: UInt64
        var steps: UInt64 = 0
        var phase: UInt64 = 0
        var device: UInt64 = 0
        var pattern: UInt64 = 0
        var answer: UInt64 = 0

        init(seed: UInt64) { dice = seed }

        var words: [UInt64] { [dice, steps, phase, device, pattern, answer] }

        init?(words: [UInt64]) {
            guard words.count == 6, words[2] < 12, words[3] < 3 else { return nil }
            (dice, steps, phase) = (words[0], words[1], words[2])
            (device, pattern, answer) = (words[3], words[4], words[5])
        }
    }

    var registers: Registers
    /// The first thing that wasn't as it had been left.
    private(set) var complaint: String?
    private let space: GuestAddressSpace
    private let regions: [Region]
    private let noise: [ClosedRange<UInt64>]
    private let drives: Bool

    /// Where each device's two places in memory are; they are 32 words long.
    static func place(_ device: Int, _ second: Bool) -> UInt64 {
        0x4000 + UInt64(device) * 0x2000 + (second ? 0x1000 : 0)
    }

    /// - Parameter noise: where it writes whatever comes.
    init(
        _ registers: Registers, _ space: GuestAddressSpace, _ regions: [Region], noise: [ClosedRange<UInt64>],
        drives: Bool
    ) {
        self.drives = drives
        self.registers = registers
        self.space = space
        self.regions = regions
        self.noise = noise
    }

    private mutating func expect(_ found: UInt64, _ wanted: UInt64, _ what: String) {
        guard found != wanted, complaint == nil else { return }
        complaint = "step \(registers.steps), \(what): \(found), not \(wanted)"
    }

    /// Does one thing.
    mutating func step() throws {
        var dice = Dice(registers.dice)
        defer { registers.dice = dice.state }
        // The counter in memory goes with the one in the processor.
        expect(try space.load(UInt64.self, at: GuestAddress(0x100)), registers.steps, "the counter in memory")
        registers.steps += 1
        try space.store(registers.steps, at: GuestAddress(0x100))
        let range = noise[dice.below(noise.count)]
        let place =
            range.lowerBound + UInt64(dice.below(Int(range.upperBound - range.lowerBound + 1) / 8)) * 8
        try space.store(dice.below(8) == 0 ? 0 : dice.next(), at: GuestAddress(place))
        if drives { try drive(&dice) }
        registers.phase = (registers.phase + 1) % 12
    }

    private mutating func drive(_ dice: inout Dice) throws {
        let device = Int(registers.device)
        let region = regions[device]
        switch registers.phase {
        case 0:
            registers.device = UInt64(dice.below(regions.count))
            registers.pattern = dice.next()
            for word in 0..<32 {
                try space.store(
                    registers.pattern &+ UInt64(word),
                    at: GuestAddress(Self.place(Int(registers.device), false) + UInt64(8 * word)))
            }
        case 1: try region.store64(0x80, Self.place(device, false))
        case 2: try region.store64(0x88, Educational.bufferAddress)
        case 3: try region.store64(0x90, 256)
        case 4: try region.store64(0x98, 1)
        case 5: try region.store64(0x80, Educational.bufferAddress)
        case 6: try region.store64(0x88, Self.place(device, true))
        case 7: try region.store64(0x98, 3)
        case 8:
            for word in 0..<32 {
                let place = Self.place(device, true) + UInt64(8 * word)
                // The device wrote it.
                expect(
                    try space.load(UInt64.self, at: GuestAddress(place)), registers.pattern &+ UInt64(word),
                    "word \(word) that device \(device) wrote")
            }
        case 9:
            registers.answer = UInt64(dice.below(12))
            try region.store32(0x08, UInt32(registers.answer))
        case 10:
            var product: UInt32 = 1
            for factor in 0..<UInt32(registers.answer) { product = product &* (factor + 1) }
            expect(UInt64(try region.load32(0x08)), UInt64(product), "the factorial of \(registers.answer)")
        default: try region.store32(0x04, UInt32(truncatingIfNeeded: dice.next()))
        }
    }
}
