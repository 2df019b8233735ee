import DeviceModel
import Glibc
import IOVASpace
import LinuxSystem
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

@Suite("iommufd and device nodes answer as in Linux")
struct CoreIOMMUFDTests {
    let page = UInt64(pageSize)

    func ioas(_ rig: Rig, _ fd: Int32) -> UInt32 {
        var request = IOASAlloc()
        return rig.ask(fd, .ioasAlloc, &request) == 0 ? request.ioasID : 0
    }
    func bind(_ rig: Rig, _ device: Int32, _ fd: Int32) -> Int32 {
        var request = DeviceBindIOMMUFD(iommufd: fd)
        let answer = rig.ask(device, .deviceBindIOMMUFD, &request)
        return answer < 0 ? answer : Int32(request.deviceID)
    }
    func attach(_ rig: Rig, _ device: Int32, _ id: UInt32) -> Int32 {
        var request = DeviceAttachIOMMUFDPageTable(pageTableID: id)
        let answer = rig.ask(device, .deviceAttachIOMMUFD, &request)
        return answer < 0 ? answer : Int32(request.pageTableID)
    }
    func map(
        _ rig: Rig, _ fd: Int32, _ id: UInt32, _ iova: UInt64? = nil, length: UInt64? = nil, from: Int = 0,
        flags: IOASMapFlags = [.readable, .writeable], offset: UInt64 = 0
    ) -> Int64 {
        var request = IOASMap(
            flags: iova == nil ? flags : flags.union(.fixedIOVA), ioasID: id,
            userVA: rig.base + UInt64(from * pageSize) + offset, length: length ?? page, iova: iova ?? 0)
        let answer = rig.ask(fd, .ioasMap, &request)
        return answer < 0 ? Int64(answer) : Int64(request.iova)
    }
    func unmap(_ rig: Rig, _ fd: Int32, _ id: UInt32, _ iova: UInt64, _ length: UInt64) -> Int64 {
        var request = IOASUnmap(ioasID: id, iova: iova, length: length)
        let answer = rig.ask(fd, .ioasUnmap, &request)
        return answer < 0 ? Int64(answer) : Int64(bitPattern: request.length)
    }
    func destroy(_ rig: Rig, _ fd: Int32, _ id: UInt32) -> Int32 {
        rig.ask(fd, .iommufdDestroy, with: IOMMUFDDestroy(id: id))
    }

    @Test("requests are known by number, size and zero tail")
    func dispatch() throws {
        let rig = try Rig()
        let fd = rig.open(.iommu)
        #expect(rig.ask(fd, .ioasAlloc, 8) == -EFAULT)
        #expect(rig.ask(fd, .ioasAlloc, with: IOASAlloc(size: 11)) == -EINVAL)
        #expect(rig.ask(fd, .ioasAlloc, with: IOASAlloc(flags: 1)) == -EOPNOTSUPP)
        #expect(rig.ask(fd, Request(rawValue: 0x3b95), with: UInt64(0)) == -ENOTTY)
        #expect(rig.ask(fd, Request(rawValue: 0x13b81), with: IOASAlloc()) == -ENOTTY)
        #expect(rig.ask(fd, .getAPIVersion) == 0)
        #expect(rig.ask(fd, .iommuDirtyPages) == -ENOTTY)
        #expect(rig.ask(fd, .iommufdGetHWInfo, with: [UInt32](repeating: 4, count: 1)[0]) == -EINVAL)
        var long = [UInt32](repeating: 0, count: 2048)
        long[0] = 8192
        long.withUnsafeMutableBytes { raw in
            let address = UInt(bitPattern: raw.baseAddress)
            #expect(rig.ask(fd, .ioasAlloc, address) == 0)
            #expect(raw.load(fromByteOffset: 8, as: UInt32.self) == 1)
            raw.storeBytes(of: 1, toByteOffset: 8191, as: UInt8.self)
            #expect(rig.ask(fd, .ioasAlloc, address) == -E2BIG)
        }
    }

    @Test("of a structure no more need be there than its size says")
    func atTheEndOfMemory() throws {
        let rig = try Rig()
        let fd = rig.open(.iommu)
        let mapping = try Mapping(anonymous: 2 * pageSize)
        let end = mapping.window.address + pageSize
        #expect(mprotect(UnsafeMutableRawPointer(bitPattern: end.rawValue), pageSize, PROT_NONE) == 0)
        // HWPT_ALLOC has 48 bytes, of which 24 are enough. There is no device 0.
        mapping.window.store32(pageSize - 24, 24)
        #expect(rig.ask(fd, .hwptAlloc, end.rawValue - 24) == -ENOENT)
        mapping.window.store32(pageSize - 20, 24)
        #expect(rig.ask(fd, .hwptAlloc, end.rawValue - 20) == -EFAULT)
        mapping.window.store32(pageSize - 4, 23)
        #expect(rig.ask(fd, .hwptAlloc, end.rawValue - 4) == -EINVAL)
        #expect(rig.ask(fd, .hwptAlloc, end.rawValue - 3) == -EFAULT)
        withExtendedLifetime(mapping) {}
    }

    @Test("ids are the lowest that are free; unknown ones and wrong kinds are ENOENT")
    func ids() throws {
        let rig = try Rig()
        let fd = rig.open(.iommu)
        #expect([ioas(rig, fd), ioas(rig, fd), ioas(rig, fd)] == [1, 2, 3])
        #expect(destroy(rig, fd, 2) == 0)
        #expect(destroy(rig, fd, 2) == -ENOENT)
        #expect(destroy(rig, fd, 0) == -ENOENT)
        #expect(ioas(rig, fd) == 2)
        let device = rig.open(.device(0))
        #expect(bind(rig, device, fd) == 4)
        #expect(destroy(rig, fd, 4) == -EBUSY)
        #expect(map(rig, fd, 4) == Int64(-ENOENT))
        #expect(attach(rig, device, 4) == -EINVAL)
        #expect(attach(rig, device, 9) == -ENOENT)
    }

    @Test("a node does nothing before it is bound, and blocks its group from then on")
    func binding() throws {
        let rig = try Rig()
        let fd = rig.open(.iommu)
        let device = rig.open(.device(0))
        let twin = rig.open(.device(0))
        #expect(rig.ask(device, .deviceGetInfo) == -EINVAL)
        #expect(rig.ask(device, .deviceAttachIOMMUFD) == -EINVAL)
        #expect(throws: Errno.invalid) { try rig.host.map(device, at: 0, byteCount: 1, protection: .read) }
        #expect(rig.ask(device, .deviceBindIOMMUFD, 8) == -EFAULT)
        #expect(rig.ask(device, .deviceBindIOMMUFD, with: DeviceBindIOMMUFD(argsz: 15)) == -EINVAL)
        #expect(bind(rig, device, -1) == -EINVAL)
        #expect(bind(rig, device, 9999) == -EBADF)
        #expect(bind(rig, device, device) == -EBADFD)
        // An open group comes before a wrong iommufd.
        let group = rig.open(.group(26))
        #expect(bind(rig, device, 9999) == -EBUSY)
        rig.host.close(group)
        var token = DeviceBindIOMMUFD(argsz: 16, flags: .token, iommufd: fd)
        #expect(rig.ask(device, .deviceBindIOMMUFD, &token) == -EFAULT)
        let uuid: (UInt64, UInt64) = (1, 2)
        withUnsafePointer(to: uuid) { pointer in
            token = DeviceBindIOMMUFD(
                flags: .token, iommufd: fd, tokenUUID: UInt64(UInt(bitPattern: pointer)))
            #expect(rig.ask(device, .deviceBindIOMMUFD, &token) == -EINVAL)
        }
        rig.buses[0].openError = .again
        #expect(bind(rig, device, fd) == -EAGAIN)
        rig.buses[0].openError = nil
        #expect(bind(rig, device, fd) == 1)
        #expect(bind(rig, device, fd) == -EINVAL)
        #expect(bind(rig, twin, fd) == -EINVAL)
        #expect(rig.ask(device, .deviceGetInfo) == 7)
        #expect(rig.open(.group(26)) == -EBUSY)
        let other = rig.open(.group(27))
        #expect(rig.status(other) == 1)
        rig.host.close(device)
        #expect(rig.buses[0].opened == 1 && rig.buses[0].closed == 1)
        #expect(rig.open(.group(26)) >= 0)
    }

    @Test("a group belongs to one iommufd at a time, and not to a container too")
    func ownership() throws {
        let rig = try Rig()
        let first = rig.open(.iommu)
        let second = rig.open(.iommu)
        let device = rig.open(.device(0))
        let twin = rig.open(.device(1))
        #expect(bind(rig, device, first) > 0)
        #expect(bind(rig, twin, second) == -EPERM)
        #expect(bind(rig, twin, first) > 0)
        rig.host.close(device)
        #expect(rig.open(.group(26)) == -EBUSY)
        rig.host.close(twin)
        let (container, _) = rig.ready()
        #expect(container >= 0)
    }

    @Test("on a group's device BIND is wrong, and attaching unknown")
    func groupDevices() throws {
        let rig = try Rig()
        let (_, group) = rig.ready()
        let device = rig.device(group)
        let fd = rig.open(.iommu)
        #expect(bind(rig, device, fd) == -EINVAL)
        #expect(attach(rig, device, 1) == -ENOTTY)
        #expect(rig.setContainer(rig.open(.group(27)), fd) == 0)
        let debian = try Rig { $0.hasDeviceNodes = false }
        let (_, plain) = debian.ready()
        #expect(bind(debian, debian.device(plain), fd) == -ENOTTY)
        #expect(debian.open(.device(0)) == -ENOENT)
    }

    @Test("attached devices reach what is mapped; detached and replaced ones don't")
    func attaching() throws {
        let rig = try Rig()
        let fd = rig.open(.iommu)
        let (a, b) = (ioas(rig, fd), ioas(rig, fd))
        let device = rig.open(.device(0))
        let twin = rig.open(.device(1))
        #expect(bind(rig, device, fd) == 3)
        #expect(bind(rig, twin, fd) == 4)
        #expect(map(rig, fd, a, 0x10000, from: 3) == 0x10000)
        #expect(map(rig, fd, b, 0x10000, from: 4) == 0x10000)
        #expect(rig.host.lockedByteCount == 0, "nothing is locked before a device is attached")
        #expect(!rig.buses[0].canRead(0x10000))
        #expect(attach(rig, device, a) == 5)
        #expect(rig.buses[0].read(0x10000) == [3])
        #expect(!rig.buses[1].canRead(0x10000), "bound, but not attached")
        #expect(rig.host.lockedByteCount == page)
        #expect(attach(rig, device, a) == 5)
        #expect(destroy(rig, fd, a) == -EBUSY)
        #expect(destroy(rig, fd, 5) == -EBUSY)
        #expect(attach(rig, twin, b) == -EINVAL, "one page table for the group")
        #expect(attach(rig, twin, 5) == 5)
        #expect(attach(rig, device, b) == 6, "the whole group moves")
        #expect(rig.buses[0].read(0x10000) == [4] && rig.buses[1].read(0x10000) == [4])
        #expect(destroy(rig, fd, a) == 0)
        #expect(rig.ask(device, .deviceDetachIOMMUFD, with: DeviceDetachIOMMUFDPageTable()) == 0)
        #expect(rig.ask(device, .deviceDetachIOMMUFD, with: DeviceDetachIOMMUFDPageTable()) == 0)
        #expect(!rig.buses[0].canRead(0x10000) && rig.buses[1].canRead(0x10000))
        // The descriptor of the iommufd isn't needed any more.
        rig.host.close(fd)
        #expect(rig.buses[1].read(0x10000) == [4])
        rig.host.close(twin)
        rig.host.close(device)
        #expect(!rig.buses[1].canRead(0x10000))
        #expect(rig.host.lockedByteCount == 0)
    }

    @Test("before a device is attached an IOAS takes any addresses, and attaching finds what is wrong")
    func lateErrors() throws {
        let rig = try Rig()
        let fd = rig.open(.iommu)
        let id = ioas(rig, fd)
        let device = rig.open(.device(0))
        #expect(bind(rig, device, fd) > 0)
        #expect(map(rig, fd, id, 0x10001, length: 1, offset: 1) == 0x10001)
        #expect(attach(rig, device, id) == -EADDRINUSE)
        #expect(unmap(rig, fd, id, 0, .max) == 1)
        #expect(map(rig, fd, id, 0xfee0_0000) == 0xfee0_0000)
        #expect(attach(rig, device, id) == -EADDRINUSE)
        #expect(unmap(rig, fd, id, 0xfee0_0000, page) == Int64(page))
        var bad = IOASMap(
            flags: [.fixedIOVA, .readable], ioasID: id, userVA: 1 << 46, length: page, iova: 0x1000)
        #expect(rig.ask(fd, .ioasMap, &bad) == 0)
        #expect(attach(rig, device, id) == -EFAULT)
        #expect(rig.host.lockedByteCount == 0)
        #expect(unmap(rig, fd, id, 0, .max) == Int64(page))
        #expect(attach(rig, device, id) > 0)
        #expect(rig.ask(fd, .ioasMap, &bad) == -EFAULT)
        #expect(map(rig, fd, id, 0x10001) == Int64(-EINVAL))
        #expect(map(rig, fd, id, 0xfee0_0000) == Int64(-EINVAL))
    }

    @Test("what MAP and UNMAP test, and in which order")
    func mapOrder() throws {
        let rig = try Rig()
        let fd = rig.open(.iommu)
        let id = ioas(rig, fd)
        var request = IOASMap(flags: [], ioasID: 99, reserved: 1, userVA: .max, length: .max, iova: .max)
        #expect(rig.ask(fd, .ioasMap, &request) == -EOPNOTSUPP)
        request.reserved = 0
        #expect(rig.ask(fd, .ioasMap, &request) == -EOVERFLOW)
        request.iova = 0
        request.length = 1 << 63
        #expect(rig.ask(fd, .ioasMap, &request) == -EINVAL)
        request.flags = .readable
        #expect(rig.ask(fd, .ioasMap, &request) == -ENOENT)
        request.ioasID = id
        #expect(rig.ask(fd, .ioasMap, &request) == -EOVERFLOW)
        #expect(map(rig, fd, id, 0x1000, length: 0) == Int64(-EINVAL))
        #expect(map(rig, fd, id, 0x1000) == 0x1000)
        #expect(map(rig, fd, id, 0x1fff, length: 2) == Int64(-EEXIST))
        #expect(unmap(rig, fd, 99, 0, 0) == Int64(-ENOENT))
        #expect(unmap(rig, fd, id, 0, 0) == Int64(-EINVAL))
        #expect(unmap(rig, fd, id, 1, .max) == Int64(-EOVERFLOW))
        #expect(unmap(rig, fd, id, .max - 1, 8) == Int64(-EOVERFLOW))
        #expect(unmap(rig, fd, id, 0x1000, page / 2) == Int64(-ENOENT))
        #expect(unmap(rig, fd, id, 0x8000, page) == Int64(-ENOENT))
        // What lies before the mapping that is cut is gone all the same.
        #expect(map(rig, fd, id, 0x2000) == 0x2000)
        #expect(unmap(rig, fd, id, 0x1000, page + page / 2) == Int64(-ENOENT))
        #expect(unmap(rig, fd, id, 0, .max) == Int64(page))
        #expect(unmap(rig, fd, id, 0, .max) == 0)
    }

    @Test("addresses that the kernel chooses are low, aligned, allowed and never 0")
    func choosing() throws {
        let rig = try Rig()
        let fd = rig.open(.iommu)
        let id = ioas(rig, fd)
        #expect(map(rig, fd, id) == Int64(page))
        #expect(map(rig, fd, id) == Int64(2 * page))
        let second = ioas(rig, fd)
        var ranges: [UInt64] = [0x10_0000, 0x10_1fff, 0x20_0000, 0x2f_ffff]
        ranges.withUnsafeMutableBufferPointer { buffer in
            let address = UInt64(UInt(bitPattern: buffer.baseAddress))
            #expect(
                rig.ask(
                    fd, .ioasAllowIOVAs, with: IOASAllowIOVAs(ioasID: second, rangeCount: 2, ranges: address))
                    == 0)
            buffer[2] = 0x10_1000
            #expect(
                rig.ask(
                    fd, .ioasAllowIOVAs, with: IOASAllowIOVAs(ioasID: second, rangeCount: 2, ranges: address))
                    == -EINVAL)
        }
        #expect(map(rig, fd, second) == 0x10_0000)
        #expect(map(rig, fd, second) == 0x10_1000)
        #expect(map(rig, fd, second) == 0x20_0000)
        #expect(map(rig, fd, second, length: 0x20_0000) == Int64(-ENOSPC))
    }

    @Test("IOVA_RANGES tells what can be mapped, as far as there is room")
    func ranges() throws {
        let rig = try Rig()
        let fd = rig.open(.iommu)
        let id = ioas(rig, fd)
        var room = [UInt64](repeating: 0xaa, count: 6)
        func ask(_ count: UInt32) -> (Int32, IOASIOVARanges) {
            room.withUnsafeMutableBufferPointer { buffer in
                var request = IOASIOVARanges(
                    ioasID: id, rangeCount: count, ranges: UInt64(UInt(bitPattern: buffer.baseAddress)))
                return (rig.ask(fd, .ioasIOVARanges, &request), request)
            }
        }
        var (answer, request) = ask(1)
        #expect(answer == 0 && request.rangeCount == 1 && request.alignment == 1)
        #expect(room[0...2] == [0, .max, 0xaa])
        let device = rig.open(.device(0))
        #expect(bind(rig, device, fd) > 0 && attach(rig, device, id) > 0)
        (answer, request) = ask(1)
        #expect(answer == -EMSGSIZE && request.rangeCount == 2 && request.alignment == page)
        #expect(room[0...2] == [0, 0xfedf_ffff, 0xaa])
        (answer, request) = ask(3)
        #expect(answer == 0 && request.rangeCount == 2)
        #expect(room == [0, 0xfedf_ffff, 0xfef0_0000, 0xffff_ffff_ffff, 0xaa, 0xaa])
    }
}
