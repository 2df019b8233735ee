import FoundationEssentials

/// Facts for programs.
enum JSONOutput {
    /// Prints a value as JSON, its keys in order.
    static func print(_ value: some Encodable) throws(CommandFailure) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        do {
            Swift.print(String(decoding: try encoder.encode(value), as: UTF8.self))
        } catch {
            throw .refused("the answer can't be written as JSON: \(error)")
        }
    }
}
