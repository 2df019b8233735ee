import DeviceModel
import IOVASpace
import LinuxSystem

/// A channel program as vfio-ccw takes it from memory (kernel.md G.4): all of its commands are fetched before the first
/// is carried out, so that the user may change the memory meanwhile.
///
/// Numbers in memory have the highest byte first, as on the machines that have channels.
struct ChannelProgram {
    /// A command: format 1, or converted to it.
    struct Command {
        /// The bits of ``flags``.
        enum Flag {
            static let chainsData: UInt8 = 0x80
            static let chainsCommand: UInt8 = 0x40
            static let suppressesLength: UInt8 = 0x20
            static let skips: UInt8 = 0x10
            static let isIndirect: UInt8 = 0x04
        }

        var code: UInt8
        var flags: UInt8
        var count: Int
        var address: UInt32

        /// A transfer to another command instead of one for the device.
        var isTransfer: Bool { code & 0x0f == 8 }
        /// Whether it takes data from the device: read, read backward, sense.
        var isInput: Bool { code & 1 == 0 }
    }

    /// Commands that follow one another in memory.
    private struct Chain {
        let start: UInt32
        let commands: [Command]
    }

    /// The most commands in one chain: `CCWCHAIN_LEN_MAX`.
    private static let longestChain = 256
    /// The most chains in a program. Linux knows no limit but its stack.
    private static let mostChains = 32

    private var chains: [Chain] = []
    /// Whether the words of indirect addresses have 64 bits.
    private let hasLongAddresses: Bool
    /// How much of memory one of them covers, in bytes.
    private let blockSize: Int
    private let memory: Memory

    /// Reads and writes the user's memory.
    struct Memory {
        let slot: PCIDriverSlot

        /// - Throws: `EINVAL` where nothing is mapped, `EPERM` where devices may not read.
        func load(_ address: UInt64, count: Int) throws(Errno) -> [UInt8] {
            var bytes = [UInt8](repeating: 0, count: count)
            var span = bytes.mutableSpan
            // SAFETY: plain bytes: any value is one of theirs.
            var raw = unsafe span.mutableBytes
            do throws(DMAFault) {
                try slot.readMemory(at: IOVA(address), into: &raw)
            } catch {
                throw error.reason == .notPermitted ? .notPermitted : .invalid
            }
            return bytes
        }

        func store(_ bytes: [UInt8], at address: UInt64) throws(DMAFault) {
            guard !bytes.isEmpty else { return }
            // SAFETY: bytes are plain integers, all of them initialised.
            try slot.writeMemory(unsafe bytes.span.bytes, at: IOVA(address))
        }
    }

    /// Fetches a program.
    /// - Parameter block: the operation request block, 12 bytes.
    /// - Throws: `EOPNOTSUPP` for a program in transport mode; `EINVAL` for one that is too long, or isn't mapped;
    ///   `EPERM` for memory that devices may not read.
    init(_ block: [UInt8], _ memory: Memory) throws(Errno) {
        guard block.count == 12 else { throw .invalid }
        if block[5] & 0x04 != 0 { throw .notSupported }
        self.memory = memory
        hasLongAddresses = block[5] & 0x02 != 0
        blockSize = hasLongAddresses && block[5] & 0x01 == 0 ? 4096 : 2048
        let start = block[8...11].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        try fetch(start, isFormat1: block[5] & 0x80 != 0)
        for chain in chains {
            for command in chain.commands where !command.isTransfer { try check(command) }
        }
    }

    /// Fetches the chain at an address and those that it transfers to.
    private mutating func fetch(_ first: UInt32, isFormat1: Bool) throws(Errno) {
        var waiting = [first]
        while let start = waiting.popLast() {
            if place(of: start) != nil { continue }
            guard chains.count < Self.mostChains else { throw .invalid }
            let bytes = try memory.load(UInt64(start), count: 8 * Self.longestChain)
            let all = (0..<Self.longestChain).map { Self.command(bytes, 8 * $0, isFormat1: isFormat1) }
            var count = 0
            while true {
                guard count < all.count else { throw .invalid }
                let command = all[count]
                count += 1
                let chaining = Command.Flag.chainsData | Command.Flag.chainsCommand
                let end = UInt64(start) + 8 * UInt64(count)
                let loopsBack =
                    command.isTransfer && command.address >= start && UInt64(command.address) < end
                if command.flags & chaining == 0 && !loopsBack { break }
            }
            let commands = Array(all[..<count])
            chains.append(Chain(start: start, commands: commands))
            for command in commands where command.isTransfer { waiting.append(command.address) }
        }
    }

    private static func command(_ bytes: [UInt8], _ at: Int, isFormat1: Bool) -> Command {
        let long = { (place: Int) -> UInt32 in bytes[place..<place + 4].reduce(0) { $0 << 8 | UInt32($1) } }
        if isFormat1 {
            let count = Int(bytes[at + 2]) << 8 | Int(bytes[at + 3])
            return Command(code: bytes[at], flags: bytes[at + 1], count: count, address: long(at + 4))
        }
        let address = long(at) & 0xff_ffff
        if bytes[at] & 0x0f == 8 { return Command(code: 8, flags: 0, count: 0, address: address) }
        let count = Int(bytes[at + 6]) << 8 | Int(bytes[at + 7])
        return Command(code: bytes[at], flags: bytes[at + 4], count: count, address: address)
    }

    /// Where a command is.
    private func place(of address: UInt32) -> (chain: Int, index: Int)? {
        for (number, chain) in chains.enumerated() where address >= chain.start {
            let distance = address - chain.start
            if distance % 8 == 0 && Int(distance / 8) < chain.commands.count {
                return (number, Int(distance / 8))
            }
        }
        return nil
    }

    /// Looks whether the memory that a command names is there.
    private func check(_ command: Command) throws(Errno) {
        guard command.count > 0, command.code != 3 else { return }
        if command.flags & Command.Flag.skips != 0 && command.isInput { return }
        for part in try parts(of: command) { _ = try memory.load(part.address, count: part.count) }
    }

    /// The memory that a command names, piece by piece.
    private func parts(of command: Command) throws(Errno) -> [(address: UInt64, count: Int)] {
        guard command.flags & Command.Flag.isIndirect != 0 else {
            return [(UInt64(command.address), command.count)]
        }
        let width = hasLongAddresses ? 8 : 4
        // The first word may point into the middle of a block, and all others to the beginning of one.
        let most = command.count / blockSize + 2
        var parts: [(address: UInt64, count: Int)] = []
        var left = command.count
        for index in 0..<most where left > 0 {
            let bytes = try memory.load(UInt64(command.address) + UInt64(width * index), count: width)
            let address = bytes.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            let inside = Int(address % UInt64(blockSize))
            guard index == 0 || inside == 0 else { throw .invalid }
            let count = min(left, blockSize - inside)
            parts.append((address, count))
            left -= count
        }
        return parts
    }

    // MARK: carrying it out

    /// How a program ended.
    struct End {
        /// Where the last command is, plus 8.
        var address: UInt32
        /// What the device said.
        var device: ChannelStatus
        /// What the channel found: bits of the subchannel status.
        var subchannel: UInt8
        /// How much of the last command's data wasn't used, in bytes.
        var residual: Int
    }

    /// Bits of the subchannel status.
    private enum Check {
        static let length: UInt8 = 0x40
        static let program: UInt8 = 0x20
        static let protection: UInt8 = 0x10
    }

    /// Where it goes on, while it waits for the device.
    private var next: (chain: Int, index: Int) = (0, 0)
    /// How many commands may still be carried out: a program that transfers back for ever is ended.
    private var budget = 16384

    /// Goes on until the end, or until the device isn't ready.
    /// - Returns: nil if it waits for the device.
    mutating func run(_ device: any ChannelDevice) -> End? {
        while true {
            guard chains.indices.contains(next.chain),
                chains[next.chain].commands.indices.contains(next.index)
            else { return End(address: 0, device: [], subchannel: Check.program, residual: 0) }
            let chain = chains[next.chain]
            let command = chain.commands[next.index]
            let address = chain.start &+ 8 &* UInt32(next.index + 1)
            budget -= 1
            guard budget > 0 else {
                return End(address: address, device: [], subchannel: Check.program, residual: 0)
            }
            if command.isTransfer {
                guard let target = place(of: command.address) else {
                    return End(address: address, device: [], subchannel: Check.program, residual: 0)
                }
                next = target
                continue
            }
            guard device.isReady else { return nil }
            // The commands whose data belongs to this one.
            var last = next.index
            while chain.commands[last].flags & Command.Flag.chainsData != 0
                && chain.commands.indices.contains(last + 1) && !chain.commands[last + 1].isTransfer
            {
                last += 1
            }
            var end = carryOut(Array(chain.commands[next.index...last]), device)
            end.address = chain.start &+ 8 &* UInt32(last + 1)
            let goesOn = chain.commands[last].flags & Command.Flag.chainsCommand != 0
            guard goesOn, end.subchannel == 0, end.device.subtracting(.modifier) == .done else { return end }
            next.index = last + (end.device.contains(.modifier) ? 2 : 1)
        }
    }

    private func carryOut(_ commands: [Command], _ device: any ChannelDevice) -> End {
        var end = End(address: 0, device: [], subchannel: 0, residual: 0)
        let total = commands.reduce(0) { $0 + $1.count }
        let used: Int
        do throws(Errno) {
            if commands[0].isInput {
                let (data, status) = device.answer(commands[0].code, limit: total)
                end.device = status
                used = min(data.count, total)
                var rest = data[..<used]
                for command in commands {
                    let own = Array(rest.prefix(command.count))
                    rest = rest.dropFirst(command.count)
                    if command.flags & Command.Flag.skips == 0 { try scatter(own, command, &end) }
                }
            } else {
                var data: [UInt8] = []
                // The only control command that no data goes with.
                if commands[0].code != 3 {
                    for command in commands {
                        for part in try parts(of: command) where part.count > 0 {
                            data += try memory.load(part.address, count: part.count)
                        }
                    }
                }
                end.device = device.carryOut(commands[0].code, data)
                used = commands[0].code == 3 ? total : data.count
            }
        } catch {
            end.device = .done
            end.subchannel |= error == .notPermitted ? Check.protection : Check.program
            return end
        }
        end.residual = total - used
        let suppresses = commands[commands.count - 1].flags & Command.Flag.suppressesLength != 0
        if end.residual > 0 && !suppresses { end.subchannel |= Check.length }
        return end
    }

    private func scatter(_ bytes: [UInt8], _ command: Command, _ end: inout End) throws(Errno) {
        var done = 0
        for part in try parts(of: command) where done < bytes.count {
            let piece = Array(bytes[done..<min(bytes.count, done + part.count)])
            do throws(DMAFault) {
                try memory.store(piece, at: part.address)
            } catch {
                end.subchannel |= error.reason == .notPermitted ? Check.protection : Check.program
                return
            }
            done += piece.count
        }
    }
}
