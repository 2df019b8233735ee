/// Text in mdoc(7), the language of manual pages.
struct Mdoc {
    /// What has been written.
    private(set) var text = ""

    /// A line with a macro and its arguments, each of which is one word of it, whatever is in it.
    mutating func macro(_ name: String, _ arguments: String...) { macro(name, arguments) }

    /// The same with a list of arguments.
    mutating func macro(_ name: String, _ arguments: [String]) {
        text += ([".\(name)"] + arguments.map(Self.word)).joined(separator: " ") + "\n"
    }

    /// A line as it is.
    mutating func line(_ line: String) { text += line + "\n" }

    /// Text as help has it: paragraphs; lines that are indented are shown as they are, and so are backquoted words.
    mutating func prose(_ prose: String) {
        var isLiteral = false
        var wantsParagraph = false
        func isIndented(_ line: Substring) -> Bool { line.hasPrefix("  ") }
        for line in prose.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.allSatisfy(\.isWhitespace) {
                if isLiteral { macro("Ed") }
                isLiteral = false
                wantsParagraph = true
                continue
            }
            if isIndented(line) != isLiteral {
                isLiteral.toggle()
                self.line(isLiteral ? ".Bd -literal -offset indent" : ".Ed")
            } else if wantsParagraph, !isLiteral {
                macro("Pp")
            }
            wantsParagraph = false
            if isLiteral {
                self.line(Self.escaped(line.drop { $0 == " " }, isLiteral: true))
            } else {
                for sentence in Self.sentences(Self.escaped(line, isLiteral: false)) { self.line(sentence) }
            }
        }
        if isLiteral { macro("Ed") }
    }

    /// Each sentence begins a line: what lays the page out puts the space between them.
    private static func sentences(_ text: String) -> [String] {
        var sentences = [""]
        var ends = false
        for word in text.split(separator: " ") {
            if ends, word.first?.isLowercase == false {
                sentences.append("")
            } else if sentences[sentences.count - 1] != "" {
                sentences[sentences.count - 1] += " "
            }
            sentences[sentences.count - 1] += word
            let bare = word.hasSuffix(")") ? word.dropLast() : word
            ends = [".", "!", "?"].contains(bare.last)
        }
        return sentences.map { $0.hasPrefix(".") || $0.hasPrefix("'") ? "\\&" + $0 : $0 }
    }

    /// One argument of a macro.
    static func word(_ word: String) -> String {
        let escaped = escaped(word[...], isLiteral: true)
        // A word that is the name of a macro or a mark of punctuation is taken for that.
        let isPlain = word.count > 3 || word.hasPrefix("-")
        let guarded =
            isPlain ? escaped : "\\&" + (escaped.hasPrefix("\\&") ? String(escaped.dropFirst(2)) : escaped)
        return escaped.contains(" ") ? "\"\(guarded)\"" : guarded
    }

    /// Text without anything that the language would take for itself.
    static func escaped(_ text: Substring, isLiteral: Bool) -> String {
        var escaped = ""
        var isInQuotes = false
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": escaped += "\\e"
            case "\"": escaped += "\\(dq"
            case "'" where isLiteral: escaped += "\\(aq"
            case "-" where isLiteral: escaped += "\\-"
            case "^": escaped += "\\(ha"
            case "~": escaped += "\\(ti"
            case "`" where isLiteral: escaped += "\\(ga"
            case "`":
                escaped += isInQuotes ? "\\(cq" : "\\(oq"
                isInQuotes.toggle()
            case _ where scalar.value > 0x7e:
                let digits = String(scalar.value, radix: 16, uppercase: true)
                escaped += "\\[u" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits + "]"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped.hasPrefix(".") || escaped.hasPrefix("'") ? "\\&" + escaped : escaped
    }
}
