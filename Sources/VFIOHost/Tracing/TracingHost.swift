import LinuxSystem

/// A host in front of any other that writes down every call: who asked what, when, and what was answered.
///
/// The calls go through unchanged. Seen are nodes that are opened and closed, requests with their structures before
/// and after, accesses to regions at offsets, streams, and mappings. Not seen, because they don't pass a host:
/// accesses to registers through a mapping, DMA, and eventfds that a device signals (what SET_IRQS connected is seen).
/// A call that never returns leaves no record.
public final class TracingHost: Host {
    /// Who answers.
    public let inner: any Host
    private let output: TraceWriter

    /// A host that writes down what passes.
    /// - Parameters:
    ///   - inner: who answers.
    ///   - output: where it is written; several hosts and processes may share it.
    public init(_ inner: any Host, writingTo output: TraceWriter) {
        self.inner = inner
        self.output = output
    }

    /// The kind of the host that answers.
    public var kind: HostKind { inner.kind }

    // MARK: records

    private func begin(_ kind: TraceRecord.Kind, _ handle: Int32 = -1) -> TraceRecord {
        var record = TraceRecord(kind, time: 0)
        record.process = ProcessLimits.processID
        record.thread = ProcessLimits.threadID
        record.handle = handle
        if output.takesAnnouncement(of: record.process) { announce(record) }
        // Last, so that it is the call's own time.
        record.time = output.now
        return record
    }

    private func end(_ record: inout TraceRecord, _ outcome: Result<Int, Errno>) {
        record.duration = output.now &- record.time
        switch outcome {
        case .success(let value): record.result = Int64(value)
        case .failure(let errno): record.errno = errno
        }
    }

    private func announce(_ origin: TraceRecord) {
        var record = origin
        record.kind = .process
        record.handle = -1
        record.time = output.now
        let words = (try? FileSystem.bytes(of: "/proc/self/cmdline", limit: 1024)) ?? []
        record.text = words.split(separator: 0).flatMap { [UInt8(ascii: " ")] + $0 }
        if !record.text.isEmpty { record.text.removeFirst() }
        output.write(record)
        guard let inventory = try? inner.inventory() else { return }
        record.kind = .device
        for device in inventory.devices {
            record.text = Array(device.address.description.utf8)
            record.identity = TraceRecord.Identity(
                vendor: device.vendor, device: device.device, classCode: device.classCode,
                group: Int32(truncatingIfNeeded: device.group ?? -1),
                node: Int32(truncatingIfNeeded: device.deviceNode ?? -1))
            output.write(record)
        }
        for device in inventory.otherDevices {
            record.text = Array(device.id.description.utf8)
            record.identity = TraceRecord.Identity(
                vendor: 0, device: 0, classCode: 0, group: Int32(truncatingIfNeeded: device.group ?? -1),
                node: Int32(truncatingIfNeeded: device.deviceNode ?? -1))
            output.write(record)
        }
    }

    // MARK: calls

    /// Opens a node, and writes it down.
    public func open(_ node: Node) throws(Errno) -> Int32 {
        var record = begin(.open)
        record.text = Array("/dev/\(node.path)".utf8)
        let outcome = Result { () throws(Errno) in Int(try inner.open(node)) }
        end(&record, outcome)
        output.write(record)
        return Int32(try outcome.get())
    }

    /// Closes a handle, and writes it down.
    public func close(_ handle: Int32) {
        var record = begin(.close, handle)
        inner.close(handle)
        end(&record, .success(0))
        output.write(record)
    }

    /// Sends a request, and writes it down with its structure before and after.
    public func control(_ handle: Int32, _ request: UInt32, _ argument: UInt) throws(Errno) -> Int32 {
        var record = begin(.control, handle)
        record.request = request
        record.argument = UInt64(argument)
        record.before = TraceArgument(request).bytes(at: argument)
        if let before = record.before, let place = TraceArgument.nested(request, before) {
            let bytes = nestedBytes(of: before, place)
            record.nestedBefore = bytes.map { .init(pointerOffset: place.pointerOffset, bytes: $0) }
        }
        record.time = output.now
        let outcome = Result { () throws(Errno) in Int(try inner.control(handle, request, argument)) }
        end(&record, outcome)
        if let before = record.before {
            let after = TraceArgument.read(before.count, at: HostAddress(rawValue: argument))
            if after != before { record.after = after }
            if let nested = record.nestedBefore {
                let bytes = nestedBytes(of: before, (nested.pointerOffset, nested.bytes.count))
                if let bytes, bytes != nested.bytes {
                    record.nestedAfter = .init(pointerOffset: nested.pointerOffset, bytes: bytes)
                }
            }
        }
        output.write(record)
        return Int32(try outcome.get())
    }

    private func nestedBytes(
        of structure: [UInt8], _ place: (pointerOffset: Int, byteCount: Int)
    ) -> [UInt8]? {
        var rest = structure[place.pointerOffset...]
        let address = HostAddress(rest.takeNumber(UInt64.self))
        return TraceArgument.read(place.byteCount, at: address)
    }

    /// Keeps bytes that were moved, as far as there is room for them.
    private func keep(_ bytes: RawSpan, _ count: Int, in record: inout TraceRecord) {
        let count = min(count, bytes.byteCount, TraceFormat.maximumPartByteCount)
        guard count > 0 else { return }
        // SAFETY: `count` bytes are there, and any of them is a UInt8.
        record.data = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            for index in 0..<count {
                unsafe buffer[index] = unsafe bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)
            }
            initialized = count
        }
    }

    /// Reads at an offset, and writes down what was read.
    public func read(_ handle: Int32, at offset: UInt64, into bytes: inout MutableRawSpan) throws(Errno)
        -> Int
    {
        var record = begin(.read, handle)
        record.offset = offset
        record.byteCount = UInt64(bytes.byteCount)
        let outcome: Result<Int, Errno>
        do throws(Errno) {
            outcome = .success(try inner.read(handle, at: offset, into: &bytes))
        } catch {
            outcome = .failure(error)
        }
        end(&record, outcome)
        keep(bytes.bytes, Int(record.result), in: &record)
        output.write(record)
        return try outcome.get()
    }

    /// Writes at an offset, and writes it down.
    public func write(_ handle: Int32, at offset: UInt64, _ bytes: RawSpan) throws(Errno) -> Int {
        var record = begin(.write, handle)
        record.offset = offset
        record.byteCount = UInt64(bytes.byteCount)
        keep(bytes, bytes.byteCount, in: &record)
        record.time = output.now
        let outcome: Result<Int, Errno>
        do throws(Errno) {
            outcome = .success(try inner.write(handle, at: offset, bytes))
        } catch {
            outcome = .failure(error)
        }
        end(&record, outcome)
        output.write(record)
        return try outcome.get()
    }

    /// Reads from a stream, and writes down what was read.
    public func read(_ handle: Int32, into bytes: inout MutableRawSpan) throws(Errno) -> Int {
        var record = begin(.receive, handle)
        record.byteCount = UInt64(bytes.byteCount)
        let outcome: Result<Int, Errno>
        do throws(Errno) {
            outcome = .success(try inner.read(handle, into: &bytes))
        } catch {
            outcome = .failure(error)
        }
        end(&record, outcome)
        keep(bytes.bytes, Int(record.result), in: &record)
        output.write(record)
        return try outcome.get()
    }

    /// Writes to a stream, and writes it down.
    public func write(_ handle: Int32, _ bytes: RawSpan) throws(Errno) -> Int {
        var record = begin(.send, handle)
        record.byteCount = UInt64(bytes.byteCount)
        keep(bytes, bytes.byteCount, in: &record)
        let outcome: Result<Int, Errno>
        do throws(Errno) {
            outcome = .success(try inner.write(handle, bytes))
        } catch {
            outcome = .failure(error)
        }
        end(&record, outcome)
        output.write(record)
        return try outcome.get()
    }

    /// Maps a part of a handle's memory, and writes it down. What is done through the mapping isn't seen.
    public func map(
        _ handle: Int32, at offset: UInt64, byteCount: Int, protection: Mapping.Protection
    ) throws(Errno) -> MemoryWindow {
        var record = begin(.map, handle)
        record.offset = offset
        record.byteCount = UInt64(max(0, byteCount))
        record.request = UInt32(bitPattern: protection.rawValue)
        do throws(Errno) {
            let window = try inner.map(handle, at: offset, byteCount: byteCount, protection: protection)
            end(&record, .success(0))
            record.argument = UInt64(window.address.rawValue)
            output.write(record)
            return window
        } catch {
            end(&record, .failure(error))
            output.write(record)
            throw error
        }
    }

    /// Ends a mapping, and writes it down.
    public func unmap(_ window: MemoryWindow) {
        var record = begin(.unmap)
        record.argument = UInt64(window.address.rawValue)
        record.byteCount = UInt64(window.byteCount)
        inner.unmap(window)
        end(&record, .success(0))
        output.write(record)
    }

    // What isn't the uAPI passes unseen.

    /// Memory of the host that answers.
    public func allocateMemory(byteCount: Int, pages: Mapping.PageKind) throws(Errno) -> MemoryWindow {
        try inner.allocateMemory(byteCount: byteCount, pages: pages)
    }

    /// Frees memory of the host that answers.
    public func freeMemory(_ window: MemoryWindow) { inner.freeMemory(window) }

    /// The inventory of the host that answers.
    public func inventory() throws(InventoryError) -> Inventory { try inner.inventory() }
}
