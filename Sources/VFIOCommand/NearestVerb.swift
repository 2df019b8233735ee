import ArgumentParser

/// What a verb that isn't known may have been meant as.
enum NearestVerb {
    /// What is wrong with the verb on a command line; nil where the verbs are all known.
    /// - Parameter arguments: the words after the program's name.
    static func complaint(about arguments: [String], of root: any ParsableCommand.Type) -> String? {
        var command: any ParsableCommand.Type = root
        var path = "vfio"
        for word in arguments {
            let verbs = command.configuration.subcommands
            if word == "help", command == root { continue }
            if verbs.isEmpty || word.hasPrefix("-") { return nil }
            if let next = verbs.first(where: { name(of: $0) == word }) {
                command = next
                path += " " + word
                continue
            }
            let names = verbs.filter { $0.configuration.shouldDisplay }.map { name(of: $0) }
            let near = nearest(to: word, among: names)
            // A word for the verb that is taken where none is given.
            if near.isEmpty, command.configuration.defaultSubcommand != nil { return nil }
            let meant =
                near.isEmpty
                ? "its verbs are \(names.joined(separator: ", "))"
                : "did you mean \(near.map { "'\(path) \($0)'" }.joined(separator: " or "))?"
            return "vfio: '\(path)' has no verb '\(shown(word))'; \(meant)\nSee '\(path) --help'."
        }
        return nil
    }

    /// What a verb is called on the command line.
    static func name(of command: any ParsableCommand.Type) -> String {
        command.configuration.commandName ?? command._commandName
    }

    /// The words that are so like another that it may be a mistake in typing them: the nearest ones.
    static func nearest(to word: String, among words: [String]) -> [String] {
        // A longer word leaves room for more mistakes, but a word of which nothing is left isn't alike.
        let limit = min(2, max(1, word.count - 1))
        guard (1...32).contains(word.count) else { return [] }
        let ranked = words.map { (word: $0, distance: distance(word.lowercased(), $0)) }
        let least = ranked.map(\.distance).min() ?? .max
        let alike = least <= limit ? ranked.filter { $0.distance == least }.map(\.word) : []
        return alike.isEmpty ? words.filter { word.count >= 3 && $0.hasPrefix(word.lowercased()) } : alike
    }

    /// How many letters have to be put in, left out, replaced or exchanged with their neighbours to make one word of
    /// another: the optimal string alignment distance.
    static func distance(_ first: String, _ second: String) -> Int {
        let (first, second) = (Array(first), Array(second))
        var rows = [Array(0...second.count)]
        for i in 1..<(first.count + 1) {
            var row = [i]
            for j in 1..<(second.count + 1) {
                let cost = first[i - 1] == second[j - 1] ? 0 : 1
                var least = min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + cost)
                if i > 1, j > 1, first[i - 1] == second[j - 2], first[i - 2] == second[j - 1] {
                    least = min(least, rows[i - 2][j - 2] + 1)
                }
                row.append(least)
            }
            rows.append(row)
        }
        return rows[first.count][second.count]
    }

    private static func shown(_ word: String) -> String {
        String(String.UnicodeScalarView(word.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7f }))
    }
}
