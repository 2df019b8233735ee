import DeviceModel
import Glibc
import IOVASpace
import LinuxSystem
import SoftwareDevices
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

/// A POWER machine with educational devices, one of them open, and short ways to let it fail.
private final class ErrorRig {
    let host: SoftwareHost
    let container: Int32
    let group: Int32
    let device: Int32
    let memory: Mapping

    /// - Parameter canReset: whether the device in use has a reset of its own.
    init(_ iommu: SPAPRIOMMU = SPAPRIOMMU(), canReset: Bool = false) throws {
        let model = canReset ? Educational(virtualFunctions: 1) : Educational()
        let host = try SoftwareHost {
            IOMMU(.spapr(iommu))
            IOMMUGroup(4) { PCIDevice(model, at: "0000:00:04.0") }
            IOMMUGroup(5) {
                PCIDevice(Educational(), at: "0000:00:05.0")
                PCIDevice(Educational(), at: "0000:00:06.0")
            }
        }
        self.host = host
        memory = try Mapping(anonymous: 2 * pageSize)
        let group = try host.open(.group(4))
        container = try host.open(.container)
        self.group = group
        var number = container
        _ = try host.control(group, .groupSetContainer, &number)
        _ = try host.control(container, .setIOMMU, 7)
        device = try "0000:00:04.0".withCString { name in
            try host.control(
                group, UInt32(truncatingIfNeeded: Request.groupGetDeviceFD.rawValue), UInt(bitPattern: name))
        }
        var region = SPAPRRegisterMemory(
            vaddr: UInt64(memory.window.address.rawValue), size: UInt64(memory.window.byteCount))
        _ = try host.control(container, .spaprRegisterMemory, &region)
        var map = DMAMap(flags: [.read, .write], vaddr: region.vaddr, iova: 0x10000, size: region.size)
        _ = try host.control(container, .iommuMapDMA, &map)
        set(4, to: 6, width: 2, region: 7)
    }

    /// The answer to an operation, or the negative error number.
    func operate(_ operation: EEHOperation, _ error: EEHError = EEHError(), argsz: UInt32 = 40) -> Int32 {
        var request = EEHRequest(argsz: argsz, operation: operation, error: error)
        do throws(Errno) {
            return try host.control(container, .eehOperation, &request)
        } catch {
            return -error.rawValue
        }
    }

    var state: Int32 { operate(.getState) }

    func get(_ offset: UInt64, width: Int = 4, region: UInt64 = 0) -> UInt64 {
        var value: UInt64 = 0
        withUnsafeMutableBytes(of: &value) { buffer in
            var bytes = MutableRawSpan(
                _unsafeBytes: UnsafeMutableRawBufferPointer(rebasing: buffer[..<width]))
            _ = try? host.read(device, at: region << 40 + offset, into: &bytes)
        }
        return value
    }

    func set(_ offset: UInt64, to value: UInt64, width: Int = 4, region: UInt64 = 0) {
        withUnsafeBytes(of: value) { buffer in
            let bytes = RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: buffer[..<width]))
            _ = try? host.write(device, at: region << 40 + offset, bytes)
        }
    }

    /// Copies bytes between memory and the device's buffer; whether that worked.
    func transfer(_ iova: UInt64, toMemory: Bool = false) {
        set(0x80, to: toMemory ? 0x40000 : iova, width: 8)
        set(0x88, to: toMemory ? iova : 0x40000, width: 8)
        set(0x90, to: 64, width: 8)
        set(0x98, to: toMemory ? 3 : 1, width: 8)
    }

    /// The factorial of 4, from the device.
    func factorial() -> UInt64 {
        set(8, to: 4)
        for _ in 0..<1000 where get(0x20) & 1 != 0 { usleep(1000) }
        return get(8)
    }
}

extension SoftwareHost {
    fileprivate func control<T>(_ handle: Int32, _ request: Request, _ value: inout T) throws(Errno) -> Int32
    {
        try withUnsafeMutablePointer(to: &value) { (pointer) throws(Errno) -> Int32 in
            try control(handle, UInt32(truncatingIfNeeded: request.rawValue), UInt(bitPattern: pointer))
        }
    }
    fileprivate func control(_ handle: Int32, _ request: Request, _ value: UInt) throws(Errno) -> Int32 {
        try control(handle, UInt32(truncatingIfNeeded: request.rawValue), value)
    }
}

@Suite("EEH: a device that fails is frozen, and recovered by the book")
struct ErrorIsolationTests {
    @Test("operations: what is refused, and in which order")
    func refusals() throws {
        let rig = try ErrorRig()
        #expect(throws: Errno.badAddress) { try rig.host.control(rig.container, .eehOperation, 8) }
        #expect(rig.operate(.getState, argsz: 11) == -EINVAL)
        #expect(rig.operate(.getState, argsz: 12) == 0)
        var flagged = EEHRequest(flags: 1, operation: .getState)
        #expect(throws: Errno.invalid) { try rig.host.control(rig.container, .eehOperation, &flagged) }
        #expect(rig.operate(EEHOperation(rawValue: 10)) == -EINVAL)
        #expect(rig.operate(.injectError, argsz: 39) == -EINVAL)
        #expect(rig.operate(.injectError, EEHError(type: 2, function: 20)) == -EINVAL)
        #expect(rig.operate(.injectError, EEHError(type: 2)) == -ERANGE)
        for operation in [.disable, .enable, .unfreezeIO, .unfreezeDMA, .configure] as [EEHOperation] {
            #expect(rig.operate(operation) == 0)
        }
        let guest = try ErrorRig(SPAPRIOMMU(.pSeries))
        #expect(guest.operate(.injectError, EEHError(type: 2)) == -EINVAL)
        #expect(guest.operate(.injectError, EEHError(function: 2)) == -ERANGE)
        #expect(guest.operate(.injectError, EEHError(function: 7)) == 0)
        let without = try ErrorRig(SPAPRIOMMU(hasErrorHandling: false))
        #expect(throws: Errno.noDevice) { try without.host.control(without.container, .eehOperation, 8) }
        #expect(try without.host.control(without.container, .checkExtension, 5) == 0)
        #expect(without.host.freeze(group: 4) == false && without.host.errorState(ofGroup: 4) == nil)
    }

    @Test("a frozen device reads as ones, loses what is written, and reaches no memory")
    func frozen() throws {
        let rig = try ErrorRig()
        #expect(rig.get(0) == Educational.identification)
        rig.set(4, to: 0x1234)
        #expect(rig.get(4) == ~0x1234 & 0xffff_ffff)
        #expect(rig.host.freeze(group: 4))
        #expect(rig.state == 2 && rig.host.errorState(ofGroup: 4) == .stopped)
        #expect(rig.get(4) == 0xffff_ffff)
        #expect(rig.get(8, width: 1, region: 7) == 0xff, "the revision, which is the hardware's")
        rig.set(4, to: 0x5678)
        #expect(rig.operate(.unfreezeIO) == 0)
        #expect(rig.state == 4)
        #expect(rig.get(4) == ~0x1234 & 0xffff_ffff, "what was written got lost")
        rig.memory.window.store64(0, 0xabcd)
        rig.transfer(0x10000)
        rig.transfer(0x11000, toMemory: true)
        #expect(rig.memory.window.load64(pageSize) == 0)
        #expect(rig.operate(.unfreezeDMA) == 0)
        #expect(rig.state == 0)
        rig.transfer(0x10000)
        rig.transfer(0x11000, toMemory: true)
        #expect(rig.memory.window.load64(pageSize) == 0xabcd)
    }

    @Test("memory thawed before registers is a state without a name; ENABLE thaws both")
    func thawing() throws {
        let rig = try ErrorRig()
        rig.host.freeze(group: 4)
        #expect(rig.operate(.unfreezeDMA) == 0)
        #expect(rig.state == 5)
        #expect(rig.operate(.enable) == 0)
        #expect(rig.state == 0)
        #expect(rig.factorial() == 24)
    }

    @Test("an error waits for the access that it is about: a load or a store, of registers or configuration")
    func injection() throws {
        for (function, hit, miss) in [
            (0, { _ = $0.get(4) }, { $0.set(4, to: 1) }), (7, { $0.set(4, to: 1) }, { _ = $0.get(4) }),
            (4, { _ = $0.get(0, region: 7) }, { _ = $0.get(4) }),
            (11, { $0.set(0x3c, to: 1, width: 1, region: 7) }, { _ = $0.get(0x3c, region: 7) }),
        ] as [(UInt32, (ErrorRig) -> Void, (ErrorRig) -> Void)] {
            let rig = try ErrorRig()
            #expect(rig.operate(.injectError, EEHError(function: function)) == 0)
            #expect(rig.state == 0, "it hasn't happened yet")
            miss(rig)
            #expect(rig.state == 0, "\(function)")
            hit(rig)
            #expect(rig.state == 2, "\(function)")
            #expect(rig.get(4) == 0xffff_ffff)
            #expect(rig.operate(.enable) == 0)
            hit(rig)
            #expect(rig.state == 0, "it happens once")
        }
    }

    @Test("an error happens at its address only, and the load that meets it reads ones")
    func addresses() throws {
        let rig = try ErrorRig()
        let bar = rig.get(0x10, region: 7) & ~0xf
        let error = EEHError(type: 0, function: 0, address: bar + 8, mask: 0xffff_fffc)
        #expect(rig.operate(.injectError, error) == 0)
        rig.set(4, to: 0)
        #expect(rig.get(4) == 0xffff_ffff && rig.state == 0, "an inverted nought")
        #expect(rig.get(0x20) != 0xffff_ffff)
        #expect(rig.get(8) == 0xffff_ffff && rig.state == 2)
    }

    @Test("an error in a device's access to memory stops it in the middle", arguments: [false, true])
    func dmaErrors(isWrite: Bool) throws {
        let rig = try ErrorRig()
        rig.memory.window.store64(0, 0xabcd)
        let error = EEHError(type: 1, function: isWrite ? 19 : 12, address: 0x10000, mask: ~0xffff)
        #expect(rig.operate(.injectError, error) == 0)
        rig.transfer(0x10000, toMemory: !isWrite)
        for _ in 0..<100 where rig.get(0x98) & 1 != 0 { usleep(1000) }
        #expect(rig.state == 0, "the other direction")
        rig.memory.window.store64(0, 0x1111)
        rig.transfer(0x10000, toMemory: isWrite)
        for _ in 0..<1000 where rig.state == 0 { usleep(1000) }
        #expect(rig.state == 2)
        #expect(rig.memory.window.load64(0) == 0x1111)
    }

    @Test("an access to memory that isn't mapped is an error, too")
    func wildAccess() throws {
        let rig = try ErrorRig()
        rig.transfer(0x70_0000)
        for _ in 0..<1000 where rig.state == 0 { usleep(1000) }
        #expect(rig.state == 2)
        #expect(rig.host.dmaFaults.count == 1)
    }

    @Test("all devices of a group are frozen together, and no other")
    func groups() throws {
        let rig = try ErrorRig()
        #expect(rig.host.freeze(group: 5))
        #expect(rig.state == 0)
        let group = try rig.host.open(.group(5))
        var number = rig.container
        #expect(try rig.host.control(group, .groupSetContainer, &number) == 0)
        #expect(rig.state == 2, "the first abnormal one")
        #expect(rig.get(4) != 0xffff_ffff)
        #expect(rig.operate(.enable) == 0)
        #expect(rig.state == 0)
    }

    @Test("recovery by the book: registers, reset, its end, configuration", arguments: [6, 7] as [UInt32])
    func recovery(reset: UInt32) throws {
        let rig = try ErrorRig()
        let command = rig.get(4, width: 2, region: 7)
        let bar = rig.get(0x10, region: 7)
        rig.set(4, to: 0x1234)
        rig.host.freeze(group: 4)
        #expect(rig.operate(.unfreezeIO) == 0 && rig.state == 4)
        #expect(rig.operate(EEHOperation(rawValue: reset)) == 0)
        #expect(rig.state == 1 && rig.get(4) == 0xffff_ffff)
        #expect(rig.operate(.resetDeactivate) == 0)
        #expect(rig.state == 0)
        #expect(rig.operate(.configure) == 0)
        #expect(rig.get(4, width: 2, region: 7) == command && rig.get(0x10, region: 7) == bar)
        #expect(rig.get(4) == 0, "it was reset")
        #expect(rig.factorial() == 24)
        rig.memory.window.store64(0, 0xabcd)
        rig.transfer(0x10000)
        rig.transfer(0x11000, toMemory: true)
        for _ in 0..<1000 where rig.memory.window.load64(pageSize) == 0 { usleep(1000) }
        #expect(rig.memory.window.load64(pageSize) == 0xabcd)
    }

    @Test("VFIO_DEVICE_RESET waits in vain for a frozen device")
    func deviceReset() throws {
        let rig = try ErrorRig(canReset: true)
        #expect(try rig.host.control(rig.device, .deviceReset, 0) == 0)
        rig.host.freeze(group: 4)
        #expect(throws: Errno.noSuchRequest) { try rig.host.control(rig.device, .deviceReset, 0) }
        #expect(rig.operate(.enable) == 0)
        #expect(try rig.host.control(rig.device, .deviceReset, 0) == 0)
    }
}
