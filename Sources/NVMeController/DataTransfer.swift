import DeviceModel
import IOVASpace
import LinuxSystem
import NVMe

/// The data of one command: where it lies in the driver's memory, and its way between there and a store.
///
/// One object serves all commands, one after the other, so that none of them allocates.
final class DataTransfer {
    /// A stretch of the driver's memory.
    private struct Piece {
        var address: UInt64
        var byteCount: Int
    }

    /// The most bytes of a command (MDTS).
    let limit: Int
    private let hasSGLs: Bool
    private let dma: DMAPort
    private let scratch: ScratchMemory
    private var pieces: [Piece] = []
    /// The bytes that the pieces have together.
    private(set) var byteCount = 0

    /// Bytes of a PRP list or an SGL segment that are looked at in one go.
    private static let listChunk = 4096
    /// The most descriptors of an SGL.
    private static let descriptorLimit = 4096

    init(_ dma: DMAPort, limit: Int, hasSGLs: Bool) {
        self.dma = dma
        self.limit = limit
        self.hasSGLs = hasSGLs
        scratch = ScratchMemory(byteCount: limit + DataTransfer.listChunk)
        pieces.reserveCapacity(limit / 4096 + 2)
    }

    /// The part of the scratch memory that data passes through.
    private var buffer: MemoryWindow { scratch.window.window(at: 0, byteCount: limit) }
    /// The part that lists are read into.
    private var list: MemoryWindow { scratch.window.window(at: limit, byteCount: DataTransfer.listChunk) }

    // MARK: where the data lies

    /// Takes down where a command's data lies.
    /// - Parameters:
    ///   - byteCount: at most `limit`.
    ///   - allowsSGL: false for admin commands, which have PRP entries only (NVMe 1.4, 4.4).
    /// - Returns: what is wrong with the data pointer; nil if nothing is.
    func collect(_ entry: SubmissionEntry, _ byteCount: Int, _ rules: PRPRules, allowsSGL: Bool) -> Status? {
        pieces.removeAll(keepingCapacity: true)
        self.byteCount = 0
        guard byteCount > 0, byteCount <= limit else { return .invalidField }
        switch entry.dataPointerKind {
        case .prp: return collectPRP(entry.prp1, entry.prp2, byteCount, rules)
        case .sgl where allowsSGL && hasSGLs: return collectSGL(entry.sgl, byteCount)
        default: return .invalidField
        }
    }

    private func add(_ address: UInt64, _ count: Int) {
        if count == 0 { return }
        byteCount += count
        if let last = pieces.last, last.address &+ UInt64(last.byteCount) == address, address != 0 {
            pieces[pieces.count - 1].byteCount += count
        } else {
            pieces.append(Piece(address: address, byteCount: count))
        }
    }

    private func collectPRP(_ first: UInt64, _ second: UInt64, _ byteCount: Int, _ rules: PRPRules) -> Status?
    {
        guard rules.isValidFirst(first) else { return .invalidPRPOffset }
        let head = rules.firstLength(at: first, length: byteCount)
        add(first, head)
        var left = byteCount - head
        if left == 0 { return nil }
        if left <= rules.pageSize {
            guard rules.isValidFurther(second) else { return .invalidPRPOffset }
            add(second, left)
            return nil
        }
        guard rules.isValidList(second) else { return .invalidPRPOffset }
        var address = second
        while true {
            // The list goes to the end of its page; the last entry is a link if that isn't enough.
            let slots = (rules.pageSize - rules.offset(of: address)) / PRPRules.entrySize
            let pages = (left + rules.pageSize - 1) / rules.pageSize
            let isLast = pages <= slots
            let used = isLast ? pages : slots
            var index = 0
            while index < used {
                let chunk = min(used - index, DataTransfer.listChunk / PRPRules.entrySize)
                guard readList(address + UInt64(index * PRPRules.entrySize), chunk * PRPRules.entrySize)
                else {
                    return .dataTransferError
                }
                for slot in 0..<chunk {
                    let value = list.load64(slot * PRPRules.entrySize)
                    guard rules.isValidFurther(value) else { return .invalidPRPOffset }
                    if !isLast && index + slot == used - 1 {
                        address = value
                    } else {
                        let count = min(left, rules.pageSize)
                        add(value, count)
                        left -= count
                    }
                }
                index += chunk
            }
            if isLast { return nil }
        }
    }

    private func collectSGL(_ descriptor: SGLDescriptor, _ byteCount: Int) -> Status? {
        var left = byteCount
        switch descriptor.kind {
        case .dataBlock:
            if let problem = take(descriptor, &left) { return problem }
        case .segment, .lastSegment:
            if let problem = walk(descriptor, &left) { return problem }
        default: return .invalidSGLType
        }
        return left == 0 ? nil : .invalidSGLDataLength
    }

    /// Adds a data block.
    private func take(_ block: SGLDescriptor, _ left: inout Int) -> Status? {
        guard block.subtype == 0 else { return .invalidSGLType }
        guard Int(block.length) <= left else { return .invalidSGLDataLength }
        add(block.address, Int(block.length))
        left -= Int(block.length)
        return nil
    }

    /// Goes through segments up to the last.
    private func walk(_ start: SGLDescriptor, _ left: inout Int) -> Status? {
        var segment = start
        var total = 0
        while true {
            guard segment.subtype == 0 else { return .invalidSGLType }
            let length = Int(segment.length)
            guard length > 0, length % SGLDescriptor.size == 0 else { return .invalidSGLSegment }
            let count = length / SGLDescriptor.size
            total += count
            guard total <= DataTransfer.descriptorLimit else { return .invalidSGLCount }
            let isLastSegment = segment.kind == .lastSegment
            let (_, overflow) = segment.address.addingReportingOverflow(UInt64(length - 1))
            guard !overflow else { return .dataTransferError }

            let base = segment.address
            var index = 0
            while index < count {
                let chunk = min(count - index, DataTransfer.listChunk / SGLDescriptor.size)
                guard readList(base + UInt64(index * SGLDescriptor.size), chunk * SGLDescriptor.size) else {
                    return .dataTransferError
                }
                for slot in 0..<chunk {
                    let at = slot * SGLDescriptor.size
                    let descriptor = SGLDescriptor(words: list.load64(at), list.load64(at + 8))
                    let isEnd = index + slot == count - 1
                    switch descriptor.kind {
                    case .dataBlock:
                        // Every segment but the last ends with the way to the next.
                        if isEnd && !isLastSegment { return .invalidSGLSegment }
                        if let problem = take(descriptor, &left) { return problem }
                    case .segment, .lastSegment:
                        guard isEnd, !isLastSegment else { return .invalidSGLSegment }
                        segment = descriptor
                    default: return .invalidSGLType
                    }
                }
                index += chunk
            }
            if isLastSegment { return nil }
        }
    }

    private func readList(_ address: UInt64, _ count: Int) -> Bool {
        read(address, list.window(at: 0, byteCount: count))
    }

    // MARK: single stretches

    private func read(_ address: UInt64, _ window: MemoryWindow) -> Bool {
        do throws(DMAFault) {
            // SAFETY: the window is a part of the scratch memory, which this object owns.
            var span = unsafe MutableRawSpan(_unsafeBytes: window.unsafeBytes)
            try dma.read(IOVA(address), into: &span)
            return true
        } catch {
            return false
        }
    }

    private func write(_ window: MemoryWindow, _ address: UInt64) -> Bool {
        do throws(DMAFault) {
            // SAFETY: the window is a part of the scratch memory, which this object owns.
            let span = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(window.unsafeBytes))
            try dma.write(span, to: IOVA(address))
            return true
        } catch {
            return false
        }
    }

    // MARK: between the driver's memory and a store

    private enum Shortcut {
        case done(Status)
        case unavailable
    }

    /// Reads `byteCount` bytes of a store into the driver's memory.
    func read(from store: any BlockStore, at offset: UInt64) -> Status {
        if pieces.count == 1,
            case .done(let status) = lend(
                pieces[0], .write,
                { window, done in
                    do throws(Errno) {
                        try store.read(at: offset + done, into: window)
                        return nil
                    } catch {
                        return .unrecoveredReadError
                    }
                })
        {
            return status
        }
        let data = buffer.window(at: 0, byteCount: byteCount)
        do throws(Errno) { try store.read(at: offset, into: data) } catch { return .unrecoveredReadError }
        return scatter(data)
    }

    /// Writes the command's data to a store. Data that can't be read is not written, not even in part.
    func write(to store: any BlockStore, at offset: UInt64) -> Status {
        if pieces.count == 1,
            case .done(let status) = lend(
                pieces[0], .read,
                { window, done in
                    do throws(Errno) {
                        try store.write(at: offset + done, from: window)
                        return nil
                    } catch {
                        return writeStatus(error)
                    }
                })
        {
            return status
        }
        let data = buffer.window(at: 0, byteCount: byteCount)
        if let problem = gather(data) { return problem }
        do throws(Errno) { try store.write(at: offset, from: data) } catch { return writeStatus(error) }
        return .success
    }

    /// Works on a piece where it lies, without a copy.
    private func lend(
        _ piece: Piece, _ access: DMAAccess, _ body: (MemoryWindow, UInt64) -> Status?
    ) -> Shortcut {
        var problem: Status?
        var done: UInt64 = 0
        do throws(DMAFault) {
            try dma.withMemory(IOVA(piece.address), byteCount: piece.byteCount, for: access) { window in
                problem = body(window, done)
                done += UInt64(window.byteCount)
                return problem == nil
            }
            return .done(problem ?? .success)
        } catch {
            return error.reason == .notLendable ? .unavailable : .done(.dataTransferError)
        }
    }

    private func scatter(_ data: MemoryWindow) -> Status {
        var done = 0
        for piece in pieces {
            guard write(data.window(at: done, byteCount: piece.byteCount), piece.address) else {
                return .dataTransferError
            }
            done += piece.byteCount
        }
        return .success
    }

    private func gather(_ data: MemoryWindow) -> Status? {
        var done = 0
        for piece in pieces {
            guard read(piece.address, data.window(at: done, byteCount: piece.byteCount)) else {
                return .dataTransferError
            }
            done += piece.byteCount
        }
        return nil
    }

    // MARK: between the driver's memory and the controller itself

    /// Sends bytes to the driver, as many as the command asked for: what is missing is zero, what is too much
    /// is left out.
    func send(_ bytes: [UInt8], from start: Int = 0) -> Status {
        let data = buffer.window(at: 0, byteCount: byteCount)
        data.zero(at: 0, byteCount: byteCount)
        if start < bytes.count {
            let count = min(bytes.count - start, byteCount)
            // SAFETY: an array of bytes has no padding that a view of its memory could show.
            let source = unsafe bytes.span.bytes
            data.write(source.extracting(start..<start + count), at: 0)
        }
        return scatter(data)
    }

    /// Fetches the command's data, which may be looked at until the next command.
    func receive() -> MemoryWindow? {
        let data = buffer.window(at: 0, byteCount: byteCount)
        return gather(data) == nil ? data : nil
    }
}

/// What a failed write to a store is to a driver.
func writeStatus(_ error: Errno) -> Status {
    switch error {
    case .noSpace: .capacityExceeded
    case .readOnlyFileSystem: .namespaceWriteProtected
    default: .writeFault
    }
}
