import LinuxSystem

extension TraceRecord {
    /// The record as it stands in a file.
    func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(
            TraceFormat.recordHeaderByteCount + 64 + (before?.count ?? 0) + (after?.count ?? 0) + data.count)
        bytes.append(number: TraceFormat.recordMark)
        bytes.append(number: UInt32(0))
        bytes.append(number: UInt32(0))
        bytes.append(kind.rawValue)
        bytes.append(0)
        bytes.append(number: UInt16(TraceFormat.recordHeaderByteCount))
        bytes.append(number: time)
        bytes.append(number: duration)
        bytes.append(number: UInt32(bitPattern: process))
        bytes.append(number: UInt32(bitPattern: thread))
        bytes.append(number: UInt32(bitPattern: handle))
        bytes.append(number: UInt32(bitPattern: errno?.rawValue ?? 0))
        bytes.append(number: UInt64(bitPattern: result))
        bytes.append(number: request)
        bytes.append(number: UInt32(0))
        bytes.append(number: argument)
        bytes.append(number: offset)
        bytes.append(number: byteCount)
        if let before { bytes.append(part: TraceFormat.Tag.before, before) }
        if let after { bytes.append(part: TraceFormat.Tag.after, after) }
        if let nestedBefore { bytes.append(part: TraceFormat.Tag.nestedBefore, nestedBefore) }
        if let nestedAfter { bytes.append(part: TraceFormat.Tag.nestedAfter, nestedAfter) }
        if !data.isEmpty { bytes.append(part: TraceFormat.Tag.data, data) }
        if !text.isEmpty { bytes.append(part: TraceFormat.Tag.text, text) }
        if let identity { bytes.append(identity) }
        bytes.replace(UInt32(bytes.count), at: 4)
        bytes.replace(TraceFormat.checksum(bytes[TraceFormat.markByteCount...]), at: 8)
        return bytes
    }

    /// Reads a record whose length and checksum were found to be right.
    /// - Returns: nil for one that can't be read all the same.
    init?(decoding bytes: ArraySlice<UInt8>) {
        guard bytes.count >= TraceFormat.recordHeaderByteCount else { return nil }
        var rest = bytes.dropFirst(TraceFormat.markByteCount)
        kind = Kind(rawValue: rest.removeFirst())
        rest.removeFirst()
        let headerByteCount = Int(rest.takeNumber(UInt16.self))
        guard headerByteCount >= TraceFormat.recordHeaderByteCount, headerByteCount <= bytes.count else {
            return nil
        }
        time = rest.takeNumber(UInt64.self)
        duration = rest.takeNumber(UInt64.self)
        process = Int32(bitPattern: rest.takeNumber(UInt32.self))
        thread = Int32(bitPattern: rest.takeNumber(UInt32.self))
        handle = Int32(bitPattern: rest.takeNumber(UInt32.self))
        let number = Int32(bitPattern: rest.takeNumber(UInt32.self))
        errno = number == 0 ? nil : Errno(rawValue: number)
        result = Int64(bitPattern: rest.takeNumber(UInt64.self))
        request = rest.takeNumber(UInt32.self)
        _ = rest.takeNumber(UInt32.self)
        argument = rest.takeNumber(UInt64.self)
        offset = rest.takeNumber(UInt64.self)
        byteCount = rest.takeNumber(UInt64.self)
        rest = bytes.dropFirst(headerByteCount)
        while rest.count >= 8 {
            let tag = rest.takeNumber(UInt16.self)
            _ = rest.takeNumber(UInt16.self)
            let count = Int(rest.takeNumber(UInt32.self))
            guard count <= rest.count else { return nil }
            take(tag, [UInt8](rest.prefix(count)))
            rest = rest.dropFirst(count)
        }
    }

    private mutating func take(_ tag: UInt16, _ bytes: [UInt8]) {
        switch tag {
        case TraceFormat.Tag.before: before = bytes
        case TraceFormat.Tag.after: after = bytes
        case TraceFormat.Tag.nestedBefore: nestedBefore = Nested(decoding: bytes)
        case TraceFormat.Tag.nestedAfter: nestedAfter = Nested(decoding: bytes)
        case TraceFormat.Tag.data: data = bytes
        case TraceFormat.Tag.text: text = bytes
        case TraceFormat.Tag.identity: identity = Identity(decoding: bytes)
        default: break
        }
    }
}

extension TraceRecord.Nested {
    fileprivate init?(decoding bytes: [UInt8]) {
        guard bytes.count >= 4 else { return nil }
        var rest = bytes[...]
        pointerOffset = Int(rest.takeNumber(UInt32.self))
        self.bytes = [UInt8](rest)
    }
}

extension TraceRecord.Identity {
    fileprivate init?(decoding bytes: [UInt8]) {
        guard bytes.count >= 16 else { return nil }
        var rest = bytes[...]
        vendor = rest.takeNumber(UInt16.self)
        device = rest.takeNumber(UInt16.self)
        classCode = rest.takeNumber(UInt32.self)
        group = Int32(bitPattern: rest.takeNumber(UInt32.self))
        node = Int32(bitPattern: rest.takeNumber(UInt32.self))
    }
}

extension [UInt8] {
    mutating func append<T: FixedWidthInteger & UnsignedInteger>(number: T) {
        for index in 0..<(T.bitWidth / 8) {
            append(UInt8(truncatingIfNeeded: number >> T(truncatingIfNeeded: 8 * index)))
        }
    }

    fileprivate mutating func append(part tag: UInt16, _ bytes: [UInt8]) {
        append(number: tag)
        append(number: UInt16(0))
        append(number: UInt32(bytes.count))
        append(contentsOf: bytes)
    }

    fileprivate mutating func append(part tag: UInt16, _ nested: TraceRecord.Nested) {
        append(number: tag)
        append(number: UInt16(0))
        append(number: UInt32(nested.bytes.count + 4))
        append(number: UInt32(nested.pointerOffset))
        append(contentsOf: nested.bytes)
    }

    fileprivate mutating func append(_ identity: TraceRecord.Identity) {
        append(number: TraceFormat.Tag.identity)
        append(number: UInt16(0))
        append(number: UInt32(16))
        append(number: identity.vendor)
        append(number: identity.device)
        append(number: identity.classCode)
        append(number: UInt32(bitPattern: identity.group))
        append(number: UInt32(bitPattern: identity.node))
    }

    fileprivate mutating func replace(_ number: UInt32, at offset: Int) {
        for index in 0..<4 { self[offset + index] = UInt8(truncatingIfNeeded: number >> UInt32(8 * index)) }
    }
}

extension ArraySlice<UInt8> {
    /// Takes a number from the front; bytes that aren't there are zeros.
    mutating func takeNumber<T: FixedWidthInteger & UnsignedInteger>(_ type: T.Type) -> T {
        var value: T = 0
        for index in 0..<Swift.min(T.bitWidth / 8, count) {
            value |= T(truncatingIfNeeded: self[startIndex + index]) << T(truncatingIfNeeded: 8 * index)
        }
        self = dropFirst(T.bitWidth / 8)
        return value
    }
}
