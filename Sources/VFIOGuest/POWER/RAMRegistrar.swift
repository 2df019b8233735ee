import LinuxSystem
import VFIO

/// Keeps the guest's RAM registered with a POWER machine's IOMMU, version 2, which maps nothing else: every block is
/// locked once, and not with every mapping.
///
/// A listener on the guest's system memory, whatever devices see. It hears of RAM before those who map it, and what goes
/// is unregistered only when everybody has heard of the change: a part that is seen differently then, as when a ROM is
/// laid over RAM, stays registered all the while, and mapped where a guest's IOMMU mapped it. Guarded by the memory map's
/// lock.
final class RAMRegistrar: MemoryListener {
    private let tce: TCEWindows
    /// Hears what can't be registered or unregistered.
    private let failed: (MemorySection, VFIOGuestError) -> Void
    /// By the section's first address.
    private var entries: [UInt64: Entry] = [:]
    private var leaving: [Entry] = []

    private struct Entry {
        /// Keeps the memory.
        let section: MemorySection
        let hold: RegisteredMemoryHold
    }

    init(_ tce: TCEWindows, failed: @escaping (MemorySection, VFIOGuestError) -> Void) {
        self.tce = tce
        self.failed = failed
    }

    var priority: Int { -1 }

    /// How long the shortest pages are that back what is registered, in bytes.
    var shortestPage: UInt64 {
        entries.values.compactMap(\.section.region.block?.pageByteCount).min() ?? UInt64(pageSize)
    }

    func added(_ section: MemorySection) {
        guard let memory = Self.memory(of: section) else { return }
        do throws(VFIOError) {
            let hold: RegisteredMemoryHold
            do throws(VFIOError) {
                hold = try tce.hold(memory.address, byteCount: memory.byteCount)
            } catch {
                // What is on its way out may be what takes the limit of locked memory.
                guard error.code == .memlockLimit, !leaving.isEmpty else { throw error }
                letGo()
                hold = try tce.hold(memory.address, byteCount: memory.byteCount)
            }
            entries[section.range.first.rawValue] = Entry(section: section, hold: hold)
        } catch {
            failed(section, DMAMapper.told(error, section))
        }
    }

    func removed(_ section: MemorySection) {
        if let entry = entries.removeValue(forKey: section.range.first.rawValue) { leaving.append(entry) }
    }

    func changeEnds() { letGo() }

    private func letGo() {
        let entries = leaving
        leaving = []
        for entry in entries {
            do throws(VFIOError) {
                try tce.letGo(entry.hold)
            } catch {
                failed(entry.section, DMAMapper.told(error, entry.section))
            }
        }
    }

    /// The memory of a section that is to be registered: whole pages of RAM that devices may reach.
    private static func memory(of section: MemorySection) -> (address: HostAddress, byteCount: UInt64)? {
        guard section.region.isRAM, let block = section.region.block, !block.isProtected,
            !section.isHiddenFromDevices, let byteCount = UInt64(exactly: section.range.byteCount)
        else { return nil }
        // A region isn't longer than its block.
        let address = block.window.address + Int(section.offset)
        let mask = UInt64(pageSize) - 1
        let ends = section.range.first.rawValue | section.offset | byteCount | UInt64(address.rawValue)
        return ends & mask == 0 ? (address, byteCount) : nil
    }
}
