import DeviceModel
import IOVASpace
import LinuxSystem
import NVMe
import NVMeController

/// A host of nothing but memory: one stretch of it at ``base``, with holes where a test wants a fault.
final class TestSlot: PCISlot, @unchecked Sendable {
    static let base: UInt64 = 0x10_0000
    private let memory: Mapping
    let window: MemoryWindow
    /// Pages that can't be reached.
    var holes: Set<UInt64> = []
    /// Whether memory is lent; copied only otherwise.
    var lends = true
    /// The vectors that were raised, in order.
    var messages: [Int] = []
    /// The interrupt line.
    var line = false
    private var next: UInt64

    init(byteCount: Int = 8 << 20) throws {
        memory = try Mapping(anonymous: byteCount)
        window = memory.window
        next = TestSlot.base
    }

    /// Fresh pages, in ascending order.
    func allocate(_ pages: Int = 1) -> UInt64 {
        defer { next += UInt64(pages) * 4096 }
        return next
    }

    private func place(_ iova: IOVA, _ count: Int, _ access: DMAAccess) throws(DMAFault) -> Int {
        let end = TestSlot.base + UInt64(window.byteCount)
        guard iova.rawValue >= TestSlot.base, iova.rawValue < end, UInt64(count) <= end - iova.rawValue else {
            throw DMAFault(iova: iova, access: access, reason: .notMapped)
        }
        if !holes.isEmpty && count > 0 {
            let last = iova.rawValue + UInt64(count - 1)
            for page in stride(from: iova.rawValue & ~0xfff, through: last, by: 4096)
            where holes.contains(page) {
                throw DMAFault(iova: IOVA(max(page, iova.rawValue)), access: access, reason: .notMapped)
            }
        }
        return Int(iova.rawValue - TestSlot.base)
    }

    func readMemory(at iova: IOVA, into bytes: inout MutableRawSpan) throws(DMAFault) {
        window.read(at: try place(iova, bytes.byteCount, .read), into: &bytes)
    }

    func writeMemory(_ bytes: RawSpan, at iova: IOVA) throws(DMAFault) {
        window.write(bytes, at: try place(iova, bytes.byteCount, .write))
    }

    /// Lends page by page, as an IOMMU with scattered memory behind it would.
    func withMemory(
        at iova: IOVA, byteCount: Int, for access: DMAAccess, _ body: (MemoryWindow) -> Bool
    ) throws(DMAFault) {
        guard lends else { throw DMAFault(iova: iova, access: access, reason: .notLendable) }
        var at = try place(iova, byteCount, access)
        var left = byteCount
        while left > 0 {
            let count = min(left, 4096 - at % 4096)
            guard body(window.window(at: at, byteCount: count)) else { return }
            at += count
            left -= count
        }
    }

    func deliverMessage(_ kind: MessageKind, vector: Int) { messages.append(vector) }
    func setInterruptLine(_ asserted: Bool) { line = asserted }

    // MARK: the test's own access

    func store<T: BitwiseCopyable>(_ value: T, at iova: UInt64) {
        window.store(value, at: Int(iova - TestSlot.base))
    }

    func load<T: BitwiseCopyable>(_ type: T.Type, at iova: UInt64) -> T {
        window.load(type, at: Int(iova - TestSlot.base))
    }

    func bytes(at iova: UInt64, count: Int) -> [UInt8] {
        (0..<count).map { window.load8(Int(iova - TestSlot.base) + $0) }
    }

    func fill(_ iova: UInt64, _ bytes: [UInt8]) {
        for (index, byte) in bytes.enumerated() { window.store8(Int(iova - TestSlot.base) + index, byte) }
    }
}
