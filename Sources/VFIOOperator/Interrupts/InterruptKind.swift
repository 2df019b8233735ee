import VFIO

/// A kind of interrupts as people write and read it.
public struct InterruptKind: Sendable, Equatable {
    /// The number: `VFIO_PCI_…_IRQ_INDEX`.
    public let index: InterruptIndex
    /// How command lines name it: "intx", "msi", "msix", "err", "req"; a number for devices of other buses.
    public let word: String
    /// What a table calls it: "MSI-X", "interrupt 0".
    public let title: String
    /// What it can do.
    public let info: InterruptInfo

    static let words = ["intx", "msi", "msix", "err", "req"]
    static let titles = ["INTx", "MSI", "MSI-X", "error", "request"]

    /// The uAPI's words for what it can do (`VFIO_IRQ_INFO_…`): "eventfd", "maskable", "automasked", "noresize".
    public var flags: [String] {
        var flags: [String] = []
        if info.signalsEvents { flags.append("eventfd") }
        if info.isMaskable { flags.append("maskable") }
        if info.masksItself { flags.append("automasked") }
        if info.isFixedSize { flags.append("noresize") }
        return flags
    }

    /// The index that a word means; nil for none. Numbers mean the index itself.
    /// - Parameter isPCI: whether it is a PCI function, whose kinds have names.
    public static func index(_ word: String, isPCI: Bool) -> InterruptIndex? {
        if let number = RegisterPlace.number(word), let index = UInt32(exactly: number) {
            return InterruptIndex(rawValue: index)
        }
        guard isPCI else { return nil }
        let key = NamedRegister.key(word)
        let others = ["ERROR": 3, "REQUEST": 4, "MSI_X": 2]
        let found = words.firstIndex { $0.uppercased() == key } ?? others[key]
        return found.map { InterruptIndex(rawValue: UInt32($0)) }
    }
}

extension Device {
    /// The kinds of interrupts of which the device has any, by their numbers.
    public func interruptKinds() throws(VFIOError) -> [InterruptKind] {
        var kinds: [InterruptKind] = []
        // No device has nearly as many; a host that says so isn't asked for each.
        for number in 0..<min(info.interruptKindCount, 4096) {
            let index = InterruptIndex(rawValue: UInt32(number))
            let kind = try interruptKind(index)
            if kind.info.count > 0 { kinds.append(kind) }
        }
        return kinds
    }

    /// One kind of the device's interrupts; of 0 vectors where it hasn't got it.
    public func interruptKind(_ index: InterruptIndex) throws(VFIOError) -> InterruptKind {
        let number = Int(index.rawValue)
        let isNamed = isPCIFunction && number < InterruptKind.words.count
        return InterruptKind(
            index: index, word: isNamed ? InterruptKind.words[number] : "\(number)",
            title: isNamed ? InterruptKind.titles[number] : "interrupt \(number)",
            info: try interruptInfo(index))
    }
}
