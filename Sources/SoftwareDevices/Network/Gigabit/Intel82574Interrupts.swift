/// The interrupt registers of an 82574 (datasheet 7.4 and 10.2.4), and what follows from them.
///
/// Throttling and delays are left out: an interrupt comes at once, which is always allowed.
struct Intel82574Interrupts {
    private typealias Cause = Intel82574.Cause

    /// What has to be sent.
    struct Messages {
        /// MSI-X vectors, a bit each.
        var vectors: UInt8 = 0
        /// Whether the one MSI vector is signalled.
        var single = false
        /// The level of the line.
        var line = false
    }

    private(set) var causes: UInt32 = 0
    private(set) var mask: UInt32 = 0
    var automaticClear: UInt32 = 0
    var automaticMask: UInt32 = 0
    var vectors: UInt32 = 0
    var extendedControl: UInt32 = 0
    private var wasAsserted = false

    /// Whether a write-back of a transmit descriptor interrupts without being asked to.
    var isTransmitAlwaysTold: Bool { vectors >> 31 != 0 }

    private var isAsserted: Bool { causes & mask != 0 }

    /// Adds causes.
    mutating func raise(_ added: UInt32, hasVectors: Bool) -> Messages {
        var added = added & Cause.all
        if added & Cause.others != 0 { added |= Cause.other }
        causes |= added
        return evaluate(added, hasVectors: hasVectors)
    }

    /// Unmasks causes (IMS).
    mutating func unmask(_ bits: UInt32, hasVectors: Bool) -> Messages {
        let opened = bits & Cause.all & ~mask
        mask |= bits & Cause.all
        return evaluate(opened & causes, hasVectors: hasVectors)
    }

    /// Masks causes (IMC).
    mutating func mask(_ bits: UInt32, hasVectors: Bool) -> Messages {
        mask &= ~bits
        return evaluate(0, hasVectors: hasVectors)
    }

    /// Clears causes (a write to ICR).
    mutating func clear(_ bits: UInt32, hasVectors: Bool) -> Messages {
        causes &= ~bits
        return evaluate(0, hasVectors: hasVectors)
    }

    /// Reads ICR, which clears it unless none of the causes is one that the driver waits for.
    mutating func read(hasVectors: Bool) -> (value: UInt32, messages: Messages) {
        let value = causes | (isAsserted ? Cause.asserted : 0)
        if isAsserted && extendedControl & Intel82574.ExtendedControl.masksByReading != 0 {
            mask &= ~automaticMask
            causes = 0
        } else if hasVectors || mask == 0 || isAsserted {
            causes = 0
        }
        return (value, evaluate(0, hasVectors: hasVectors))
    }

    /// Finds out what follows.
    /// - Parameter news: the causes that are new, or that nobody was told of.
    private mutating func evaluate(_ news: UInt32, hasVectors: Bool) -> Messages {
        var messages = Messages()
        if hasVectors {
            wasAsserted = false
            for source in 0..<5 {
                let bit = source == 4 ? Cause.other : Cause.receiveQueue << UInt32(source)
                let entry = vectors >> UInt32(4 * source) & 15
                guard news & mask & bit != 0, entry & 8 != 0, entry & 7 < 5 else { continue }
                messages.vectors |= 1 << UInt8(entry & 7)
                if extendedControl & Intel82574.ExtendedControl.masksByMessage != 0 {
                    mask &= ~(bit & automaticMask)
                }
                causes &= ~(bit & automaticClear)
            }
            return messages
        }
        messages.line = isAsserted
        messages.single = isAsserted && !wasAsserted
        wasAsserted = isAsserted
        return messages
    }
}
