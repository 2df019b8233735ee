import CLinux
import LinuxSystem
import VFIOABI
import VFIOHost

/// Mappings of registers: what the program is told of regions, and what it gets when it maps them.
///
/// A software device has registers, not memory: the kernel here offers only what a model declares as plain memory. In
/// trap mode this library offers all memory of a device, as hardware does. What is plain is mapped plainly; the rest are
/// pages without access, and each access is carried out (``TrapHandler``).
enum RegisterMapping {
    /// What programs may map.
    enum Policy {
        /// Memory and registers.
        case trapped
        /// What the kernel here offers: plain memory.
        case unmapped

        /// What `vfio run --bars` names; nil for what suits the program.
        init?(named name: String) {
            if name.utf8.elementsEqual("trapped".utf8) {
                self = .trapped
            } else if name.utf8.elementsEqual("unmapped".utf8) {
                self = .unmapped
            } else {
                return nil
            }
        }
    }

    // SAFETY: set once, by `start`, before the first handle is given out.
    nonisolated(unsafe) private(set) static var policy = Policy.unmapped

    /// Chooses what the program gets and makes ready for it.
    static func start(_ wanted: Policy) {
        // Another thread may be in the middle of something when this one forks; in the child it is in nothing.
        _ = pthread_atfork(nil, nil) {
            TrapHolders.beginInChild()
            ProgramMappings.beginInChild()
        }
        guard wanted == .trapped else { return }
        #if arch(x86_64)
            do throws(Errno) {
                try TrapRanges.prepare()
                try ModelStacks.prepare()
            } catch {
                return
            }
            X86Frame.prepare()
            ExclusiveAccess.prepare()
            _ = pthread_atfork(nil, nil) { RegisterMapping.beginInChild() }
            unsafe policy = .trapped
        #endif
    }

    private static func beginInChild() {
        TrapRanges.beginInChild()
        ModelStacks.beginInChild()
        ExclusiveAccess.beginInChild()
        ProgramSignals.beginInChild()
    }

    /// What suits the program that this is loaded under.
    ///
    /// QEMU reads and writes at offsets where it can't map, which is the exact and fastest way: under TCG a trap costs
    /// more than its own dispatch, and under KVM a trapped page can't work at all. DPDK and most others don't know what
    /// to do without a mapping.
    static func suitable() -> Policy { isQEMU ? .unmapped : .trapped }

    private static var isQEMU: Bool {
        let symbol: StaticString = "address_space_write"
        // SAFETY: a StaticString's text ends with a NUL.
        if unsafe clinux_has_function(
            UnsafeRawPointer(symbol.utf8Start).assumingMemoryBound(to: CChar.self)) != 0
        {
            return true
        }
        guard let path = try? FileSystem.linkTarget("/proc/self/exe") else { return false }
        let prefix: StaticString = "qemu-system-"
        // SAFETY: a StaticString's text is a constant of that length.
        let wanted = unsafe UnsafeBufferPointer(start: prefix.utf8Start, count: prefix.utf8CodeUnitCount)
        let start = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { path.utf8.index(after: $0) }
        return unsafe path.utf8[(start ?? path.utf8.startIndex)...].starts(with: wanted)
    }

    // MARK: what regions are

    /// A region that the program may map in trap mode.
    private struct Region {
        var info: RegionInfo
        /// What of it is plain memory, in ascending order.
        var plain: [SparseMmapArea] = []
        /// Whether it holds an MSI-X table, which newer kernels say may be mapped.
        var holdsTable = false

        var end: UInt64 { info.size &+ UInt64(pageSize - 1) & ~UInt64(pageSize - 1) }
    }

    /// The region, if it is memory of a device.
    private static func region(_ handle: Int32, _ index: UInt32) -> Region? {
        let kernel = Run.unseen
        var device = DeviceInfo()
        device.argsz = UInt32(DeviceInfo.minimumSize)
        var room = InlineArray<128, UInt64>(repeating: 0)
        var span = room.mutableSpan
        // SAFETY: any value of the bytes is one of their own.
        return unsafe span.withUnsafeMutableBytes { bytes -> Region? in
            guard let place = bytes.baseAddress else { return nil }
            let address = UInt(bitPattern: place)
            func ask<T: BitwiseCopyable>(_ structure: T, _ request: Request) -> T? {
                unsafe place.storeBytes(of: structure, as: T.self)
                do throws(Errno) {
                    _ = try kernel.control(handle, UInt32(truncatingIfNeeded: request.rawValue), address)
                } catch {
                    return nil
                }
                return unsafe place.loadUnaligned(as: T.self)
            }
            guard let device = ask(device, .deviceGetInfo) else { return nil }
            let isPCI = device.flags.contains(.pci)
            guard isPCI ? index < 6 : device.flags.contains(.platform) else { return nil }
            var asked = RegionInfo(index: index)
            asked.argsz = UInt32(bytes.count)
            guard let info = ask(asked, .deviceGetRegionInfo), info.size > 0 else { return nil }
            var region = Region(info: info)
            if info.flags.contains(.mmap) {
                let capabilities = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(bytes))
                region.plain = areas(info, capabilities) ?? [SparseMmapArea(offset: 0, size: region.end)]
            }
            if isPCI {
                guard isMemory(handle, index) else { return nil }
                region.holdsTable = tableRegion(handle) == index
            }
            return region
        }
    }

    /// The areas that the kernel here lets be mapped; nil if it is the whole region.
    private static func areas(_ info: RegionInfo, _ bytes: RawSpan) -> [SparseMmapArea]? {
        var chain = CapabilityChain(of: info, in: bytes)
        var found: [SparseMmapArea]?
        do throws(CapabilityChainError) {
            while let capability = try chain.next() {
                guard capability.id == RegionCapabilityID.sparseMmap.rawValue else { continue }
                let areas = try capability.sparseMmapAreas()
                var known: [SparseMmapArea] = []
                for index in 0..<areas.count { known.append(areas[index]) }
                known.sortCompactly { $0.offset < $1.offset }
                found = known
            }
        } catch {
            return []
        }
        return found
    }

    private static func configuration(_ handle: Int32, _ offset: UInt64, _ byteCount: Int) -> UInt32 {
        var word: UInt32 = 0
        // SAFETY: the bytes of a plain number.
        unsafe withUnsafeMutableBytes(of: &word) { buffer in
            var bytes = unsafe MutableRawSpan(
                _unsafeBytes: UnsafeMutableRawBufferPointer(rebasing: buffer[..<byteCount]))
            let start = UInt64(PCIRegion.config.rawValue) << PCIRegionOffset.shift
            do throws(Errno) { _ = try Run.unseen.read(handle, at: start + offset, into: &bytes) } catch {}
        }
        return word
    }

    /// Whether a BAR is in memory, not in I/O space.
    private static func isMemory(_ handle: Int32, _ index: UInt32) -> Bool {
        configuration(handle, 0x10 + UInt64(index) * 4, 4) & 1 == 0
    }

    /// The BAR that holds the MSI-X table; nil without one.
    private static func tableRegion(_ handle: Int32) -> UInt32? {
        guard configuration(handle, 6, 2) & 0x10 != 0 else { return nil }
        var at = UInt64(configuration(handle, 0x34, 1) & 0xfc)
        // A list that turns back ends too.
        for _ in 0..<48 where at >= 0x40 {
            let head = configuration(handle, at, 2)
            if head & 0xff == 0x11 { return configuration(handle, at + 4, 4) & 7 }
            at = UInt64(head >> 8 & 0xfc)
        }
        return nil
    }

    /// Makes of the kernel's answer about a region what the program is told.
    /// - Parameters:
    ///   - argument: where the answer stands.
    ///   - room: how many bytes the program has for it (`argsz` as it was).
    static func offer(_ handle: Int32, _ argument: UInt, room: UInt32) throws(Errno) {
        guard unsafe policy == .trapped else { return }
        let address = HostAddress(rawValue: argument)
        let answer = try UserMemory.load(RegionInfo(), from: address)
        guard let region = region(handle, answer.index) else { return }
        var info = answer
        info.argsz = room
        info.flags.insert(.mmap)
        info.flags.remove(.caps)
        info.capabilityOffset = 0
        guard region.holdsTable else { return try UserMemory.store(info, to: address) }
        var chain = CapabilityBuilder<RegionInfo>()
        do throws(CapabilityBuilderError) { try chain.appendMSIXMappable() } catch { throw .noMemory }
        try chain.copyOut(info, to: address)
    }

    // MARK: mapping

    /// Maps a part of a region in trap mode.
    /// - Returns: where; nil if this isn't for trap mode.
    static func map(
        _ handle: Int32, _ at: UInt, _ byteCount: Int, _ protection: Int32, _ flags: Int32, _ offset: UInt64
    ) throws(Errno) -> UInt? {
        guard unsafe policy == .trapped else { return nil }
        let index = UInt32(truncatingIfNeeded: offset >> PCIRegionOffset.shift)
        guard let region = region(handle, index) else { return nil }
        guard let rounded = byteCount.roundedUp(toMultipleOf: pageSize), byteCount > 0,
            offset % UInt64(pageSize) == 0, flags & MAP_SHARED != 0, offset >= region.info.offset
        else { throw .invalid }
        let start = offset - region.info.offset
        guard start < region.end, UInt64(rounded) <= region.end - start else { throw .invalid }
        ProgramSignals.install()
        // Fixed places keep their meaning: with MAP_FIXED what was there is gone.
        let kept = flags & ~(MAP_SHARED | MAP_PRIVATE | clinux_map_populate())
        let place = RealCalls.call(.mmap, as: RealCalls.Map.self)(
            at, rounded, 0, kept | MAP_PRIVATE | clinux_map_anonymous(), -1, 0)
        guard place != clinux_map_failed() else { throw Errno(rawValue: clinux_errno()) }
        let end = place + UInt(rounded)
        do throws(Errno) {
            replaced(place, rounded)
            let holder = TrapHolders.hold(handle)
            defer { TrapHolders.letGo(holder) }
            let whole = TrapRange(
                start: place, end: end, handle: holder, offset: offset,
                protection: protection & (PROT_READ | PROT_WRITE))
            var next = place
            for area in region.plain {
                let first = max(area.offset, start)
                let last = min(area.offset &+ area.size, start + UInt64(rounded))
                guard first < last else { continue }
                let window = try Run.present.map(
                    handle, at: region.info.offset + first, byteCount: Int(last - first),
                    protection: Mapping.Protection(rawValue: whole.protection))
                let there = place + UInt(first - start)
                try show(window, there, holder)
                if let part = whole.part(from: next, to: there) { try TrapRanges.add(part) }
                next = there + UInt(window.byteCount)
            }
            if let part = whole.part(from: next, to: end) { try TrapRanges.add(part) }
        } catch {
            _ = hookedUnmap(place, rounded)
            throw error
        }
        return place
    }

    /// Shows a window of the kernel's at another place too.
    private static func show(_ window: MemoryWindow, _ place: UInt, _ holder: Int32) throws(Errno) {
        let result = clinux_map_again(window.address.rawValue, place, window.byteCount)
        guard result == 0 else {
            Run.present.unmap(window)
            throw Errno(rawValue: Int32(-result))
        }
        ProgramMappings.add(
            ProgramMappings.Entry(
                start: place, byteCount: window.byteCount, window: window, holder: holder))
    }

    /// Something else is at these addresses now, or nothing.
    static func replaced(_ at: UInt, _ byteCount: Int) {
        guard !TrapRanges.isEmpty, byteCount > 0, let rounded = byteCount.roundedUp(toMultipleOf: pageSize)
        else {
            return
        }
        let (end, overflow) = at.addingReportingOverflow(UInt(rounded))
        do throws(Errno) {
            for range in try TrapRanges.remove(from: at, to: overflow ? .max : end) {
                TrapHolders.letGoIfUnused(range.handle)
            }
        } catch {
            // Too many ranges: the parts that are left over are lost, as if unmapped.
        }
    }

    /// How much room a program has for the answer about a region; 0 if that can't be read, which the kernel says too.
    static func room(_ argument: UInt) -> UInt32 {
        guard unsafe policy == .trapped else { return 0 }
        do throws(Errno) {
            return try UserMemory.load(UInt32(0), from: HostAddress(rawValue: argument))
        } catch {
            return 0
        }
    }
}
