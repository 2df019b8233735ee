import LinuxSystem

/// Answers `GET /metrics` over HTTP/1.1 on a port of 127.0.0.1, on a thread of its own.
///
/// Whoever connects is not trusted: at most 16 connections at a time, each with a short request and two seconds for
/// all of it. Nobody waits for them, neither devices nor one another.
public final class MetricsEndpoint: Sendable {
    /// The port that is listened on.
    public let port: UInt16
    private let wake: MetricsService.Wake
    private let thread: WorkerThread

    /// Begins to answer.
    /// - Parameters:
    ///   - port: the port; 0 lets the system choose one.
    ///   - milliseconds: how long a connection may last.
    ///   - text: the answer, in the format of ``PrometheusText``; called on the endpoint's thread.
    /// - Throws: `EADDRINUSE` where the port is in use, `EACCES` where only root may have it.
    public init(
        port: UInt16, milliseconds: Int = 2000, _ text: @escaping @Sendable () -> String
    ) throws(Errno) {
        let listener = try LoopbackSocket(listening: port)
        self.port = try listener.port()
        wake = try MetricsService.Wake()
        let service = try MetricsService(listener, wake: wake, milliseconds: milliseconds, text)
        thread = try WorkerThread { service.run() }
    }

    deinit { wake.event.signal() }
}
