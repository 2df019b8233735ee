/// A page of section 1 of the manual.
struct ManualPage {
    /// "vfio-list"
    let name: String
    /// It in mdoc(7).
    let text: String

    /// The page about the command as a whole.
    /// - Parameter groups: its verbs, by what they are for.
    init(ofAll root: HelpedCommand, _ groups: [(title: String, verbs: [String])]) {
        name = "vfio"
        var page = Self.beginning(name, root.abstract)
        page.macro("Sh", "SYNOPSIS")
        page.macro("Nm")
        page.line(".Ar verb")
        page.line(".Op Ar options")
        page.line(".Ar ...")
        page.macro("Sh", "DESCRIPTION")
        page.prose(root.discussion)
        for group in groups {
            page.macro("Ss", group.title)
            page.line(".Bl -tag -width vfio-conformXXX")
            for verb in root.verbs where group.verbs.contains(verb.path.last ?? "") {
                page.line(".It Xr " + Mdoc.word(Self.name(of: verb)) + " 1")
                page.prose(verb.abstract)
            }
            page.macro("El")
        }
        Self.environment(&page, everything: true)
        Self.files(&page)
        Self.exitStatus(&page)
        Self.examples(&page)
        Self.seeAlso(&page, root.verbs.filter(\.isDisplayed).map(Self.name))
        text = page.text
    }

    /// The page about a verb, with the verbs below it.
    init(of verb: HelpedCommand, siblings: [HelpedCommand]) {
        name = Self.name(of: verb)
        var page = Self.beginning(name, verb.abstract)
        page.macro("Sh", "SYNOPSIS")
        let verbs = verb.verbs.filter(\.isDisplayed)
        for one in verbs.isEmpty ? [verb] : verbs { Self.synopsis(of: one, in: &page) }
        page.macro("Sh", "DESCRIPTION")
        page.prose(verb.abstract)
        if !verb.discussion.isEmpty {
            page.macro("Pp")
            page.prose(verb.discussion)
        }
        for one in verbs {
            page.macro("Ss", one.path.joined(separator: " "))
            page.prose(one.abstract)
            if !one.discussion.isEmpty {
                page.macro("Pp")
                page.prose(one.discussion)
            }
            let own = one.arguments.filter { !Self.isShared($0, by: verbs) }
            if !own.isEmpty { Self.list(of: own, in: &page) }
        }
        if !verbs.isEmpty {
            let shared = verbs[0].arguments.filter { Self.isShared($0, by: verbs) }
            page.macro("Sh", "OPTIONS OF ALL OF THEM")
            Self.list(of: shared, in: &page)
        } else {
            page.macro("Sh", "OPTIONS")
            var sections: [String?] = []
            for section in verb.arguments.map(\.section) where !sections.contains(section) {
                sections.append(section)
            }
            // Those without a section's name come first: nothing may stand before a section of them.
            for section in sections.sorted(by: { $0 == nil && $1 != nil }) {
                if let section { page.macro("Ss", section) }
                Self.list(of: verb.arguments.filter { $0.section == section }, in: &page)
            }
        }
        Self.environment(&page, everything: verb.path.last == "run")
        Self.exitStatus(&page)
        let others = siblings.filter { $0.isDisplayed && $0.path != verb.path }.map(Self.name)
        Self.seeAlso(&page, ["vfio"] + others)
        text = page.text
    }

    /// Whether each of some verbs has an option or operand, and means the same by it.
    private static func isShared(_ argument: HelpedArgument, by verbs: [HelpedCommand]) -> Bool {
        verbs.allSatisfy { verb in
            verb.arguments.contains {
                $0.names == argument.names && $0.valueName == argument.valueName
                    && $0.abstract == argument.abstract
            }
        }
    }

    private static func name(of verb: HelpedCommand) -> String { verb.path.joined(separator: "-") }

    // MARK: parts

    private static func beginning(_ name: String, _ abstract: String) -> Mdoc {
        var page = Mdoc()
        page.line(".Dd \(Version.date)")
        page.line(".Dt \(name.uppercased()) 1")
        page.line(".Os swift-vfio \(Version.number)")
        page.macro("Sh", "NAME")
        page.line(".Nm \(name)")
        var what = abstract.hasSuffix(".") ? String(abstract.dropLast()) : abstract
        if let first = what.first { what = first.lowercased() + what.dropFirst() }
        page.line(".Nd " + Mdoc.escaped(what[...], isLiteral: false))
        return page
    }

    private static func synopsis(of verb: HelpedCommand, in page: inout Mdoc) {
        page.line(".Nm \"\(verb.path.joined(separator: " "))\"")
        let everywhere = ["--help", "--version"]
        for argument in verb.arguments where argument.kind != .positional {
            if let name = argument.names.last, everywhere.contains(name) { continue }
            let isRepeating = argument.isRepeating && argument.kind == .option
            page.line(
                (argument.isOptional ? ".Op " : ".") + usage(of: argument, isShort: true)
                    + (isRepeating ? " ..." : ""))
        }
        for argument in verb.arguments where argument.kind == .positional {
            if argument.isBehindTerminator { page.line(".Fl -") }
            let usage = usage(of: argument, isShort: true) + (argument.isRepeating ? " ..." : "")
            // What stands behind the terminator has to be there: the verb is about it.
            page.line((argument.isOptional && !argument.isBehindTerminator ? ".Op " : ".") + usage)
        }
    }

    /// "Fl -host Ar file"
    private static func usage(of argument: HelpedArgument, isShort: Bool) -> String {
        let names = isShort ? Array(argument.names.suffix(1)) : argument.names
        let flags = names.map { "Fl " + Mdoc.word(String($0.dropFirst())) }
        let value = "Ar " + Mdoc.word(argument.valueName)
        return switch argument.kind {
        case .flag: flags.joined(separator: " , ")
        case .option: (flags + [value]).joined(separator: " ")
        case .positional: value
        }
    }

    private static func list(of arguments: [HelpedArgument], in page: inout Mdoc) {
        page.line(".Bl -tag -width Ds")
        for argument in arguments.filter({ $0.kind == .positional })
            + arguments.filter({ $0.kind != .positional })
        {
            page.line(".It " + usage(of: argument, isShort: false))
            var sentence = argument.abstract
            if let value = argument.defaultValue, !argument.abstract.contains("default") {
                sentence += " The default is \(value)."
            }
            let untold = argument.values.filter { !argument.valueName.contains($0) && !sentence.contains($0) }
            if !untold.isEmpty { sentence += " One of: \(argument.values.joined(separator: ", "))." }
            page.prose(sentence)
            if !argument.discussion.isEmpty { page.prose(argument.discussion) }
        }
        page.macro("El")
    }

    private static func items(
        _ title: String, _ tag: String, _ items: [(name: String, text: String)], in page: inout Mdoc
    ) {
        page.macro("Sh", title)
        page.line(".Bl -tag -width Ds")
        for item in items {
            page.line(".It \(tag) " + Mdoc.word(item.name))
            page.prose(item.text)
        }
        page.macro("El")
    }

    private static func environment(_ page: inout Mdoc, everything: Bool) {
        var variables: [(name: String, text: String)] = [
            ("NO_COLOR", "If it is set and not empty, no colours are used."),
            ("TERM", "If it is \"dumb\", neither colours nor bars of progress are used."),
        ]
        if everything {
            variables += [
                (
                    "VFIO_PRELOAD_LIBRARY",
                    """
                    The library that `vfio run` loads under programs. Without it libvfio-preload.so is looked for next \
                    to the command and in ../lib from there.
                    """
                ),
                (
                    "XDG_RUNTIME_DIR, TMPDIR",
                    "Where `vfio run` keeps what it tells the library: in the first that is set, and in /tmp without."
                ),
            ]
        }
        items("ENVIRONMENT", "Ev", variables, in: &page)
    }

    private static func files(_ page: inout Mdoc) {
        items(
            "FILES", "Pa",
            [
                ("/dev/vfio/vfio", "The container's node."),
                (
                    "/dev/vfio/NUMBER",
                    "A group's node; needed to be read and written by whoever uses its devices."
                ),
                ("/dev/vfio/devices/vfioNUMBER", "A device's own node, for the way through iommufd."),
                ("/dev/iommu", "The node of iommufd."),
                (
                    "/run/vfio/bindings.json",
                    "What `vfio bind` and `vfio unbind` remember for `vfio restore`."
                ),
                ("/usr/share/misc/pci.ids", "The names of devices, if it is there."),
            ], in: &page)
    }

    private static func exitStatus(_ page: inout Mdoc) {
        page.macro("Sh", "EXIT STATUS")
        page.line(".Bl -tag -width Ds")
        for (code, meaning) in [
            ("0", "Done."), ("1", "Refused or failed."),
            ("2", "Wrong usage, or a wrong file that was named."),
            ("3", "Could not be determined."),
        ] {
            page.line(".It \(code)")
            page.line(meaning)
        }
        page.macro("El")
        page.line(".Pp")
        page.line(".Nm \"vfio run\"")
        page.line("ends with the code of the program that it ran.")
    }

    private static func examples(_ page: inout Mdoc) {
        page.macro("Sh", "EXAMPLES")
        page.prose(
            """
            See what is there, and what keeps it from being used:

              vfio list
              vfio doctor 0000:01:00.0

            Try everything without hardware:

              vfio demo
              vfio inspect 0000:01:00.0 --host soft
              vfio run -- ls -l /dev/vfio
            """)
    }

    private static func seeAlso(_ page: inout Mdoc, _ names: [String]) {
        page.macro("Sh", "SEE ALSO")
        let names = names.sorted()
        for (index, name) in names.enumerated() {
            page.line(".Xr \(name) 1" + (index == names.count - 1 ? "" : " ,"))
        }
    }
}
