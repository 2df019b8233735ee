import JSONText

/// A verb as the argument parser describes it (`--experimental-dump-help`).
struct HelpedCommand {
    /// The words that call it, from "vfio" on.
    let path: [String]
    let abstract: String
    let discussion: String
    let isDisplayed: Bool
    let arguments: [HelpedArgument]
    /// The verbs below it; without the one that shows help.
    let verbs: [HelpedCommand]

    /// - Parameter path: the words before it.
    /// - Returns: nil for what has no name.
    init?(_ json: JSON, path: [String]) {
        guard let name = json.text("commandName") else { return nil }
        self.path = path + [name]
        abstract = json.text("abstract") ?? ""
        discussion = json.text("discussion") ?? ""
        isDisplayed = json.flag("shouldDisplay") ?? true
        arguments = json.items("arguments").compactMap { HelpedArgument($0) }
        let own = self.path
        verbs = json.items("subcommands").compactMap { HelpedCommand($0, path: own) }
            .filter { $0.path.last != "help" }
    }
}

/// An option, a flag or an operand of a verb.
struct HelpedArgument {
    enum Kind: String {
        case positional, option, flag
    }

    let kind: Kind
    /// "-v", "--verbose"; empty for operands.
    let names: [String]
    let valueName: String
    let abstract: String
    let discussion: String
    let defaultValue: String?
    let values: [String]
    let isOptional: Bool
    let isRepeating: Bool
    /// Where it stands behind `--`.
    let isBehindTerminator: Bool
    let section: String?

    /// - Returns: nil for what isn't shown, or has an unknown form.
    init?(_ json: JSON) {
        guard json.flag("shouldDisplay") != false, let kind = json.text("kind").flatMap(Kind.init) else {
            return nil
        }
        self.kind = kind
        names = json.items("names").compactMap { name in
            name.text("name").map { (name.text("kind") == "long" ? "--" : "-") + $0 }
        }
        valueName = json.text("valueName") ?? "value"
        abstract = json.text("abstract") ?? ""
        discussion = json.text("discussion") ?? ""
        defaultValue = json.text("defaultValue")
        values = json.items("allValues").compactMap {
            if case .string(let text) = $0 { text } else { nil }
        }
        isOptional = json.flag("isOptional") ?? false
        isRepeating = json.flag("isRepeating") ?? false
        isBehindTerminator = json.text("parsingStrategy") == "postTerminator"
        section = json.text("sectionTitle")
    }
}

extension JSON {
    fileprivate func text(_ name: String) -> String? {
        if case .string(let text)? = self[name] { text } else { nil }
    }

    fileprivate func flag(_ name: String) -> Bool? {
        if case .bool(let flag)? = self[name] { flag } else { nil }
    }

    fileprivate func items(_ name: String) -> [JSON] {
        if case .array(let items)? = self[name] { items } else { [] }
    }
}
