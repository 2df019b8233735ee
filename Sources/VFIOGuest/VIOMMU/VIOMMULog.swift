/// What went wrong and nobody has taken yet: so many entries, and whether there were more.
///
/// As with the fault registers of real IOMMUs the oldest stay, so that a flood doesn't hide its cause.
public struct VIOMMULog<Entry: Sendable>: Sendable {
    /// The entries, the oldest first.
    public private(set) var entries: [Entry] = []
    /// Whether more happened than there is room for.
    public private(set) var hasOverflowed = false
    private let capacity: Int

    init(capacity: Int) { self.capacity = max(capacity, 0) }

    mutating func append(_ entry: Entry) {
        if entries.count < capacity { entries.append(entry) } else { hasOverflowed = true }
    }

    /// Empties the log.
    /// - Returns: what was in it.
    mutating func take() -> VIOMMULog {
        let log = self
        entries.removeAll(keepingCapacity: true)
        hasOverflowed = false
        return log
    }
}
