import LinuxSystem
import VFIOHost

/// What a device of a software machine has done since the machine was made. Numbers only grow.
public struct DeviceStatistics: Sendable, Equatable {
    /// What it is called: its address, for a PCI function. Of a longer name the first 63 bytes, where it comes from a
    /// file.
    public let name: String
    /// Requests (ioctls) on its handles.
    public let requestCount: UInt64
    /// Requests and accesses that were answered with an errno.
    public let errorCount: UInt64
    /// Reads at offsets of its handles: of registers, of configuration space. Accesses through a mapping of plain memory
    /// are nobody's to count.
    public let readCount: UInt64
    /// Writes at offsets of its handles.
    public let writeCount: UInt64
    /// Transfers from memory to the device. A few are missed where several threads have the device move data at once.
    public let dmaReadCount: UInt64
    /// The bytes of those.
    public let dmaReadByteCount: UInt64
    /// Transfers from the device to memory.
    public let dmaWriteCount: UInt64
    /// The bytes of those.
    public let dmaWrittenByteCount: UInt64
    /// Transfers that were refused: by the IOMMU, or because the device isn't attached to any memory.
    public let dmaRefusedCount: UInt64
    /// Interrupts that the device raised: messages, and assertions of its line. Whether somebody listens doesn't matter.
    public let interruptCount: UInt64

    init(_ name: String, _ value: (DeviceCounters.Counter) -> UInt64) {
        self.name = name
        requestCount = value(.requests)
        errorCount = value(.errors)
        readCount = value(.reads)
        writeCount = value(.writes)
        dmaReadCount = value(.dmaReads)
        dmaReadByteCount = value(.dmaReadBytes)
        dmaWriteCount = value(.dmaWrites)
        dmaWrittenByteCount = value(.dmaWrittenBytes)
        dmaRefusedCount = value(.dmaRefusals)
        interruptCount = value(.interrupts)
    }
}

/// What the devices of a software machine have done.
public struct MachineStatistics: Sendable, Equatable {
    /// Each device, in the order in which the machine got them.
    public let devices: [DeviceStatistics]
    /// How many bytes of memory are locked for DMA now, all containers together.
    public let lockedByteCount: UInt64

    init(_ devices: [DeviceStatistics], lockedByteCount: UInt64) {
        self.devices = devices
        self.lockedByteCount = lockedByteCount
    }

    /// Reads the file that a machine counts in (``MachineDescription/counterFile``), in whichever process the machine is.
    ///
    /// The file isn't trusted.
    /// - Throws: the errno of open(2); `EINVAL` for a file of something else.
    public init(readingFile path: String) throws(Errno) {
        let bytes = try FileSystem.bytes(of: path, limit: CounterTable.byteCount)
        func word(_ index: Int) -> UInt64 {
            var word: UInt64 = 0
            for byte in 0..<8 { word |= UInt64(bytes[index * 8 + byte]) << UInt64(byte * 8) }
            return word
        }
        guard bytes.count == CounterTable.byteCount, word(0) == CounterTable.magic else { throw .invalid }
        var devices: [DeviceStatistics] = []
        for slot in 0..<CounterTable.mostDevices {
            let base = CounterTable.headWords + slot * CounterTable.slotWords
            let name = bytes[(base * 8)..<((base + CounterTable.nameWords) * 8)].prefix { $0 != 0 }
            if name.isEmpty { break }
            devices.append(
                DeviceStatistics(String(decoding: name, as: UTF8.self)) {
                    word(base + CounterTable.nameWords + $0.rawValue)
                })
        }
        self.init(devices, lockedByteCount: word(CounterTable.lockedWord))
    }
}

extension SoftwareHost {
    /// What each device has done since the machine was made; those that are on the machine now. Counting is always on
    /// and costs a device's access an addition or two.
    public var statistics: MachineStatistics {
        let devices = core.lock.withLock { core.devices.map { ($0.id.name, $0.faults.counters) } }
        return MachineStatistics(
            devices.map { name, counters in DeviceStatistics(name) { counters.value($0) } },
            lockedByteCount: lockedByteCount)
    }
}
