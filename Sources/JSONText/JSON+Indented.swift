extension JSON {
    /// The document for people: what is short stands on one line, everything else has a line for each value, two
    /// spaces further in.
    /// - Parameter width: the most bytes of a list or an object that stands on one line.
    public func indentedText(width: Int = 100) -> String {
        var text = ""
        writeIndented(to: &text, level: 0, width: width)
        return text
    }

    private func writeIndented(to text: inout String, level: Int, width: Int) {
        let opening: String
        let closing: String
        let parts: [(name: String?, value: JSON)]
        switch self {
        case .array(let items):
            (opening, closing) = ("[", "]")
            parts = items.map { (nil, $0) }
        case .object(let members):
            (opening, closing) = ("{", "}")
            parts = members.map { ($0.name, $0.value) }
        default:
            text += self.text
            return
        }
        let short = self.text
        if parts.isEmpty || level > 0 && short.utf8.count <= width {
            text += short
            return
        }
        text += opening
        for (index, part) in parts.enumerated() {
            text += index > 0 ? ",\n" : "\n"
            text += String(repeating: "  ", count: level + 1)
            if let name = part.name { text += JSON.string(name).text + ": " }
            part.value.writeIndented(to: &text, level: level + 1, width: width)
        }
        text += "\n" + String(repeating: "  ", count: level) + closing
    }
}
