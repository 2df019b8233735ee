/// The faults of a vIOMMU that nobody has taken yet: so many, and whether there were more.
///
/// As with the fault registers of real IOMMUs the oldest stay, so that a flood doesn't hide its cause.
public struct VIOMMUFaultLog: Sendable {
    /// The faults, the oldest first.
    public private(set) var faults: [VIOMMUFault] = []
    /// Whether more happened than there is room for.
    public private(set) var hasOverflowed = false
    private let capacity: Int

    init(capacity: Int) { self.capacity = max(capacity, 0) }

    mutating func append(_ fault: VIOMMUFault) {
        if faults.count < capacity { faults.append(fault) } else { hasOverflowed = true }
    }

    mutating func clear() {
        faults.removeAll(keepingCapacity: true)
        hasOverflowed = false
    }
}
