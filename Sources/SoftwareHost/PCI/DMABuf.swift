import DeviceModel
import LinuxSystem
import VFIOABI

/// Memory of a device's BAR, exported for the DMA of other devices: what the descriptor stands for that
/// `VFIO_DEVICE_FEATURE_DMA_BUF` gave (kernel.md D.12).
///
/// While the device's memory is off, and for good once the device was closed, it is revoked: who maps it anew is
/// refused, and who has mapped it reaches it no more.
///
/// **Where it differs from Linux.** Only what a device declares to be plain memory can be exported; registers
/// can't be reached by other devices.
final class DMABuf: FileObject, @unchecked Sendable {
    // SAFETY: what changes is only touched with `lock` held.

    /// A part of the BAR: a part of a file of memory.
    struct Part {
        /// The file; valid as long as the device's model.
        let descriptor: Int32
        /// Where it begins in the file, in bytes.
        let offset: UInt64
        /// How long it is.
        let byteCount: UInt64
    }

    /// The parts, one behind the other.
    let parts: [Part]
    /// How long it is.
    let byteCount: UInt64
    /// Keeps the descriptors open.
    private let model: any DeviceModel
    private let owner: DMABufs
    private let lock = Lock()
    private var revoked: Bool
    private var importers: [(space: IOAS, file: FileMemory)] = []

    init(_ parts: [Part], of model: any DeviceModel, in owner: DMABufs, isRevoked: Bool) {
        self.parts = parts
        self.model = model
        self.owner = owner
        revoked = isRevoked
        byteCount = parts.reduce(0) { $0 + $1.byteCount }
    }

    override func release() { owner.remove(self) }

    /// Whether nobody may reach it now.
    var isRevoked: Bool { lock.withLock { revoked } }

    /// Takes the memory away from those who have mapped it, for good, or allows new mappings of it.
    func setRevoked(_ isRevoked: Bool) {
        let told = lock.withLock { () -> [(space: IOAS, file: FileMemory)] in
            revoked = isRevoked
            defer { if isRevoked { importers = [] } }
            return isRevoked ? importers : []
        }
        // Without the lock: address spaces hold locks of their own when they come or go.
        for (space, file) in told {
            file.lose()
            space.lose(file)
        }
    }

    /// An address space maps a part, and is to be told when it is taken back.
    /// - Returns: false if it has been.
    func tell(_ space: IOAS, of file: FileMemory) -> Bool {
        lock.withLock {
            if !revoked { importers.append((space, file)) }
            return !revoked
        }
    }

    /// An address space maps a part no longer.
    func forget(_ space: IOAS, _ file: FileMemory) {
        lock.withLock { importers.removeAll { $0.space === space && $0.file === file } }
    }
}

/// The DMA-BUFs of a device.
final class DMABufs: @unchecked Sendable {
    // SAFETY: `all` is only touched with `lock` held.

    /// As many bytes of ranges as a kernel copies at once.
    static let rangeByteLimit = 4 << 20

    // Its own, and not the device's: a DMA-BUF may go under the lock of an address space, which takes its mappings
    // away under the device's.
    private let lock = Lock()
    private var all: [DMABuf] = []

    func add(_ memory: DMABuf) { lock.withLock { all.append(memory) } }

    /// Nobody holds it any more.
    func remove(_ memory: DMABuf) { lock.withLock { all.removeAll { $0 === memory } } }

    /// The memory of the device's BARs went, or is there again.
    func setRevoked(_ isRevoked: Bool) {
        for memory in lock.withLock({ all }) where memory.isRevoked != isRevoked {
            memory.setRevoked(isRevoked)
        }
    }

    /// The device is closed: none of them comes back.
    func removeAll() {
        setRevoked(true)
        lock.withLock { all = [] }
    }
}

extension DeviceFile {
    /// `VFIO_DEVICE_FEATURE_DMA_BUF`.
    /// - Returns: the descriptor.
    func exportMemory(
        _ pci: PCIBusDriver, _ operation: FeatureOperation, isProbe: Bool, payload: HostAddress, room: UInt32
    ) throws(Errno) -> Int32 {
        let size = UInt32(MemoryLayout<DMABufFeature>.size)
        guard try operation.isWanted(of: .get, isProbe, room, needs: size) else { return 0 }
        let request = try UserMemory.load(DMABufFeature(), from: payload)
        guard request.rangeCount != 0, request.flags == 0 else { throw .invalid }
        guard request.regionIndex < 6, pci.function.bars[Int(request.regionIndex)] != nil else {
            throw .noDevice
        }
        let stride = MemoryLayout<RegionDMARange>.stride
        guard Int(request.rangeCount) <= DMABufs.rangeByteLimit / stride else { throw .noMemory }
        var ranges: [RegionDMARange] = []
        for index in 0..<Int(request.rangeCount) {
            // Read although argsz may end before them, as in Linux.
            let place = payload + Int(size) + index * stride
            ranges.append(try UserMemory.load(RegionDMARange(), from: place))
        }
        let parts = try pci.exportableParts(ofBAR: Int(request.regionIndex), ranges)
        return try core.files.install { () throws(Errno) in .dmaBuf(pci.export(parts)) }
    }
}

extension PCIBusDriver {
    /// The memory behind ranges of a BAR.
    /// - Throws: `EINVAL` for what isn't whole pages inside the BAR, `EOVERFLOW`, `ENODEV` for registers.
    func exportableParts(
        ofBAR index: Int, _ ranges: [RegionDMARange]
    ) throws(Errno) -> [DMABuf.Part] {
        let mask = UInt64(pageSize - 1)
        var total: UInt64 = 0
        for range in ranges {
            guard range.length != 0, (range.offset | range.length) & mask == 0 else { throw .invalid }
            let (sum, overflow) = total.addingReportingOverflow(range.length)
            guard !overflow else { throw .invalid }
            total = sum
        }
        guard let bar = function.bars[index], bar.kind != .io else { throw .noDevice }
        var parts: [DMABuf.Part] = []
        for range in ranges {
            let (end, overflow) = range.offset.addingReportingOverflow(range.length)
            guard !overflow else { throw .overflow }
            guard end <= bar.byteCount else { throw .invalid }
            guard let part = exportablePart(bar: index, range.offset, range.length) else { throw .noDevice }
            parts.append(part)
        }
        return parts
    }

    private func exportablePart(bar: Int, _ offset: UInt64, _ byteCount: UInt64) -> DMABuf.Part? {
        for memory in function.memories where memory.bar == bar && offset >= memory.offset {
            let inside = offset - memory.offset
            let length = UInt64(memory.window.byteCount)
            guard inside < length, byteCount <= length - inside else { continue }
            return DMABuf.Part(
                descriptor: memory.descriptor, offset: memory.fileOffset + inside, byteCount: byteCount)
        }
        return nil
    }

    /// Makes a DMA-BUF, which is revoked as long as the device's memory is off.
    func export(_ parts: [DMABuf.Part]) -> DMABuf {
        lock.withLock {
            let memory = DMABuf(parts, of: model, in: exports, isRevoked: !mappingsAreShown)
            exports.add(memory)
            return memory
        }
    }
}
