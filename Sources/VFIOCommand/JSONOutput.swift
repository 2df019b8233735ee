import FoundationEssentials

/// Facts for programs.
enum JSONOutput {
    /// Prints a value as JSON, its keys in order.
    static func print(_ value: some Encodable) throws(CommandFailure) {
        Swift.print(try text(value, [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]))
    }

    /// Prints a value as JSON on one line, its keys in order: one of many.
    static func printLine(_ value: some Encodable) throws(CommandFailure) {
        Swift.print(try text(value, [.sortedKeys, .withoutEscapingSlashes]))
    }

    /// A value as JSON.
    static func text(
        _ value: some Encodable, _ formatting: JSONEncoder.OutputFormatting
    ) throws(CommandFailure) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = formatting
        do {
            return String(decoding: try encoder.encode(value), as: UTF8.self)
        } catch {
            throw .refused("the answer can't be written as JSON: \(error)")
        }
    }
}
