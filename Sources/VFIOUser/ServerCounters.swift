import LinuxSystem
import VFIOABI

/// The way that a message goes.
public enum MessageDirection: Int, Sendable, CaseIterable {
    /// From the client.
    case received
    /// To the client.
    case sent
}

/// What a server counts, in words that any thread may add to and read: fixed memory, whatever clients do.
struct ServerCounters: Sendable {
    let words = RelaxedWords(count: Self.count)

    // MARK: what is on

    /// The word that everybody who handles a message looks at.
    static let switches = 0
    /// The bit of ``switches`` that says that messages are counted.
    static let isCounting: UInt64 = 1
    /// The bit of ``switches`` that says that messages are traced.
    static let isTracing: UInt64 = 2

    // MARK: connections and memory

    static let connections = 1
    static let isConnected = 2
    /// A word for each way in which a connection ends.
    static let ends = 3
    static let mappings = ends + ConnectionEnd.names.count
    static let mappedBytes = mappings + 1
    static let dmaRead = mappings + 2
    static let dmaWritten = mappings + 3

    // MARK: errors

    /// The errnos below this have words of their own; the last word is for all others.
    static let errnoCount = 134
    private static let errors = dmaWritten + 1

    static func error(_ direction: MessageDirection, _ number: UInt32) -> Int {
        errors + direction.rawValue * errnoCount + (number < errnoCount ? Int(number) : 0)
    }

    // MARK: messages

    /// The highest command; 0 stands for all that are none.
    static let highestCommand = 18
    private static let messages = errors + 2 * errnoCount

    static func slot(_ command: UserCommand) -> Int {
        Int(command.rawValue) <= highestCommand ? Int(command.rawValue) : 0
    }

    /// The word that counts messages; the next one counts their bytes.
    static func message(_ slot: Int, _ direction: MessageDirection, isReply: Bool) -> Int {
        messages + ((slot * 2 + direction.rawValue) * 2 + (isReply ? 1 : 0)) * 2
    }

    // MARK: latencies

    private static let latencies = messages + (highestCommand + 1) * 8
    /// A sum, the longest, and the buckets.
    private static let latencyStride = 2 + ReplyTimes.bucketCount

    /// The word with all times of a command's answers together; the longest and the buckets follow.
    static func latency(_ slot: Int) -> Int { latencies + slot * latencyStride }

    private static let count = latencies + (highestCommand + 1) * latencyStride
}
