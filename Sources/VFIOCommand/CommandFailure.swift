import LinuxSystem
import VFIO
import VFIOHost

/// Why a command ends without having done what it was asked for.
struct CommandFailure: Error, Equatable {
    /// What the process ends with.
    enum Code: Int32 {
        case done = 0
        case refused = 1
        case wrongUsage = 2
        case undetermined = 3
    }

    let code: Code
    /// What was tried, on what, what came of it, and after "; remedy: " the next thing to try.
    let text: String

    /// Something was refused or failed.
    static func refused(_ text: String, remedy: String? = nil) -> CommandFailure {
        CommandFailure(code: .refused, text, remedy)
    }
    /// The command line or a file given on it is wrong.
    static func wrongUsage(_ text: String, remedy: String? = nil) -> CommandFailure {
        CommandFailure(code: .wrongUsage, text, remedy)
    }
    /// What was asked for can't be told.
    static func undetermined(_ text: String, remedy: String? = nil) -> CommandFailure {
        CommandFailure(code: .undetermined, text, remedy)
    }

    private init(code: Code, _ text: String, _ remedy: String?) {
        self.code = code
        self.text = text + (remedy.map { Self.remedyMark + $0 } ?? "")
    }

    /// What stands before the next thing to try, here and in what the library throws.
    static let remedyMark = "; remedy: "

    /// The same, with a next thing to try if it has none.
    func orElse(try remedy: String) -> CommandFailure {
        text.contains(Self.remedyMark) ? self : CommandFailure(code: code, text, remedy)
    }

    // MARK: files

    /// What is done with a file.
    enum FileUse: String {
        case read, written, opened
    }

    /// A file that was named can't be used.
    static func file(
        _ path: String, _ use: FileUse, _ errno: Errno, code: Code = .refused
    ) -> CommandFailure {
        CommandFailure(
            code: code, "\(path): can't be \(use.rawValue): \(errno)",
            fileRemedy(path, isWritten: use == .written, errno))
    }

    /// What helps where a file can't be used.
    static func fileRemedy(_ path: String, isWritten: Bool, _ errno: Errno) -> String {
        let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        return switch errno {
        case .noSuchEntry where isWritten: "make the folder \(folder) first"
        case .noSuchEntry, .notDirectory: "look for the name's mistake with ls \(folder)"
        case .accessDenied, .notPermitted:
            isWritten
                ? "name a file in a folder that you may write to" : "see who may read it with ls -l \(path)"
        case .isDirectory: "name a file: this is a folder"
        case .noSpace: "make room: df \(folder)"
        case .readOnlyFileSystem: "name a file elsewhere: nothing can be written there"
        default: isWritten ? "name another file" : "look at it with ls -l \(path)"
        }
    }
}

/// What to try next where the library knows no better.
enum NextStep {
    /// After something that a device or its host refused.
    static let seeCalls =
        "run it again with -v to see which call was refused; vfio doctor tells what may be the reason"
    /// After a name that isn't a device's.
    static let listDevices = "vfio list shows the devices that are there"
}

/// Runs something on a device and turns what it throws into what the command says.
func speaking<R>(_ body: () throws(VFIOError) -> R) throws(CommandFailure) -> R {
    do throws(VFIOError) { return try body() } catch { throw CommandFailure.of(error) }
}

extension CommandFailure {
    /// What the typed API threw.
    static func of(_ error: VFIOError) -> CommandFailure {
        let next =
            switch error.code {
            case .noSuchDevice: NextStep.listDevices
            case .busy: "end what uses it; vfio list --held shows who does"
            case .noMemory: "free some memory, or ask for less, and try again"
            default: NextStep.seeCalls
            }
        return CommandFailure.refused("\(error)").orElse(try: next)
    }
}
