import DeviceModel
import LinuxSystem
import VFIOABI

/// What a server has counted up to a moment; taken with ``ServerMonitor/metrics``.
///
/// Messages, errors and latencies are counted while ``ServerMonitor/isCounting`` is on, everything else always.
/// Numbers only grow, except those of what is there now.
public struct ServerMetrics: Sendable, Equatable {
    /// The messages of one kind.
    public struct Messages: Sendable, Equatable {
        /// The command, or the one that was answered; 0 stands for all that are none.
        public let command: UserCommand
        /// The way that they went.
        public let direction: MessageDirection
        /// Whether they are answers.
        public let isReply: Bool
        /// How many.
        public let count: UInt64
        /// Their length with headers, in bytes.
        public let byteCount: UInt64
    }

    /// Answers that told of a failure.
    public struct Errors: Sendable, Equatable {
        /// The way that they went.
        public let direction: MessageDirection
        /// The errno; 0 stands for all numbers that are none.
        public let errno: Errno
        /// How many.
        public let count: UInt64
    }

    /// How long a command's answers took: from its receipt until the answer was sent, or for a command of the
    /// server's from when it was sent until the answer came.
    public struct Latency: Sendable, Equatable {
        /// The command; 0 stands for all that are none.
        public let command: UserCommand
        /// The times.
        public let times: ReplyTimes
    }

    /// Interrupts that the client was told of, by kind: each signalled an eventfd.
    public struct Interrupts: Sendable, Equatable {
        /// Of the line.
        public let line: UInt64
        /// Messages of MSI.
        public let msi: UInt64
        /// Messages of MSI-X.
        public let msix: UInt64
        /// Reported errors.
        public let error: UInt64
        /// Requests to give the device back.
        public let request: UInt64
    }

    /// How connections ended.
    public struct End: Sendable, Equatable {
        /// A word for the way, as ``ConnectionEnd``'s cases have them.
        public let reason: String
        /// How often.
        public let count: UInt64
    }

    /// The messages that there were, and those that any server has.
    public private(set) var messages: [Messages] = []
    /// The failures that there were.
    public private(set) var errors: [Errors] = []
    /// The commands that were answered.
    public private(set) var latencies: [Latency] = []
    /// The interrupts.
    public let interrupts: Interrupts
    /// How many clients have connected.
    public let connectionCount: UInt64
    /// Whether there is a client now.
    public let isConnected: Bool
    /// How connections ended, every way.
    public let ends: [End]
    /// How many ranges of IOVAs the client has mapped now.
    public let mappingCount: UInt64
    /// How many bytes those have.
    public let mappedByteCount: UInt64
    /// How many bytes of the client's memory came by messages (`DMA_READ`).
    public let dmaReadByteCount: UInt64
    /// How many bytes went to the client's memory by messages (`DMA_WRITE`).
    public let dmaWrittenByteCount: UInt64
    /// For how long messages have been counted, in nanoseconds; nil if they never were.
    public let nanoseconds: UInt64?

    init(_ words: RelaxedWords, _ deliveries: PCIInterrupts.Deliveries, nanoseconds: UInt64?) {
        self.nanoseconds = nanoseconds
        interrupts = Interrupts(
            line: deliveries.line, msi: deliveries.msi, msix: deliveries.msix, error: deliveries.error,
            request: deliveries.request)
        connectionCount = words.load(ServerCounters.connections)
        isConnected = words.load(ServerCounters.isConnected) != 0
        ends = ConnectionEnd.names.enumerated().map {
            End(reason: $1, count: words.load(ServerCounters.ends + $0))
        }
        mappingCount = words.load(ServerCounters.mappings)
        mappedByteCount = words.load(ServerCounters.mappedBytes)
        dmaReadByteCount = words.load(ServerCounters.dmaRead)
        dmaWrittenByteCount = words.load(ServerCounters.dmaWritten)
        for direction in MessageDirection.allCases {
            for number in 0..<UInt32(ServerCounters.errnoCount) {
                let count = words.load(ServerCounters.error(direction, number))
                guard count > 0 else { continue }
                errors.append(
                    Errors(direction: direction, errno: Errno(rawValue: Int32(number)), count: count))
            }
        }
        for slot in 0...ServerCounters.highestCommand { addCommand(slot, words) }
    }

    private mutating func addCommand(_ slot: Int, _ words: RelaxedWords) {
        let command = UserCommand(rawValue: UInt16(slot))
        for direction in MessageDirection.allCases {
            for isReply in [false, true] {
                let cell = ServerCounters.message(slot, direction, isReply: isReply)
                let count = words.load(cell)
                guard count > 0 || Self.isUsual(command, direction, isReply) else { continue }
                messages.append(
                    Messages(
                        command: command, direction: direction, isReply: isReply, count: count,
                        byteCount: words.load(cell + 1)))
            }
        }
        let latency = ServerCounters.latency(slot)
        let counts = (0..<ReplyTimes.bucketCount).map { words.load(latency + 2 + $0) }
        guard counts.contains(where: { $0 > 0 }) else { return }
        let times = ReplyTimes(
            counts: counts, sum: words.load(latency), longest: words.load(latency + 1))
        latencies.append(Latency(command: command, times: times))
    }

    /// Whether such messages are sent in a conversation where nothing goes wrong.
    private static func isUsual(
        _ command: UserCommand, _ direction: MessageDirection, _ isReply: Bool
    ) -> Bool {
        guard command.rawValue != 14, command.name != nil else { return false }
        let isOurs = command == .dmaRead || command == .dmaWrite
        return (direction == .sent) == (isOurs != isReply)
    }
}
