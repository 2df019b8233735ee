import LinuxSystem
import VFIOABI

/// A checked `VFIO_DEVICE_SET_IRQS` request (kernel.md A.7).
package struct PCIInterruptRequest {
    /// The index, one that exists; of another bus than PCI its number is that bus's own.
    package let index: PCIInterrupt
    /// One kind of data, any actions.
    package let flags: IRQSetFlags
    /// The first interrupt, which exists.
    package let start: Int
    /// How many; all of them exist.
    package let count: Int
    /// One for each of `count`, where `flags` says so.
    package private(set) var booleans: [UInt8] = []
    /// One for each of `count`, where `flags` says so.
    package private(set) var descriptors: [Int32] = []

    /// The kind of data.
    package var data: IRQSetFlags { flags.intersection(.dataTypeMask) }

    /// Whether the request is about one of its interrupts: without data about each, with Booleans where they say so.
    package func isSet(_ position: Int) -> Bool {
        data == .dataNone || data == .dataBool && position < booleans.count && booleans[position] != 0
    }

    /// Reads a request; the tests are in the kernel's order.
    /// - Parameters:
    ///   - indexCount: how many indices the device has.
    ///   - interruptCount: how many interrupts an index has, at most 65536.
    /// - Throws: `EINVAL`, `EFAULT`.
    package init(
        from argument: HostAddress, indexCount: UInt32 = PCIInterrupt.count,
        _ interruptCount: (PCIInterrupt) -> Int
    ) throws(Errno) {
        let header = try UserMemory.load(IRQSet(), from: argument)
        index = PCIInterrupt(rawValue: header.index)
        let most = header.index < indexCount ? interruptCount(index) : 0
        let known = IRQSetFlags.dataTypeMask.union(.actionTypeMask)
        guard header.argsz >= UInt32(IRQSet.minimumSize), header.index < indexCount,
            header.count < UInt32.max - header.start, header.flags.isSubset(of: known),
            header.start < most, UInt64(header.start) + UInt64(header.count) <= UInt64(most),
            let width = header.flags.dataElementSize
        else { throw .invalid }
        flags = header.flags
        start = Int(header.start)
        count = Int(header.count)
        // `count` is at most what the index has.
        guard Int(header.argsz) - IRQSet.minimumSize >= count * width else { throw .invalid }
        if width == 1 && count > 0 {
            booleans = [UInt8](repeating: 0, count: count)
            var elements = booleans.mutableSpan
            // SAFETY: any bytes are elements of this plain type.
            var bytes = unsafe elements.mutableBytes
            try UserMemory.read(from: argument + IRQSet.minimumSize, into: &bytes)
        } else if width == 4 && count > 0 {
            descriptors = [Int32](repeating: 0, count: count)
            var elements = descriptors.mutableSpan
            // SAFETY: any bytes are elements of this plain type.
            var bytes = unsafe elements.mutableBytes
            try UserMemory.read(from: argument + IRQSet.minimumSize, into: &bytes)
        }
    }
}
