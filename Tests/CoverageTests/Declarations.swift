/// A function, a property or a conformance case: what a use of a word is told to belong to.
struct Declaration {
    /// The index of its file.
    let source: Int
    /// The types that it is in, "Outer.Inner"; empty at the top.
    let type: String
    /// Its own name without arguments.
    let base: String
    /// Its name as documentation has it, "map(_:at:)".
    let name: String
    let isPublic: Bool
    /// Its tokens up to its body.
    let signature: Range<Int>
    /// All its tokens.
    var tokens: Range<Int>
    /// The section and the name of a conformance case.
    var conformanceCase: (section: String, name: String)?

    /// "Type.member(_:)".
    var title: String { type.isEmpty ? name : name.isEmpty ? type : "\(type).\(name)" }
}

extension SourceTokens {
    private static let typeWords: Set = ["struct", "class", "enum", "extension", "protocol", "actor"]
    /// What may begin the next declaration.
    private static let startWords = typeWords.union(memberWords).union([
        "public", "package", "internal", "private", "fileprivate", "static", "mutating", "final",
        "convenience",
        "nonisolated", "lazy", "weak", "override", "typealias", "import",
    ])
    private static let memberWords: Set = ["func", "init", "var", "let", "subscript", "deinit", "case"]

    /// What is declared in the file, members of types and what stands at the top; not what is in bodies.
    func declarations(source: Int) -> [Declaration] {
        var all: [Declaration] = []
        var types: [String] = []
        var open: Declaration?
        var place = 0
        func close(before end: Int) {
            guard var declaration = open else { return }
            declaration.tokens = declaration.tokens.lowerBound..<max(end, declaration.tokens.upperBound)
            all.append(declaration)
            open = nil
        }
        while place < texts.count {
            let word = texts[place]
            if isWord(place), at(place - 1) != ".", Self.typeWords.contains(word), isWord(place + 1),
                at(place + 1) != "func", at(place + 1) != "var"
            {
                close(before: place)
                var name = at(place + 1)
                var end = place + 2
                while at(end) == ".", isWord(end + 1) {
                    name += ".\(at(end + 1))"
                    end += 2
                }
                while end < texts.count, texts[end] != "{" { end += 1 }
                types.append(name)
                all.append(
                    Declaration(
                        source: source, type: types.joined(separator: "."), base: "", name: "",
                        isPublic: isPublic(at: place), signature: place..<end, tokens: place..<end))
                place = end + 1
            } else if isWord(place), at(place - 1) != ".", Self.memberWords.contains(word) {
                close(before: place)
                let (base, name) = memberName(at: place)
                var end = place + 1
                while end < texts.count, texts[end] != "{", texts[end] != "}",
                    !(texts[end] == "=" && word != "func" && word != "init")
                {
                    if isWord(end), at(end - 1) != ".", Self.startWords.contains(texts[end]) { break }
                    end = texts[end] == "(" || texts[end] == "[" ? self.end(ofBracketAt: end) + 1 : end + 1
                }
                open = Declaration(
                    source: source, type: types.joined(separator: "."), base: base, name: name,
                    isPublic: isPublic(at: place), signature: place..<end, tokens: place..<end)
                place = max(end, place + 1)
            } else if word == "{", kinds[place] == .mark {
                place = self.end(ofBracketAt: place) + 1
                if let start = open?.tokens.lowerBound { open?.tokens = start..<place }
            } else if word == "}", kinds[place] == .mark {
                close(before: place)
                if !types.isEmpty { types.removeLast() }
                place += 1
            } else {
                place += 1
            }
        }
        close(before: texts.count)
        return all
    }

    /// The conformance cases in the file: `Case("D.4", "name", …) { … }`.
    func conformanceCases(source: Int) -> [Declaration] {
        (places["Case"] ?? []).compactMap { place in
            guard at(place + 1) == "(", kinds[place + 2] == .string, at(place + 3) == ",",
                kinds[place + 4] == .string
            else { return nil }
            var end = self.end(ofBracketAt: place + 1)
            if at(end + 1) == "{" { end = self.end(ofBracketAt: end + 1) }
            return Declaration(
                source: source, type: "", base: "", name: "", isPublic: true, signature: place..<place,
                tokens: place..<(end + 1), conformanceCase: (texts[place + 2], texts[place + 4]))
        }
    }

    /// Whether one of the words before a declaration is `public`.
    private func isPublic(at place: Int) -> Bool {
        let modifiers: Set = [
            "static", "mutating", "nonmutating", "final", "override", "convenience", "indirect", "unsafe",
            "borrowing", "consuming", "nonisolated", "lazy", "weak", "isolated", "set", "private",
        ]
        var before = place - 1
        while before >= 0, modifiers.contains(texts[before]) || ["(", ")"].contains(texts[before]) {
            before -= 1
        }
        return at(before) == "public"
    }

    /// The name of the member whose keyword is at `place`, without and with the labels of its arguments.
    private func memberName(at place: Int) -> (base: String, name: String) {
        let word = texts[place]
        let isNamed = word == "func" || word == "var" || word == "let" || word == "case"
        let base = isNamed ? at(place + 1) : word
        guard word == "func" || word == "init" || word == "subscript" else { return (base, base) }
        var open = place + (isNamed ? 2 : 1)
        while open < texts.count, texts[open] != "(" { open += 1 }
        guard open < texts.count else { return (base, base) }
        var labels = ""
        var at = open + 1
        let end = self.end(ofBracketAt: open)
        var isStart = true
        var depth = 0
        while at < end {
            if isStart, isWord(at) {
                labels += "\(texts[at]):"
                isStart = false
            }
            switch texts[at] {
            case "(", "[", "{", "<": depth += 1
            case ")", "]", "}": depth -= 1
            case ">" where self.at(at - 1) != "-": depth -= 1
            case "," where depth == 0: isStart = true
            default: break
            }
            at += 1
        }
        return (base, "\(base)(\(labels))")
    }
}
