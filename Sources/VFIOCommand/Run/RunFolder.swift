import ArgumentParser
import JSONText
import LinuxSystem
import SoftwareHost
import VFIOHost

/// The folder that a run leaves for the library: what the machine is, and how /sys and /dev look on it.
struct RunFolder {
    /// Its path.
    let path: String

    /// - Parameters:
    ///   - bars: what the program may map of a device's registers.
    ///   - program: what is run, for those who look on.
    ///   - trace: the file that the library is to go on with; nil for none.
    init(_ plan: RunPlan, bars: MappedBARs, trace: String?, program: String) throws(CommandFailure) {
        let host = try plan.makeHost()
        let place =
            ChildProcess.environmentValue("XDG_RUNTIME_DIR") ?? ChildProcess.environmentValue("TMPDIR")
        do throws(Errno) {
            path = try FileSystem.makeTemporaryFolder((place ?? "/tmp") + "/" + Self.prefix)
        } catch {
            throw .refused(
                "no folder for the run can be made in \(place ?? "/tmp"): \(error)",
                remedy: "have XDG_RUNTIME_DIR or TMPDIR name a folder that you may write to")
        }
        do throws(InventoryError) {
            try host.writeTree(to: path + "/root")
            var members: [JSON.Member] = [
                .init("folder", .string(plan.folder)), .init("machine", plan.document),
                .init("bars", .string(bars.rawValue)), .init("program", .string(program)),
            ]
            if let trace { members.append(.init("trace", .string(trace))) }
            try Self.make(path + "/run.json", Array(JSON.object(members).text.utf8))
        } catch {
            remove()
            throw .file(error.path, .written, error.errno)
        }
    }

    private static func make(_ path: String, _ bytes: [UInt8]) throws(InventoryError) {
        do throws(Errno) {
            try FileSystem.makeFile(path, bytes)
        } catch {
            throw InventoryError(path: path, errno: error)
        }
    }

    /// Removes it with everything in it.
    func remove() { FileSystem.removeFolder(path) }

    /// Removes it; while processes of the run go on, as daemons do, another process waits for the last of them and
    /// removes it then.
    func removeWhenUnused() {
        if Self.isInUse(path) && RemoveRunCommand.start(path) { return }
        remove()
    }

    /// What begins the name of such a folder.
    static let prefix = "vfio-run-"

    /// Whether a process of this user's belongs to the run: its environment names the folder.
    static func isInUse(_ path: String) -> Bool {
        let wanted = Array("\(variable)=\(path)".utf8)
        return ((try? FileSystem.names(in: "/proc")) ?? []).contains { name in
            guard let number = Int32(name), number != ProcessLimits.processID,
                let environment = try? FileSystem.bytes(of: "/proc/\(name)/environ", limit: 2 << 20)
            else { return false }
            return environment.split(separator: 0).contains { $0.elementsEqual(wanted) }
        }
    }

    /// The variable that names the folder to the library.
    static let variable = "VFIO_RUN"
}

/// Removes the folder of a run when the last of its processes has ended. Nothing that people call.
struct RemoveRunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "remove-run", shouldDisplay: false)

    @Argument var folder: String

    /// Starts this command for a folder, in the background.
    /// - Returns: whether that could be done.
    static func start(_ folder: String) -> Bool {
        guard let program = try? FileSystem.linkTarget("/proc/self/exe") else { return false }
        return (try? ChildProcess.startInBackground(program, [configuration.commandName ?? "", folder]))
            != nil
    }

    func run() throws {
        // Nothing else is removed, whoever asks.
        guard folder.split(separator: "/").last?.hasPrefix(RunFolder.prefix) == true,
            FileSystem.exists(folder + "/run.json")
        else { throw CommandFailure.wrongUsage("\(folder) isn't what `vfio run` leaves") }
        // Whoever waits for the end of a pipe that it was given to inherit doesn't wait for this.
        Descriptor.closeAll(from: 3)
        while RunFolder.isInUse(folder) { Clock.sleep(nanoseconds: 500_000_000) }
        FileSystem.removeFolder(folder)
    }
}
