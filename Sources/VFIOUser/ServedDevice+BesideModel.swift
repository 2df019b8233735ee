import DeviceModel
import LinuxSystem
import VFIOABI

/// Commands that the model has no part in: what the device is, where its DMA and its interrupts go.
extension ServedDevice {
    /// Whether a command is one of them, and can be carried out now, in the middle of an access of the model's.
    func canCarryOutBesideModel(_ request: ClientRequest) -> Bool {
        switch request {
        case .deviceInfo, .regionInfo, .irqInfo, .setIRQs: true
        case .dmaMap, .dmaUnmap: slot.memory.canChangeNow
        default: false
        }
    }

    /// Carries one out and puts its answer together.
    /// - Returns: a descriptor to send along, which stays the model's, or -1.
    /// - Throws: what the client is told; `EINVAL` for a command that isn't one of them.
    func carryOutBesideModel(
        _ request: ClientRequest, _ payload: RawSpan, _ descriptors: inout PassedDescriptors,
        _ writer: inout MessageWriter
    ) throws(Errno) -> Int32 {
        switch request {
        case .deviceInfo: describeDevice(&writer)
        case .regionInfo(let request): return try describeRegion(request, &writer)
        case .irqInfo(let request): try describeInterrupt(request, &writer)
        case .setIRQs(let request): try setInterrupts(request, payload, &descriptors)
        case .dmaMap(let request): try slot.memory.map(request, descriptors.takeFirst())
        case .dmaUnmap(let request): try unmap(request, payload, &writer)
        default: throw .invalid
        }
        return -1
    }

    /// Whether a write rings one of the model's doorbells and does nothing else.
    func isDoorbell(_ access: UserRegionAccess, _ body: RawSpan) -> Bool {
        guard body.byteCount - UserRegionAccess.byteCount == Int(access.count),
            (try? checkWrite(access)) != nil
        else { return false }
        let value =
            access.count <= 8 && access.count.nonzeroBitCount == 1
            ? body.extracting(UserRegionAccess.byteCount..<body.byteCount)
                .loadUnit(Int(access.count), at: 0) : 0
        return doorbells.contains { doorbell in
            guard doorbell.bar == Int(access.region), doorbell.offset == access.offset,
                doorbell.width == Int(access.count)
            else { return false }
            if case .only(let wanted) = doorbell.value { return value == wanted }
            return true
        }
    }
}
