import IOVASpace
import LinuxSystem
import VFIOABI

/// Windows (kernel.md C.1).
extension SPAPR {
    /// The page size of the default window, as a power of two.
    static let defaultPageShift: UInt32 = 12

    /// Where the default window is; nil if there is none.
    var defaultRange: IOVARange? {
        IOVARange(IOVA(UInt64(iommu.defaultWindowStart)), byteCount: UInt64(iommu.defaultWindowByteCount))
    }

    /// VFIO_IOMMU_SPAPR_TCE_GET_INFO
    func getInfo(_ address: HostAddress) throws(Errno) {
        // What there is to tell never changes, and there is a group as long as there is this driver.
        let least = SPAPRTCEInfo.minimumSize
        var info = try UserMemory.load(SPAPRTCEInfo(), from: address, count: least)
        guard info.argsz >= UInt32(least) else { throw .invalid }
        info.dma32WindowStart = iommu.defaultWindowStart
        info.dma32WindowSize = iommu.defaultWindowByteCount
        info.flags = []
        info.ddw = SPAPRTCEDDWInfo()
        if isVersion2 && iommu.dynamicWindows > 0 {
            info.flags = .ddw
            info.ddw = SPAPRTCEDDWInfo(
                pageSizes: iommu.pageSizes.rawValue, maxDynamicWindows: UInt32(iommu.dynamicWindows),
                levels: UInt32(iommu.levels))
        }
        let hasRoom = info.argsz >= UInt32(SPAPRTCEInfo.byteCount)
        try UserMemory.store(info, to: address, count: hasRoom ? SPAPRTCEInfo.byteCount : least)
    }

    /// VFIO_IOMMU_SPAPR_TCE_CREATE; the tests are in the kernel's order.
    func createWindow(_ address: HostAddress) throws(Errno) {
        try takeOwner()
        var request = try UserMemory.load(SPAPRTCECreate(), from: address)
        guard request.argsz >= UInt32(SPAPRTCECreate.minimumSize), request.flags == 0 else { throw .invalid }
        request.startAddress = try exclusively { () throws(Errno) in
            try createDefaultWindow()
            return try createWindow(
                pageShift: request.pageShift, byteCount: request.windowSize, levels: request.levels)
        }
        // A window that its owner can't be told of is there all the same.
        try UserMemory.store(request, to: address)
    }

    /// VFIO_IOMMU_SPAPR_TCE_REMOVE; the tests are in the kernel's order.
    func removeWindow(_ address: HostAddress) throws(Errno) {
        try takeOwner()
        let request = try UserMemory.load(SPAPRTCERemove(), from: address)
        guard request.argsz >= UInt32(SPAPRTCERemove.minimumSize), request.flags == 0 else { throw .invalid }
        try exclusively { () throws(Errno) in
            if isDefaultWindowPending && request.startAddress == 0 {
                isDefaultWindowPending = false
                return
            }
            // As in Linux any address inside will do [Q].
            guard let index = window(at: IOVA(request.startAddress)) else { throw .invalid }
            dropWindow(index)
        }
    }

    /// The window that an address lies in.
    func window(at iova: IOVA) -> Int? { windows.firstIndex { $0?.range.contains(iova) == true } }

    /// Makes the default window if that is still to be done. With `mutex` held.
    func createDefaultWindow() throws(Errno) {
        guard isDefaultWindowPending else { return }
        _ = try createWindow(
            pageShift: SPAPR.defaultPageShift, byteCount: UInt64(iommu.defaultWindowByteCount), levels: 1)
        isDefaultWindowPending = false
    }

    /// - Returns: where the window begins.
    private func createWindow(pageShift: UInt32, byteCount: UInt64, levels: UInt32) throws(Errno) -> UInt64 {
        guard let index = windows.firstIndex(where: { $0 == nil }) else { throw .noSpace }
        guard pageShift < 64, iommu.pageSizes.rawValue >> UInt64(pageShift) & 1 == 1 else { throw .invalid }
        let table = iommu.tableByteCount(
            pageShift: pageShift, windowByteCount: byteCount, levels: levels, hostPage: UInt64(pageSize))
        guard let table else { throw .invalid }
        let start = index == 0 ? UInt64(iommu.defaultWindowStart) : SPAPRIOMMU.secondWindowStart
        guard let range = IOVARange(IOVA(start), byteCount: byteCount) else { throw .invalid }
        let pages = table / UInt64(pageSize)
        try process.charge(pages)
        windows[index] = Window(range: range, pageShift: pageShift, chargedPages: pages)
        return start
    }

    /// Removes a window with everything in it. With `mutex` held.
    func dropWindow(_ index: Int) {
        guard let window = windows[index] else { return }
        windows[index] = nil
        clear(window.range)
        process.unpin(window.chargedPages)
    }
}
