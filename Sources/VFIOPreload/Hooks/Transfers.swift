import CLinux
import LinuxSystem
import VFIOHost

// read(2), pread(2) and their relatives: a device's regions, a migration's data. The program's buffer may be
// anything: bytes are copied to and from it as a kernel does.

/// How much is copied at once.
private let pieceByteCount = 4096

/// The most that one call moves: `MAX_RW_COUNT`.
private let most = 0x7fff_f000

/// Reads from one of our handles.
/// - Parameter offset: where; nil for what comes next.
func readHandle(_ number: Int32, _ to: UInt, _ count: Int, _ offset: UInt64?) -> Int {
    Answer.count { () throws(Errno) -> Int in
        guard count >= 0 else { throw .invalid }
        var done = 0
        let total = min(count, most)
        repeat {
            var piece = InlineArray<4096, UInt8>(repeating: 0)
            let wanted = min(total - done, pieceByteCount)
            var span = piece.mutableSpan
            // SAFETY: any value of the bytes is one of their own.
            var bytes = unsafe span.mutableBytes
            var part = bytes._mutatingExtracting(first: wanted)
            let got: Int
            do throws(Errno) {
                got =
                    if let offset {
                        try Run.present.read(number, at: offset &+ UInt64(done), into: &part)
                    } else { try Run.present.read(number, into: &part) }
                let answer = piece.span.extracting(first: got)
                try UserMemory.write(unsafe answer.bytes, to: HostAddress(rawValue: to) + done)
            } catch {
                if done > 0 { return done }
                throw error
            }
            done += got
            if got < wanted { break }
        } while done < total
        return done
    }
}

/// Writes to one of our handles.
/// - Parameter offset: where; nil for what comes next.
func writeHandle(_ number: Int32, _ from: UInt, _ count: Int, _ offset: UInt64?) -> Int {
    Answer.count { () throws(Errno) -> Int in
        guard count >= 0 else { throw .invalid }
        var done = 0
        let total = min(count, most)
        repeat {
            var piece = InlineArray<4096, UInt8>(repeating: 0)
            let wanted = min(total - done, pieceByteCount)
            let got: Int
            do throws(Errno) {
                var span = piece.mutableSpan
                // SAFETY: any value of the bytes is one of their own.
                var bytes = unsafe span.mutableBytes
                var part = bytes._mutatingExtracting(first: wanted)
                try UserMemory.read(from: HostAddress(rawValue: from) + done, into: &part)
                let source = piece.span.extracting(first: wanted)
                got =
                    if let offset {
                        try Run.present.write(number, at: offset &+ UInt64(done), unsafe source.bytes)
                    } else { try Run.present.write(number, unsafe source.bytes) }
            } catch {
                if done > 0 { return done }
                throw error
            }
            done += got
            if got < wanted { break }
        } while done < total
        return done
    }
}

/// Stands in front of `read`.
@c(read) public func hookedRead(_ number: Int32, _ to: UnsafeMutableRawPointer?, _ count: Int) -> Int {
    guard Handles.contains(number) else {
        return unsafe RealCalls.call(.read, as: RealCalls.Transfer.self)(number, to, count)
    }
    return readHandle(number, UInt(bitPattern: to), count, nil)
}

/// Stands in front of `__read_chk`.
@c(__read_chk) public func hookedCheckedRead(
    _ number: Int32, _ to: UnsafeMutableRawPointer?, _ count: Int, _ room: Int
) -> Int {
    guard count <= room else { abort() }
    return unsafe hookedRead(number, to, count)
}

/// Stands in front of `pread`.
@c(pread) public func hookedReadAt(
    _ number: Int32, _ to: UnsafeMutableRawPointer?, _ count: Int, _ offset: Int
) -> Int {
    guard Handles.contains(number) else {
        return unsafe RealCalls.call(.pread, as: RealCalls.TransferAt.self)(number, to, count, offset)
    }
    guard offset >= 0 else { return Answer.fail(.invalid) }
    return readHandle(number, UInt(bitPattern: to), count, UInt64(offset))
}

/// Stands in front of `pread64`.
@c(pread64) public func hookedReadAt64(
    _ number: Int32, _ to: UnsafeMutableRawPointer?, _ count: Int, _ offset: Int
) -> Int {
    unsafe hookedReadAt(number, to, count, offset)
}

/// Stands in front of `__pread_chk`.
@c(__pread_chk) public func hookedCheckedReadAt(
    _ number: Int32, _ to: UnsafeMutableRawPointer?, _ count: Int, _ offset: Int, _ room: Int
) -> Int {
    guard count <= room else { abort() }
    return unsafe hookedReadAt(number, to, count, offset)
}

/// Stands in front of `__pread64_chk`.
@c(__pread64_chk) public func hookedCheckedReadAt64(
    _ number: Int32, _ to: UnsafeMutableRawPointer?, _ count: Int, _ offset: Int, _ room: Int
) -> Int {
    guard count <= room else { abort() }
    return unsafe hookedReadAt(number, to, count, offset)
}

/// Stands in front of `write`.
@c(write) public func hookedWrite(_ number: Int32, _ from: UnsafeMutableRawPointer?, _ count: Int) -> Int {
    guard Handles.isKnown(number) else {
        return unsafe RealCalls.call(.write, as: RealCalls.Transfer.self)(number, from, count)
    }
    if let control = Handles.control(number) {
        return ControlFiles.write(control, UInt(bitPattern: from), count)
    }
    return writeHandle(number, UInt(bitPattern: from), count, nil)
}

/// Stands in front of `pwrite`.
@c(pwrite) public func hookedWriteAt(
    _ number: Int32, _ from: UnsafeMutableRawPointer?, _ count: Int, _ offset: Int
) -> Int {
    guard Handles.contains(number) else {
        return unsafe RealCalls.call(.pwrite, as: RealCalls.TransferAt.self)(number, from, count, offset)
    }
    guard offset >= 0 else { return Answer.fail(.invalid) }
    return writeHandle(number, UInt(bitPattern: from), count, UInt64(offset))
}

/// Stands in front of `pwrite64`.
@c(pwrite64) public func hookedWriteAt64(
    _ number: Int32, _ from: UnsafeMutableRawPointer?, _ count: Int, _ offset: Int
) -> Int {
    unsafe hookedWriteAt(number, from, count, offset)
}
