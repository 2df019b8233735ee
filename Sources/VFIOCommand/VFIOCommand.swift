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
        discussion: """
            Devices are those of this machine; --host soft and --machine FILE take a machine in software, and \
            --host user:SOCKET takes a device in another process. vfio VERB --help tells more of each verb.

            Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 could not be determined.
            """,
        version: Version.text,
        subcommands: [RemoveRunCommand.self, ManualCommand.self],
        groupedSubcommands: [
            CommandGroup(
                name: "See what is there",
                subcommands: [ListCommand.self, DoctorCommand.self, InspectCommand.self]),
            CommandGroup(
                name: "Give devices to VFIO and back",
                subcommands: [
                    BindCommand.self, UnbindCommand.self, RestoreCommand.self, MediatedCommand.self,
                ]),
            CommandGroup(
                name: "Drive a device",
                subcommands: [
                    NVMeCommand.self, ReadCommand.self, WriteCommand.self, InterruptCommand.self,
                    ResetCommand.self,
                ]),
            CommandGroup(
                name: "Without the hardware",
                subcommands: [DemoCommand.self, RunCommand.self, ServeCommand.self]),
            CommandGroup(
                name: "Find out what happens",
                subcommands: [
                    TopCommand.self, TraceCommand.self, BenchCommand.self, ConformCommand.self,
                ]),
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
                let text = HelpText.tidied(
                    fullMessage(for: error), configuration.groupedSubcommands.map(\.name))
                print(CompletionScript.mended(text, for: "vfio"))
                exit(withCode: .done)
            }
            // Whatever isn't a complaint of the parser comes from the work itself.
            guard code == .validationFailure else {
                Console.complain("vfio: \(error)")
                exit(withCode: .refused)
            }
            let words = Array(CommandLine.arguments.dropFirst())
            Console.complain(NearestVerb.complaint(about: words, of: Self.self) ?? fullMessage(for: error))
            exit(withCode: .wrongUsage)
        }
    }

    private static func exit(withCode code: CommandFailure.Code) -> Never {
        Self.exit(withError: ExitCode(code.rawValue))
    }
}
