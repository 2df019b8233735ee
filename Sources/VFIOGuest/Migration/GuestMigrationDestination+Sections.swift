import IOVASpace
import LinuxSystem
import VFIO

/// What the destination makes of the sections that come.
extension GuestMigrationDestination {
    func setUp(_ reader: inout MigrationReader) throws(VFIOGuestError) {
        for _ in 0..<(try count(&reader, "blocks of RAM", guest.blocks.count)) {
            let name = try reader.nextText()
            let length = try reader.next(UInt64.self)
            let block = try find(name, "block of RAM", in: guest.blocks, \.name)
            guard !blocks.contains(where: { $0.block === block }) else { throw twice("block", name) }
            guard block.byteCount == length else {
                throw mismatch(name, "it has \(length) bytes there and \(block.byteCount) here")
            }
            guard let seen = IOVASpace.DirtyBitmap(bitCount: block.dirtyLog.pageCount) else {
                throw mismatch(name, "it is too long")
            }
            blocks.append(Arrival(block, seen))
        }
        for _ in 0..<(try count(&reader, "devices", guest.devices.count)) {
            let name = try reader.nextText()
            let device = try find(name, "device", in: guest.devices, \.name)
            guard !devices.contains(where: { $0.device === device }) else { throw twice("device", name) }
            let flags = try reader.next(UInt8.self)
            guard flags <= 1 else { throw MigrationReader.error("\(name) has unknown flags") }
            devices.append(DeviceArrival(device: device, hasInitialData: flags == 0))
        }
        for _ in 0..<(try count(&reader, "further states", guest.states.count)) {
            let name = try reader.nextText()
            let state = try find(name, "state", in: guest.states, \.name)
            guard !states.contains(where: { $0.state === state }) else { throw twice("state", name) }
            states.append((state, nil))
        }
        try reader.finish()
    }

    private func count(
        _ reader: inout MigrationReader, _ what: String, _ own: Int
    ) throws(VFIOGuestError) -> Int {
        let count = try reader.next(UInt32.self)
        guard count == UInt32(clamping: own) else {
            throw mismatch("the guest", "it has \(count) \(what) there and \(own) here")
        }
        return own
    }

    private func find<T>(
        _ name: String, _ what: String, in list: [T], _ nameOf: (T) -> String
    ) throws(VFIOGuestError) -> T {
        guard let found = list.first(where: { nameOf($0) == name }) else {
            throw mismatch(name, "there is no such \(what) here")
        }
        return found
    }

    private func mismatch(_ name: String, _ cause: String) -> VFIOGuestError {
        VFIOGuestError(
            operation: "take it over", object: name, code: .unsuitableStream, cause: cause,
            remedy: "describe the guest alike on both sides")
    }

    private func twice(_ what: String, _ name: String) -> VFIOGuestError {
        MigrationReader.error("it has the \(what) \(name) twice")
    }

    func receive(_ frame: MigrationFrame, _ channel: MigrationChannel) throws(VFIOGuestError) {
        var reader = MigrationReader(frame.payload)
        switch frame.kind {
        case .pages, .zeroPages: try receivePages(frame.kind, &reader)
        case .deviceData:
            let index = try device(&reader)
            guard !devices[index].isComplete else {
                throw MigrationReader.error("\(devices[index].device.name) goes on after its end")
            }
            try devices[index].device.write(reader.rest())
        case .deviceEnd:
            let index = try device(&reader)
            try reader.finish()
            guard !devices[index].isComplete else { throw twice("end of", devices[index].device.name) }
            devices[index].isComplete = true
        case .initialDataSent:
            let index = try device(&reader)
            try reader.finish()
            devices[index].hasInitialData = true
        case .configuration:
            let index = try device(&reader)
            guard devices[index].configuration == nil else {
                throw twice("configuration space of", devices[index].device.name)
            }
            devices[index].configuration = try DeviceConfigurationState(&reader)
        case .state:
            let index = Int(try reader.next(UInt32.self))
            guard index < states.count else { throw MigrationReader.error("there is no state \(index)") }
            guard states[index].bytes == nil else { throw twice("state", states[index].state.name) }
            states[index].bytes = reader.rest()
        case .mayStop:
            _ = try reader.next(UInt64.self)
            try reader.finish()
            if let early = devices.first(where: { !$0.hasInitialData }) {
                throw MigrationReader.error("\(early.device.name) lacks what is to be there before it stops")
            }
            guard options.approves?() ?? true else {
                throw VFIOGuestError(
                    operation: "take over the guest", object: "the destination", code: .refused,
                    cause: "it isn't ready to")
            }
            hasAgreed = true
            enter(.stopping)
            try channel.send(.ready, frame.payload)
        default: throw MigrationReader.error("\(frame.kind) came where it has no place")
        }
    }

    private func device(_ reader: inout MigrationReader) throws(VFIOGuestError) -> Int {
        let index = Int(try reader.next(UInt32.self))
        guard index < devices.count else { throw MigrationReader.error("there is no device \(index)") }
        return index
    }

    private func receivePages(
        _ kind: MigrationFrameKind, _ reader: inout MigrationReader
    ) throws(VFIOGuestError) {
        let index = Int(try reader.next(UInt32.self))
        guard try reader.next(UInt32.self) == 0, index < blocks.count else {
            throw MigrationReader.error("there is no block of RAM \(index)")
        }
        let arrival = blocks[index]
        let block = arrival.block
        let offset = try reader.next(UInt64.self)
        let length = kind == .zeroPages ? try reader.next(UInt64.self) : UInt64(reader.remainingCount)
        let page = UInt64(pageSize)
        guard offset % page == 0, length % page == 0, length > 0, offset < block.byteCount,
            length <= block.byteCount - offset
        else {
            throw MigrationReader.error(
                "\(length) bytes at \(offset) aren't pages of \(block.name), which has \(block.byteCount)")
        }
        if kind == .zeroPages {
            try reader.finish()
            zero(block, Int(offset), Int(length))
        } else {
            let start = reader.position
            // SAFETY: a UInt8 has no padding.
            let bytes = unsafe reader.bytes.span.bytes
            block.window.write(bytes.extracting(start..<bytes.byteCount), at: Int(offset))
        }
        block.dirtyLog.mark(at: offset, byteCount: length, for: [.display, .code])
        arrival.seen.insert(Int(offset / page)..<Int((offset + length) / page))
    }

    /// Makes pages zeros without taking memory for those that are.
    private func zero(_ block: RAMBlock, _ offset: Int, _ length: Int) {
        for start in stride(from: offset, to: offset + length, by: pageSize) {
            for at in stride(from: start, to: start + pageSize, by: 8) where block.window.load64(at) != 0 {
                block.window.zero(at: start, byteCount: pageSize)
                break
            }
        }
    }
}
