import LinuxSystem
import VFIOUser

/// What people are told of servers at work: traces and metrics, as they ask for them.
final class Observation {
    private let servers: [(name: String, monitor: ServerMonitor)]
    private let output: LineOutput
    private let printsAtEnd: Bool
    private let endpoint: MetricsEndpoint?

    /// Stands for standard error where a file is expected.
    static let standardError = "-"

    /// Where lines go.
    static func output(_ file: String?) throws(CommandFailure) -> LineOutput {
        guard let file, file != standardError else { return LineOutput(2) }
        do throws(Errno) {
            return LineOutput(owning: try Descriptor(opening: file, [.writeOnly, .create, .truncate]))
        } catch {
            throw .refused(
                "--trace \(file): \(error)", remedy: CommandFailure.fileRemedy(file, isWritten: true, error))
        }
    }

    /// Listens for those who want metrics.
    static func listener(_ port: UInt16) throws(CommandFailure) -> LoopbackSocket {
        try catching("--metrics-port \(port)") { () throws(Errno) in try LoopbackSocket(listening: port) }
    }

    /// - Parameters:
    ///   - output: where lines go.
    ///   - isTracing: whether there are any before somebody asks for them.
    ///   - counts: whether counters are printed in the end.
    ///   - listener: where metrics are answered; nil for nowhere.
    init(
        _ servers: [(name: String, monitor: ServerMonitor)], trace output: LineOutput, isTracing: Bool,
        counts: Bool, listener: consuming LoopbackSocket?
    ) throws(CommandFailure) {
        self.servers = servers
        self.output = output
        printsAtEnd = counts
        if let listener = listener.take() {
            do throws(Errno) {
                endpoint = try MetricsEndpoint(on: listener) {
                    PrometheusText.text(servers.map { ($0.name, $0.monitor.metrics) })
                }
            } catch {
                throw .refused("--metrics-port: \(error)", remedy: "choose another port; 0 takes a free one")
            }
            count()
        } else {
            endpoint = nil
            if counts { count() }
        }
        if isTracing { trace(true) }
    }

    /// Where metrics are answered; nil for nowhere.
    var address: String? { endpoint.map { "http://127.0.0.1:\($0.port)/metrics" } }

    private func count() {
        for (_, monitor) in servers { monitor.isCounting = true }
    }

    private func trace(_ isOn: Bool) {
        for (name, monitor) in servers { monitor.trace(to: isOn ? output : nil, as: name) }
    }

    /// Begins to trace, or ends it.
    func toggleTrace() {
        let isOn = !servers.contains { $0.monitor.isTracing }
        Console.complain("vfio: tracing \(isOn ? "begins" : "ends")")
        trace(isOn)
    }

    /// Prints what was counted. Where nothing was, counting begins.
    func printMetrics() {
        for (name, monitor) in servers {
            let lines = monitor.metrics.description.split(separator: "\n")
            Console.complain("\(name):\n" + lines.map { "  \($0)" }.joined(separator: "\n"))
        }
        guard servers.contains(where: { !$0.monitor.isCounting }) else { return }
        Console.complain("vfio: messages are counted from now on")
        count()
    }

    /// The servers have ended.
    func end() {
        if printsAtEnd { printMetrics() }
    }
}
