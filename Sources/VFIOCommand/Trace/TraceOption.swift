import ArgumentParser
import VFIOHost

/// Writing down what a host is asked and answers: an option of every verb that uses one.
struct TraceOption: ParsableArguments {
    @Option(
        name: .customLong("trace"),
        help: ArgumentHelp(
            "Write every call of the host and its answer to a file, for `vfio trace`.", valueName: "file"))
    var path: String?

    /// Begins the trace, for others to go on with.
    /// - Returns: its absolute path; nil where none is asked for.
    func begin() throws(CommandFailure) -> String? {
        guard let path else { return nil }
        let absolute = path.hasPrefix("/") ? path : try RunPlan.absolute("") + path
        do throws(TraceError) {
            _ = try TraceWriter(creating: absolute)
            return absolute
        } catch {
            throw .refused("--trace \(path): \(error)")
        }
    }

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
