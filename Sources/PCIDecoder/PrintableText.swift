/// Makes text of bytes that others chose: names in files, names of processes.
public enum PrintableText {
    /// The text with nothing in it that moves a cursor or ends a line: control characters become "?", bytes that
    /// aren't UTF-8 the replacement character.
    /// - Parameter limit: the most bytes that are taken; the rest is left out.
    public static func of(_ bytes: some Sequence<UInt8>, limit: Int = 256) -> String {
        var text = ""
        for scalar in String(decoding: Array(bytes.prefix(max(0, limit))), as: UTF8.self).unicodeScalars {
            let category = scalar.properties.generalCategory
            let isHarmless: Bool
            switch category {
            // Formats turn the direction of writing round, among others.
            case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned:
                isHarmless = false
            default: isHarmless = true
            }
            text.unicodeScalars.append(isHarmless ? scalar : "?")
        }
        return text
    }
}
