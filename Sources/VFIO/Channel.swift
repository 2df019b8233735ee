import LinuxSystem
import VFIOABI
import VFIOHost

/// A mainframe's channel device (`vfio-ccw`) as its user drives it: channel programs, halt and clear, status and
/// reports.
///
/// It keeps its device open. A program's end is told by ``InterruptIndex/channelProgram``, a report by
/// ``InterruptIndex/channelReport``.
public struct Channel: Sendable {
    /// What starts a program: an operation request block (z/Architecture Principles of Operation, chapter 15).
    public struct Request: Sendable, Equatable {
        /// Comes back with the status, for whoever asked.
        public var parameter: UInt32
        /// The key of protected memory, 0...15.
        public var key: UInt8 = 0
        /// Whether commands are of format 1, with 31 bits of addresses; otherwise of format 0, with 24.
        public var hasFormat1 = true
        /// Whether indirect addresses have 64 bits; otherwise 31.
        public var hasLongAddresses = true
        /// The paths that may be used, a bit each.
        public var paths: UInt8 = 0xff
        /// Where the program's first command is, as the device sees memory.
        public var program: UInt32

        /// A request for a program of format 1.
        public init(program: UInt32, parameter: UInt32 = 0) {
            self.program = program
            self.parameter = parameter
        }

        var bytes: [UInt8] {
            // All commands are fetched before the first is carried out: the host can't do otherwise.
            let flags: UInt8 = 0x40 | (hasFormat1 ? 0x80 : 0) | (hasLongAddresses ? 0x02 : 0)
            return Channel.bytes(parameter) + [key << 4, flags, paths, 0] + Channel.bytes(program)
        }
    }

    /// How a program, a halt or a clear ended, or what came by itself: the status word of an interruption response
    /// block.
    public struct Status: Sendable, Equatable {
        /// Whether it is about a start.
        public let isStart: Bool
        /// Whether it is about a halt.
        public let isHalt: Bool
        /// Whether it is about a clear.
        public let isClear: Bool
        /// Whether it says something unusual.
        public let isAlert: Bool
        /// Behind the last command that was carried out.
        public let program: UInt32
        /// What the device says: the unit status, 0x0c for channel end and device end.
        public let device: UInt8
        /// What the channel found: 0x40 incorrect length, 0x20 program check, 0x10 protection check.
        public let subchannel: UInt8
        /// How much of the last command's data wasn't used, in bytes.
        public let residual: Int

        init(_ word: ArraySlice<UInt8>) {
            let bytes = Array(word)
            isStart = bytes[2] & 0x40 != 0
            isHalt = bytes[2] & 0x20 != 0
            isClear = bytes[2] & 0x10 != 0
            isAlert = bytes[3] & 0x10 != 0
            program = Channel.number(bytes[4..<8])
            device = bytes[8]
            subchannel = bytes[9]
            residual = Int(Channel.number(bytes[10..<12]))
        }
    }

    /// The device.
    public let device: Device
    private let io: Region

    /// The channel of an open device.
    /// - Throws: ``VFIOError/Code/notSupported`` for a device that isn't one of a channel.
    public init(_ device: Device) throws(VFIOError) {
        guard device.info.flags.contains(.ccw) else {
            throw VFIOError(
                operation: "use the channel", object: device.name, code: .notSupported,
                cause: "it isn't a mainframe's channel device")
        }
        self.device = device
        io = try device.region(RegionIndex(rawValue: CCWRegion.config.rawValue), mapped: false)
    }

    /// Starts a program.
    /// - Throws: ``VFIOError/Code/busy`` while one is under way; what is wrong with the program or its memory.
    public func start(_ request: Request) throws(VFIOError) {
        var status = [UInt8](repeating: 0, count: CCWAreaSize.scsw)
        // The start function.
        status[2] = 0x40
        do throws(VFIOError) {
            try write(request.bytes + status, to: io)
        } catch {
            throw Self.explained(error, "start a channel program")
        }
    }

    /// How the last program ended; what there was before, while one is under way.
    public func status() throws(VFIOError) -> Status {
        let bytes = try read(io, count: MemoryLayout<CCWIORegion>.size)
        let start = CCWAreaSize.orb + CCWAreaSize.scsw
        return Status(bytes[start..<start + CCWAreaSize.irb].prefix(CCWAreaSize.scsw))
    }

    /// Ends the program under way at once, as far as the device can: `HALT SUBCHANNEL`.
    public func halt() throws(VFIOError) { try send(.haltSubchannel, "halt the subchannel") }

    /// Ends the program under way, and forgets it: `CLEAR SUBCHANNEL`.
    public func clear() throws(VFIOError) { try send(.clearSubchannel, "clear the subchannel") }

    private func send(_ command: CCWAsyncCommand, _ operation: String) throws(VFIOError) {
        let region = try device.region(of: Region.Kind(type: .ccw, subtype: .ccwAsyncCommand))
        var bytes = [UInt8](repeating: 0, count: MemoryLayout<CCWCommandRegion>.size)
        bytes.put(CCWCommandRegion(command: command), at: 0)
        do throws(VFIOError) {
            try write(bytes, to: region)
        } catch {
            throw Self.explained(error, operation)
        }
    }

    /// The subchannel's information block, 52 bytes with the highest byte of each number first.
    public func information() throws(VFIOError) -> [UInt8] {
        let region = try device.region(of: Region.Kind(type: .ccw, subtype: .ccwSCHIB))
        let bytes = try read(region, count: MemoryLayout<CCWSCHIBRegion>.size)
        return Array(bytes.prefix(CCWAreaSize.schib))
    }

    /// Takes the next channel report word; nil if there is none.
    public func nextReport() throws(VFIOError) -> UInt32? {
        let region = try device.region(of: Region.Kind(type: .ccw, subtype: .ccwCRW))
        let bytes = try read(region, count: MemoryLayout<CCWCRWRegion>.size)
        guard let report = bytes.get(CCWCRWRegion.self), report.crw != 0 else { return nil }
        return report.crw
    }

    // MARK: bytes

    private static func explained(_ error: VFIOError, _ operation: String) -> VFIOError {
        var error = error
        error.operation = operation
        switch error.errno {
        case .busy, .again:
            error.code = .busy
            error.cause = "a channel program is under way"
        case .notSupported: error.cause = "the program is in transport mode, which the host can't carry out"
        default: break
        }
        return error
    }

    private func read(_ region: Region, count: Int) throws(VFIOError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var span = bytes.mutableSpan
        // SAFETY: plain bytes: any value is one of theirs.
        var raw = unsafe span.mutableBytes
        try region.read(at: 0, into: &raw)
        return bytes
    }

    private func write(_ bytes: [UInt8], to region: Region) throws(VFIOError) {
        // SAFETY: bytes are plain integers, all of them initialised.
        try region.write(at: 0, unsafe bytes.span.bytes)
    }

    /// A number with the highest byte first, as a mainframe has it.
    private static func bytes(_ number: UInt32) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> UInt32($0)) }
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        bytes.reduce(0) { $0 << 8 | UInt32($1) }
    }
}

extension InterruptIndex {
    /// A channel device: a program, a halt or a clear has ended, or something has happened by itself.
    public static let channelProgram = InterruptIndex(rawValue: CCWInterrupt.io.rawValue)
    /// A channel device: a report about the channel is there.
    public static let channelReport = InterruptIndex(rawValue: CCWInterrupt.crw.rawValue)
    /// A channel device: the host asks for it back.
    public static let channelRequest = InterruptIndex(rawValue: CCWInterrupt.req.rawValue)
    /// Cryptographic queues: the host asks for them back.
    public static let cryptoRequest = InterruptIndex(rawValue: APInterrupt.req.rawValue)
    /// Cryptographic queues: others have been given to the device.
    public static let cryptoChange = InterruptIndex(rawValue: APInterrupt.configurationChange.rawValue)
}
