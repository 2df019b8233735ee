/// The help of the command as a whole.
enum HelpText {
    /// The argument parser's help, with what verbs are for as headings: the parser puts "SUBCOMMANDS" behind each.
    static func tidied(_ text: String, _ groups: [String]) -> String {
        let headings = groups.map { $0.uppercased() }
        return text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            headings.first { line == "\($0) SUBCOMMANDS:" }.map { $0 + ":" } ?? String(line)
        }.joined(separator: "\n")
    }
}
