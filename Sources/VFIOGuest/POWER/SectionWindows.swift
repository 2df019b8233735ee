import IOVASpace
import LinuxSystem
import VFIO

/// The DMA windows of a POWER machine's IOMMU, version 2: each section that devices see gets one of its own, which goes
/// with it.
///
/// Guarded by the memory map's lock.
final class SectionWindows {
    private let tce: TCEWindows
    /// How long the shortest pages are that back the guest's RAM, in bytes.
    private let ramPage: () -> UInt64
    /// By the first address of their sections.
    private var made: [UInt64: Made] = [:]

    private struct Made {
        let window: TCEWindow
        /// Whose it is, for messages.
        let name: String
        /// KVM's table for the section; nil if the guest's entries go through the VMM.
        let table: Int32?
    }

    init(_ tce: TCEWindows, ramPage: @escaping () -> UInt64) {
        self.tce = tce
        self.ramPage = ramPage
    }

    /// Whether a section must have a window of its own. Device memory must lie in another one's: there are too few for
    /// it.
    static func needsWindow(_ section: MemorySection) -> Bool { !section.region.isRAMDevice }

    /// Makes a section's window, and lets KVM fill it where it has the section's table.
    /// - Throws: why that can't be; no window is left then.
    func open(_ section: MemorySection, _ range: IOVARange) throws(VFIOGuestError) {
        if let other = tce.windows.first(where: { $0.range.overlaps(range) }) {
            let owner = made.values.first { $0.window == other }.map { " of \($0.name)" } ?? ""
            throw Self.error(
                section, .overlap, "\(range) overlaps \(other.range), the DMA window\(owner)",
                remedy: "let nothing that devices see lie in two windows")
        }
        let (byteCount, isAll) = range.lastOffset.addingReportingOverflow(1)
        guard !isAll, byteCount.nonzeroBitCount == 1 else {
            throw Self.error(
                section, .misaligned, "\(range) has a length that isn't a power of two, as a DMA window's is")
        }
        let window = try tce.createWindow(
            pageSize: try pageSize(for: section, range), byteCount: byteCount, told: section)
        do throws(VFIOGuestError) {
            guard window.range.first == range.first else {
                throw Self.error(
                    section, .outsideAperture,
                    "the host's next DMA window is \(window.range), and devices are to see it at \(range)",
                    remedy: "place what devices see where the host has its windows")
            }
            let table = Self.table(of: section)
            if let table { try setTable(table, section) }
            made[section.range.first.rawValue] = Made(
                window: window, name: section.region.name, table: table)
        } catch {
            var error = error
            do throws(VFIOError) {
                try tce.remove(window)
            } catch let second {
                error.cause = (error.cause ?? "refused") + "; and the window stays: \(second)"
            }
            throw error
        }
    }

    /// Removes a section's window, if it has one.
    /// - Throws: why it stays. It isn't the section's any more, and none can be made there.
    func close(_ section: MemorySection) throws(VFIOGuestError) {
        guard let old = made.removeValue(forKey: section.range.first.rawValue) else { return }
        do throws(VFIOError) {
            try tce.remove(old.window)
        } catch {
            throw DMAMapper.told(error, section)
        }
    }

    /// Tells KVM once more which tables fill the windows: of a group that came later it doesn't know.
    func tellTables() throws(VFIOGuestError) {
        for (_, window) in made.sorted(by: { $0.key < $1.key }) {
            if let table = window.table { try tce.setKernelTable(table) }
        }
    }

    /// The longest pages that the host's windows can have, and that neither what the guest's IOMMU maps nor the pages of
    /// its RAM are shorter than.
    private func pageSize(for section: MemorySection, _ range: IOVARange) throws(VFIOGuestError) -> UInt64 {
        var most = ramPage()
        if case .iommu(let iommu) = section.region.kind {
            most = min(most, iommu.smallestPage)
        } else if let block = section.region.block {
            // All of it is mapped as it lies.
            let memory = UInt64(block.window.address.rawValue) &+ section.offset
            let alignment = (range.first.rawValue | (range.lastOffset &+ 1) | memory).trailingZeroBitCount
            most = min(most, block.pageByteCount, 1 << UInt64(min(alignment, 63)))
        }
        let fitting = most == 0 ? 0 : tce.pageSizes & (most | (most - 1))
        guard fitting != 0 else {
            throw Self.error(
                section, .notSupported,
                "the guest needs DMA windows with pages of \(most) bytes or less, and the host's have "
                    + "\(VIOMMUPageSizes(rawValue: tce.pageSizes))",
                remedy: "back the guest's RAM with longer pages, or give its IOMMU longer ones")
        }
        return 1 << UInt64(63 - fitting.leadingZeroBitCount)
    }

    /// KVM's table for a section.
    private static func table(of section: MemorySection) -> Int32? {
        guard case .iommu(let iommu) = section.region.kind,
            case .descriptor(let table) = iommu.value(of: .kernelTable)
        else { return nil }
        return table
    }

    private func setTable(_ table: Int32, _ section: MemorySection) throws(VFIOGuestError) {
        do throws(VFIOError) {
            try tce.setKernelTable(table)
        } catch {
            var error = error
            error.object = "section \(section), \(error.object)"
            throw error
        }
    }

    private static func error(
        _ section: MemorySection, _ code: VFIOError.Code, _ cause: String, remedy: String? = nil
    ) -> VFIOGuestError {
        VFIOGuestError(
            operation: "make a DMA window for it", object: "section \(section)", code: code, cause: cause,
            remedy: remedy)
    }
}

extension TCEWindows {
    /// Makes a window for a section, which an error names.
    fileprivate func createWindow(
        pageSize: UInt64, byteCount: UInt64, told section: MemorySection
    ) throws(VFIOGuestError) -> TCEWindow {
        do throws(VFIOError) {
            return try createWindow(pageSize: pageSize, byteCount: byteCount)
        } catch {
            throw DMAMapper.told(error, section)
        }
    }
}
