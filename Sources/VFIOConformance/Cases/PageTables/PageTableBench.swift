import LinuxSystem
import VFIOABI
import VFIOHost

/// An iommufd with an address space and a device bound to it, attached to nothing.
struct PageTableBench {
    let space: SpaceBench
    /// The device's file, its record, and its object number.
    let device: File
    let record: DeviceRecord
    let id: UInt32

    var iommufd: File { space.iommufd }

    /// HWPT_ALLOC: the answer, and the id that came back.
    func allocate(
        _ flags: HWPTAllocFlags = [], _ change: (inout HWPTAlloc) -> Void = { _ in }
    ) -> (answer: Answer, id: UInt32) {
        var request = HWPTAlloc(flags: flags, deviceID: id, pageTableID: space.ioas)
        change(&request)
        let answer = iommufd.request(.hwptAlloc, &request)
        return (answer, request.hwptID)
    }

    /// A page table that a case builds on.
    func table(_ flags: HWPTAllocFlags = []) throws -> UInt32 {
        let (answer, id) = allocate(flags)
        guard answer == .success else { throw Halt.broken("HWPT_ALLOC: \(answer)") }
        return id
    }

    /// What the device is, for moving data.
    var setup: Setup {
        Setup(
            record: record, container: nil, group: nil, iommufd: iommufd, ioas: space.ioas, device: device)
    }
}

extension Trial {
    /// A device that is bound to an iommufd with an address space.
    func pageTableBench() throws -> PageTableBench {
        let space = try space()
        let record = try edu
        let (device, id) = try bound(record, to: space.iommufd)
        return PageTableBench(space: space, device: device, record: record, id: id)
    }
}
