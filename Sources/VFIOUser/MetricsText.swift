/// What a server's device has done up to a moment, as its metrics tell it.
public struct ServerTraffic: Sendable, Equatable {
    /// The device's name, as its server gives it.
    public let name: String
    /// Commands, both ways.
    public var commands: UInt64 = 0
    /// Commands that read a region.
    public var reads: UInt64 = 0
    /// Commands that write to a region.
    public var writes: UInt64 = 0
    /// Commands that reach the client's memory by messages, both ways of transfer. What a device does with memory that
    /// its client shares isn't counted by anyone.
    public var dmaTransfers: UInt64 = 0
    /// The bytes of those.
    public var dmaByteCount: UInt64 = 0
    /// Interrupts that signalled an eventfd.
    public var interrupts: UInt64 = 0
    /// Replies that told of a failure.
    public var errors: UInt64 = 0
    /// How many bytes of memory the client has mapped now.
    public var mappedByteCount: UInt64 = 0
    /// How many ranges those are.
    public var mappings: UInt64 = 0
    /// How many clients have connected.
    public var connections: UInt64 = 0
    /// Whether there is a client now.
    public var isConnected = false

    /// A device that has done nothing.
    public init(name: String) { self.name = name }
}

/// Reads what ``PrometheusText`` writes: Prometheus's text format, version 0.0.4.
public enum MetricsText {
    /// The most devices that are taken from one text.
    public static let mostDevices = 1024
    private static let longestLine = 4096
    private static let mostLabels = 16

    /// What each device has done, in the order in which the text names them first.
    ///
    /// Metrics of other names are passed over, so that a newer server can be watched.
    /// - Throws: ``MetricsFailure/malformed(line:)``, ``MetricsFailure/tooManyDevices``; ``MetricsFailure/noServer`` for
    ///   a text without any of a server's metrics.
    public static func traffic(in text: some Collection<UInt8>) throws(MetricsFailure) -> [ServerTraffic] {
        var devices: [ServerTraffic] = []
        var places: [String: Int] = [:]
        var number = 0
        for line in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            number += 1
            guard let first = line.first, first != UInt8(ascii: "#") else { continue }
            guard line.starts(with: prefix) else { continue }
            guard let sample = Sample(Array(line.prefix(longestLine + 1))) else {
                throw .malformed(line: number)
            }
            guard let name = sample["device"] else { continue }
            let place: Int
            if let known = places[name] {
                place = known
            } else {
                guard devices.count < mostDevices else { throw .tooManyDevices }
                place = devices.count
                places[name] = place
                devices.append(ServerTraffic(name: name))
            }
            devices[place].add(sample)
        }
        if devices.isEmpty { throw .noServer }
        return devices
    }

    private static let prefix = Array("vfio_user_".utf8)

    /// One line: a name, labels and a number.
    struct Sample {
        let name: String
        let labels: [(name: String, value: String)]
        let value: UInt64

        subscript(label: String) -> String? { labels.first { $0.name == label }?.value }

        /// - Returns: nil for a line that isn't in the format.
        init?(_ line: [UInt8]) {
            guard line.count <= longestLine else { return nil }
            var at = prefix.count
            var labels: [(name: String, value: String)] = []
            while at < line.count, MetricsText.isWord(line[at]) { at += 1 }
            name = String(decoding: line[prefix.count..<at], as: UTF8.self)
            if at < line.count, line[at] == UInt8(ascii: "{") {
                at += 1
                while at < line.count, line[at] != UInt8(ascii: "}") {
                    guard labels.count < mostLabels, let label = Self.label(line, &at) else { return nil }
                    labels.append(label)
                    if at < line.count, line[at] == UInt8(ascii: ",") { at += 1 }
                }
                guard at < line.count else { return nil }
                at += 1
            }
            self.labels = labels
            guard at < line.count, line[at] == UInt8(ascii: " "),
                let value = Self.number(line[(at + 1)...])
            else { return nil }
            self.value = value
        }

        private static func label(_ line: [UInt8], _ at: inout Int) -> (name: String, value: String)? {
            let start = at
            while at < line.count, MetricsText.isWord(line[at]) { at += 1 }
            let name = String(decoding: line[start..<at], as: UTF8.self)
            guard at > start, at + 1 < line.count, line[at] == UInt8(ascii: "="),
                line[at + 1] == UInt8(ascii: "\"")
            else { return nil }
            at += 2
            var value: [UInt8] = []
            while at < line.count, line[at] != UInt8(ascii: "\"") {
                if line[at] == UInt8(ascii: "\\") {
                    at += 1
                    guard at < line.count else { return nil }
                    value.append(line[at] == UInt8(ascii: "n") ? UInt8(ascii: "\n") : line[at])
                } else {
                    value.append(line[at])
                }
                at += 1
            }
            guard at < line.count else { return nil }
            at += 1
            return (name, String(decoding: value, as: UTF8.self))
        }

        /// A number; of one with a fraction, as sums of seconds are, the whole part. A time may follow.
        private static func number(_ text: ArraySlice<UInt8>) -> UInt64? {
            let word = text.prefix { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\r") }
            let whole = word.prefix { $0 != UInt8(ascii: ".") }
            guard !whole.isEmpty, word.count - whole.count <= 20,
                word.dropFirst(whole.count + 1).allSatisfy({ (0x30...0x39).contains($0) })
            else { return nil }
            return UInt64(String(decoding: whole, as: UTF8.self))
        }

    }

    fileprivate static func isWord(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
            || byte == UInt8(ascii: "_")
    }
}

extension ServerTraffic {
    fileprivate mutating func add(_ sample: MetricsText.Sample) {
        switch sample.name {
        case "messages_total":
            guard sample["kind"] == "command" else { return }
            commands &+= sample.value
            switch sample["command"] {
            case "REGION_READ": reads &+= sample.value
            case "REGION_WRITE", "REGION_WRITE_MULTI": writes &+= sample.value
            case "DMA_READ", "DMA_WRITE": dmaTransfers &+= sample.value
            default: break
            }
        case "errors_total": errors &+= sample.value
        case "interrupts_total": interrupts &+= sample.value
        case "dma_message_data_bytes_total": dmaByteCount &+= sample.value
        case "dma_mapped_bytes": mappedByteCount = sample.value
        case "dma_mappings": mappings = sample.value
        case "connections_total": connections = sample.value
        case "connected": isConnected = sample.value != 0
        default: break
        }
    }
}
