import LinuxSystem
import VFIOABI

/// The metrics of servers in Prometheus's text format, version 0.0.4: what a program that collects metrics takes in.
///
/// Everything has the label `device`, the name given here. Latencies are a histogram with a bucket for every power of
/// two nanoseconds from 256 ns to 17 s.
public struct PrometheusText: Sendable {
    /// The text's media type, as HTTP says it.
    public static let mediaType = "text/plain; version=0.0.4; charset=utf-8"

    private var text = ""
    private let devices: [(name: String, metrics: ServerMetrics)]

    /// The text for the metrics of some servers.
    /// - Parameter devices: each with a name of its own.
    public static func text(_ devices: [(name: String, metrics: ServerMetrics)]) -> String {
        var writer = PrometheusText(devices: devices)
        writer.addMessages()
        writer.addLatencies()
        writer.addMemory()
        writer.addRest()
        return writer.text
    }

    private init(devices: [(name: String, metrics: ServerMetrics)]) { self.devices = devices }

    // MARK: lines

    private mutating func begin(_ name: String, _ type: String, _ help: String) {
        text += "# HELP vfio_user_\(name) \(help)\n# TYPE vfio_user_\(name) \(type)\n"
    }

    private mutating func add(
        _ name: String, _ device: String, _ labels: [(String, String)], _ value: String
    ) {
        let all = ([("device", device)] + labels).map { "\($0.0)=\"\(Self.escaped($0.1))\"" }
        text += "vfio_user_\(name){\(all.joined(separator: ","))} \(value)\n"
    }

    private mutating func add(
        _ name: String, _ device: String, _ labels: [(String, String)], _ value: UInt64
    ) {
        add(name, device, labels, "\(value)")
    }

    private mutating func add(_ name: String, _ device: String, _ value: UInt64) {
        add(name, device, [], value)
    }

    /// A label's value: backslashes, quotation marks and ends of lines must not end it.
    private static func escaped(_ value: String) -> String {
        var escaped = ""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\\": escaped += "\\\\"
            case "\"": escaped += "\\\""
            case "\n": escaped += "\\n"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }

    /// Nanoseconds as seconds, exactly.
    private static func seconds(_ nanoseconds: UInt64) -> String {
        let fraction = String(nanoseconds % 1_000_000_000)
        return "\(nanoseconds / 1_000_000_000)."
            + String(repeating: "0", count: 9 - fraction.utf8.count) + fraction
    }

    // MARK: families

    private func labels(_ entry: ServerMetrics.Messages) -> [(String, String)] {
        [
            ("command", ServerMetrics.name(entry.command)), ("direction", "\(entry.direction)"),
            ("kind", entry.isReply ? "reply" : "command"),
        ]
    }

    private mutating func addMessages() {
        begin("messages_total", "counter", "Messages, by command, direction and kind.")
        for device in devices {
            for entry in device.metrics.messages {
                add("messages_total", device.name, labels(entry), entry.count)
            }
        }
        begin("message_bytes_total", "counter", "Bytes of messages with their headers.")
        for device in devices {
            for entry in device.metrics.messages {
                add("message_bytes_total", device.name, labels(entry), entry.byteCount)
            }
        }
        begin("errors_total", "counter", "Replies that told of a failure, by errno and direction.")
        for device in devices {
            for entry in device.metrics.errors {
                let name = "\(entry.errno.name)"
                let errno = name.utf8.elementsEqual("errno".utf8) ? "\(entry.errno.rawValue)" : name
                add(
                    "errors_total", device.name,
                    [("direction", "\(entry.direction)"), ("errno", errno)], entry.count)
            }
        }
    }

    private mutating func addLatencies() {
        begin(
            "reply_seconds", "histogram",
            "Time from a command's receipt to its reply; for DMA_READ and DMA_WRITE, until the client's reply."
        )
        for device in devices {
            for latency in device.metrics.latencies {
                let command = ("command", ServerMetrics.name(latency.command))
                for power in 8...34 {
                    let bound = Self.seconds(1 << UInt64(power))
                    let count = latency.times.count(withinPowerOfTwo: power)
                    add("reply_seconds_bucket", device.name, [command, ("le", bound)], count)
                }
                let count = latency.times.count
                add("reply_seconds_bucket", device.name, [command, ("le", "+Inf")], count)
                add("reply_seconds_sum", device.name, [command], Self.seconds(latency.times.sum))
                add("reply_seconds_count", device.name, [command], count)
            }
        }
    }

    private mutating func addMemory() {
        begin("dma_mappings", "gauge", "Ranges of memory that the client has mapped.")
        for device in devices { add("dma_mappings", device.name, device.metrics.mappingCount) }
        begin("dma_mapped_bytes", "gauge", "Bytes of memory that the client has mapped.")
        for device in devices { add("dma_mapped_bytes", device.name, device.metrics.mappedByteCount) }
        begin("dma_message_data_bytes_total", "counter", "Data of DMA that went by messages.")
        for device in devices {
            let name = "dma_message_data_bytes_total"
            add(name, device.name, [("operation", "read")], device.metrics.dmaReadByteCount)
            add(name, device.name, [("operation", "write")], device.metrics.dmaWrittenByteCount)
        }
    }

    private mutating func addRest() {
        begin("interrupts_total", "counter", "Interrupts that signalled an eventfd, by kind.")
        for device in devices {
            let interrupts = device.metrics.interrupts
            for (kind, count) in [
                ("intx", interrupts.line), ("msi", interrupts.msi), ("msix", interrupts.msix),
                ("err", interrupts.error), ("req", interrupts.request),
            ] {
                add("interrupts_total", device.name, [("type", kind)], count)
            }
        }
        begin("connections_total", "counter", "Clients that have connected.")
        for device in devices { add("connections_total", device.name, device.metrics.connectionCount) }
        begin("connected", "gauge", "1 while there is a client.")
        for device in devices { add("connected", device.name, device.metrics.isConnected ? 1 : 0) }
        begin("connection_ends_total", "counter", "How connections ended.")
        for device in devices {
            for end in device.metrics.ends {
                add("connection_ends_total", device.name, [("reason", end.reason)], end.count)
            }
        }
    }
}
