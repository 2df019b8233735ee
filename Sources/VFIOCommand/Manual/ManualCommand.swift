import ArgumentParser
import JSONText
import LinuxSystem

/// `vfio manual`: writes the manual pages, from what `--help` says. For installing; nothing that people call.
struct ManualCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "manual", abstract: "Write the manual pages: vfio.1, and one for each verb.",
        shouldDisplay: false)

    @Option(
        help: ArgumentHelp(
            "The folder they are written to; it is made if it isn't there.", valueName: "folder"),
        completion: .directory)
    var output: String

    func run() throws {
        let pages = try Self.pages()
        do throws(Errno) {
            try FileSystem.makeFolders(output)
            for page in pages {
                try FileSystem.makeFile(output + "/" + page.name + ".1", Array(page.text.utf8))
            }
        } catch {
            throw CommandFailure.file(output, .written, error)
        }
    }

    /// All pages.
    static func pages() throws(CommandFailure) -> [ManualPage] {
        let dump: JSON
        do throws(JSONError) {
            dump = try JSON(Array(VFIOCommand._dumpHelp().utf8), maximumDepth: 32, maximumCount: 65_536)
        } catch {
            throw .refused("the argument parser's description of the verbs isn't JSON: \(error)")
        }
        guard let root = dump["command"].flatMap({ HelpedCommand($0, path: []) }) else {
            throw .refused("the argument parser's description of the verbs has an unknown form")
        }
        let groups = VFIOCommand.configuration.groupedSubcommands.map { group in
            (title: group.name, verbs: group.subcommands.map { NearestVerb.name(of: $0) })
        }
        return [ManualPage(ofAll: root, groups)]
            + root.verbs.filter(\.isDisplayed).map { ManualPage(of: $0, siblings: root.verbs) }
    }
}
