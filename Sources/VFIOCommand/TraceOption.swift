import ArgumentParser
import VFIOHost

/// Writing down what a host is asked and answers: an option of every verb that uses one.
struct TraceOption: ParsableArguments {
    @Option(
        name: .customLong("trace"),
        help: ArgumentHelp(
            "Write every call of the host and its answer to a file, for `vfio trace`.", valueName: "file"))
    var path: String?

    /// The host, with one in front of it that writes down what passes, where that is asked for.
    func added(to host: any Host) throws(CommandFailure) -> any Host {
        guard let path else { return host }
        do throws(TraceError) {
            return TracingHost(host, writingTo: try TraceWriter(creating: path))
        } catch {
            throw .refused("--trace \(path): \(error)")
        }
    }
}
