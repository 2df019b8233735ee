import LinuxSystem

// Saving and loading what belongs to a function, for every model.

/// The state of a function, read from bytes and checked against the function that is to have it.
struct PCIFunctionState {
    fileprivate let configuration: [UInt8]
    fileprivate let isLineAsserted: Bool
    fileprivate let pendingMessages: UInt32
    fileprivate var table: [UInt32] = []
    fileprivate var pendingBits: [UInt64] = []
    fileprivate let productData: [UInt8]
    fileprivate var memories: [[UInt8]] = []

    /// - Throws: `truncated`, `malformed`.
    init(_ reader: inout StateReader, _ function: PCIFunction) throws(MigrationError) {
        configuration = try reader.next(byteCount: function.configuration.byteCount)
        isLineAsserted = try reader.nextFlag()
        pendingMessages = try reader.next(UInt32.self)
        if let msix = function.msix {
            for _ in 0..<4 * msix.vectorCount { table.append(try reader.next(UInt32.self)) }
            for _ in 0..<(msix.vectorCount + 63) / 64 { pendingBits.append(try reader.next(UInt64.self)) }
        }
        productData = try reader.next(byteCount: function.vitalProductData.count)
        for memory in function.memories {
            memories.append(try reader.next(byteCount: memory.window.byteCount))
        }
    }
}

extension PCIFunction {
    /// What a function must have in common with this one to take its state.
    func describe(to writer: inout StateWriter) {
        for id in [identity.vendor, identity.device, identity.subsystemVendor, identity.subsystem] {
            writer.append(id)
        }
        writer.append(identity.classCode)
        writer.append(identity.revision)
        for bar in bars { writer.append(bar?.byteCount ?? 0) }
        writer.append(UInt32(truncatingIfNeeded: configuration.byteCount))
        writer.append(configuration.layoutHash)
        writer.append(UInt32(truncatingIfNeeded: msix?.vectorCount ?? 0))
        writer.append(UInt32(truncatingIfNeeded: vitalProductData.count))
        for memory in memories {
            writer.append(UInt64(truncatingIfNeeded: memory.bar) << 56 | memory.offset)
            writer.append(UInt64(truncatingIfNeeded: memory.window.byteCount))
        }
    }

    /// How many bytes ``saveState(to:)`` writes.
    var stateByteLimit: Int {
        var count = configuration.byteCount + 5 + vitalProductData.count
        if let msix { count += 16 * msix.vectorCount + 8 * ((msix.vectorCount + 63) / 64) }
        for memory in memories { count += memory.window.byteCount }
        return count
    }

    func saveState(to writer: inout StateWriter) {
        writer.append(bytes: configuration.savedBytes)
        writer.append(isLineAsserted)
        writer.append(msi?.pending ?? 0)
        if let saved = msix?.saved {
            for word in saved.words { writer.append(word) }
            for bits in saved.pendingBits { writer.append(bits) }
        }
        writer.append(bytes: vitalProductData)
        for memory in memories {
            for index in 0..<memory.window.byteCount { writer.append(memory.window.load8(index)) }
        }
    }

    /// Takes over a state; the function is frozen, so nothing goes out before it goes on.
    func load(_ state: PCIFunctionState) {
        vitalProductData = state.productData
        msix?.load(words: state.table, pendingBits: state.pendingBits)
        configuration.load(state.configuration)
        msi?.load(pending: state.pendingMessages)
        for (memory, bytes) in zip(memories, state.memories) {
            for index in bytes.indices { memory.window.store8(index, bytes[index]) }
        }
        setLine(state.isLineAsserted)
    }
}
