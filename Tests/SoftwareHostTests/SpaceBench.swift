import LinuxSystem
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

/// An iommufd with an address space and the first device bound to it.
struct SpaceBench {
    let rig: Rig
    let fd: Int32
    let device: Int32
    var ioas: UInt32 = 0
    var deviceID: UInt32 = 0

    /// - Parameter change: what is different about the machine.
    init(_ change: @escaping (inout MachineDescription) -> Void) throws {
        rig = try Rig(change)
        fd = rig.open(.iommu)
        device = rig.open(.device(0))
        var bind = DeviceBindIOMMUFD(iommufd: fd)
        #expect(rig.ask(device, .deviceBindIOMMUFD, &bind) == 0)
        deviceID = bind.deviceID
        var space = IOASAlloc()
        #expect(rig.ask(fd, .ioasAlloc, &space) == 0)
        ioas = space.ioasID
    }

    func table(_ flags: HWPTAllocFlags = [], _ change: (inout HWPTAlloc) -> Void = { _ in }) -> Int32 {
        var request = HWPTAlloc(flags: flags, deviceID: deviceID, pageTableID: ioas)
        change(&request)
        let answer = rig.ask(fd, .hwptAlloc, &request)
        return answer < 0 ? answer : Int32(request.hwptID)
    }
    func attach(_ id: Int32, _ device: Int32? = nil) -> Int32 {
        var request = DeviceAttachIOMMUFDPageTable(pageTableID: UInt32(id))
        let answer = rig.ask(device ?? self.device, .deviceAttachIOMMUFD, &request)
        return answer < 0 ? answer : Int32(request.pageTableID)
    }
    func detach() -> Int32 { rig.ask(device, .deviceDetachIOMMUFD, with: DeviceDetachIOMMUFDPageTable()) }
    func destroy(_ id: Int32) -> Int32 {
        rig.ask(fd, .iommufdDestroy, with: IOMMUFDDestroy(id: UInt32(id)))
    }
    func map(
        _ iova: UInt64, pages: Int = 1, from: Int = 0, _ flags: IOASMapFlags = [.readable, .writeable]
    ) -> Int32 {
        rig.ask(
            fd, .ioasMap,
            with: IOASMap(
                flags: flags.union(.fixedIOVA), ioasID: ioas, userVA: rig.base + UInt64(from * pageSize),
                length: UInt64(pages * pageSize), iova: iova))
    }
    func unmap(_ iova: UInt64, pages: Int = 1) -> Int32 {
        rig.ask(
            fd, .ioasUnmap,
            with: IOASUnmap(ioasID: ioas, iova: iova, length: UInt64(pages * pageSize)))
    }
}
