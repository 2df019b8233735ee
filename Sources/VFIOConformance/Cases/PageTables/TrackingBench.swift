import LinuxSystem
import VFIOABI
import VFIOHost

/// A device behind an IOMMU that can note writes, attached to an address space: a real one, or one that a kernel
/// makes up which is built to test itself.
struct TrackingBench {
    /// Mapped where every such IOMMU translates: eight pages at ``iova``.
    let space: SpaceBench
    /// The device's object number.
    let id: UInt32
    private let writer: Writer

    private enum Writer {
        case selfTest(device: UInt32)
        case edu(Setup, Trial)
    }

    /// Where the memory is mapped.
    static let iova: UInt64 = 0x100_0000

    /// Where the bits are asked for.
    private let word: UserBuffer

    private var isSelfTest: Bool {
        if case .selfTest = writer { return true }
        return false
    }

    fileprivate init(_ space: SpaceBench, testDevice: UInt32, _ id: UInt32, _ trial: Trial) throws {
        self.space = space
        self.id = id
        writer = .selfTest(device: testDevice)
        word = try trial.buffer(8)
    }

    fileprivate init(_ space: SpaceBench, _ setup: Setup, _ id: UInt32, _ trial: Trial) throws {
        self.space = space
        self.id = id
        writer = .edu(setup, trial)
        word = try trial.buffer(8)
    }

    /// HWPT_ALLOC: the answer, and the id that came back.
    func allocate(_ flags: HWPTAllocFlags) -> (answer: Answer, id: UInt32) {
        var request = HWPTAlloc(flags: flags, deviceID: id, pageTableID: space.ioas)
        let answer = space.iommufd.request(.hwptAlloc, &request)
        return (answer, request.hwptID)
    }

    /// HWPT_ALLOC of a guest's table in front of another, of the kind that the IOMMU has: the answer, and the id that
    /// came back.
    func nested(
        in parent: UInt32, _ change: (inout HWPTAlloc) -> Void = { _ in }
    ) -> (answer: Answer, id: UInt32) {
        // Of a self-test's IOMMU it is one number (`struct iommu_hwpt_selftest`).
        var description = HWPTVTDStage1(addressWidth: isSelfTest ? 0 : 48)
        // SAFETY: the address is used during the call only.
        return unsafe withUnsafeMutableBytes(of: &description) { bytes in
            var request = HWPTAlloc(
                deviceID: id, pageTableID: parent,
                dataType: isSelfTest ? HWPTDataType(rawValue: 0xdead) : .vtdStage1,
                dataLength: isSelfTest ? 4 : 24, dataAddress: UInt64(UInt(bitPattern: bytes.baseAddress)))
            change(&request)
            let answer = space.iommufd.request(.hwptAlloc, &request)
            return (answer, request.hwptID)
        }
    }

    /// What an entry of HWPT_INVALIDATE is, how long it is, and where its flags are.
    var invalidationType: HWPTInvalidateDataType {
        isSelfTest ? HWPTInvalidateDataType(rawValue: 0xdead_beef) : .vtdStage1
    }
    var entryLength: Int { isSelfTest ? 8 : 24 }
    var flagsOffset: Int { isSelfTest ? 0 : 16 }

    /// Attaches the device to something else.
    func attach(to id: UInt32) -> Answer {
        switch writer {
        case .selfTest(let device):
            space.iommufd.request(SelfTestRequest.request, SelfTestRequest.attach(testDevice: device, to: id))
        case .edu(let setup, _): setup.device.attach(to: id).answer
        }
    }

    /// Lets the device write to a page of the memory.
    func write(_ page: UInt64, through table: UInt32) throws {
        let place = Self.iova + page * space.page
        switch writer {
        case .selfTest:
            word.store(UInt64(1))
            let request = SelfTestRequest.write(
                through: table, at: place, page: space.page, bits: UInt64(word.address.rawValue))
            let answer = space.iommufd.request(SelfTestRequest.request, request)
            guard answer == .success else { throw Halt.broken("IOMMU_TEST_OP_DIRTY: \(answer)") }
        case .edu(let setup, let trial):
            // Reads the word that it writes back.
            try setup.eduCopy(from: UInt32(place), to: UInt32(place), by: trial)
        }
    }

    /// SET_DIRTY_TRACKING
    func track(_ table: UInt32, _ on: Bool) -> Answer {
        space.iommufd.request(
            .hwptSetDirtyTracking, HWPTSetDirtyTracking(flags: on ? .enable : [], hwptID: table))
    }

    /// GET_DIRTY_BITMAP of the eight pages in one text: the bits, or the errno.
    /// - Parameters:
    ///   - first: the first page that is asked for.
    ///   - bits: what the user's word is before.
    func bits(
        _ table: UInt32, from first: UInt64 = 0, page: UInt64? = nil, keeping: Bool = false,
        over bits: UInt64 = 0
    ) -> String {
        word.store(bits)
        let answer = space.iommufd.request(
            .hwptGetDirtyBitmap,
            HWPTGetDirtyBitmap(
                hwptID: table, flags: keeping ? .noClear : [], iova: Self.iova + first * space.page,
                length: (8 - first) * space.page, pageSize: page ?? space.page,
                data: UInt64(word.address.rawValue)))
        return answer == .success ? String(word.load(UInt64(0)), radix: 2) : "\(answer)"
    }
}

extension Trial {
    /// A device behind an IOMMU that can note writes.
    /// - Parameter tracksDirtyPages: whether its IOMMU can do that, indeed.
    func trackingBench(tracksDirtyPages: Bool = true) throws -> TrackingBench {
        let space = try space()
        // Pages that happen to lie side by side would share an entry, and its mark.
        let option = IOMMUFDOption(optionID: .hugePages, operation: .set, objectID: space.ioas, value: 0)
        try require(space.iommufd.request(.iommufdOption, option), "OPTION: no large pages")
        let bench: TrackingBench
        var request = SelfTestRequest.makeDevice(in: space.ioas, tracksDirtyPages: tracksDirtyPages)
        if kernel.kind == .linux,
            space.iommufd.request(SelfTestRequest.request, &request) == .success
        {
            bench = try TrackingBench(space, testDevice: request.testDevice, request.device, self)
        } else {
            bench = try realBench(space, tracksDirtyPages)
        }
        try require(
            space.map(TrackingBench.iova, bytes: 8 * space.page), "MAP of eight pages")
        return bench
    }

    private func realBench(_ space: SpaceBench, _ tracksDirtyPages: Bool) throws -> TrackingBench {
        for record in try devices
        where record.vendor == 0x1234 && record.device == 0x11e8 && record.deviceNode != nil {
            let (device, id) = try bound(record, to: space.iommufd)
            var info = HWInfo(deviceID: id)
            try require(space.iommufd.request(.iommufdGetHWInfo, &info), "GET_HW_INFO")
            if info.capabilities.contains(.dirtyTracking) == tracksDirtyPages {
                let (answer, _) = device.attach(to: space.ioas)
                try require(answer, "ATTACH")
                let setup = Setup(
                    record: record, container: nil, group: nil, iommufd: space.iommufd, ioas: space.ioas,
                    device: device)
                return try TrackingBench(space, setup, id, self)
            }
            device.close()
        }
        throw skip("it needs an edu device behind an IOMMU that can note writes, or a kernel's self-test")
    }
}
