import IOVASpace
import LinuxSystem
import VFIO

/// Keeps what is mapped of a section of RAM in step with what of it is populated: the ``DMAMapper``'s part for regions
/// with a ``RAMDiscardManager``.
///
/// Guarded by the memory map's lock.
final class RAMDiscardFollower: SectionFollower, @unchecked Sendable {
    let mapping: DiscardableMapping
    private let section: MemorySection
    private let manager: RAMDiscardManager
    private let target: Target

    /// Maps what is populated.
    /// - Throws: why it can't be; nothing is mapped then.
    init(
        _ section: MemorySection, _ range: IOVARange, unit: UInt64, _ manager: RAMDiscardManager,
        for mapper: DMAMapper
    ) throws(VFIOGuestError) {
        guard let block = section.region.block else {
            throw DMAMapper.error(section, "it has a manager of discards, but no memory")
        }
        self.section = section
        self.manager = manager
        target = Target(mapper, section, unit)
        // The section lies inside its block.
        let offset = section.offset + (range.first.rawValue - section.range.first.rawValue)
        // Without a source all is populated, and stays so: one piece.
        let granularity = manager.granularity
        mapping = try DiscardableMapping(
            section.region.name, block.window, offset..<offset + range.byteCount, at: range.first,
            section.isReadOnly ? .read : [.read, .write],
            granularity: granularity == 0 ? 1 << 63 : granularity, target: target)
        do throws(RAMDiscardError) {
            try manager.register(mapping, for: mapping.range)
        } catch {
            if case .refused(let refusal) = error { throw DMAMapper.told(refusal, section) }
            throw DMAMapper.error(section, "\(error)")
        }
    }

    /// Unmaps what is mapped. What devices wrote until then isn't lost: unlike a discard, this leaves the memory as
    /// it is.
    func end() {
        target.leaving = mapping
        // The two would keep each other.
        defer { target.leaving = nil }
        // The only error is that it isn't registered: when this is called while the mapping is being registered, by a
        // VMM that was told of a failure. What was mapped is unmapped then as the registration fails.
        do throws(RAMDiscardError) { try manager.unregister(mapping) } catch {}
    }

    /// Marks in the block's log what devices wrote to what is populated.
    func synchronize() throws(VFIOGuestError) {
        if section.isReadOnly { return }
        do throws(VFIOError) {
            try mapping.forEachMappedPart { (part) throws(VFIOError) in
                try target.mapper?.query(section, part.iovas)
            }
        } catch {
            throw DMAMapper.told(error, section)
        }
    }

    /// The mapper, as the mapping uses it.
    private final class Target: DMATarget, @unchecked Sendable {
        // The mapper keeps the follower.
        private(set) weak var mapper: DMAMapper?
        private let space: VFIO.AddressSpace
        private let section: MemorySection
        let smallestPage: UInt64
        /// The mapping, once its section is gone.
        var leaving: DiscardableMapping?

        init(_ mapper: DMAMapper, _ section: MemorySection, _ unit: UInt64) {
            self.mapper = mapper
            space = mapper.space
            self.section = section
            smallestPage = unit
        }

        func map(_ memory: HostAddress, to range: IOVARange, _ access: DMAPermissions) throws(VFIOError) {
            try space.map(memory, to: range, access)
        }

        func unmap(_ range: IOVARange) throws(VFIOError) {
            guard let leaving, let mapper else { return try space.unmap(range) }
            // Part by part, so that nothing counts as written that wasn't even mapped.
            try leaving.forEachMappedPart { (part) throws(VFIOError) in
                try mapper.unmap(section, part.iovas)
            }
        }

        func mayStillReach(_ range: IOVARange, _ error: VFIOError) {
            mapper?.failed(section, DMAMapper.told(error, section))
        }
    }
}
