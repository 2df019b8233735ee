import DeviceModel
import Glibc
import IOVASpace
import LinuxSystem
import Synchronization
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

/// Many threads do everything that can be done to a host, at random, all at once.
///
/// `VFIO_STRESS_SECONDS` says for how long, `VFIO_STRESS_THREADS` by how many, `VFIO_STRESS_SEED` from which
/// seed. With the first one set the process is taken to have nothing else to do: its descriptors and mappings are
/// counted as well. `Scripts/test stress` does that, under the thread and the address sanitizer.
@Suite("Under stress", .serialized)
struct StressTests {
    private static func setting(_ name: String) -> UInt64? {
        guard let text = getenv(name) else { return nil }
        return UInt64(String(cString: text))
    }

    @Test("nothing is lost, leaked or locked for ever, whatever is done at the same time")
    func everything() throws {
        let isAlone = Self.setting("VFIO_STRESS_SECONDS") != nil
        let seconds = Self.setting("VFIO_STRESS_SECONDS") ?? 1
        let threads = Int(Self.setting("VFIO_STRESS_THREADS") ?? 64)
        let seed = Self.setting("VFIO_STRESS_SEED") ?? UInt64.random(in: 0...UInt64(Int64.max))
        print("stress: seed \(seed), \(threads) threads, \(seconds) s")
        let before = (Usage.descriptors, Usage.mappings)
        do {
            let ground = try StressGround()
            let end = Clock.now + seconds * 1_000_000_000
            onThreads(threads) { index in
                var actor = StressActor(ground, seed &+ UInt64(index) &* 0x1234_5678_9abc_def1, index)
                while Clock.now < end { actor.step(index < 4) }
            }
            ground.finish()
            print(
                """
                stress: \(ground.done.load(ordering: .relaxed)) steps, \(ground.opened.load(ordering: .relaxed)) \
                devices opened, \(ground.mapped.load(ordering: .relaxed)) ranges mapped
                """)
            #expect(ground.host.lockedByteCount == 0)
            #expect(ground.opened.load(ordering: .relaxed) > 0, "no device was ever opened")
            #expect(ground.mapped.load(ordering: .relaxed) > 0, "no memory was ever mapped")
        }
        #expect(StressModel.count.load(ordering: .acquiring) == 0)
        if isAlone {
            #expect(Usage.descriptors == before.0)
            #expect(Usage.mappings <= before.1)
        }
    }
}

/// What the process has, as the system sees it.
private enum Usage {
    /// Open descriptors.
    static var descriptors: Int {
        guard let folder = opendir("/proc/self/fd") else { return -1 }
        defer { closedir(folder) }
        var count = 0
        while readdir(folder) != nil { count += 1 }
        return count
    }

    /// Mappings of memory files.
    static var mappings: Int {
        guard let bytes = try? FileSystem.bytes(of: "/proc/self/maps", limit: 64 << 20) else { return -1 }
        let text = String(decoding: bytes, as: UTF8.self)
        return text.split(separator: "\n").count { $0.contains("memfd:vfio") }
    }
}

/// The host that everything is done to, and what all threads share.
private final class StressGround: Sendable {
    static let groupCount = 16
    let host: SoftwareHost
    let memory: Mapping
    let models = Shared<[StressModel]>([])
    /// Handles that anybody may use or close.
    let handles = Shared<[Int32]>([])
    let opened = Atomic<Int>(0)
    let mapped = Atomic<Int>(0)
    let done = Atomic<Int>(0)

    /// Groups of two devices; the devices of the last group come and go.
    init() throws {
        var machine = MachineDescription()
        machine.releaseRequestMilliseconds = 1
        machine.parameters.enableUnsafeNoIOMMUMode = true
        var models: [StressModel] = []
        for group in 0..<Self.groupCount {
            var members: [PCIDevice] = []
            for function in 0..<2 {
                let model = try StressModel(group * 2 + function)
                models.append(model)
                members.append(PCIDevice(model, at: Self.address(group, function)))
            }
            machine.groups.append(IOMMUGroup(group, devices: members))
        }
        memory = try Mapping(anonymous: models.count * StressModel.pages * pageSize)
        host = try SoftwareHost(machine)
        self.models.value = models
    }

    static func address(_ group: Int, _ function: Int) -> PCIAddress {
        PCIAddress(bus: UInt8(group + 1), device: 0, function: UInt8(function))
    }

    /// Closes what is still open.
    func finish() {
        for handle in handles.value { host.close(handle) }
        handles.value = []
    }
}

/// One thread's random doings.
private struct StressActor: ~Copyable {
    let ground: StressGround
    var random: SplitMix
    let index: Int
    var event: EventDescriptor?

    init(_ ground: StressGround, _ seed: UInt64, _ index: Int) {
        self.ground = ground
        self.index = index
        random = SplitMix(state: seed)
        event = try? EventDescriptor()
    }

    private var host: SoftwareHost { ground.host }

    private mutating func below(_ limit: Int) -> Int { Int(random.next() % UInt64(limit)) }

    mutating func step(_ isDevice: Bool) {
        ground.done.add(1, ordering: .relaxed)
        if isDevice {
            let models = ground.models.value
            models[below(models.count)].act(random.next())
            Clock.sleep(nanoseconds: 1000)
            return
        }
        switch below(20) {
        case 0..<6: useThroughGroup()
        case 6..<10: useThroughNode()
        case 10..<14: disturb()
        case 14, 15: rebind()
        case 16: replug()
        case 17: changeRules()
        default: look()
        }
    }

    // MARK: requests

    @discardableResult
    private func ask(_ handle: Int32, _ request: Request, _ argument: UInt = 0) -> Int32 {
        do throws(Errno) {
            return try host.control(handle, UInt32(truncatingIfNeeded: request.rawValue), argument)
        } catch {
            return -error.rawValue
        }
    }

    @discardableResult
    private func ask<T>(_ handle: Int32, _ request: Request, with value: inout T) -> Int32 {
        withUnsafeMutablePointer(to: &value) { ask(handle, request, UInt(bitPattern: $0)) }
    }

    @discardableResult
    private func ask<T>(_ handle: Int32, _ request: Request, _ value: T) -> Int32 {
        var value = value
        return ask(handle, request, with: &value)
    }

    /// A page that belongs to a device: its IOVA and the memory behind it.
    private mutating func page(_ device: Int) -> (iova: UInt64, address: UInt64, count: UInt64) {
        let page = below(StressModel.pages)
        let count = 1 + below(StressModel.pages - page)
        let place = (device * StressModel.pages + page) * pageSize
        return (
            UInt64(device) * StressModel.span + UInt64(page * pageSize),
            UInt64(ground.memory.window.address.rawValue) + UInt64(place), UInt64(count * pageSize)
        )
    }

    /// Sometimes leaves handles to everybody, sometimes closes them, in any order.
    private mutating func leave(_ handles: [Int32]) {
        var handles = handles.filter { $0 >= 0 }
        handles.shuffle(using: &random)
        for handle in handles {
            let isLeft =
                below(16) == 0
                && ground.handles.update { all in
                    if all.count < 5 { all.append(handle) }
                    return all.last == handle
                }
            if !isLeft { host.close(handle) }
        }
    }

    // MARK: users

    private mutating func useThroughGroup() {
        let number = below(StressGround.groupCount)
        guard let container = try? host.open(.container) else { return }
        guard let group = try? host.open(.group(number)) else { return host.close(container) }
        ask(group, .groupSetContainer, container)
        ask(container, .setIOMMU, UInt(below(2) == 0 ? 1 : 3))
        let member = below(2)
        let name = "\(StressGround.address(number, member))"
        let device = name.withCString { ask(group, .groupGetDeviceFD, UInt(bitPattern: $0)) }
        if device >= 0 { ground.opened.add(1, ordering: .relaxed) }
        for _ in 0..<below(12) {
            let (iova, address, size) = page(number * 2 + member)
            let map = DMAMap(flags: [.read, .write], vaddr: address, iova: iova, size: size)
            if ask(container, .iommuMapDMA, map) == 0 { ground.mapped.add(1, ordering: .relaxed) }
            if device >= 0 { use(device) }
            if below(3) == 0 { ask(container, .iommuUnmapDMA, DMAUnmap(iova: iova, size: size)) }
        }
        leave([container, group, device])
    }

    private mutating func useThroughNode() {
        let index = below(StressGround.groupCount * 2)
        guard let iommufd = try? host.open(.iommu) else { return }
        guard let device = try? host.open(.device(index)) else { return host.close(iommufd) }
        ask(device, .deviceBindIOMMUFD, DeviceBindIOMMUFD(iommufd: iommufd))
        var ioas = IOASAlloc()
        ask(iommufd, .ioasAlloc, with: &ioas)
        let attach = DeviceAttachIOMMUFDPageTable(pageTableID: ioas.ioasID)
        if ask(device, .deviceAttachIOMMUFD, attach) == 0 { ground.opened.add(1, ordering: .relaxed) }
        for _ in 0..<below(12) {
            // Nodes are numbered anew when drivers change: a device may be any, its addresses are its own.
            let (iova, address, size) = page(below(StressGround.groupCount * 2))
            let map = IOASMap(
                flags: [.readable, .writeable, .fixedIOVA], ioasID: ioas.ioasID, userVA: address,
                length: size, iova: iova)
            if ask(iommufd, .ioasMap, map) == 0 { ground.mapped.add(1, ordering: .relaxed) }
            use(device)
            if below(3) == 0 {
                ask(iommufd, .ioasUnmap, IOASUnmap(ioasID: ioas.ioasID, iova: iova, length: size))
            }
        }
        if below(2) == 0 { ask(device, .deviceDetachIOMMUFD, DeviceDetachIOMMUFDPageTable()) }
        leave([iommufd, device])
    }

    /// Something that is done to an open device, or to whatever has its number.
    private mutating func use(_ device: Int32) {
        switch below(9) {
        case 0: ask(device, .deviceReset)
        case 1: setInterrupts(device)
        case 2:
            // Memory and bus mastering on or off.
            access(device, 7, 4, write: UInt64(below(8)))
        case 3, 4: access(device, 0, 8 * UInt64(below(8)), write: random.next())
        case 5: access(device, UInt64(below(9)), UInt64(below(300)), write: nil)
        case 6:
            guard
                let window = try? host.map(
                    device, at: 1 << 40, byteCount: pageSize, protection: [.read, .write])
            else { return }
            if below(2) == 0 { ask(device, .deviceReset) }
            host.unmap(window)
        case 7: ask(device, .deviceGetInfo, DeviceInfo())
        default: ask(device, .deviceGetPCIHotResetInfo, PCIHotResetInfo())
        }
    }

    private mutating func setInterrupts(_ device: Int32) {
        struct Five {
            var set = IRQSet(argsz: 36, flags: [.dataEventFD, .actionTrigger], index: 0, start: 0, count: 1)
            var numbers = (Int32(-1), Int32(-1), Int32(-1), Int32(-1))
        }
        var request = Five()
        request.set.index = UInt32(below(5))
        request.set.count = UInt32(below(5))
        let number = event?.number ?? -1
        request.numbers = (number, below(2) == 0 ? number : -1, number, number)
        switch below(4) {
        case 0: request.set.flags = [.dataNone, .actionTrigger]
        case 1: request.set.flags = [.dataNone, below(2) == 0 ? .actionMask : .actionUnmask]
        default: break
        }
        ask(device, .deviceSetIRQs, with: &request)
    }

    private func access(_ device: Int32, _ region: UInt64, _ offset: UInt64, write: UInt64?) {
        var bytes = [UInt8](repeating: 0, count: 8)
        if let write {
            for index in 0..<8 { bytes[index] = UInt8(truncatingIfNeeded: write >> UInt64(8 * index)) }
            let count = region == 7 ? 2 : 8
            _ = try? host.write(device, at: region << 40 | offset, bytes.span.bytes.extracting(0..<count))
        } else {
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            _ = try? host.read(device, at: region << 40 | offset, into: &raw)
        }
    }

    // MARK: others

    /// Does something with a handle that another thread may be using, or may have closed.
    private mutating func disturb() {
        let handles = ground.handles.value
        guard !handles.isEmpty else { return }
        let handle = handles[below(handles.count)]
        switch below(6) {
        case 0, 5:
            ground.handles.update { all in all.removeAll { $0 == handle } }
            host.close(handle)
        case 1: ask(handle, .groupUnsetContainer)
        case 2:
            ask(handle, .iommuUnmapDMA, DMAUnmap(flags: .all, iova: 0, size: 0))
        case 3: ask(handle, .groupSetContainer, handles[below(handles.count)])
        default: use(handle)
        }
    }

    private mutating func rebind() {
        let address = StressGround.address(below(StressGround.groupCount), below(2))
        let driver: String? = ["vfio-pci", "vfio-pci", "pci-stub", nil][below(4)]
        try? host.bind(address, to: driver, waitingAtMost: below(3))
        if driver == nil || below(2) == 0 { try? host.bind(address, to: "vfio-pci", waitingAtMost: below(3)) }
    }

    private mutating func replug() {
        let function = below(2)
        let group = StressGround.groupCount - 1
        let address = StressGround.address(group, function)
        if below(2) == 0 {
            // Pulled out: gone as soon as nobody has it open.
            host.withdraw(host.inject(FaultRule(.device(.vanished), on: .device(address))))
        }
        try? host.unplug(address, waitingAtMost: below(3))
        guard let model = try? StressModel(group * 2 + function),
            (try? host.plug(PCIDevice(model, at: address), intoGroup: group)) != nil
        else { return }
        ground.models.update { $0[group * 2 + function] = model }
    }

    private mutating func changeRules() {
        let rule: FaultRule =
            switch below(7) {
            case 0: FaultRule(.request(.iommuMapDMA, .noMemory), .every(3))
            case 1: FaultRule(.pin(afterPages: 2, .badAddress))
            case 2: FaultRule(.interrupt(vector: nil, .delayed(milliseconds: UInt32(below(3)))))
            case 3: FaultRule(.interrupt(vector: nil, .dropped), .probability(0.5))
            case 4: FaultRule(.dmaWrite(byteCount: nil, .flipped(byte: nil, bits: nil)), .every(2))
            case 5: FaultRule(.open(nil, .tooManyDescriptors), .every(5))
            default:
                FaultRule(
                    .device(.silent), on: .device(StressGround.address(below(StressGround.groupCount), 0)))
            }
        let token = host.inject(rule)
        for _ in 0..<below(4) { useThroughGroup() }
        host.withdraw(token)
    }

    private mutating func look() {
        switch below(5) {
        case 0: _ = try? host.inventory()
        case 1: _ = host.dmaFaults(ofGroup: below(StressGround.groupCount))
        case 2: _ = host.lockedByteCount
        case 3:
            var rights = host.rights
            rights.lockedMemoryLimit = below(2) == 0 ? nil : UInt64(64 * pageSize)
            host.rights = rights
        default: _ = host.injectedFaults
        }
    }
}
