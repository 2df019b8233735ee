import DeviceModel
import LinuxSystem

/// A magnetic drum at a mainframe's channel: bytes that are sought, written and read.
///
/// | command | what it does |
/// |---|---|
/// | 0x01 write | stores the data from where it stands on; beyond the end is a unit check |
/// | 0x02 read | takes what follows where it stands |
/// | 0x03 no operation | nothing |
/// | 0x04 sense | one byte: 0x80 after an unknown command, 0x08 after a place beyond the end; forgotten afterwards |
/// | 0x07 seek | four bytes, the highest first: where to stand |
/// | 0x29 search equal | with device end and status modifier where the data is what stands there |
/// | 0xe4 sense ID | seven bytes: 0xff, the control unit's type and model, the device's |
public final class ChannelDrum: ChannelDevice, @unchecked Sendable {
    // SAFETY: the host makes one call at a time; `isHeldUp` is guarded by `lock`.

    /// Its commands.
    public enum Command {
        /// Stores the data.
        public static let write: UInt8 = 0x01
        /// Takes what follows.
        public static let read: UInt8 = 0x02
        /// Nothing.
        public static let noOperation: UInt8 = 0x03
        /// What went wrong.
        public static let sense: UInt8 = 0x04
        /// Where to stand.
        public static let seek: UInt8 = 0x07
        /// Whether the data stands here.
        public static let searchEqual: UInt8 = 0x29
        /// Who it is.
        public static let senseID: UInt8 = 0xe4
    }

    /// What sense tells.
    public enum Sense {
        /// The command isn't known.
        public static let commandReject: UInt8 = 0x80
        /// The place is beyond the end.
        public static let dataCheck: UInt8 = 0x08
    }

    /// Where it is attached.
    public let subchannel: Subchannel
    private var bytes: [UInt8]
    private var place = 0
    private var sense: UInt8 = 0
    private let lock = Lock()
    private var isHeldUp = false

    /// An empty drum.
    /// - Parameters:
    ///   - byteCount: how much it holds, at most 16 MiB.
    ///   - deviceNumber: its number, as in "0.0.4fb2".
    public init(byteCount: Int = 4096, deviceNumber: UInt16 = 0x4fb2) {
        bytes = [UInt8](repeating: 0, count: min(max(0, byteCount), 16 << 20))
        subchannel = Subchannel(deviceNumber: deviceNumber)
    }

    /// Whether it turns: programs wait while it doesn't.
    public var isReady: Bool { lock.withLock { !isHeldUp } }

    /// Holds the drum up, or lets it turn again.
    public func setHeldUp(_ isHeldUp: Bool) {
        lock.withLock { self.isHeldUp = isHeldUp }
        if !isHeldUp { subchannel.resume(self) }
    }

    /// Writes, seeks, searches.
    public func carryOut(_ command: UInt8, _ data: [UInt8]) -> ChannelStatus {
        switch command {
        case Command.write:
            guard data.count <= bytes.count - place else { return fail(Sense.dataCheck) }
            bytes.replaceSubrange(place..<place + data.count, with: data)
            place += data.count
        case Command.noOperation: break
        case Command.seek:
            guard data.count == 4 else { return fail(Sense.commandReject) }
            let wanted = data.reduce(0) { $0 << 8 | Int($1) }
            guard wanted < bytes.count else { return fail(Sense.dataCheck) }
            place = wanted
        case Command.searchEqual:
            let isHere =
                data.count <= bytes.count - place && bytes[place...].prefix(data.count).elementsEqual(data)
            return isHere ? [.channelEnd, .deviceEnd, .modifier] : .done
        default: return fail(Sense.commandReject)
        }
        return .done
    }

    /// Reads, senses.
    public func answer(_ command: UInt8, limit: Int) -> (data: [UInt8], status: ChannelStatus) {
        switch command {
        case Command.read:
            let data = Array(bytes[place...].prefix(limit))
            place += data.count
            return (data, .done)
        case Command.sense:
            defer { sense = 0 }
            return (Array([sense].prefix(limit)), .done)
        case Command.senseID:
            return (Array([0xff, 0x28, 0x41, 0x02, 0x23, 0x01, 0x01].prefix(limit)), .done)
        default: return ([], fail(Sense.commandReject))
        }
    }

    /// Stands at its beginning again; what is stored stays.
    public func reset() {
        place = 0
        sense = 0
    }

    private func fail(_ cause: UInt8) -> ChannelStatus {
        sense = cause
        return [.channelEnd, .deviceEnd, .unitCheck]
    }
}
