import CLinux
import LinuxSystem

// readv(2) and its relatives, and what moves about in files. VFIO's files know no lists of buffers: Linux makes one
// access for each.

/// A buffer, as `struct iovec` has it.
private struct Buffer: BitwiseCopyable {
    var start: UInt
    var byteCount: UInt
}

/// The most buffers: `UIO_MAXIOV`.
private let mostBuffers = 1024

/// Makes one transfer for each buffer, until one is short.
private func eachBuffer(
    _ list: UInt, _ count: Int32, _ transfer: (_ at: UInt, _ byteCount: Int, _ done: Int) -> Int
) -> Int {
    Answer.count { () throws(Errno) -> Int in
        guard count >= 0 && count <= mostBuffers else { throw .invalid }
        var total = 0
        var done = 0
        let step = MemoryLayout<Buffer>.stride
        // All are looked at before the first is used.
        for index in 0..<Int(count) {
            let buffer = try UserMemory.load(
                Buffer(start: 0, byteCount: 0), from: HostAddress(rawValue: list) + index * step)
            let (sum, overflow) = total.addingReportingOverflow(Int(bitPattern: buffer.byteCount))
            guard Int(bitPattern: buffer.byteCount) >= 0, !overflow else { throw .invalid }
            total = sum
        }
        for index in 0..<Int(count) {
            let buffer = try UserMemory.load(
                Buffer(start: 0, byteCount: 0), from: HostAddress(rawValue: list) + index * step)
            let byteCount = Int(bitPattern: buffer.byteCount)
            if byteCount <= 0 { continue }
            let got = transfer(buffer.start, byteCount, done)
            if got < 0 { return done > 0 ? done : got }
            done += got
            if got < byteCount { break }
        }
        return done
    }
}

private func readBuffers(_ number: Int32, _ list: UInt, _ count: Int32, _ offset: Int?) -> Int {
    if let offset, offset < 0 { return Answer.fail(.invalid) }
    return eachBuffer(list, count) { at, byteCount, done in
        readHandle(number, at, byteCount, offset.map { UInt64($0 &+ done) })
    }
}

private func writeBuffers(_ number: Int32, _ list: UInt, _ count: Int32, _ offset: Int?) -> Int {
    if let offset, offset < 0 { return Answer.fail(.invalid) }
    return eachBuffer(list, count) { at, byteCount, done in
        writeHandle(number, at, byteCount, offset.map { UInt64($0 &+ done) })
    }
}

/// Stands in front of `readv`.
@c(readv) public func hookedReadVector(_ number: Int32, _ list: UInt, _ count: Int32) -> Int {
    guard Handles.contains(number) else {
        return RealCalls.call(.readv, as: RealCalls.Vectors.self)(number, list, count)
    }
    return readBuffers(number, list, count, nil)
}

/// Stands in front of `writev`.
@c(writev) public func hookedWriteVector(_ number: Int32, _ list: UInt, _ count: Int32) -> Int {
    guard Handles.contains(number) else {
        return RealCalls.call(.writev, as: RealCalls.Vectors.self)(number, list, count)
    }
    return writeBuffers(number, list, count, nil)
}

/// Stands in front of `preadv`.
@c(preadv) public func hookedReadVectorAt(
    _ number: Int32, _ list: UInt, _ count: Int32, _ offset: Int
) -> Int {
    guard Handles.contains(number) else {
        return RealCalls.call(.preadv, as: RealCalls.VectorsAt.self)(number, list, count, offset)
    }
    return readBuffers(number, list, count, offset)
}

/// Stands in front of `preadv64`.
@c(preadv64) public func hookedReadVectorAt64(
    _ number: Int32, _ list: UInt, _ count: Int32, _ offset: Int
) -> Int { hookedReadVectorAt(number, list, count, offset) }

/// Stands in front of `pwritev`.
@c(pwritev) public func hookedWriteVectorAt(
    _ number: Int32, _ list: UInt, _ count: Int32, _ offset: Int
) -> Int {
    guard Handles.contains(number) else {
        return RealCalls.call(.pwritev, as: RealCalls.VectorsAt.self)(number, list, count, offset)
    }
    return writeBuffers(number, list, count, offset)
}

/// Stands in front of `pwritev64`.
@c(pwritev64) public func hookedWriteVectorAt64(
    _ number: Int32, _ list: UInt, _ count: Int32, _ offset: Int
) -> Int { hookedWriteVectorAt(number, list, count, offset) }

/// Stands in front of `preadv2`.
@c(preadv2) public func hookedReadVectorWith(
    _ number: Int32, _ list: UInt, _ count: Int32, _ offset: Int, _ flags: Int32
) -> Int {
    guard Handles.contains(number) else {
        return RealCalls.call(.preadv2, as: RealCalls.VectorsWith.self)(number, list, count, offset, flags)
    }
    // RWF_HIPRI is a wish; what else there is needs a file system.
    guard flags & ~1 == 0 else { return Answer.fail(.notSupported) }
    return readBuffers(number, list, count, offset == -1 ? nil : offset)
}

/// Stands in front of `preadv64v2`.
@c(preadv64v2) public func hookedReadVectorWith64(
    _ number: Int32, _ list: UInt, _ count: Int32, _ offset: Int, _ flags: Int32
) -> Int { hookedReadVectorWith(number, list, count, offset, flags) }

/// Stands in front of `pwritev2`.
@c(pwritev2) public func hookedWriteVectorWith(
    _ number: Int32, _ list: UInt, _ count: Int32, _ offset: Int, _ flags: Int32
) -> Int {
    guard Handles.contains(number) else {
        return RealCalls.call(.pwritev2, as: RealCalls.VectorsWith.self)(number, list, count, offset, flags)
    }
    guard flags & ~1 == 0 else { return Answer.fail(.notSupported) }
    return writeBuffers(number, list, count, offset == -1 ? nil : offset)
}

/// Stands in front of `pwritev64v2`.
@c(pwritev64v2) public func hookedWriteVectorWith64(
    _ number: Int32, _ list: UInt, _ count: Int32, _ offset: Int, _ flags: Int32
) -> Int { hookedWriteVectorWith(number, list, count, offset, flags) }

/// Stands in front of `lseek`.
@c(lseek) public func hookedSeek(_ number: Int32, _ offset: Int, _ whence: Int32) -> Int {
    guard Handles.contains(number) else {
        return RealCalls.call(.lseek, as: RealCalls.Seek.self)(number, offset, whence)
    }
    return Answer.fail(whence >= 0 && whence <= 4 ? .illegalSeek : .invalid)
}

/// Stands in front of `lseek64`.
@c(lseek64) public func hookedSeek64(_ number: Int32, _ offset: Int, _ whence: Int32) -> Int {
    hookedSeek(number, offset, whence)
}

/// Stands in front of `ftruncate`.
@c(ftruncate) public func hookedCut(_ number: Int32, _ length: Int) -> Int32 {
    guard Handles.contains(number) else {
        return RealCalls.call(.ftruncate, as: RealCalls.CutFile.self)(number, length)
    }
    return Int32(Answer.fail(.invalid))
}

/// Stands in front of `ftruncate64`.
@c(ftruncate64) public func hookedCut64(_ number: Int32, _ length: Int) -> Int32 {
    hookedCut(number, length)
}
