/// Where the words of the uAPI are used in one part of the house.
///
/// It reads Swift as text: `Type.member` is a use, and so is `.member` where nothing else in the house has a
/// member of that name, or where the type, a structure that holds it or a function that takes it is at hand.
struct UseIndex {
    private let sources: [SourceTokens]
    private let declarations: [Declaration]
    private let vocabulary: Vocabulary
    /// The declarations of each file.
    private var ofSource: [Int: [Int]] = [:]
    /// The functions and properties of a name.
    private var named: [String: [Int]] = [:]
    /// Which declarations mention a name.
    private var mentions: [String: [Int]] = [:]
    /// Which types each function's signature names.
    private var signatureTypes: [String: Set<String>] = [:]

    init(_ sources: [SourceTokens], vocabulary: Vocabulary, cases: Bool = false) {
        self.sources = sources
        self.vocabulary = vocabulary
        var all: [Declaration] = []
        for (index, source) in sources.enumerated() {
            let found = cases ? source.conformanceCases(source: index) : []
            let inside = found.map(\.tokens)
            all += source.declarations(source: index).filter { declaration in
                // A list of cases is no declaration of its own: its cases are.
                !inside.contains { $0.overlaps(declaration.tokens) }
            }
            all += found
        }
        declarations = all
        for (index, declaration) in all.enumerated() {
            ofSource[declaration.source, default: []].append(index)
            let source = sources[declaration.source]
            if !declaration.base.isEmpty {
                named[declaration.base, default: []].append(index)
                signatureTypes[declaration.base, default: []].formUnion(
                    declaration.signature.lazy.map { source.texts[$0] }.filter {
                        $0.first?.isUppercase == true
                    })
            }
            for text in Set(declaration.tokens.lazy.filter { source.isWord($0) }.map { source.texts[$0] }) {
                mentions[text, default: []].append(index)
            }
        }
    }

    /// The declarations that use a word themselves, or by a function of `VFIOABI` that is about it.
    func users(of word: ABIWord) -> [Int] {
        let own = (mentions[word.member ?? word.type] ?? []).filter { index in
            word.member.map { uses(word.type, $0, in: declarations[index]) } ?? true
        }
        let helped = vocabulary.helpers(of: word).flatMap { mentions[$0] ?? [] }
        return Set(own + helped).sorted()
    }

    /// The public functions, or the cases, that come to a word by the fewest calls.
    func entries(to word: ABIWord) -> [Declaration] {
        var level = users(of: word)
        var seen = Set(level)
        for _ in 0..<4 {
            let found = level.map { declarations[$0] }.filter { declaration in
                isCase(declaration) || declaration.isPublic && !declaration.base.isEmpty
            }
            if !found.isEmpty { return found }
            level = level.flatMap { callers(of: declarations[$0]) }.filter { seen.insert($0).inserted }
        }
        return []
    }

    /// The declarations that call one, as far as its name tells.
    private func callers(of declaration: Declaration) -> [Int] {
        let base = declaration.base
        guard !base.isEmpty else { return [] }
        if base == "init" {
            let type = declaration.type.split(separator: ".").last.map(String.init) ?? ""
            return (mentions[type] ?? []).filter { calls(type, in: declarations[$0]) }
        }
        // A name that several share is followed within the type only.
        let isShared = (named[base]?.count ?? 0) > 1
        return (mentions[base] ?? []).filter { index in
            (!isShared || declarations[index].type == declaration.type)
                && calls(base, in: declarations[index])
        }
    }

    private func calls(_ name: String, in declaration: Declaration) -> Bool {
        let source = sources[declaration.source]
        return (source.places[name] ?? []).contains { place in
            declaration.tokens.contains(place)
                && (source.at(place + 1) == "(" || source.at(place + 1) == "{" || source.at(place - 1) == ".")
        }
    }

    /// The names of the types that use a word, for want of a public function.
    func types(using word: ABIWord) -> [String] {
        users(of: word).compactMap { index in
            let type = declarations[index].type
            return type.isEmpty ? nil : type
        }
    }

    private func isCase(_ declaration: Declaration) -> Bool { declaration.conformanceCase != nil }

    /// The public declarations that take or give a value of a type, or a structure that holds one.
    func carriers(of type: String) -> [Declaration] {
        let wanted = [type] + (vocabulary.holders[type] ?? []).sorted()
        for name in wanted {
            let found = (mentions[name] ?? []).map { declarations[$0] }.filter { declaration in
                guard declaration.isPublic, !declaration.base.isEmpty else { return false }
                let source = sources[declaration.source]
                return declaration.signature.contains { source.texts[$0] == name }
            }
            if !found.isEmpty { return found }
        }
        return []
    }

    /// The users, without asking who calls them.
    func direct(_ word: ABIWord) -> [Declaration] { users(of: word).map { declarations[$0] } }

    /// What can be named: public declarations, types, and cases.
    var titles: [String] {
        declarations.flatMap { declaration -> [String] in
            if let (section, name) = declaration.conformanceCase { return ["\(section) \(name)"] }
            return [declaration.title, declaration.type]
        }
    }

    func target(of declaration: Declaration) -> String { sources[declaration.source].target }
    func file(of declaration: Declaration) -> String { sources[declaration.source].file }

    private func uses(_ type: String, _ member: String, in declaration: Declaration) -> Bool {
        let source = sources[declaration.source]
        for place in source.places[member] ?? []
        where declaration.tokens.contains(place) && source.at(place - 1) == "." {
            let before = source.at(place - 2)
            if before == type { return true }
            let keywords: Set = ["return", "case", "in", "is", "where", "else", "throw", "try", "throws"]
            let isImplicit =
                !(source.isWord(place - 2) && !keywords.contains(before))
                && ![")", "]", ">", "?", "!", "}"].contains(before)
            // Of two values, unlike a call on an optional one.
            let isChoice = before == "?" && !source.adjoins[place - 1]
            guard isImplicit || isChoice else { continue }
            if vocabulary.isOnly(member) || isAtHand(type, in: declaration) { return true }
        }
        return false
    }

    /// Whether a type is at hand: named in the file, or held or taken by what is named there.
    private func isAtHand(_ type: String, in declaration: Declaration) -> Bool {
        let source = sources[declaration.source]
        if source.places[type] != nil { return true }
        let holders = vocabulary.holders[type] ?? []
        if holders.contains(where: { source.places[$0] != nil }) { return true }
        for place in declaration.tokens where source.isWord(place) && source.at(place + 1) == "(" {
            if signatureTypes[source.texts[place]]?.contains(type) == true { return true }
        }
        return false
    }
}

/// What names mean, in the whole house.
struct Vocabulary {
    /// How many types of the house have a constant or an enum's case of a name.
    private var counts: [String: Int] = [:]
    /// The structures of `VFIOABI` that have a field of a type.
    private(set) var holders: [String: Set<String>] = [:]
    /// The functions of `VFIOABI` that use a type of it, or a constant ("Type.member"), for others.
    private var helpers: [String: Set<String>] = [:]

    init(abi: [SourceTokens], house: [SourceTokens]) {
        for source in abi + house {
            for (place, text) in source.texts.enumerated() where source.isWord(place) {
                let isStatic =
                    (text == "var" || text == "let" || text == "func") && source.at(place - 1) == "static"
                let isCase = text == "case" && source.isWord(place + 1) && source.at(place - 1) != "."
                if isStatic || isCase { counts[source.at(place + 1), default: 0] += 1 }
            }
        }
        var functions: [String: Int] = [:]
        for source in abi + house {
            for place in source.places["func"] ?? [] { functions[source.at(place + 1), default: 0] += 1 }
        }
        for (index, source) in abi.enumerated() {
            for declaration in source.declarations(source: index)
            where source.at(declaration.signature.lowerBound) == "func" && functions[declaration.base] == 1 {
                for place in declaration.tokens where source.isWord(place) {
                    let text = source.texts[place]
                    guard text.first?.isUppercase == true, text != declaration.type else { continue }
                    helpers[text, default: []].insert(declaration.base)
                    if source.at(place + 1) == "." {
                        helpers["\(text).\(source.at(place + 2))", default: []].insert(declaration.base)
                    }
                }
            }
            for declaration in source.declarations(source: index)
            where !declaration.type.isEmpty && source.at(declaration.signature.lowerBound) == "var" {
                for place in declaration.signature.dropFirst(2)
                where source.isWord(place) && source.texts[place].first?.isUppercase == true {
                    holders[source.texts[place], default: []].insert(declaration.type)
                }
            }
        }
        // A type isn't held by itself: its constants are of its own type.
        for type in holders.keys { holders[type]?.remove(type) }
    }

    /// The functions of `VFIOABI` that are about a word.
    func helpers(of word: ABIWord) -> Set<String> { helpers[word.swift] ?? [] }

    /// Whether a constant's name belongs to one type alone.
    func isOnly(_ member: String) -> Bool { counts[member] == 1 }
}
