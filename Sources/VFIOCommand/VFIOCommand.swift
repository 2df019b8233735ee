import ArgumentParser
import LinuxSystem

/// The command line: `vfio VERB …`.
///
/// Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 could not be determined.
@main
struct VFIOCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vfio",
        abstract: "See and drive devices through VFIO: the kernel's, or one inside this process.",
        subcommands: [
            DemoCommand.self, RunCommand.self, ListCommand.self, InspectCommand.self, DoctorCommand.self,
            BindCommand.self, UnbindCommand.self, RestoreCommand.self, NVMeCommand.self,
            ServeCommand.self, TopCommand.self, BenchCommand.self, ConformCommand.self, TraceCommand.self,
            MediatedCommand.self,
            RemoveRunCommand.self,
        ])

    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let failure as CommandFailure {
            Console.complain("vfio: \(failure.text)")
            exit(withCode: failure.code)
        } catch let code as ExitCode {
            // Everything has been said, or another program's code is handed on.
            Self.exit(withError: code)
        } catch {
            let code = exitCode(for: error)
            if code.isSuccess {
                print(fullMessage(for: error))
                exit(withCode: .done)
            }
            // Whatever isn't a complaint of the parser comes from the work itself.
            guard code == .validationFailure else {
                Console.complain("vfio: \(error)")
                exit(withCode: .refused)
            }
            Console.complain(fullMessage(for: error))
            exit(withCode: .wrongUsage)
        }
    }

    private static func exit(withCode code: CommandFailure.Code) -> Never {
        Self.exit(withError: ExitCode(code.rawValue))
    }
}

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
    let text: String

    /// Something was refused or failed.
    static func refused(_ text: String) -> CommandFailure { CommandFailure(code: .refused, text: text) }
    /// The command line or a file given on it is wrong.
    static func wrongUsage(_ text: String) -> CommandFailure { CommandFailure(code: .wrongUsage, text: text) }
    /// What was asked for can't be told.
    static func undetermined(_ text: String) -> CommandFailure {
        CommandFailure(code: .undetermined, text: text)
    }
}
