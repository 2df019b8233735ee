import LinuxSystem
import NVMe
import NVMeDriver
import VFIO

/// Moving many blocks through one piece of DMA memory.
enum Blocks {
    /// How much goes through at a time.
    static let chunkByteCount = 1 << 20

    /// A range inside a namespace.
    static func range(_ first: UInt64, _ count: UInt64?, _ namespace: Namespace) throws(CommandFailure)
        -> Range<UInt64>
    {
        let rest = namespace.blockCount >= first ? namespace.blockCount - first : 0
        guard rest > 0, count ?? rest > 0, count ?? rest <= rest else {
            let what =
                count == nil ? "block \(first) isn't" : "\(count ?? 0) blocks at block \(first) aren't all"
            throw .refused(
                "\(what) inside namespace \(namespace.identifier), which has \(namespace.blockCount) blocks",
                remedy: "choose --lba and --blocks inside it")
        }
        return first..<first + (count ?? rest)
    }

    /// Runs a call on a file and names the file if it fails.
    static func opening<R>(_ path: String, _ body: () throws(Errno) -> R) throws(CommandFailure) -> R {
        do throws(Errno) { return try body() } catch { throw .file(path, .opened, error) }
    }

    /// Copies a window's bytes.
    static func copy(_ window: MemoryWindow, into bytes: inout [UInt8]) {
        var span = bytes.mutableSpan
        // SAFETY: any byte is a value of UInt8.
        var raw = unsafe span.mutableBytes
        window.read(at: 0, into: &raw)
    }

    /// Reads blocks and hands out each chunk with its offset in bytes from the first.
    static func read(
        _ range: Range<UInt64>, of namespace: Namespace, on controller: Controller,
        _ body: (MemoryWindow, UInt64) throws -> Void
    ) throws {
        let memory = try controller.allocate(byteCount: chunkByteCount)
        try chunks(range, namespace) { blocks, offset, byteCount in
            try controller.read(
                blocks: blocks, of: namespace, into: memory.segment(at: 0, byteCount: byteCount))
            try body(memory.window.window(at: 0, byteCount: byteCount), offset)
        }
    }

    /// Writes blocks that `body` fills chunk by chunk.
    static func write(
        _ range: Range<UInt64>, of namespace: Namespace, on controller: Controller,
        _ body: (MemoryWindow, UInt64) throws -> Void
    ) throws {
        let memory = try controller.allocate(byteCount: chunkByteCount)
        try chunks(range, namespace) { blocks, offset, byteCount in
            try body(memory.window.window(at: 0, byteCount: byteCount), offset)
            try controller.write(
                blocks: blocks, of: namespace, from: memory.segment(at: 0, byteCount: byteCount))
        }
    }

    private static func chunks(
        _ range: Range<UInt64>, _ namespace: Namespace,
        _ body: (Range<UInt64>, UInt64, Int) throws -> Void
    ) throws {
        let blocksPerChunk = UInt64(chunkByteCount / namespace.blockByteCount)
        var next = range.lowerBound
        while next < range.upperBound {
            let end = min(range.upperBound, next + blocksPerChunk)
            let byteCount = Int(end - next) * namespace.blockByteCount
            try body(next..<end, (next - range.lowerBound) * UInt64(namespace.blockByteCount), byteCount)
            next = end
        }
    }
}

/// A file that is made or overwritten.
final class OutputFile {
    private let path: String
    private let descriptor: Descriptor

    /// Opens it, empty.
    init(_ path: String) throws(CommandFailure) {
        self.path = path
        do throws(Errno) {
            descriptor = try Descriptor(opening: path, [.writeOnly, .create, .truncate])
        } catch {
            throw .file(path, .written, error)
        }
    }

    /// Writes all of a window at an offset.
    func write(_ window: MemoryWindow, at offset: UInt64) throws(CommandFailure) {
        try Blocks.opening(path) { () throws(Errno) in try descriptor.write(at: offset, from: window) }
    }
}
