import LinuxSystem
import VFIO
import VFIOABI

/// A region of a device as a guest sees it: registers whose accesses are carried out one by one, and over them, where
/// the host lets them be mapped, the device's own memory.
///
/// Put ``memory`` where the guest's firmware puts the BAR. The mapped parts are RAM devices: other devices of the
/// guest reach them by DMA where the host allows it.
public final class GuestRegion: @unchecked Sendable {
    /// The region.
    public let region: Region
    /// What the guest sees.
    public let memory: MemoryRegion
    /// Why what can be mapped isn't; nil if it is, or wasn't wanted. All accesses are then carried out one by one: that
    /// works, slowly.
    public let mappingFailure: VFIOGuestError?
    private let access: Access
    private let mapped: [MemoryRegion]
    // Guarded by the memory map's lock.
    private var isWanted = true
    /// Whether a reset keeps the mapped parts from being reached.
    private var isHeldBack = false

    /// Carries out the guest's accesses.
    private final class Access: RegisterAccess, @unchecked Sendable {
        let region: Region
        private let lock = Lock()
        // Guarded by `lock`.
        private var hooks = Hooks()

        struct Hooks {
            var onAccess: (@Sendable () -> Void)?
            var onFailure: (@Sendable (VFIOGuestError) -> Void)?
            /// Called once, after an access that the device answered.
            var onAnswer: (@Sendable () -> Void)?
        }

        init(_ region: Region) { self.region = region }

        func change(_ body: (inout Hooks) -> Void) { lock.withLock { body(&hooks) } }

        /// The device answered.
        private func answered() {
            let onAnswer = lock.withLock {
                defer { hooks.onAnswer = nil }
                return hooks.onAnswer
            }
            onAnswer?()
        }

        func read(at offset: UInt64, width: Int) -> UInt64 {
            let hooks = lock.withLock { self.hooks }
            // Also after an access that failed: the guest did what it does to serve an interrupt.
            defer { hooks.onAccess?() }
            do throws(VFIOError) {
                guard let offset = Int(exactly: offset), Self.isWidth(width) else { return .max }
                let value = try region.loadThroughHost(offset, width: width)
                if hooks.onAnswer != nil { answered() }
                return value
            } catch {
                hooks.onFailure?(error)
                return .max
            }
        }

        func write(_ value: UInt64, at offset: UInt64, width: Int) {
            let hooks = lock.withLock { self.hooks }
            defer { hooks.onAccess?() }
            do throws(VFIOError) {
                guard let offset = Int(exactly: offset), Self.isWidth(width) else { return }
                try region.storeThroughHost(offset, value, width: width)
                if hooks.onAnswer != nil { answered() }
            } catch {
                hooks.onFailure?(error)
            }
        }

        private static func isWidth(_ width: Int) -> Bool {
            width == 1 || width == 2 || width == 4 || width == 8
        }
    }

    /// Keeps the mappings of a region for as long as somebody has mapped them for DMA.
    private final class Keeper: Sendable {
        let region: Region
        init(_ region: Region) { self.region = region }
    }

    /// Sets a region up.
    /// - Parameters:
    ///   - index: which region.
    ///   - memory: the guest's memory map.
    ///   - isMapped: whether what can be mapped is; otherwise, and where the host refuses to map it
    ///     (``mappingFailure``), every access is carried out by the host.
    /// - Throws: ``/VFIO/VFIOError/Code/notSupported`` if the device doesn't have the region.
    public init(
        _ index: RegionIndex, of device: Device, in memory: GuestMemory, mapped isMapped: Bool = true
    ) throws(VFIOGuestError) {
        let region: Region
        var failure: VFIOGuestError?
        do throws(VFIOGuestError) {
            region = try device.region(index, mapped: isMapped)
        } catch {
            guard isMapped else { throw error }
            // Without mapping it works unless there is no such region.
            region = try device.region(index, mapped: false)
            failure = error
        }
        self.region = region
        mappingFailure = failure
        access = Access(region)
        var blocks: [(block: RAMBlock, offset: Int)] = []
        for area in region.mappedAreas {
            let name = "\(region.object) mmaps[\(blocks.count)]"
            do throws(Errno) {
                blocks.append((try RAMBlock(name, area.window, keeping: Keeper(region)), area.offset))
            } catch {
                throw VFIOGuestError(operation: "show it to the guest", object: name, errno: error)
            }
        }
        do throws(GuestMemoryError) {
            let trapped = try MemoryRegion(
                region.object, .io(access), byteCount: UInt128(region.byteCount), in: memory)
            var mapped: [MemoryRegion] = []
            for (block, offset) in blocks {
                let part = try MemoryRegion(
                    block.name, .ramDevice(block), byteCount: UInt128(block.byteCount), in: memory)
                try trapped.add(part, at: UInt64(offset))
                mapped.append(part)
            }
            self.memory = trapped
            self.mapped = mapped
        } catch {
            throw VFIOGuestError(
                operation: "show it to the guest", object: region.object, cause: "\(error)")
        }
    }

    /// Called after each access that is carried out, also one that failed: the guest's way of telling that it has
    /// served an interrupt (``GuestLine/acknowledge()``).
    public func setAccessHook(_ hook: (@Sendable () -> Void)?) { access.change { $0.onAccess = hook } }

    /// Called with each access that failed. The guest read ones, or its write is lost, as on hardware.
    public func setFailureHook(_ hook: (@Sendable (VFIOGuestError) -> Void)?) {
        access.change { $0.onFailure = hook }
    }

    /// Lets the guest reach the mapped parts directly, or carries out each access: while an interrupt line is to be
    /// acknowledged by an access.
    public func setMapped(_ isMapped: Bool) {
        memory.memory.transaction {
            isWanted = isMapped
            showMapped()
        }
    }

    /// Within a transaction.
    private func showMapped() {
        for part in mapped { part.setEnabled(isWanted && !isHeldBack) }
    }

    private func holdBack(_ isHeldBack: Bool) {
        memory.memory.transaction {
            self.isHeldBack = isHeldBack
            showMapped()
        }
    }

    /// Whether the guest reaches the mapped parts directly.
    public var isMapped: Bool { mapped.contains(where: \.isEnabled) }
}

/// The guest reaches nothing directly from before a reset until the device answers again: with its memory disabled,
/// touching what is mapped would end the process.
extension GuestRegion: GuestResetParticipant {
    /// Carries out each access.
    public func resetBegins() {
        access.change { $0.onAnswer = nil }
        holdBack(true)
    }

    /// Waits for an access that the device answers: somebody has set it up then.
    public func resetEnds(succeeded: Bool) {
        access.change { $0.onAnswer = { [weak self] in self?.holdBack(false) } }
    }
}
